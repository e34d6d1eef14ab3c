"""The read thread: one read after another, each with a time limit, beside the writer."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from comfynb.errors import StoreError, UsageError
from comfynb.store.database import BrokenError, InterruptError, Session
from comfynb.store.pending import Pending, enter_store_thread, leave_store_thread
from comfynb.store.worker import Worker

__all__ = ["Read", "Reader"]

# A read that is under way when another program wants the database may go on for this long; each
# time it has to begin again it gets twice as much, so that even long ones come to their end.
_GRACE_S = 1.0


@dataclass(slots=True, eq=False)
class Read:
    """One submitted read: a function of a session in a read-only transaction."""

    pending: Pending[Any]
    fn: Callable[[Session], Any]
    timeout: float
    """Seconds."""
    after: int = 0
    """How many writes must be done before."""
    attempt: int = 0


class Reader:
    """Runs reads in a thread of its own, in the session that the writer lends."""

    def __init__(self, worker: Worker, place: str) -> None:
        self._worker = worker
        self._place = place
        self._queue: deque[Read] = deque()
        self._guard = threading.Condition()
        # Held while a session is being interrupted, so that it is not given away meanwhile; the
        # guard is not: to interrupt a server takes as long as the way there.
        self._interrupting = threading.Lock()
        self._closing = False
        self._session: Session | None = None
        self._deadline = 0.0
        self._overdue = False
        self._threads = [
            threading.Thread(target=target, name=f"comfynb-store-{name}", daemon=True)
            for name, target in (("read", self._run), ("limit", self._watch))
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, read: Read) -> None:
        """Queue a read; it sees every write that was submitted before."""
        read.after = self._worker.submitted
        with self._guard:
            if self._closing:
                read.pending.set_exception(
                    UsageError(f"The store {self._place} is closed: open it again to use it.")
                )
                return
            self._queue.append(read)
            self._guard.notify_all()

    def close(self) -> None:
        """End the threads; reads still queued are refused, one that runs is interrupted."""
        with self._guard:
            self._closing = True
            self._guard.notify_all()

    def forget_after_fork(self) -> None:
        """In a forked child: there are no threads."""
        self._guard = threading.Condition()
        self._interrupting = threading.Lock()
        self._closing = True
        self._queue.clear()

    def _run(self) -> None:
        enter_store_thread()
        try:
            while True:
                with self._guard:
                    self._guard.wait_for(lambda: self._queue or self._closing)
                    if self._closing:
                        break
                    read = self._queue.popleft()
                self._do(read)
            for read in self._queue:
                read.pending.set_exception(UsageError(f"The store {self._place} was closed."))
        finally:
            leave_store_thread()

    def _do(self, read: Read) -> None:
        broken = False
        try:
            session = self._worker.borrow(read.after, _GRACE_S * 2**read.attempt)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            read.pending.set_exception(error)
            return
        try:
            self._begin(session, read.timeout)
            session.begin(read_only=True)
            result = read.fn(session)
        except InterruptError:
            again = self._again(read)
        except BrokenError as error:
            broken = True
            again = read.attempt == 0
            if not again:
                read.pending.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            again = False
            read.pending.set_exception(error)
        else:
            again = False
            read.pending.set_result(result)
        finally:
            self._finish()
            session.rollback()
            self._worker.give_back(broken=broken)
        if again:
            read.attempt += 1
            with self._guard:
                self._queue.appendleft(read)

    def _again(self, read: Read) -> bool:
        """Decide about an interrupted read: too long, closing, or only for another's turn."""
        if self._overdue:
            read.pending.set_exception(
                StoreError(
                    f"The query ran longer than {read.timeout:g} s and was stopped: narrow it, "
                    "or give it a longer timeout.",
                    path=self._place,
                )
            )
            return False
        if self._closing:
            read.pending.set_exception(UsageError(f"The store {self._place} was closed."))
            return False
        return True

    def _begin(self, session: Session, timeout: float) -> None:
        with self._guard:
            self._session = session
            self._deadline = time.monotonic() + timeout
            self._overdue = False
            self._guard.notify_all()

    def _finish(self) -> None:
        with self._interrupting, self._guard:
            self._session = None
            self._guard.notify_all()

    def _watch(self) -> None:
        while True:
            with self._guard:
                session = self._session
                if session is None:
                    if self._closing:
                        return
                    self._guard.wait()
                    continue
                left = self._deadline - time.monotonic()
                if left > 0 and not self._closing:
                    self._guard.wait(left)
                    continue
                self._overdue = left <= 0
            with self._interrupting:
                if self._session is session:
                    session.interrupt()
            # Again after a while, in case it had only just begun and did not notice.
            with self._guard:
                if self._session is session:
                    self._guard.wait(0.05)
