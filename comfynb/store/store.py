"""The store: everything comfynb remembers, in one DuckDB file or a PostgreSQL database."""

import atexit
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from comfynb.errors import StoreError, UsageError
from comfynb.models import OwnerRecord, StoredModel
from comfynb.store.check import Finding, check
from comfynb.store.database import Database, LivenessTest, Session
from comfynb.store.duck import DuckDatabase
from comfynb.store.journal import Journal
from comfynb.store.migrate import migrate
from comfynb.store.owners import FileLiveness
from comfynb.store.pending import Pending
from comfynb.store.reader import Read, Reader
from comfynb.store.schema import table_of
from comfynb.store.table import Table
from comfynb.store.transaction import Transaction, View
from comfynb.store.worker import Op, Worker

__all__ = ["Store", "open_store"]

T = TypeVar("T")
M = TypeVar("M", bound=StoredModel)

READ_TIMEOUT_S = 30.0
MOST_ROWS = 1_000_000

# Tables in which the journal's calls and put() may meet: their order is kept as submitted.
_JOB_TABLES = frozenset({"jobs", "node_executions", "prompts", "output_files", "job_events"})

_open_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


def open_store(url_or_path: str | Path, *, label: str = "", lock_timeout: float = 30.0) -> "Store":
    """Open a store: the path of a DuckDB file (made if it is not there), or postgresql://...

    Returns at once; the file is opened by the first call, and what is wrong with it is raised
    there (``store.ready()`` is a call that does nothing else). NetworkFileSystem is raised here.
    Several programs may have the same file open: it goes from one to the next by itself, and
    StoreLocked is raised only if a holder keeps it for longer than ``lock_timeout`` seconds.
    """
    text = os.fspath(url_or_path)
    label = label or f"comfynb in {Path(sys.argv[0] or 'python').name}"
    owner = OwnerRecord(host=socket.gethostname(), pid=os.getpid(), label=label)
    scheme, separator, _ = text.partition("://")
    if scheme in {"postgresql", "postgres"} and separator:
        from comfynb.store.postgres import PostgresDatabase, PostgresLiveness

        server = PostgresDatabase(text, label=label, lock_timeout=lock_timeout)
        return Store(server, PostgresLiveness(owner.id), owner, lock_timeout=lock_timeout)
    if separator:
        raise UsageError(
            f"A store is the path of a file or postgresql://..., not an address of kind "
            f"{scheme!r:.40}."
        )
    if not text or text == ":memory:":
        raise UsageError("A store is a file: give its path, such as lab.duckdb.")
    path = Path(text)
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give the path of a file in it, such as lab.duckdb.")
    database = DuckDatabase(path, label=label)
    liveness = FileLiveness(database.path, owner.id)
    return Store(database, liveness, owner, lock_timeout=lock_timeout)


