"""Long work on the event loop, a millisecond in each turn of the loop, one after the other."""

import asyncio
import time
import weakref
from collections import deque
from collections.abc import MutableSequence
from typing import Final

__all__ = ["SLICE", "Slice"]

SLICE: Final = 0.001
"""Seconds of such work in one turn of the loop, all of it together: what is due (a click, a tick)
waits until the turn is over."""
AT_ONCE: Final = 4
"""How many of those that wait are called in one turn; whom the slice does not suffice for comes
first in the next."""


class _Turn:
    """One turn of a loop after the other, and the line of those that wait for their part of one."""

    __slots__ = ("__weakref__", "_began", "_called", "_first", "_line", "_loop", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._began = self._called = False
        self._until = 0.0
        self._line: deque[asyncio.Future[None]] = deque()
        self._first: list[asyncio.Future[None]] = []
        """Those that were called when the turn was over already; they go before the line."""

    @property
    def over(self) -> bool:
        if not self._began:
            self._began = True
            self._until = time.perf_counter() + SLICE
            self._call_next()
            return False
        return time.perf_counter() >= self._until

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        if not self._line and not self._first and not self.over:
            return
        await self._stand(self._line)
        while self.over:
            await self._stand(self._first)

    async def _stand(self, line: MutableSequence[asyncio.Future[None]]) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(called)
        self._call_next()
        await called

    def _call_next(self) -> None:
        if not self._called:
            self._called = True
            loop = self._loop()
            assert loop is not None
            loop.call_soon(self._next)

    def _next(self) -> None:
        self._began = self._called = False
        # As they stood: the first to be called is the first again.
        self._line.extendleft(reversed(self._first))
        self._first.clear()
        called = 0
        while self._line and called < AT_ONCE:
            one = self._line.popleft()
            if not one.done():  # who was cancelled is still in line
                one.set_result(None)
                called += 1
        if called:
            self._call_next()


_turns: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn]" = weakref.WeakKeyDictionary()


class Slice:
    """Made where work begins, on the loop; between two steps of it ``await slice.rest()``.

    Whoever rests when the turn is over, or while others wait, stands in line behind them: in each
    turn one step is done, and others as long as there is time, whoever's they are. (If each did
    one, thirty that work would make the turn thirty steps long.)
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
        await self._turn.wait()
