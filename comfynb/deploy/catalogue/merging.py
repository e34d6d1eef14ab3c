"""How a batch of entries goes into the catalogue: rows are read, each entry merged, all written."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from comfynb.deploy.catalogue.entries import Outcome
from comfynb.store import Transaction

__all__ = ["Merger"]

E = TypeVar("E")


class Merger(ABC, Generic[E]):
    """What one source says in one batch; a subclass knows the rows that the entries touch."""

    def __init__(self, tx: Transaction, source: str, now: datetime) -> None:
        self.tx = tx
        self.source = source
        self.now = now

    @abstractmethod
    def load(self, entries: Sequence[E]) -> None:
        """Read the rows that the entries may be about."""

    @abstractmethod
    def merge(self, entry: E) -> Outcome:
        """Merge one entry into them."""

    @abstractmethod
    def write(self) -> None:
        """Write what is otherwise now."""

    def run(self, entries: Sequence[E]) -> list[Outcome]:
        """Do it all; one outcome for each entry, in order."""
        self.load(entries)
        outcomes = [self.merge(entry) for entry in entries]
        self.write()
        return outcomes
