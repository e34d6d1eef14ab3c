"""One backend while it is collected from: when it is asked, and what becomes of the answer."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from comfynb.comfy.agent_snapshot import AgentSnapshot
from comfynb.engine.backend import LiveBackend
from comfynb.engine.metrics.alerts import Alarms, Turn
from comfynb.engine.metrics.sample import readings_of
from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.engine.metrics.source import Source
from comfynb.errors import ComfynbError
from comfynb.models import PromptStatus, utcnow
from comfynb.store.metrics import Reading

__all__ = ["BackendWatch", "Desk"]

GLANCE: Final = 1.0
"""Seconds between two glances at whether a job runs there now."""
JITTER: Final = 0.1
"""Share of an interval by which it is longer or shorter, so that backends are not asked at once."""
PATIENCE: Final = 2.5
"""Two samples further apart than so many intervals have a gap between them."""


class Desk(Protocol):
    """Where a watch puts what it sees."""

    settings: MetricsSettings

    def sampled(self, readings: Sequence[Reading]) -> None:
        """New samples of a backend."""

    def turned(self, backend: LiveBackend, turns: Sequence[Turn]) -> None:
        """Alerts were opened or closed."""


class BackendWatch:
    """Samples one backend for as long as its task runs."""

    def __init__(
        self,
        backend: LiveBackend,
        desk: Desk,
        *,
        alarms: Alarms | None = None,
        token: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.backend = backend
        self.source = Source(backend, token)
        self.alarms = alarms or Alarms()
        self.samples = 0
        self.failures = 0
        self.last_error: str | None = None
        self._desk = desk
        self._before: dict[int, Reading] = {}
        self._heard = time.monotonic()
        """Monotonic time of the last sample."""
        self._silent_since: datetime | None = None
        self._marked = 0.0
        self._last_at: datetime | None = None
        self._interval = desk.settings.idle_seconds
        self._longest = self._interval
        """Longest interval that was meant since the last sample."""

    @property
    def busy(self) -> bool:
        """Whether a job of ours runs or waits there."""
        return len(self.backend.courier) > 0

    def _wanted(self) -> float:
        settings = self._desk.settings
        return settings.busy_seconds if self.busy else settings.idle_seconds

    async def run(self) -> None:
        """Sample until cancelled."""
        try:
            # Not all backends at the very same moment, but the first value soon.
            await asyncio.sleep(random.random() * min(0.5, self._wanted()))  # noqa: S311
            while True:
                await self.sample()
                await self._pause()
        finally:
            await self.source.close()

    async def _pause(self) -> None:
        began = time.monotonic()
        factor = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter, not cryptography
        online, busy = self.backend.online, self.busy
        self._interval = self._longest = self._wanted()
        while True:
            self._interval = self._wanted()
            self._longest = max(self._longest, self._interval)
            left = self._interval * factor - (time.monotonic() - began)
            if left <= 0 or (self.backend.online and not online):
                return
            if busy and not self.busy:
                # The end of what ran is covered by a sample too.
                return
            await asyncio.sleep(min(left, GLANCE))

    async def sample(self) -> None:
        """Ask once and hand in what came, or that nothing did."""
        try:
            snapshot = await self.source.ask()
        except ComfynbError as error:
            # Not BackendError alone: its connection may just be being made anew.
            self._unanswered(str(error))
        else:
            self.take(snapshot, self._now())

    def _now(self) -> datetime:
        """Our own clock, whatever the machine's says; never backwards for one backend."""
        now = utcnow()
        if self._last_at is not None and now <= self._last_at:
            now = self._last_at + timedelta(microseconds=1)
        self._last_at = now
        return now

    def take(self, snapshot: AgentSnapshot, now: datetime) -> None:
        """Hand in one snapshot."""
        settings = self._desk.settings
        mono = time.monotonic()
        interval = max(self._longest, settings.busy_seconds)
        steady = self._silent_since is None and mono - self._heard <= PATIENCE * interval + 1
        readings = readings_of(
            snapshot,
            self.backend.id,
            now,
            self._before if steady and self.samples else None,
            active_job_id=self._active_job(),
            note=self.source.note,
        )
        self._before = {one.gpu: one for one in readings}
        self._heard = mono
        self._silent_since = None
        self.last_error = None
        self.samples += 1
        self._tell_status(readings[0])
        self._desk.sampled(readings)
        self._turn(self.alarms.answered(readings, now, settings))

    def _unanswered(self, error: str) -> None:
        settings = self._desk.settings
        now = self._now()
        mono = time.monotonic()
        self.failures += 1
        self.last_error = error
        first = self._silent_since is None
        if self._silent_since is None:
            self._silent_since = now
        if first or mono - self._marked >= settings.idle_seconds:
            self._marked = mono
            gpu = next((one.gpu for one in self._before.values() if one.main), 0)
            self._desk.sampled(
                [Reading(self.backend.id, now, None, gpu=gpu, online=False, note=error)]
            )
        self._turn(self.alarms.silent(self._silent_since, now, settings))

    def _turn(self, turns: Sequence[Turn]) -> None:
        if turns:
            self._desk.turned(self.backend, turns)

    def _active_job(self) -> str | None:
        for flight in self.backend.courier.flights:
            if flight.state is PromptStatus.RUNNING:
                return flight.task.live.id
        return None

    def _tell_status(self, main: Reading) -> None:
        # Memory stays what ComfyUI itself says: the scheduler judges by it, and the driver's
        # numbers differ a little.
        status = self.backend.status
        if main.gpu_utilization is not None:
            status.gpu_utilization = main.gpu_utilization
        if main.gpu_temperature is not None:
            status.gpu_temperature = main.gpu_temperature
        if main.cpu_utilization is not None:
            status.cpu_utilization = main.cpu_utilization
