"""Everything comfynb remembers: models in and out, the jobs' journal, SQL for people."""

from comfynb.store.check import Finding
from comfynb.store.journal import Adopted, Finish, Journal
from comfynb.store.pending import Pending
from comfynb.store.store import Store, open_store
from comfynb.store.table import Table
from comfynb.store.transaction import Transaction, View

__all__ = [
    "Adopted",
    "Finding",
    "Finish",
    "Journal",
    "Pending",
    "Store",
    "Table",
    "Transaction",
    "View",
    "open_store",
]
