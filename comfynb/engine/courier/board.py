"""What the parts of one courier share: its connection, and the prompts that are out."""

import asyncio

from comfynb.comfy import ComfyClient
from comfynb.engine.background import Background
from comfynb.engine.courier.home import Home
from comfynb.engine.courier.outcome import Outcome
from comfynb.engine.tasks import Flight
from comfynb.models import PromptStatus

__all__ = ["Board"]


class Board:
    """Changed on the loop's thread only. A prompt leaves it when it is *settled*, exactly once."""

    def __init__(self, client: ComfyClient, home: Home) -> None:
        self.client = client
        self.home = home
        self.flights: dict[str, Flight] = {}
        """What the backend has, or is about to have, oldest first; by prompt id."""
        self.bringing: dict[str, Flight] = {}
        """What has ended there and is on its way home; by prompt id."""
        self.orphans: set[str] = set()
        """Prompts that nobody waits for any more, though the server may still have them."""
        self.online = asyncio.Event()
        self.wake = asyncio.Event()
        self.survey_due = True
        self.background = Background(home.report)

    def take(self, flight: Flight) -> None:
        """From now on it counts as outstanding here."""
        flight.progress.total = len(flight.task.prompt)
        flight.task.live.progress[flight.task.execution.id] = flight.progress
        self.flights[flight.prompt_id] = flight
        self.wake.set()

    def waiting(self) -> list[Flight]:
        """What the server has, as far as we know."""
        states = {PromptStatus.QUEUED, PromptStatus.RUNNING}
        return [flight for flight in self.flights.values() if flight.state in states]

    async def settle(self, flight: Flight, outcome: Outcome) -> None:
        """It is over: have that recorded. The second time nothing happens."""
        if self._remove(flight):
            await self.home.settle(flight, outcome)

    def drop(self, flight: Flight) -> None:
        """It is over, and nothing of it is to be recorded."""
        if self._remove(flight):
            self.home.refused(flight)

    def _remove(self, flight: Flight) -> bool:
        if flight.settled.is_set():
            return False
        flight.settled.set()
        if self.flights.pop(flight.prompt_id, None) is not None:
            self.home.ended(flight, None)
        self.bringing.pop(flight.prompt_id, None)
        return True

    def reconcile(self) -> None:
        """Look at the whole queue as soon as possible: something may have changed unseen."""
        self.survey_due = True
        self.wake.set()
