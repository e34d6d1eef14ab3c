"""How long prompts wait for a backend that went away while another one could run them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from comfynb.engine.backend import LiveBackend
from comfynb.engine.background import Spawn
from comfynb.engine.desk import Desk
from comfynb.engine.tasks import Flight
from comfynb.models import FallbackStrategy

__all__ = ["GONE", "SILENT", "Patience"]

SILENT: Final = 60.0
"""Seconds that a prompt waits for a backend that does not answer."""
GONE: Final = 3.0
"""The same where nobody listens any more: the process is gone, and its queue with it. Ten times
what prompts take there, if that is longer: what it has done may be worth waiting for."""
LOOK: Final = 0.5
"""Seconds between two looks at the clock."""
SOONEST: Final = 0.1
"""The same when the time is nearly over."""


class Patience:
    """Looks at the clock for each backend that is away and has prompts of ours."""

    def __init__(
        self,
        desk: Desk,
        spawn: Spawn,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._desk = desk
        self._spawn = spawn
        self._clock = clock
        self._sleep = sleep
        self._watched: set[str] = set()

    def watch(self, backend: LiveBackend) -> None:
        """Begin to look, if the backend is away and has prompts; the second time does nothing."""
        if not backend.online and backend.courier.busy and backend.id not in self._watched:
            self._watched.add(backend.id)
            self._spawn(self._lose(backend), f"patience {backend.name}")

    async def _lose(self, backend: LiveBackend) -> None:
        try:
            while (since := backend.offline_since) is not None and backend.courier.busy:
                limit = self.limit(backend)
                left = limit - (self._clock() - since)
                if left <= 0 and any(True for _ in self._movable(backend)):
                    # It was last asked a while ago.
                    if backend.refused_connections and await backend.check():
                        return
                    why = f"{backend.name} has not answered for {limit:.0f} seconds."
                    for flight in self._movable(backend):
                        backend.courier.give_up(flight, why)
                await self._sleep(min(max(left, SOONEST), LOOK))
        finally:
            self._watched.discard(backend.id)

    @staticmethod
    def limit(backend: LiveBackend) -> float:
        """Seconds that prompts wait for this backend."""
        if not backend.refused_connections:
            return SILENT
        return min(SILENT, max(GONE, 10 * (backend.typical or 0.0)))

    def _movable(self, backend: LiveBackend) -> Iterator[Flight]:
        """Prompts on a backend that others could run as well."""
        for flight in backend.courier.flights:
            requirements = flight.task.requirements
            bound = requirements.affinity == backend.id and (
                requirements.fallback is not FallbackStrategy.AUTO_SELECT
            )
            others = self._desk.around(backend.id)
            if not bound and any(other.refusal(requirements) is None for other in others):
                yield flight
