"""Keeps Python's search for cyclic garbage from stopping the event loop for tenths of a second."""

import atexit
import gc
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

__all__ = ["BETWEEN", "LONGEST", "Busy", "mind", "settle_heap"]

BETWEEN: Final = 30.0
"""Seconds from one search of everything to the next, at least."""
LONGEST: Final = 300.0
"""The same while prompts are out, or were a moment ago: a search makes them wait."""
MOMENT: Final = 5.0
"""Seconds."""
FIRST: Final = 350
"""New objects before a search of the newest (Python's own are 700)."""
SECOND: Final = 1
"""Such searches before one of those that are a little older (Python's own are ten). A sweep makes
objects so fast that with Python's numbers this search stopped the loop for ten milliseconds; many
small ones cost no more than few large ones."""
_NEVER: Final = 2**31 - 1
"""A threshold that no count reaches."""

_settled = False


class Busy(Protocol):
    """Somebody who had better not be stopped now."""

    @property
    def busy(self) -> bool:
        """Whether it works."""


_minded: "weakref.WeakSet[Busy]" = weakref.WeakSet()


def mind(worker: Busy) -> None:
    """Hold searches of everything back while ``worker`` is busy, for ``LONGEST`` at most."""
    _minded.add(worker)


def settle_heap(clock: Callable[[], float] = time.monotonic) -> None:
    """Leave what is alive now (modules, classes, functions) out of later searches; once.

    A full search looks at every container in the process, and a kernel with pandas and plotly has
    half a million of them: it stopped the loop for up to 180 ms, and progress, clicks and hand-outs
    with it. What is freed by its last reference, a data frame for example, is freed as before; only
    a cycle that exists already and is dropped later stays.

    What is made from now on is searched as ever, but all of it at once every ``BETWEEN`` seconds at
    most, and every ``LONGEST`` while somebody works whom :func:`mind` was told of: with a sweep of
    some thousand points it was several times a second, for up to 75 ms each. ``gc.collect()``
    searches whenever it is called.
    """
    global _settled  # noqa: PLW0603 - the collector is one for the whole process
    if _settled or not gc.isenabled():
        return
    _settled = True
    gc.collect()
    gc.freeze()
    first, second, third = gc.get_threshold()
    gc.set_threshold(min(first, FIRST), min(second, SECOND), third)
    gc.callbacks.append(_Spacing(clock))
    # At the very end cycles are wanted back: DuckDB's bindings report what is not freed by then.
    atexit.register(gc.unfreeze)


class _Spacing:
    """Told by the collector after each search; holds full ones back for a while after each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wanted = 0
        self._since = self._worked = 0.0
        self._hold()

    def __call__(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase != "stop":
            return
        if info["generation"] == 2:
            self._hold()
            return
        first, second, third = gc.get_threshold()
        now = self._clock()
        if any(worker.busy for worker in _minded):
            self._worked = now + MOMENT
        wait = LONGEST if now < self._worked else BETWEEN
        if third == _NEVER and now >= self._since + wait:
            gc.set_threshold(first, second, self._wanted)

    def _hold(self) -> None:
        first, second, third = gc.get_threshold()
        if third != _NEVER:
            self._wanted = third
            gc.set_threshold(first, second, _NEVER)
        self._since = self._clock()
