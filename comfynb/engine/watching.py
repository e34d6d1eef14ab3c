"""Who looks at something, and who waits for its end: the same for jobs, sweeps and backends."""

import asyncio
import concurrent.futures
import contextlib
import itertools
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

__all__ = ["INTERVAL", "LONGEST", "SHARE", "End", "Watchers", "pause_after"]

V = TypeVar("V")

INTERVAL: Final = 0.1
"""Seconds between two times that somebody is told of the same thing, at least: 10 Hz."""
LONGEST: Final = 0.5
"""The same at most, while it changes."""
SHARE: Final = 0.02
"""Of the loop's time, what telling somebody of one thing may take. Where it takes long (many lines,
a busy machine) it is done less often."""


def pause_after(took: float) -> float:
    """Seconds to wait after telling took so many."""
    return min(max(INTERVAL, took / SHARE), LONGEST)


class Watchers(Generic[V]):
    """Callbacks that are told the newest view; an error in one stops nobody else."""

    def __init__(self) -> None:
        self._callbacks: dict[int, Callable[[V], None]] = {}
        self._tokens = itertools.count()

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(self, callback: Callable[[V], None]) -> Callable[[], None]:
        """Tell ``callback`` from now on; returns the way to stop, which may be called twice."""
        token = next(self._tokens)
        self._callbacks[token] = callback

        def stop() -> None:
            self._callbacks.pop(token, None)

        return stop

    def tell(self, view: V, report: Callable[[BaseException], None]) -> None:
        """Tell all; what goes wrong in one goes to ``report``."""
        for callback in list(self._callbacks.values()):
            try:
                callback(view)
            except Exception as error:  # noqa: BLE001 - a broken watcher must not stop what it watches
                report(error)


class End:
    """Whether something has ended; waited for on any loop and in any thread."""

    def __init__(self, *, reached: bool = False) -> None:
        self.awaited = 0
        """How many wait for it."""
        self._future: concurrent.futures.Future[None] = concurrent.futures.Future()
        if reached:
            self._future.set_result(None)

    @property
    def reached(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def reach(self) -> None:
        """Wake everybody who waits; once is enough."""
        if not self._future.done():
            self._future.set_result(None)

    def reopen(self) -> None:
        """It goes on: whoever waits from now on waits for its next end."""
        if self._future.done():
            self._future = concurrent.futures.Future()

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at the end, on whatever thread brings it."""
        self._future.add_done_callback(lambda _: callback())

    async def wait(self) -> None:
        """Return at the end; being cancelled here ends the waiting only."""
        if self._future.done():
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def ended() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake(_: Any) -> None:
            with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits there
                loop.call_soon_threadsafe(ended)

        self._future.add_done_callback(wake)
        self.awaited += 1
        try:
            await waiter
        finally:
            self.awaited -= 1

    def wait_blocking(self, timeout: float | None) -> None:
        """Block the calling thread until the end; never on the thread that brings it."""
        self.awaited += 1
        try:
            self._future.result(timeout)
        finally:
            self.awaited -= 1
