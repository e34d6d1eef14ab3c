"""Syncs: what fills the catalogue, from the services' answers, politely, and resumable."""

from comfynb.deploy.sync.batch import Batch, SyncSource
from comfynb.deploy.sync.manager import ManagerLists
from comfynb.deploy.sync.polite import Asker
from comfynb.deploy.sync.progress import SyncView
from comfynb.deploy.sync.runner import SyncRun, SyncRunner

__all__ = ["Asker", "Batch", "ManagerLists", "SyncRun", "SyncRunner", "SyncSource", "SyncView"]
