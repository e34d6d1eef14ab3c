"""Long work on the event loop, about a millisecond in each turn of the loop."""

import asyncio
import time
import weakref
from typing import Final

__all__ = ["SLICE", "Slice"]

SLICE: Final = 0.001
"""Seconds of such work in one turn of the loop, all of it together: what is due (a click, a tick)
waits until the turn is over."""


class _Turn:
    """One turn of a loop after the other."""

    __slots__ = ("__weakref__", "_began", "_loop", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._began = False
        self._until = 0.0

    @property
    def over(self) -> bool:
        now = time.perf_counter()
        if not self._began:
            self._began = True
            self._until = now + SLICE
            loop = self._loop()
            assert loop is not None
            loop.call_soon(self._next)
        return now >= self._until

    def _next(self) -> None:
        self._began = False


_turns: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn]" = weakref.WeakKeyDictionary()


class Slice:
    """Made where work begins, on the loop; between two steps of it ``await slice.rest()``.

    At least one step is done in each turn, however many others work.
    """

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        turn = _turns.get(loop)
        if turn is None:
            turn = _turns[loop] = _Turn(loop)
        self._turn = turn

    @property
    def over(self) -> bool:
        """Whether others should have their turn now."""
        return self._turn.over

    async def rest(self) -> None:
        """Let others have their turn if it is time."""
        if self._turn.over:
            await asyncio.sleep(0)
