"""How many requests are under way at a time: many to one server that works, few to each of many.

Each request that is under way is work for the event loop whenever its socket has something, and
what is due at once is dealt with in one go, before the loop looks after anything else. With eight
posts and eight downloads to each of four servers that was fifty milliseconds; with two and two it
is a quarter, and as much gets done: together the servers answer faster than one process can ask.
(With one and one a fifth less got done.)
"""

import asyncio
from collections import deque
from typing import Final

__all__ = ["Lane", "Lanes", "Traffic"]

ALONE: Final = 8
"""Requests of one kind at a time, to the only server that is asked anything."""
TOGETHER: Final = 8
"""To several servers, all of them together, but at least one to each."""
SLOW: Final = 0.25
"""Seconds after which a request (a large file, a server that hangs) does not count any more: the
loop has little to do with it. Of those, too, there are ``ALONE`` at most."""


class Lanes:
    """Requests of one kind, to all servers of one engine; on the loop's thread only."""

    def __init__(self) -> None:
        self._used: set[Lane] = set()

    def __repr__(self) -> str:
        return f"Lanes({len(self._used)} servers, {self.width} requests each)"

    @property
    def width(self) -> int:
        """Requests to one server at a time."""
        return ALONE if len(self._used) <= 1 else max(1, TOGETHER // len(self._used))

    def use(self, lane: "Lane", *, used: bool) -> None:
        """A server is asked something now, or nothing any more."""
        if used:
            self._used.add(lane)
        else:
            self._used.discard(lane)


class Lane:
    """Requests of one kind to one server: in order, as many at a time as the lanes are wide.

    ``async with lane:`` around each request.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._began: deque[float] = deque()
        """When those that count began, in the loop's time; which of them ends first is all one."""
        self._slow = 0
        """Those that do not count."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Lane({self._busy} under way, {len(self._waiting)} wait)"

    @property
    def _busy(self) -> int:
        return len(self._began) + self._slow

    @property
    def _open(self) -> bool:
        return len(self._began) < self._lanes.width and self._busy < ALONE

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting and self._open:
            self._enter(loop)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        self._watch(loop)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(loop)  # it was let in, and nobody is there
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave(asyncio.get_running_loop())

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._busy:
            self._lanes.use(self, used=True)
        self._began.append(loop.time())

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._slow:
            self._slow -= 1
        else:
            self._began.popleft()
        if not self._busy:
            self._lanes.use(self, used=False)
        self._admit(loop)

    def _admit(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._open:
            turn = self._waiting.popleft()
            if not turn.done():  # who was cancelled is still in line
                self._enter(loop)
                turn.set_result(None)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._began:
            self._timer = loop.call_at(self._began[0] + SLOW, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do not count what has taken long."""
        self._timer = None
        while self._began and self._began[0] + SLOW <= loop.time():
            self._began.popleft()
            self._slow += 1
        self._admit(loop)
        if self._waiting:
            self._watch(loop)


class Traffic:
    """What all couriers of one engine share."""

    def __init__(self) -> None:
        self.posts = Lanes()
        self.downloads = Lanes()

    def __repr__(self) -> str:
        return f"Traffic(posts={self.posts!r}, downloads={self.downloads!r})"
