"""The writer thread: one transaction for all that is queued, acknowledged once it is on disk.

It is also the only thread that opens, hands over and closes the database. There is no timer:
whatever was submitted while a batch was being committed makes the next batch.
"""

import contextlib
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfynb.errors import StoreError, UsageError
from comfynb.store.database import BrokenError, Database, Session
from comfynb.store.pending import Pending, enter_store_thread, leave_store_thread, together
from comfynb.store.transaction import Transaction

__all__ = ["Bulk", "Op", "Worker", "arrange"]

Bulk = Callable[[Transaction, Sequence[Any]], Sequence[Any]]
"""Carries out several calls of one kind at once: their arguments in, their results out."""

_MOST = 2000


@dataclass(slots=True, eq=False)
class Op:
    """One submitted call: its part of a transaction, and who waits for it.

    Calls with the same ``bulk`` are carried out together where no call between them has a key in
    common with them. ``repeatable`` says that carrying it out twice is the same as once.
    """

    pending: Pending[Any]
    bulk: Bulk
    arg: Any = None
    keys: frozenset[Hashable] | None = None
    """What it touches; None: anything, so that nothing moves past it."""
    repeatable: bool = False
    patience: float = 0.0
    """Seconds that it may wait for a call that is in a hurry."""


@dataclass(slots=True)
class _Group:
    bulk: Bulk
    ops: list[Op] = field(default_factory=list)
    keys: set[Hashable] | None = None


def arrange(ops: Sequence[Op]) -> list[_Group]:
    """Put calls of one kind together without changing what any of them sees.

    A call joins an earlier group of its kind if all groups behind that one touch other things.
    """
    groups: list[_Group] = []
    for op in ops:
        home: _Group | None = None
        for group in reversed(groups):
            if group.bulk == op.bulk and op.keys is not None and group.keys is not None:
                home = group
                break
            if op.keys is None or group.keys is None or not op.keys.isdisjoint(group.keys):
                break
        if home is None:
            home = _Group(op.bulk, keys=None if op.keys is None else set())
            groups.append(home)
        home.ops.append(op)
        if home.keys is not None and op.keys is not None:
            home.keys |= op.keys
    return groups


