"""The shared database: PostgreSQL 14 or newer, for people who have outgrown one machine's file.

Kernels write one after another here, too: each transaction first takes one advisory lock, so that
what holds on DuckDB with its single writer holds here, without deadlocks and lost updates.
"""

import contextlib
import ctypes
import hashlib
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from comfynb.errors import StoreError, StoreLocked, UsageError
from comfynb.store.database import BrokenError, Database, InterruptError, Result, Row
from comfynb.store.transaction import View

try:
    import psycopg
    from psycopg import RawCursor, errors
except ImportError as missing:
    raise UsageError(
        "A store on PostgreSQL needs psycopg: pip install 'comfynb[postgres]'."
    ) from missing

__all__ = ["PostgresDatabase", "PostgresLiveness", "PostgresSession"]

OLDEST = 140000

_WRITER = "comfynb writer"
_OWNER = "comfynb owner "
_READS = re.compile(r"(select|with|values|table|explain|show)\b", re.IGNORECASE)
_LEADING = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*([^*]|\*(?!/))*\*/)+")
_KINDS = {
    "int8": "BIGINT",
    "int4": "INTEGER",
    "text": "VARCHAR",
    "bool": "BOOLEAN",
    "float8": "DOUBLE",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}
_FETCH = 1000


def lock_key(name: str) -> int:
    """Return the 64-bit number that a name's advisory lock has."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _storable(value: Any) -> Any:
    """PostgreSQL's text cannot hold U+0000; it becomes U+FFFD, as other text that is none does."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


class PostgresSession:
    """One connection, used by one thread."""

    dialect = "postgres"

    def __init__(self, connection: "psycopg.Connection[Row]", place: str, *, writes: bool) -> None:
        self.connection = connection
        self._place = place
        self._writes = writes

    @contextlib.contextmanager
    def _errors(self, *, committing: bool = False) -> Iterator[None]:
        try:
            yield
        except errors.QueryCanceled as error:
            raise InterruptError("the read was interrupted", path=self._place) from error
        except errors.LockNotAvailable as error:
            raise StoreLocked(
                f"{self._place} is held by another program's transaction: end what it runs.",
                path=self._place,
            ) from error
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            if self.connection.broken or self.connection.closed:
                raise BrokenError(
                    f"the connection to {self._place} broke ({reason})",
                    path=self._place,
                    committing=committing,
                ) from error
            raise StoreError(reason, path=self._place) from error

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run one statement to its end."""
        with self._errors(), RawCursor(self.connection) as cursor:
            cursor.execute(sql, [_storable(value) for value in params] or None)
            if cursor.description is not None:
                return cursor.fetchall()
            return [] if cursor.rowcount < 0 else [(cursor.rowcount,)]

    def columns(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one statement that only reads; NumPy arrays."""
        import numpy as np

        rows = self.execute(sql, params)
        found = []
        for column in zip(*rows, strict=True):
            number = all(one is None or isinstance(one, int | float | Decimal) for one in column)
            found.append(np.array(column, dtype=np.float64 if number else object))
        return found

    def query(self, sql: str, params: Sequence[Any], max_rows: int | None) -> Result:
        """Run one statement that only reads; times come back in UTC."""
        rows: list[Row] = []
        more = False
        with self._errors(), RawCursor(self.connection) as cursor:
            values = [_storable(value) for value in params]
            stream = cast("Generator[Row, None, None]", cursor.stream(sql, values, size=_FETCH))
            with contextlib.closing(stream):
                for row in stream:
                    if max_rows is not None and len(rows) >= max_rows:
                        more = True
                        break
                    rows.append(row)
            described = cursor.description or []
        registry = self.connection.adapters.types
        kinds = []
        for column in described:
            info = registry.get(column.type_code)
            name = info.name if info else "unknown"
            kinds.append(_KINDS.get(name, name.upper()))
        rows = [tuple(map(_in_utc, row)) for row in rows]
        return Result(tuple(column.name for column in described), tuple(kinds), rows, more)

    def script(self, sql: str) -> None:
        """Run several statements without parameters."""
        with self._errors():
            self.connection.execute(sql)

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table of this name."""
        return self.execute("select to_regclass($1::text)", [name])[0][0] is not None

    def only_reads(self, sql: str) -> bool:
        """Tell whether the text begins as one reading statement; the transaction does the rest."""
        text = sql[found.end() :] if (found := _LEADING.match(sql)) else sql
        return bool(_READS.match(text.lstrip("(")))

    def begin(self, *, read_only: bool = False) -> None:
        """Begin a transaction; one that writes waits for its turn."""
        if read_only:
            self.execute("begin transaction isolation level repeatable read read only")
            return
        self.execute("begin transaction")
        if self._writes:
            self.execute("select pg_advisory_xact_lock($1)", [lock_key(_WRITER)])

    def commit(self) -> None:
        """End the transaction."""
        with self._errors(committing=True):
            if self.connection.info.transaction_status is psycopg.pq.TransactionStatus.INERROR:
                raise StoreError("The transaction had failed before.", path=self._place)
            self.connection.execute("commit")

    def rollback(self) -> None:
        """Give the transaction up."""
        idle = psycopg.pq.TransactionStatus.IDLE
        # A cancel that came late may hit the first of them.
        for _ in range(3):
            if self.connection.closed or self.connection.info.transaction_status is idle:
                return
            with contextlib.suppress(psycopg.Error):
                self.connection.execute("rollback")

    def interrupt(self) -> None:
        """Stop what runs."""
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=5)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def leak(self) -> None:
        """Keep the connection from ever being torn down (see PostgresDatabase)."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.connection))


