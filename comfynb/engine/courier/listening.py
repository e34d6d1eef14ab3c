"""What a server's websocket tells: hints to look, and how far prompts have come."""

import asyncio
import time
from typing import Final

from comfynb.comfy import EventStream, events
from comfynb.engine.courier.board import Board
from comfynb.engine.courier.bringing import Bringer
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.slices import Slice
from comfynb.engine.tasks import Flight
from comfynb.errors import AuthenticationRequired
from comfynb.models import PromptStatus

__all__ = ["Listener"]

DEAF: Final = 1.0
"""Seconds of silence after which an end that nobody told shows that the socket is deaf."""
AGAIN: Final = 5.0
"""Seconds before a stream that has ended is opened anew."""


class Listener:
    """One server's events. Nothing depends on them: HTTP finds whatever they fail to say."""

    def __init__(self, board: Board, bringer: Bringer) -> None:
        self._board = board
        self._home = board.home
        self._bringer = bringer
        self._stream: EventStream | None = None
        self._heard = time.monotonic()
        self._told = 0.0

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            work = Slice()
            self._stream = self._board.client.events()
            try:
                async for event in self._stream:
                    self._heard = time.monotonic()
                    self._on_event(event)
                    if work.over:  # events are many and small: each in line would cost more
                        await work.rest()
            except AuthenticationRequired as error:
                # HTTP will say so too; whoever gives other credentials makes a new client.
                self._home.trouble(error)
            await asyncio.sleep(AGAIN)

    def hurry(self) -> None:
        """HTTP works again: do not wait any longer before connecting."""
        if self._stream is not None and not self._stream.is_connected:
            self._board.client.reopen_events()

    @property
    def tells(self) -> bool:
        """Whether it said something about a prompt of ours just now: then it is not deaf."""
        return time.monotonic() - self._told <= DEAF

    def missed(self, flight: Flight) -> None:
        """HTTP says that a prompt has ended; if nothing was heard, the socket is opened anew."""
        now = time.monotonic()
        if not flight.hinted and now - self._heard > DEAF:
            # The server dropped us without closing.
            self._heard = now
            self._board.client.reopen_events()

    def runs(self, flight: Flight) -> None:
        """The server runs a prompt now, as it has told one way or the other."""
        if flight.state is not PromptStatus.RUNNING:
            flight.state = PromptStatus.RUNNING
            flight.started_at = time.monotonic()
            flight.task.live.queue_position = None
            self._home.ran(flight)
            crash_point("prompt runs")

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.QueueStatus):
            self._home.queue_depth(event.remaining)
            return
        if isinstance(event, events.Connected | events.Disconnected):
            self._board.reconcile()
            return
        flight = self._board.flights.get(event.prompt_id or "")
        if flight is None:
            return
        flight.heard_at = self._told = self._heard
        flight.unknown = 0
        if flight.state in {PromptStatus.SENDING, PromptStatus.QUEUED}:
            self.runs(flight)
        if self._follow(flight, event):
            flight.task.live.touch()

    def _follow(self, flight: Flight, event: events.Event) -> bool:
        """Note how far it has come; False if the event says nothing about that."""
        progress = flight.progress
        titles = flight.task.node_titles
        match event:
            case events.ExecutionCached(nodes=nodes):
                progress.done.update(nodes)
            case events.NodeProgress(nodes=nodes):
                for node_id, node in nodes.items():
                    if node_id not in titles:  # one that a node expanded into
                        continue
                    if node.state == "finished":
                        progress.done.add(node_id)
                    elif node.max > 0:
                        progress.fractions[node_id] = min(1.0, node.value / node.max)
            case events.Progress(node=node_id, value=value, max=maximum) if node_id is not None:
                title = titles.get(node_id, node_id)
                progress.step = f"{title}: {value:g}/{maximum:g}"
                if maximum > 0:
                    progress.fractions[node_id] = min(1.0, value / maximum)
            case events.Executing(node=None):
                flight.moved_on(None)
                flight.hinted = True
                self._bringer.hint(flight.prompt_id)
            case events.Executing(node=str(node_id)):
                flight.moved_on(node_id)
                progress.step = titles.get(node_id, node_id)
            case (
                events.ExecutionSuccess() | events.ExecutionError() | events.ExecutionInterrupted()
            ):
                # The history is written after this message, so it is only noted here.
                flight.moved_on(None)
                flight.hinted = True
                if flight.started_at is not None:
                    self._home.timed(time.monotonic() - flight.started_at)
            case events.Preview(data=data, mime=mime):
                progress.preview = data
                progress.preview_type = mime
            case _:
                return False
        return True
