"""The embedded database: one DuckDB file, opened only while our own lock is held."""

import contextlib
import ctypes
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from comfynb.errors import StoreDamaged, StoreError, StoreLocked, StoreTooNew
from comfynb.store.database import BrokenError, Database, InterruptError, Result, Row
from comfynb.store.filesystems import refuse_network
from comfynb.store.lock import TurnLock

__all__ = ["DuckDatabase", "DuckSession"]

# Nothing that SQL says may touch files or the network: the store's SQL may come from a notebook
# that somebody else wrote. Results leave through Table.to_df() and to_arrow().
_CONFIG = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "enable_external_access": False,
}

_FETCH = 1000
_PARSED = 200
_CONFLICT = "Conflicting lock"
_HOLDER = re.compile(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_OTHER_VERSION = "version number"


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())


class DuckSession:
    """One DuckDB connection."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection, place: str) -> None:
        self._connection = connection
        self._place = place
        self._parsed: dict[str, duckdb.Statement] = {}

    def _statement(self, sql: str) -> str | duckdb.Statement:
        """Return the statement parsed, if it came before: parsing takes a third of its time."""
        known = self._parsed.get(sql)
        if known is not None:
            return known
        statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            return sql  # DuckDB runs several in turn, or says what is wrong with none
        if len(self._parsed) >= _PARSED:
            self._parsed.clear()
        return self._parsed.setdefault(sql, statements[0])

    @contextlib.contextmanager
    def _errors(self, *, committing: bool = False) -> Iterator[None]:
        try:
            yield
        except duckdb.InterruptException as error:
            raise InterruptError("the read was interrupted", path=self._place) from error
        except (duckdb.FatalException, duckdb.InternalException) as error:
            raise BrokenError(
                f"DuckDB gave up on {self._place} ({_reason(error)}): is the disk full?",
                path=self._place,
                committing=committing,
            ) from error
        except duckdb.Error as error:
            if "has been invalidated" in str(error):
                raise BrokenError(str(error), path=self._place, committing=committing) from error
            raise StoreError(_reason(error), path=self._place) from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run one statement to its end."""
        with self._errors():
            statement = self._statement(sql)
            return self._connection.execute(statement, list(params) or None).fetchall()

    def columns(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one statement that only reads; NumPy arrays, made without Python's numbers."""
        import numpy as np

        with self._errors():
            self._connection.execute(self._statement(sql), list(params) or None)
            # Typed as whatever pandas has, where its stubs are installed; they are NumPy's arrays.
            found: Any = self._connection.fetchnumpy()
        return [
            np.ma.filled(column.astype(np.float64), np.nan)
            if column.dtype.kind in "iufb"
            else column
            for column in found.values()
        ]

    def query(self, sql: str, params: Sequence[Any], max_rows: int | None) -> Result:
        """Run one statement that only reads; times come back in UTC."""
        with self._errors():
            self._connection.execute(sql, list(params) or None)
            described = self._connection.description or []
            rows: list[Row] = []
            # An open result owns the connection: it is read to its end, or cut off.
            while True:
                want = _FETCH if max_rows is None else min(_FETCH, max_rows + 1 - len(rows))
                chunk = self._connection.fetchmany(want)
                rows += chunk
                if len(chunk) < want or (max_rows is not None and len(rows) > max_rows):
                    break
            more = max_rows is not None and len(rows) > max_rows
            if more:
                del rows[max_rows:]
            self._connection.abort()
        columns = tuple(str(column[0]) for column in described)
        types = tuple(str(column[1]) for column in described)
        aware = [i for i, name in enumerate(types) if name == "TIMESTAMP WITH TIME ZONE"]
        if aware:
            rows = [_in_utc(row, aware) for row in rows]
        return Result(columns, types, rows, more)

    def script(self, sql: str) -> None:
        """Run several statements without parameters."""
        with self._errors():
            for statement in self._connection.extract_statements(sql):
                self._connection.execute(statement)

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name; asking the catalogue takes 12 ms."""
        try:
            self.execute(f"select 1 from {name} limit 0")  # noqa: S608 - our own names
        except StoreError as error:
            if isinstance(error.__cause__, duckdb.CatalogException):
                return False
            raise
        return True

    def only_reads(self, sql: str) -> bool:
        """Tell whether the text is one statement, and one that only reads."""
        with self._errors():
            statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            return False
        kinds = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
        return statements[0].type in kinds

    def begin(self, *, read_only: bool = False) -> None:
        """Begin a transaction."""
        self.execute("begin transaction read only" if read_only else "begin transaction")

    def commit(self) -> None:
        """End the transaction. Never after an error: DuckDB would keep nothing and not say so."""
        with self._errors(committing=True):
            self._connection.execute("commit")

    def rollback(self) -> None:
        """Give the transaction up."""
        with contextlib.suppress(duckdb.Error):
            self._connection.abort()
        with contextlib.suppress(duckdb.Error):
            self._connection.execute("rollback")

    def interrupt(self) -> None:
        """Stop what runs."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def leak(self) -> None:
        """Keep the connection from ever being torn down (see DuckDatabase.forget_after_fork)."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))


def _in_utc(row: Row, aware: Sequence[int]) -> Row:
    values = list(row)
    for i in aware:
        if isinstance(values[i], datetime):
            values[i] = values[i].astimezone(UTC)
    return tuple(values)


class DuckDatabase(Database):
    """A DuckDB file. ``wake`` becomes readable when another program asks for its turn."""

    dialect = "duckdb"
    writer: DuckSession
    reader: DuckSession

    def __init__(
        self,
        path: Path,
        *,
        label: str = "comfynb",
        threads: int = 1,
        memory_limit: str = "512MB",
        mountinfo: str | None = None,
    ) -> None:
        self.path = path.expanduser().resolve()
        refuse_network(self.path, mountinfo=mountinfo)
        self.place = str(self.path)
        self._config: dict[str, str | bool | int | float | list[str]] = {
            **_CONFIG,
            "threads": threads,
            "memory_limit": memory_limit,
        }
        self._lock = TurnLock(self.path, label)
        self._sessions: list[DuckSession] = []

    @property
    def wake(self) -> int:  # type: ignore[override]  # read-only here
        """The lock's bell."""
        return self._lock.bell

    @property
    def look_s(self) -> float | None:  # type: ignore[override]  # read-only here
        """Where a FIFO cannot be had, an idle holder looks this often whether somebody asks."""
        return 0.02 if self._lock.bell < 0 else None

    def open(
        self, prepare: Callable[[Database], None], timeout: float, stop: threading.Event
    ) -> None:
        """Take the lock, then open the file; raises StoreLocked, StoreDamaged, StoreTooNew."""
        deadline = time.monotonic() + timeout
        if not self.path.parent.is_dir():
            raise StoreError(
                f"The folder {self.path.parent} does not exist: make it, or choose another.",
                path=self.place,
            )
        self._lock.acquire(timeout, stop)
        try:
            self._connect(deadline, timeout, stop)
            prepare(self)
        except BaseException:
            self.close()
            raise

    def _connect(self, deadline: float, timeout: float, stop: threading.Event) -> None:
        pause = 0.02
        while True:
            try:
                connection = duckdb.connect(self.place, config=self._config)
                break
            except duckdb.Error as error:
                if _CONFLICT not in str(error):
                    raise self._cannot_open(error) from error
                # Somebody opened the file without our lock: a DuckDB shell, say.
                if time.monotonic() + pause > deadline or stop.is_set():
                    raise self._held_by(error, timeout) from error
                stop.wait(pause)
                pause = min(2 * pause, 0.5)
        self.writer = DuckSession(connection, self.place)
        self.reader = DuckSession(connection.cursor(), self.place)
        self._sessions = [self.writer, self.reader]
        self.writer.execute("set global TimeZone = 'UTC'")
        for session in self._sessions:
            # In Jupyter it would draw into whatever cell runs.
            session.execute("set enable_progress_bar = false")
        self.writer.execute("set global lock_configuration = true")

    def _held_by(self, error: duckdb.Error, timeout: float) -> StoreLocked:
        found = _HOLDER.search(str(error))
        who = f"{found['program']} (PID {found['pid']})" if found else "another program"
        return StoreLocked(
            f"{self.place} is held by {who}, which did not close it within {timeout:g} s: "
            "close it there.",
            path=self.place,
        )

    def _cannot_open(self, error: duckdb.Error) -> StoreError:
        if _OTHER_VERSION in str(error):
            return StoreTooNew(
                f"{self.place} was written by another version of DuckDB ({_reason(error)}): "
                "use the comfynb that wrote it.",
                path=self.place,
            )
        return StoreDamaged(
            f"{self.place} cannot be opened ({_reason(error)}): if it is a store, put its last "
            "copy back in its place, or choose another file.",
            path=self.place,
        )

    def _disconnect(self) -> None:
        for session in reversed(self._sessions):
            session.close()
        self._sessions = []

    def backup(self, suffix: str) -> None:
        """Copy the closed file to ``PATH + suffix``, whole or not at all."""
        self._disconnect()
        target = self.path.with_name(self.path.name + suffix)
        part = target.with_name(target.name + ".part")
        # The file must be closed here: closing any descriptor of it would drop DuckDB's own lock.
        with self.path.open("rb") as source, part.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        part.replace(target)
        self._connect(time.monotonic() + 5.0, 5.0, threading.Event())

    def wanted(self) -> bool:
        """Tell whether another program waits for its turn."""
        return self._lock.wanted()

    def close(self) -> None:
        """Close the file, then let the lock go."""
        try:
            self._disconnect()
        finally:
            self._lock.release()

    def forget_after_fork(self) -> None:
        """Let go without closing: closing would write the parent's file from the child."""
        for session in self._sessions:
            session.leak()
        self._sessions = []
        self._lock.forget_after_fork()