def _in_utc(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value


def _place_of(url: str) -> str:
    """Return the address without anything secret in it."""
    try:
        known = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # Without its message: it quotes what it could not read, a password perhaps.
        known = {}
    if not known:
        raise UsageError(
            "That is not an address of a PostgreSQL database: write "
            "postgresql://user@host/database, with the password in ~/.pgpass."
        )
    user = f"{known['user']}@" if known.get("user") else ""
    port = f":{known['port']}" if known.get("port") else ""
    return f"postgresql://{user}{known.get('host') or ''}{port}/{known.get('dbname') or ''}"


class PostgresDatabase(Database):
    """A PostgreSQL database; other programs are never kept from it."""

    dialect = "postgres"
    writer: PostgresSession
    reader: PostgresSession
    wake = -1
    look_s = None

    def __init__(self, url: str, *, label: str = "comfynb", lock_timeout: float = 30.0) -> None:
        self.place = _place_of(url)
        self._url = url
        self._label = label
        self._lock_timeout = lock_timeout
        self._sessions: list[PostgresSession] = []
        self._reached = False

    def open(
        self, prepare: Callable[[Database], None], timeout: float, stop: threading.Event
    ) -> None:
        """Connect; raises StoreError that names what the server says."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.writer = self._connect(writes=True)
                self.reader = self._connect(writes=False)
                break
            except psycopg.OperationalError as error:
                self._disconnect()
                # One that was there before is waited for: it is being restarted.
                if not self._reached or time.monotonic() > deadline or stop.wait(0.2):
                    raise self._unreachable(error) from error
        try:
            if self.writer.connection.info.server_version < OLDEST:
                raise StoreError(
                    f"{self.place} is PostgreSQL "
                    f"{self.writer.connection.info.server_version // 10000}: 14 is the oldest.",
                    path=self.place,
                )
            # Two programs that meet an empty database must not both fill it.
            self.writer.execute("select pg_advisory_lock($1)", [lock_key(_WRITER)])
            try:
                prepare(self)
            finally:
                self.writer.execute("select pg_advisory_unlock($1)", [lock_key(_WRITER)])
        except BaseException:
            self._disconnect()
            raise
        self._reached = True

    def _connect(self, *, writes: bool) -> PostgresSession:
        milliseconds = int(self._lock_timeout * 1000)
        connection: psycopg.Connection[Row] = psycopg.connect(
            self._url,
            autocommit=True,
            application_name=self._label[:60],
            connect_timeout=10,
            client_encoding="utf8",
            options=f"-c TimeZone=UTC -c lock_timeout={milliseconds} "
            "-c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning",
        )
        session = PostgresSession(connection, self.place, writes=writes)
        self._sessions.append(session)
        return session

    def _unreachable(self, error: psycopg.Error) -> StoreError:
        return StoreError(
            f"{self.place} cannot be reached ({' '.join(str(error).split())}): check the address, "
            "and that the server runs and lets you in.",
            path=self.place,
        )

    def _disconnect(self) -> None:
        for session in self._sessions:
            session.close()
        self._sessions = []

    def backup(self, suffix: str) -> None:
        """Nothing: a server has backups of its own."""

    def wanted(self) -> bool:
        """Never: everybody may use the server at once."""
        return False

    def close(self) -> None:
        """Disconnect; others see at once that this store is closed."""
        for session in self._sessions:
            # Left to itself, the server needs a moment to let a closed connection's locks go.
            with contextlib.suppress(StoreError):
                session.execute("select pg_advisory_unlock_all()")
        self._disconnect()

    def forget_after_fork(self) -> None:
        """Let go without closing: that would end the parent's sessions on the server."""
        for session in self._sessions:
            session.leak()
        self._sessions = []


class PostgresLiveness:
    """Each open store holds an advisory lock on the server, for as long as it is connected."""

    def __init__(self, owner_id: str) -> None:
        self.owner_id = owner_id

    def ensure(self, database: Database) -> None:
        """Take this store's lock in the writer's session."""
        database.writer.execute("select pg_advisory_lock($1)", [lock_key(_OWNER + self.owner_id)])

    def is_alive(self, view: View, owner_id: str) -> bool:
        """Tell whether the store with this id is connected."""
        return owner_id == self.owner_id or lock_key(_OWNER + owner_id) in self._held(view)

    def live(self, view: View) -> set[str]:
        """Return the ids of all connected stores that have recorded themselves, and this one's."""
        held = self._held(view)
        known = {row[0] for row in view.execute("select id from owners")}
        return {self.owner_id} | {one for one in known if lock_key(_OWNER + one) in held}

    def leave(self) -> None:
        """Nothing: the lock went with the connection."""

    def forget_after_fork(self) -> None:
        """Nothing: the connection is the parent's."""

    @staticmethod
    def _held(view: View) -> set[int]:
        rows = view.execute(
            "select (classid::bigint << 32) | objid::bigint from pg_locks "
            "where locktype = 'advisory' and granted and objsubid = 1 "
            "and database = (select oid from pg_database where datname = current_database())"
        )
        return {int(row[0]) for row in rows}
