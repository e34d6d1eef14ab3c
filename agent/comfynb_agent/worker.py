"""Makes readings that may take long, or never end, in a thread of their own.

Drivers hang and so do network file systems: whoever asks waits only so long, and then is told
since when there has been no answer. However many ask, one reading is made at a time.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Answer", "Worker"]

_log = logging.getLogger("comfynb_agent")

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The last reading, if any; ``late`` seconds where a newer one is overdue."""

    value: T | None
    late: float | None = None
    error: str | None = None


class Worker(Generic[T]):
    """Calls ``read`` when somebody asks; ``name`` is the thread's.

    The thread starts with the first question and is a daemon: a call that hangs keeps nobody
    from ending. ``end`` is the last thing that it calls.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        *,
        patience: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._end = end
        self._read = read
        self._patience = patience
        self._clock = clock
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pending: Future[None] | None = None
        self._asked = 0.0
        self._made = float("-inf")
        self._value: T | None = None
        self._error: str | None = None
        self._closed = False

    async def ask(self, max_age: float = 0.0) -> Answer[T]:
        """Return a reading not older than ``max_age`` seconds, or the last one if it is late."""
        now = self._clock()
        if now - self._made > max_age:
            future = self._request(now)
            # Who waited in vain once is answered at once until there is news.
            rest = self._asked + self._patience - now
            if future is not None and rest > 0:
                await asyncio.wait({asyncio.wrap_future(future)}, timeout=rest)
        with self._lock:
            fresh = now - self._made <= max_age
            waiting = self._pending is not None and not fresh
            late = self._clock() - self._asked if waiting else None
            return Answer(self._value, late, self._error)

    def close(self) -> None:
        """Let the thread end once its reading has ended."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait for the thread after `close`; say whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _request(self, now: float) -> "Future[None] | None":
        with self._lock:
            if self._closed:
                return None
            if self._pending is None:
                self._pending = Future()
                # A future that runs cannot be cancelled by who waits for it.
                self._pending.set_running_or_notify_cancel()
                self._asked = now
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                self._lock.notify_all()
            return self._pending

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._pending is None and not self._closed:
                    self._lock.wait()
                if self._pending is None:
                    break
            value, error = self._value, None
            try:
                value = self._read()
            except Exception as problem:  # noqa: BLE001 - it is logged, and told to who asked
                error = f"{type(problem).__name__}: {problem}"
                if error != self._error:
                    _log.warning("%s failed", self._name, exc_info=True)
            with self._lock:
                done, self._pending = self._pending, None
                self._value, self._error, self._made = value, error, self._clock()
            done.set_result(None)
        if self._end is not None:
            self._end()
