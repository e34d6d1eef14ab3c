"""Holds events for a consumer that may be slow: progress is thinned out, all else is kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from comfynb.comfy.events import (
    Event,
    Executing,
    NodeProgress,
    Preview,
    Progress,
    QueueStatus,
    TextMessage,
    Unknown,
)

__all__ = ["Mailbox"]


class Mailbox:
    """A queue of events in which, once ``limit`` wait, newer progress replaces older.

    Only what a later event of the same kind makes worthless is replaced. What tells how a prompt
    went, and pictures that may be results (PNG, from SaveImageWebsocket), are never dropped;
    instead :attr:`is_full` tells when they exceed ``max_events`` or ``max_bytes``.
    """

    def __init__(
        self, limit: int = 64, *, max_events: int = 20_000, max_bytes: int = 64 * 2**20
    ) -> None:
        self._limit = limit
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._serial = 0
        self._waiting: OrderedDict[int, tuple[Hashable, Event]] = OrderedDict()
        self._newest: dict[Hashable, int] = {}
        self._arrival = asyncio.Event()
        self._departure = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None
        self.dropped = 0  #: how many events were replaced by newer ones

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more should be read."""
        return len(self._waiting) >= self._max_events or self._bytes > self._max_bytes

    def put(self, event: Event) -> None:
        """Add ``event``; never blocks."""
        if self._closed:
            return
        key = _replaceable(event)
        if key is not None:
            older = self._newest.get(key)
            # A picture is worth replacing at once: it is large, and only the newest is shown.
            crowded = len(self._waiting) >= self._limit or isinstance(event, Preview)
            if crowded and older is not None and older in self._waiting:
                # The newer one goes to the end, so that no event overtakes an earlier one.
                self._take(older)
                self.dropped += 1
            self._newest[key] = self._serial
        self._waiting[self._serial] = (key, event)
        self._serial += 1
        self._bytes += _size(event)
        self._arrival.set()

    async def get(self) -> Event:
        """Wait for the next event; StopAsyncIteration after the end, or the error given to it."""
        while not self._waiting:
            if self._closed:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        event = self._take(next(iter(self._waiting)))
        self._departure.set()
        return event

    async def wait_for_room(self) -> None:
        """Wait until at least half of what made it full has been taken."""
        while self._bytes * 2 > self._max_bytes or len(self._waiting) * 2 > self._max_events:
            self._departure.clear()
            await self._departure.wait()

    def close(self, error: BaseException | None = None) -> None:
        """End the stream: what waits is still given out, then ``error`` or the end."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._arrival.set()

    def _take(self, serial: int) -> Event:
        key, event = self._waiting.pop(serial)
        if key is not None and self._newest.get(key) == serial:
            del self._newest[key]
        self._bytes -= _size(event)
        return event


def _replaceable(event: Event) -> Hashable:
    """Give what an event is about if a later one about the same makes it worthless, else None."""
    match event:
        case NodeProgress(prompt_id=prompt_id):
            return ("nodes", prompt_id)
        case Progress(prompt_id=prompt_id, node=node):
            return ("progress", prompt_id, node)
        case Executing(prompt_id=prompt_id, node=str()):
            return ("executing", prompt_id)
        case QueueStatus():
            return ("queue",)
        case TextMessage(node_id=node_id):
            return ("text", node_id)
        case Preview(prompt_id=prompt_id, node_id=node_id, mime=mime) if mime != "image/png":
            return ("preview", prompt_id, node_id)
        case Unknown(type=kind, prompt_id=prompt_id):
            return ("unknown", kind, prompt_id)
        case _:
            return None


def _size(event: Event) -> int:
    match event:
        case Preview(data=data) | Unknown(data=bytes() as data):
            return len(data)
        case _:
            return 0
