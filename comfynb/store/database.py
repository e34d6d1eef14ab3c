"""What the store needs of a database: sessions, and who may have them open."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from comfynb.errors import StoreError

if TYPE_CHECKING:
    from comfynb.store.transaction import View

__all__ = ["BrokenError", "Database", "InterruptError", "LivenessTest", "Result", "Session"]

Row = tuple[Any, ...]


class InterruptError(StoreError):
    """A read that was stopped by interrupt()."""


class BrokenError(StoreError):
    """The database must be closed and opened again; ``committing`` if it broke in a COMMIT."""

    def __init__(self, message: str, *, path: str = "", committing: bool = False) -> None:
        super().__init__(message, path=path)
        self.committing = committing


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave: column names, their SQL types, rows, and whether more were left behind."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[Row]
    more: bool = False


class Session(Protocol):
    """One connection, used by one thread."""

    dialect: str

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run one statement to its end; rows, or one row with the number of changed rows."""

    def columns(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one statement that only reads; one NumPy array for each column, in order.

        Numbers become float64 with NaN for null; everything else an array of objects.
        """

    def query(self, sql: str, params: Sequence[Any], max_rows: int | None) -> Result:
        """Run one statement that only reads."""

    def script(self, sql: str) -> None:
        """Run several statements without parameters."""

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name (one of ours: it is not quoted)."""

    def only_reads(self, sql: str) -> bool:
        """Tell whether the text is one statement that only reads; raises StoreError on nonsense."""

    def begin(self, *, read_only: bool = False) -> None:
        """Begin a transaction."""

    def commit(self) -> None:
        """End the transaction; returns when it is on disk."""

    def rollback(self) -> None:
        """Give the transaction up, whatever state it is in."""

    def interrupt(self) -> None:
        """Stop what runs in this session; the one method for other threads."""


class Database(Protocol):
    """A database file or server; opened and closed by one thread.

    ``writer`` and ``reader`` are there between ``open`` and ``close``.
    """

    dialect: str
    place: str
    """Its path or address, without secrets."""
    writer: Session
    reader: Session
    wake: int
    """A file descriptor that becomes readable when another program wants the database, or -1."""
    look_s: float | None
    """How often to look whether another program wants it, in seconds, where nothing wakes us."""

    def open(
        self, prepare: Callable[["Database"], None], timeout: float, stop: threading.Event
    ) -> None:
        """Wait for the right to open it, open it, and call ``prepare``; all of it or nothing."""

    def backup(self, suffix: str) -> None:
        """Copy everything aside before a migration, where that is the store's business."""

    def wanted(self) -> bool:
        """Tell whether another program waits for it."""

    def close(self) -> None:
        """Close it and let others have it."""

    def forget_after_fork(self) -> None:
        """In a forked child: let go of what is the parent's without touching it."""


class LivenessTest(Protocol):
    """How stores on one database tell which of them are open right now."""

    owner_id: str

    def ensure(self, database: Database) -> None:
        """Make this store seen as alive; called whenever the database has been opened."""

    def is_alive(self, view: "View", owner_id: str) -> bool:
        """Tell whether a store is open."""

    def live(self, view: "View") -> set[str]:
        """Return the ids of all open stores."""

    def leave(self) -> None:
        """This store is closed."""

    def forget_after_fork(self) -> None:
        """In a forked child: leave the parent's mark alone."""
