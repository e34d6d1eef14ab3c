"""The answer to a store call: awaitable from any event loop, and waited for by plain code."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

from comfynb.errors import UsageError

__all__ = ["Pending", "settled"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Threads in which waiting for the store would wait for themselves.
_store_threads: set[int] = set()


# In a store's thread while it delivers: who is to be woken, by event loop.
_gathering = threading.local()

Waiters = list["asyncio.Future[None]"]


def _wake(waiters: Waiters) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def _tell(loop: asyncio.AbstractEventLoop, waiters: Waiters) -> None:
    try:
        loop.call_soon_threadsafe(_wake, waiters)
    except RuntimeError:
        # The loop was closed meanwhile: nobody waits there any more.
        _log.debug("an answer came after its event loop had closed")


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Wake everybody whose answer is delivered in this block at once, at its end.

    What they do next is then queued together, too, instead of one batch each.
    """
    gathered: dict[asyncio.AbstractEventLoop, Waiters] = {}
    _gathering.by_loop = gathered
    try:
        yield
    finally:
        _gathering.by_loop = None
        for loop, waiters in gathered.items():
            _tell(loop, waiters)


class Pending(Generic[T]):
    """A value that the store's threads will deliver.

    ``await pending`` works in any event loop, ``pending.result(timeout)`` in plain code. A call
    that was submitted is carried out whatever becomes of who waits for it: cancelling a task that
    awaits a write ends the waiting, not the write. A failure that nobody looked at is logged.
    """

    __slots__ = ("__weakref__", "_future", "_looked", "_what")

    def __init__(self, what: str = "store call", *, matters: bool = True) -> None:
        """``matters``: a failure changes something even if nobody waits (a write does)."""
        self._future: Future[T] = Future()
        self._what = what
        self._looked = not matters

    @classmethod
    def of(cls, value: T, what: str = "store call") -> "Pending[T]":
        """Return one that is done already."""
        pending = cls(what)
        pending.set_result(value)
        return pending

    def result(self, timeout: float | None = None) -> T:
        """Wait at most ``timeout`` seconds and return the value, or raise what went wrong.

        Raises TimeoutError when the time is over; the call itself goes on.
        """
        if not self._future.done() and threading.get_ident() in _store_threads:
            raise UsageError(
                f"{self._what}: waiting inside a transaction or a read would wait for ever; "
                "use the transaction's own methods there."
            )
        self._looked = True
        return self._future.result(timeout)

    def done(self) -> bool:
        """Tell whether the value or the failure is there."""
        return self._future.done()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait like result() and return the failure instead of raising it."""
        self._looked = True
        return self._future.exception(timeout)

    def add_done_callback(self, callback: Callable[["Pending[T]"], object]) -> None:
        """Call ``callback(self)`` in the store's thread when done (at once if it is)."""
        self._future.add_done_callback(lambda _: callback(self))

    def __await__(self) -> Generator[object, None, T]:
        self._looked = True
        if not self._future.done():
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = loop.create_future()

            def tell(_: object) -> None:
                gathered = getattr(_gathering, "by_loop", None)
                if gathered is None:
                    _tell(loop, [waiter])
                else:
                    gathered.setdefault(loop, []).append(waiter)

            self._future.add_done_callback(tell)
            yield from waiter
        return self._future.result()

    def set_result(self, value: T) -> None:
        """Deliver the value (the store's threads do)."""
        self._future.set_result(value)

    def set_exception(self, error: BaseException) -> None:
        """Deliver a failure (the store's threads do)."""
        self._future.set_exception(error)

    def __repr__(self) -> str:
        if not self._future.done():
            return f"<Pending {self._what}: waiting>"
        error = self._future.exception()
        return f"<Pending {self._what}: {'done' if error is None else type(error).__name__}>"

    def __del__(self) -> None:
        future = getattr(self, "_future", None)
        if future is None or self._looked or not future.done():
            return
        error = future.exception()
        if error is not None:
            _log.error("%s failed and nobody looked: %s", self._what, error)


async def settled(pendings: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """Wait for all that were submitted; each one's value, or what went wrong.

    What is committed together costs one wake-up, not a task for each as with asyncio.gather().
    """
    found: list[T | BaseException] = []
    for each in list(pendings):
        try:
            found.append(await each)
        except Exception as error:  # noqa: BLE001 - handed to the caller
            found.append(error)
    return found


def enter_store_thread() -> None:
    """Mark the calling thread as one of the store's own."""
    _store_threads.add(threading.get_ident())


def leave_store_thread() -> None:
    """Take the mark away when the thread ends (its id may be used again)."""
    _store_threads.discard(threading.get_ident())
