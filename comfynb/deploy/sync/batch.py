"""What a source hands to the runner: entries with the way to write them, and where to go on."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from comfynb.deploy.catalogue.entries import Outcome
from comfynb.deploy.sync.polite import Asker
from comfynb.models import SyncType
from comfynb.store import Transaction

__all__ = ["Batch", "Cursor", "SyncSource", "Write"]

Cursor = dict[str, Any]
"""Where a sync goes on; JSON, kept in the job's results."""

Write = Callable[[Transaction, datetime], Sequence[tuple[str, Outcome]]]
"""Writes entries in a transaction; an outcome for each, with the part that it belongs to.

It may be run again from the start, so it does nothing but use the transaction.
"""


@dataclass(slots=True)
class Batch:
    """Some entries: what became of them before anything was written, and how to write the rest."""

    cursor: Cursor
    """Where to go on once this batch is in the store."""
    write: Write | None = None
    done: list[tuple[str, Outcome]] = field(default_factory=list)
    """Entries that never get as far as the store, with their part."""
    total: int | None = None
    """Entries of the whole sync, as far as the source knows by now."""
    again: bool = False
    """The source changed since the sync began: what was counted so far is counted anew."""


class SyncSource(ABC):
    """One place that a catalogue is filled from."""

    name: ClassVar[str]
    """As in ``NodeFacts.sources``."""
    type: ClassVar[SyncType]
    spacing: ClassVar[float] = 0.0
    """Seconds between two requests to one host, at least."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what another process needs to go on with this sync: JSON, without secrets."""

    @abstractmethod
    def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Bring the entries, from the beginning or from where a cursor says."""