class Store:
    """One open store; safe to use from any thread and any event loop.

    Every call returns a Pending: ``await`` it, or take its ``.result()``. Nothing runs in the
    caller's thread. Calls see what was submitted to this store before them.
    """

    def __init__(
        self,
        database: Database,
        liveness: LivenessTest,
        owner: OwnerRecord,
        *,
        lock_timeout: float = 30.0,
    ) -> None:
        self.owner = owner
        self.path = database.place
        self._pid = os.getpid()
        self._liveness = liveness
        self._worker = Worker(database, self._prepare, lock_timeout=lock_timeout)
        self._reader = Reader(self._worker, self.path)
        self._closed: Pending[None] | None = None
        self._guard = threading.Lock()
        self.journal = Journal(self)
        _open_stores.add(self)

    @property
    def owner_id(self) -> str:
        """The id that jobs of this store carry; it lives as long as this object is open."""
        return self.owner.id

    def _prepare(self, database: Database) -> None:
        # Alive before the first row names this owner, in the writer's thread.
        self._liveness.ensure(database)
        migrate(database)

    # ---- models

    def put(self, *models: StoredModel) -> Pending[None]:
        """Insert models, or replace the rows with the same primary key; all of them or none."""
        by_table = [(table_of(type(model)), model) for model in models]
        touched: frozenset[object] | None = None
        if not any(table.name in _JOB_TABLES for table, _ in by_table):
            touched = frozenset((table.name, table.key_of(model)) for table, model in by_table)
        pending: Pending[None] = Pending("put")
        self.submit(Op(pending, _put_all, models, touched, repeatable=True))
        return pending

    def get(self, model: type[M], *key: Any) -> Pending[M | None]:
        """Return the row with this primary key, or None."""
        return self.read(lambda view: view.get(model, *key), f"get {model.__name__}")

    def find(
        self,
        model: type[M],
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Pending[list[M]]:
        """Return rows as models.

        ``where`` maps a field, or a field and a comparison (``"created_at >="``), to a value; None
        means "is null", and a list "one of these". ``order_by`` is a field, with ``-`` in front
        for descending.
        """
        return self.read(
            lambda view: view.find(
                model, where=where, order_by=order_by, limit=limit, offset=offset
            ),
            f"find {model.__name__}",
        )

    def count(
        self, model: type[StoredModel], where: Mapping[str, Any] | None = None
    ) -> Pending[int]:
        """Return how many rows there are."""
        return self.read(lambda view: view.count(model, where), f"count {model.__name__}")

    def delete(self, model: type[StoredModel], *key: Any) -> Pending[int]:
        """Delete one row and what hangs on it; returns how many went, 0 or 1."""
        return self.transact(lambda tx: tx.delete(model, *key))

    # ---- anything

    def transact(self, fn: Callable[[Transaction], T]) -> Pending[T]:
        """Run ``fn(tx)`` in the writer's thread, in a transaction; done when it is on disk.

        If it raises, nothing of it is kept. It may be run again from the start when a neighbour
        in the same commit failed, so it must do nothing but use ``tx``.
        """
        pending: Pending[T] = Pending("transact")
        self.submit(Op(pending, _call_each, fn))
        return pending

    def read(
        self, fn: Callable[[View], T], what: str = "read", *, timeout: float = READ_TIMEOUT_S
    ) -> Pending[T]:
        """Run ``fn(view)`` in the read thread, in a read-only transaction.

        It may be run again from the start when another program needed the file meanwhile.
        """
        pending: Pending[T] = Pending(what, matters=False)

        def run(session: Session) -> T:
            view = View(session)
            try:
                return fn(view)
            finally:
                view.end()

        self._reading(Read(pending, run, timeout))
        return pending

    def sql(
        self,
        query: str,
        params: Sequence[Any] | None = None,
        *,
        limit: int | None = None,
        timeout: float = READ_TIMEOUT_S,
    ) -> Pending[Table]:
        """Ask anything, in SQL with ``$1, $2 ..``: one statement that only reads.

        Files and the network are out of reach; results leave through ``Table.to_df()`` and
        ``to_arrow()``. ``limit`` cuts the rows off and the table says so; without it, more than a
        million rows is an error. ``timeout`` is in seconds.
        """
        most = MOST_ROWS if limit is None else limit
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise UsageError(f"limit must be a whole number from 0, not {limit!r:.40}.")
        values = list(params or ())
        pending: Pending[Table] = Pending("sql", matters=False)

        def run(session: Session) -> Table:
            if not session.only_reads(query):
                raise UsageError(
                    "sql() takes one statement that only reads, such as "
                    '"select status, count(*) from jobs group by 1".'
                )
            result = session.query(query, values, most)
            if result.more and limit is None:
                raise StoreError(
                    f"The query gives more than {MOST_ROWS:,} rows: aggregate them, or give "
                    "limit=NUMBER.",
                    path=self.path,
                )
            return Table(result)

        self._reading(Read(pending, run, timeout))
        return pending

    def check(self, *, timeout: float = 300.0) -> Pending[list[Finding]]:
        """Look for whatever is inconsistent, and say what to do about it."""
        return self.read(check, "check", timeout=timeout)

    def ready(self) -> Pending[None]:
        """Open the file if it is not open: raises whatever is wrong with it."""
        pending: Pending[None] = Pending("open", matters=False)
        self.submit(Op(pending, lambda _, calls: [None] * len(calls), keys=frozenset()))
        return pending

    # ---- owners

    def live_owners(self) -> Pending[set[str]]:
        """Return the ids of all stores that are open on this file right now, this one included."""
        return self.read(self._liveness.live, "live_owners")

    def is_alive(self, view: View, owner_id: str) -> bool:
        """Tell, inside a transaction, whether an owner's store is open right now."""
        return self._liveness.is_alive(view, owner_id)

    # ---- life

    def submit(self, *ops: Op) -> None:
        """Queue calls for the writer, next to each other."""
        self._check_process()
        self._worker.submit(*ops)

    def hurry(self) -> None:
        """Carry out now what may wait for a call that is in a hurry."""
        self._worker.hurry()

    def _reading(self, read: Read) -> None:
        self._check_process()
        self._reader.submit(read)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(
                f"The store {self.path} was opened by process {self._pid}: a forked process has "
                "to open its own."
            )

    def close(self) -> Pending[None]:
        """Carry out what was submitted, then let the file go; the second time does nothing."""
        with self._guard:
            if self._closed is None:
                self._closed = Pending("close")
                if os.getpid() != self._pid:
                    self._closed.set_result(None)
                else:
                    self._reader.close()
                    self._worker.close().add_done_callback(self._after_close)
            return self._closed

    def _after_close(self, done: Pending[None]) -> None:
        assert self._closed is not None
        error = done.exception()
        try:
            self._liveness.leave()
        except OSError as failure:
            error = error or failure
        if error is None:
            self._closed.set_result(None)
        else:
            self._closed.set_exception(error)

    def forget_after_fork(self) -> None:
        """In a forked child: leave the parent's file and locks alone."""
        self._guard = threading.Lock()
        self._worker.forget_after_fork()
        self._reader.forget_after_fork()
        self._liveness.forget_after_fork()

    def __repr__(self) -> str:
        closed = " (closed)" if self._closed is not None else ""
        return f"<Store {self.path}{closed}>"


def _put_all(tx: Transaction, calls: Sequence[Sequence[StoredModel]]) -> Sequence[None]:
    tx.put(*(model for models in calls for model in models))
    return [None] * len(calls)


def _call_each(tx: Transaction, calls: Sequence[Callable[[Transaction], Any]]) -> Sequence[Any]:
    return [fn(tx) for fn in calls]


def _close_all() -> None:
    for pending in [store.close() for store in list(_open_stores)]:
        pending.result(60)


def _forget_all() -> None:
    for store in list(_open_stores):
        store.forget_after_fork()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
