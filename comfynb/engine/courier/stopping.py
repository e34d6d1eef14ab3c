"""Stops exactly one prompt: one that waits is taken out of the queue, one that runs interrupted."""

import asyncio
from typing import Final

from comfynb.comfy import CancelResult
from comfynb.engine.courier.board import Board
from comfynb.engine.courier.outcome import CANCELLED, Outcome, recalled
from comfynb.engine.tasks import Flight
from comfynb.errors import BackendError
from comfynb.models import PromptStatus

__all__ = ["Stopper"]

PATIENCE: Final = 15.0
"""Seconds that a server gets to stop a running node before we stop waiting for it."""
AGAIN: Final = 1.0
"""Seconds before it is told again."""
SOON: Final = 0.05
"""Seconds between two looks whether a prompt's own sender has decided its fate."""


class Stopper:
    """Takes prompts of ours off one server."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._home = board.home

    def cancel(self, flight: Flight) -> None:
        """Stop exactly this prompt; it is settled when the server has let go of it."""
        if not flight.cancel:
            flight.cancel = True
            self._board.background.spawn(self._cancel(flight), "cancel")

    def recall(self, flight: Flight, why: str) -> None:
        """Take a prompt out of the server's queue if it has not begun; else nothing happens.

        It is settled as lost before it was sent: it goes elsewhere, and that costs no attempt.
        """
        if flight.state is PromptStatus.QUEUED and not (flight.cancel or flight.recalled):
            flight.recalled = True
            self._board.background.spawn(self._recall(flight, why), "recall")

    async def _recall(self, flight: Flight, why: str) -> None:
        try:
            taken = await self._board.client.withdraw(flight.prompt_id)
        except BackendError:
            # Whether it is still there shows when the backend is looked at.
            self._home.trouble()
            self._board.reconcile()
            return
        if taken:
            await self._board.settle(flight, CANCELLED if flight.cancel else recalled(why))

    async def _cancel(self, flight: Flight) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._stop(flight)
        except TimeoutError:
            message = f"{self._home.name} has not stopped yet; nobody waits for it any more."
            self._board.orphans.add(flight.prompt_id)
            stuck = Outcome(PromptStatus.CANCELLED, error_message=message, error_class="stuck")
            await self._board.settle(flight, stuck)

    async def _stop(self, flight: Flight) -> None:
        while not flight.settled.is_set():
            if flight.state is PromptStatus.SENDING or not self._home.online:
                # Its fate is decided by the sender first; a server that is away is asked later.
                await asyncio.sleep(SOON)
                continue
            try:
                result = await self._board.client.cancel(flight.prompt_id)
            except BackendError:
                self._home.trouble()
                await asyncio.sleep(AGAIN)
                continue
            if result is CancelResult.REMOVED:
                # A pending prompt that was deleted leaves no event and no history behind.
                await self._board.settle(flight, CANCELLED)
                return
            self._board.reconcile()
            try:
                async with asyncio.timeout(AGAIN):
                    await flight.settled.wait()
            except TimeoutError:
                continue
