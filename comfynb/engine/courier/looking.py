"""Looks over HTTP, which is the authority: at what should end next, and at the whole queue."""

import asyncio
import time
from collections.abc import Collection
from typing import Final

from comfynb.engine.courier.board import Board
from comfynb.engine.courier.bringing import Bringer
from comfynb.engine.courier.listening import Listener
from comfynb.engine.courier.outcome import CANCELLED, lost
from comfynb.errors import BackendError
from comfynb.models import PromptStatus

__all__ = ["Looker"]

PEEK: Final = 1.0
"""Seconds between two looks at the prompts that should end next."""
SURVEY: Final = 5.0
"""Seconds between two looks at the whole queue; it is heavy, so only while something is out."""
SECOND_LOOK: Final = 0.3
"""Seconds before a prompt that the server did not know is looked up again."""


class Looker:
    """Finds whatever the websocket did not tell, within two seconds."""

    def __init__(self, board: Board, bringer: Bringer, listener: Listener) -> None:
        self._board = board
        self._home = board.home
        self._bringer = bringer
        self._listener = listener
        self._surveyed = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        board = self._board
        while True:
            board.wake.clear()
            if not board.flights and not board.orphans:
                await board.wake.wait()
                board.wake.clear()
            if not board.survey_due:
                try:
                    async with asyncio.timeout(PEEK):
                        await board.wake.wait()
                except TimeoutError:
                    pass
            if not self._home.online:
                await board.online.wait()
            try:
                if board.survey_due or time.monotonic() - self._surveyed > SURVEY:
                    await self._survey()
                elif not self._listener.tells:
                    await self._peek()
            except BackendError:
                self._home.trouble()
                board.survey_due = True
                await asyncio.sleep(PEEK)

    async def _peek(self) -> None:
        """Ask for the prompts that should end next; go on as long as they have ended."""
        at_once = self._home.concurrency + 1
        for flight in self._board.waiting():
            if at_once <= 0:
                return
            entry = await self._board.client.history(flight.prompt_id)
            if entry is None:
                at_once -= 1
                continue
            self._listener.missed(flight)
            self._bringer.bring(flight, entry)

    async def _survey(self) -> None:
        """Compare all our prompts with the server's queue and history, in that order.

        A prompt moves from the queue to the history and never back, so one that is in neither,
        looked up in this order, twice, is gone.
        """
        self._board.survey_due = False
        self._surveyed = time.monotonic()
        waiting = self._board.waiting()
        queue = await self._board.client.queue()
        running = {item.prompt_id for item in queue.running}
        positions = {item.prompt_id: place for place, item in enumerate(queue.pending)}
        await self._cancel_orphans(running | positions.keys())
        doubtful = []
        for flight in waiting:
            if flight.prompt_id in running:
                self._listener.runs(flight)
                flight.unknown = 0
            elif flight.prompt_id in positions:
                flight.unknown = 0
                if flight.state is PromptStatus.QUEUED:  # else it began while we asked
                    flight.task.live.queue_position = positions[flight.prompt_id]
            else:
                doubtful.append(flight)
            flight.task.live.touch()
        again = False
        for flight in doubtful:
            entry = await self._board.client.history(flight.prompt_id)
            if entry is not None:
                self._listener.missed(flight)
                self._bringer.bring(flight, entry)
                continue
            flight.unknown += 1
            if flight.unknown < 2:
                again = True
            elif flight.cancel:
                await self._board.settle(flight, CANCELLED)
            else:
                message = f"{self._home.name} no longer knows the prompt; it was restarted, say."
                await self._board.settle(flight, lost(message))
        if again:
            self._board.background.spawn(self._look_again(), "look again")

    async def _look_again(self) -> None:
        await asyncio.sleep(SECOND_LOOK)
        self._board.reconcile()

    async def _cancel_orphans(self, known: Collection[str]) -> None:
        for prompt_id in list(self._board.orphans):
            if prompt_id in known:
                await self._board.client.cancel(prompt_id)
            self._board.orphans.discard(prompt_id)