class Worker:
    """Owns the database: runs what is submitted, and lends the read session."""

    def __init__(
        self,
        database: Database,
        prepare: Callable[[Database], None],
        *,
        lock_timeout: float = 30.0,
        name: str = "store",
    ) -> None:
        self._database = database
        self._prepare = prepare
        self._lock_timeout = lock_timeout
        self._queue: deque[Op] = deque()
        self._guard = threading.Condition()
        self._sleeping = False
        self._slumber: float | None = None
        self._due = math.inf
        self._closing = False
        self._open = False
        self._lent = False
        self._grace = 0.0
        self._broken = False
        self._submitted = 0
        self._done = 0
        self._stop = threading.Event()
        self._wake_in, self._wake_out = os.pipe()
        for fd in (self._wake_in, self._wake_out):
            os.set_blocking(fd, False)
        self._finished: Pending[None] = Pending("close")
        self._thread = threading.Thread(target=self._run, name=f"comfynb-{name}", daemon=True)
        self._thread.start()

    # ---- any thread

    def submit(self, *ops: Op) -> int:
        """Queue calls, in this order and next to each other; returns how many were queued ever."""
        with self._guard:
            if self._closing:
                error = UsageError(
                    f"The store {self._database.place} is closed: open it again to use it."
                )
                for op in ops:
                    op.pending.set_exception(error)
                return self._submitted
            self._queue.extend(ops)
            self._submitted += len(ops)
            patience = min((op.patience for op in ops), default=0.0)
            self._due = min(self._due, time.monotonic() + patience if patience else 0.0)
            # Whoever sleeps without a limit has to learn that there is one now.
            if self._sleeping and (not patience or self._slumber is None):
                self._sleeping = False
                self._ring()
            return self._submitted

    def hurry(self) -> None:
        """Carry out now what may wait for a call that is in a hurry."""
        with self._guard:
            self._hurry()

    def _hurry(self) -> None:
        if not self._queue:
            return
        self._due = 0.0
        if self._sleeping:
            self._sleeping = False
            self._ring()

    @property
    def submitted(self) -> int:
        """How many calls were queued so far."""
        with self._guard:
            return self._submitted

    def close(self) -> Pending[None]:
        """Carry out what is queued, close the database, end the thread."""
        with self._guard:
            self._closing = True
            self._sleeping = False
            self._ring()
        return self._finished

    def forget_after_fork(self) -> None:
        """In a forked child: there is no thread, and the files are the parent's."""
        self._guard = threading.Condition()
        self._closing = True
        self._queue.clear()
        os.close(self._wake_in)
        os.close(self._wake_out)
        self._database.forget_after_fork()

    def _ring(self) -> None:
        # A full pipe wakes as well as one more byte would; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            os.write(self._wake_out, b"!")

    # ---- the read thread

    def borrow(self, after: int, grace: float) -> Session:
        """Return the read session once the first ``after`` calls are done.

        It must be given back. If another program wants the database, the session is interrupted
        ``grace`` seconds later.
        """
        with self._guard:
            if self._done < after:
                self._hurry()  # somebody waits for those that could wait
                self._guard.wait_for(lambda: self._done >= after)
            if self._open and not self._broken:
                self._lent, self._grace = True, grace
                return self._database.reader
        pending: Pending[Session] = Pending("read", matters=False)

        def lend(_: Transaction, args: Sequence[float]) -> list[Session]:
            with self._guard:
                self._lent, self._grace = True, args[0]
            return [self._database.reader]

        self.submit(Op(pending, lend, grace, repeatable=True))
        return pending._future.result()  # noqa: SLF001 - a store thread may wait here

    def give_back(self, *, broken: bool = False) -> None:
        """Give the read session back; ``broken`` has the database opened anew."""
        with self._guard:
            self._lent = False
            self._broken = self._broken or broken
            self._guard.notify_all()

    # ---- the writer thread

    def _run(self) -> None:
        enter_store_thread()
        error: BaseException | None = None
        try:
            while self._next():
                pass
        except BaseException as unexpected:  # noqa: BLE001 - handed to whoever waits
            error = unexpected
        finally:
            self._end(error)
            leave_store_thread()

    def _end(self, error: BaseException | None) -> None:
        with self._guard:
            self._closing = True
            left = list(self._queue)
            self._queue.clear()
            self._done = self._submitted
            self._guard.notify_all()
        try:
            self._shut(0.0)
        except BaseException as failure:  # noqa: BLE001 - handed to whoever waits
            error = error or failure
        for op in left:
            op.pending.set_exception(error or UsageError("The store was closed."))
        os.close(self._wake_in)
        os.close(self._wake_out)
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)

    def _next(self) -> bool:
        """Do one batch, or one hand-over; False when all is done and the store shall close."""
        ops = self._take()
        if ops is None:
            return False
        if ops:
            self._batch(ops)
            with self._guard:
                self._done += len(ops)
                self._guard.notify_all()
        if self._open and self._database.wanted():
            self._shut(None)
        return True

    def _take(self) -> list[Op] | None:
        """Return what there is to do; nothing if it is time to look about; None at the end."""
        with self._guard:
            left = 0.0 if self._closing else self._due - time.monotonic()
            if self._queue and left <= 0:
                ops = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST))]
                self._due = 0.0 if self._queue else math.inf
                return ops
            if self._closing:
                return None
            self._slumber = left if self._queue else None
            self._sleeping = True
        self._sleep()
        return []

    def _sleep(self) -> None:
        bell = self._database.wake if self._open else -1
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        if bell >= 0:
            poll.register(bell, select.POLLIN)
        limits = [self._slumber, self._database.look_s if self._open else None]
        seconds = min((limit for limit in limits if limit is not None), default=None)
        poll.poll(None if seconds is None else math.ceil(seconds * 1000))
        with self._guard:
            self._sleeping = False
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_in, 4096)

    def _shut(self, grace: float | None) -> None:
        """Close the database; a read in progress gets its grace, then it is interrupted."""
        with self._guard:
            if not self._open:
                return
            self._open = False
            limit = time.monotonic() + (self._grace if grace is None else grace)
            while self._lent:
                left = limit - time.monotonic()
                if left <= 0:
                    self._database.reader.interrupt()
                    left = 0.05
                self._guard.wait(left)
        self._database.close()

    def _ensure_open(self) -> None:
        if self._broken:
            self._shut(0.0)
        if not self._open:
            self._database.open(self._prepare, self._lock_timeout, self._stop)
            with self._guard:
                self._open, self._broken = True, False

    def _batch(self, ops: list[Op]) -> None:
        try:
            self._ensure_open()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            for op in ops:
                op.pending.set_exception(error)
            return
        self._groups(arrange(ops), again=True)

    def _groups(self, groups: list[_Group], *, again: bool) -> None:
        """Run groups in one transaction; what fails fails alone, the rest runs once more."""
        session = self._database.writer
        at = 0
        results: list[Sequence[Any]] = []
        try:
            session.begin()
            for at, group in enumerate(groups):  # noqa: B007 - read in the handler
                results.append(_carry_out(session, group))
            at = len(groups)
            session.commit()
        except BrokenError as error:
            self._after_break(groups, error, again=again)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            session.rollback()
            self._after_failure(groups, at, error)
        else:
            with together():
                for group, some in zip(groups, results, strict=True):
                    for op, result in zip(group.ops, some, strict=True):
                        op.pending.set_result(result)

    def _after_failure(self, groups: list[_Group], at: int, error: BaseException) -> None:
        if len(groups) == 1 and len(groups[0].ops) == 1:
            groups[0].ops[0].pending.set_exception(error)
            return
        if at == len(groups):  # the commit itself failed, and that of nobody in particular
            for group in groups:
                self._singly(group)
            return
        if at:
            self._groups(groups[:at], again=True)
        self._singly(groups[at])
        if at + 1 < len(groups):
            self._groups(groups[at + 1 :], again=True)

    def _singly(self, group: _Group) -> None:
        for op in group.ops:
            self._groups([_Group(group.bulk, [op])], again=True)

    def _after_break(self, groups: list[_Group], error: BrokenError, *, again: bool) -> None:
        """Open the database anew; what did not reach its COMMIT, or may run twice, runs again."""
        try:
            self._broken = True
            self._ensure_open()
        except BaseException as failure:  # noqa: BLE001 - handed to whoever waits
            error.add_note(f"it could not be opened again: {failure}")
            again = False
        retry: list[Op] = []
        for group in groups:
            for op in group.ops:
                if again and (op.repeatable or not error.committing):
                    retry.append(op)
                elif error.committing:
                    op.pending.set_exception(
                        StoreError(
                            f"{str(error).rstrip('.')}; whether this was stored is not known: "
                            "look before you do it again.",
                            path=self._database.place,
                        )
                    )
                else:
                    op.pending.set_exception(error)
        if retry:
            self._groups(arrange(retry), again=False)


def _carry_out(session: Session, group: _Group) -> Sequence[Any]:
    tx = Transaction(session)
    try:
        results = group.bulk(tx, [op.arg for op in group.ops])
    finally:
        tx.end()
    if tx.failed:
        raise StoreError(
            "A statement in this transaction failed and was ignored, so nothing of it can be kept: "
            "let the error out."
        )
    return results
