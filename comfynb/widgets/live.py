"""How snapshots reach widgets: watched weakly, coalesced, and never more than the wire carries."""

import asyncio
import inspect
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from comfynb.engine.views import Watchable
from comfynb.engine.watching import INTERVAL, pause_after
from comfynb.errors import ComfynbError

__all__ = ["Live", "Ticker", "call", "current_loop"]

V = TypeVar("V")

BUDGET = 50
"""Updates in any one second over all widgets together: each takes the loop a millisecond or so.

With 200 a sweep whose jobs are all shown spent a seventh of the loop's time on their lines. (An
update is one to three messages; jupyter_server drops what exceeds 1,000 of them a second.)
"""

_recent: deque[float] = deque()
_tasks: set[asyncio.Task[Any]] = set()


def current_loop() -> asyncio.AbstractEventLoop | None:
    """The running event loop, or None in a plain script."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wait_for_budget(now: float) -> float:
    """Seconds until one more update fits into the budget; 0 if it does now."""
    while _recent and now - _recent[0] >= 1.0:
        _recent.popleft()
    if len(_recent) < BUDGET:
        return 0.0
    return 1.0 - (now - _recent[0])


class Live(Generic[V]):
    """Calls a bound method with the newest view of a Watchable.

    The method's owner is held weakly: when it is gone, watching ends. Changes that come faster than
    10 Hz (slower where updates take long) are coalesced and the last one is always delivered.
    Without a running loop (a plain script) each change is delivered at once.
    """

    def __init__(self, source: Watchable[V], method: Callable[[V], None]) -> None:
        self._source = source
        self._method = weakref.WeakMethod(method)
        self._last = float("-inf")
        self._interval = INTERVAL
        self._timer: asyncio.TimerHandle | None = None
        # A change may come before watch() has returned, from the loop's thread.
        self._stop: weakref.finalize[..., Live[V]] | None = None
        ref = weakref.ref(self)

        def changed(view: V) -> None:
            live = ref()
            if live is not None:
                live._changed(view)  # noqa: SLF001 - this closure only keeps the reference weak

        stop = weakref.finalize(self, source.watch(changed))
        stop.atexit = False
        self._stop = stop

    def _changed(self, view: V) -> None:
        if self._stop is None or not self._stop.alive or self._timer is not None:
            return
        loop = current_loop()
        now = time.monotonic()
        wait = max(self._last + self._interval - now, _wait_for_budget(now))
        if loop is None or wait <= 0:
            self._deliver(view, now)
        else:
            self._timer = loop.call_later(wait, _flush, weakref.ref(self))

    def _flush(self) -> None:
        self._timer = None
        self._changed(self._source.view)

    def _deliver(self, view: V, now: float) -> None:
        method = self._method()
        if method is None:
            self.stop()
            return
        self._last = now
        _recent.append(now)
        method(view)
        self._interval = pause_after(time.monotonic() - now)

    def stop(self) -> None:
        """Stop watching; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stop is not None:
            self._stop()


def _flush(ref: "weakref.ref[Live[Any]]") -> None:
    live = ref()
    if live is not None:
        live._flush()  # noqa: SLF001 - the timer only keeps the reference weak


class Ticker:
    """Calls a bound method every second while it says so, so that elapsed times move.

    The method returns whether it wants to be called again; its owner is held weakly.
    """

    def __init__(self, method: Callable[[], bool], *, seconds: float = 1.0) -> None:
        self._method = weakref.WeakMethod(method)
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick from now on; does nothing while ticking, or without a running loop."""
        loop = current_loop()
        if self._timer is None and loop is not None:
            self._timer = loop.call_later(self._seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        method = self._method()
        if method is not None and method():
            self.start()

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def spawn(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` on the running loop; asyncio itself would hold it only weakly."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def call(
    function: Callable[[], object],
    done: Callable[[object], None],
    failed: Callable[[str], None],
) -> None:
    """Call what a button stands for, await it if it is awaitable, and report how it went.

    ``done`` gets the result. An error comes to ``failed`` as one sentence; one that is not
    comfynb's own is raised as well, so that it reaches the log with its traceback.
    """
    try:
        result = function()
    except ComfynbError as error:
        failed(str(error))
        return
    except Exception as error:
        failed(f"{type(error).__name__}: {error}")
        raise
    if not inspect.isawaitable(result):
        done(result)
        return
    spawn(_finish(result, done, failed))


async def _finish(
    awaitable: Awaitable[object], done: Callable[[object], None], failed: Callable[[str], None]
) -> None:
    try:
        result = await awaitable
    except ComfynbError as error:
        failed(str(error))
    except asyncio.CancelledError:
        failed("It was cancelled.")
        raise
    except Exception as error:
        failed(f"{type(error).__name__}: {error}")
        raise
    else:
        done(result)
