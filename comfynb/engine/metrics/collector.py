"""Collects from every backend of this kernel, unless another kernel on the same store does.

Everything runs as tasks on the host's loop: one for each backend, one that writes and keeps the
tables small. What is slow happens in the store's thread.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from comfynb.engine.backend import LiveBackend
from comfynb.engine.metrics.alerts import Alarm, Alarms, Turn
from comfynb.engine.metrics.batch import Batch, Load
from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.engine.metrics.spans import spans_of
from comfynb.engine.metrics.watch import BackendWatch
from comfynb.engine.tasks import Flight
from comfynb.engine.watching import Watchers
from comfynb.errors import ComfynbError
from comfynb.models import utcnow
from comfynb.store import Store
from comfynb.store.metrics import MetricsJournal, Reading

__all__ = ["CollectorStatus", "MetricsCollector"]

LOOK: Final = 1.0
"""Seconds between two looks at which backends there are."""
CLAIM: Final = 30.0
"""Seconds between two looks whether another kernel's collector has gone."""
FLUSH_BUSY: Final = 2.0
FLUSH_IDLE: Final = 10.0
"""Seconds that a sample waits to be written together with others."""
KEEP: Final = 60.0
"""Seconds between two rounds of summing up and deleting."""


class Spawns(Protocol):
    """What runs tasks in the background and knows the backends: the engine."""

    @property
    def backends(self) -> Mapping[str, LiveBackend]:
        """All backends, by id."""

    def spawn(self, coroutine: Any, name: str) -> "asyncio.Task[Any]":
        """Run something in the background; its errors are reported."""

    def changed(self, backend: LiveBackend) -> None:
        """A backend looks different now."""


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """How collecting from one backend goes."""

    backend_id: str
    backend: str
    mine: bool
    """Whether this kernel collects; False: another one on the same store does, or nobody yet."""
    source: str | None
    """"agent", "system_stats", or None as long as nothing came."""
    agent: str | None
    """Address of the agent."""
    interval: float
    """Seconds between two samples at the moment."""
    samples: int
    failures: int
    dropped: int
    error: str | None
    """Why the last sample failed, or why there is no agent."""


class MetricsCollector:
    """Keeps the store's metrics for one kernel; ``start`` and ``stop`` on the host's loop."""

    def __init__(
        self,
        store: Store,
        engine: Spawns,
        *,
        report: Callable[[BaseException], None],
        token: Callable[[str], str | None] = lambda _: None,
        most_waiting: int | None = None,
    ) -> None:
        self.settings = MetricsSettings()
        self.journal = MetricsJournal(store)
        self._engine = engine
        self._report = report
        self._token = token
        self.batch = Batch() if most_waiting is None else Batch(most_waiting)
        self._watches: dict[str, BackendWatch] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._sources: dict[str, str] = {}
        self._main: list[asyncio.Task[Any]] = []
        self._mine: set[str] = set()
        self._watched_for: set[str] = set()
        self._claimed = False
        self._told_drops = 0
        self._troubled = False
        self._watchers: Watchers[Sequence[Reading]] = Watchers()

    # From outside -----------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it collects."""
        return bool(self._main)

    def start(self) -> None:
        """Begin to collect; the second time does nothing."""
        if not self._main:
            self._main = [
                self._engine.spawn(self._look_about(), "metrics"),
                self._engine.spawn(self._write_and_keep(), "metrics to the store"),
            ]

    def stop(self) -> None:
        """End collecting, hand in what waits, and let other kernels collect."""
        for task in [*self._main, *self._tasks.values()]:
            task.cancel()
        self._main = []
        self._tasks.clear()
        self._watches.clear()
        for backend in self._engine.backends.values():
            backend.witness = None
        if self._claimed:
            self._claimed = False
            self._mine.clear()
            load = self.batch.take()
            if load:
                self.journal.write(load.readings, load.spans, load.dropped)
            self.journal.release()

    def watch(self, callback: Callable[[Sequence[Reading]], None]) -> Callable[[], None]:
        """Call ``callback`` with the rows of each sample that this kernel takes, on the loop's
        thread and before they are stored; returns the way to stop."""
        return self._watchers.add(callback)

    @property
    def status(self) -> list[CollectorStatus]:
        """How it goes, backend by backend."""
        found = []
        for backend in list(self._engine.backends.values()):
            watch = self._watches.get(backend.id)
            settings = self.settings
            busy = watch.busy if watch else False
            found.append(
                CollectorStatus(
                    backend_id=backend.id,
                    backend=backend.name,
                    mine=backend.id in self._mine,
                    source=self._sources.get(backend.id),
                    agent=watch.source.address if watch else None,
                    interval=settings.busy_seconds if busy else settings.idle_seconds,
                    samples=watch.samples if watch else 0,
                    failures=watch.failures if watch else 0,
                    dropped=self.batch.dropped[backend.id],
                    error=(watch.last_error or watch.source.note) if watch else None,
                )
            )
        return found

    def look_for_agents(self) -> None:
        """Look for agents at the next sample: somebody has just installed one, or set a token."""
        for watch in self._watches.values():
            watch.source.look_now()

    def use(self, settings: MetricsSettings) -> None:
        """Take other settings from the next sample on."""
        self.settings = settings

    # From its watches -------------------------------------------------------------------------

    def sampled(self, readings: Sequence[Reading]) -> None:
        """Take the rows of one sample."""
        self.batch.put(readings)
        if readings[0].source is not None:
            self._sources[readings[0].backend_id] = readings[0].source
        self._watchers.tell(readings, self._report)

    def turned(self, backend: LiveBackend, turns: Sequence[Turn]) -> None:
        """Record alerts that were opened or closed, and show them."""
        for turn in turns:
            alarm = turn.alarm
            if turn.closed_at is not None:
                self.journal.close_alert(turn.alert_id, turn.closed_at, alarm.worst)
            else:
                self.journal.open_alert(
                    id=turn.alert_id,
                    backend_id=backend.id,
                    kind=alarm.kind,
                    gpu=alarm.gpu,
                    opened_at=alarm.opened_at,
                    value=alarm.worst,
                    threshold=alarm.threshold,
                    message=alarm.message,
                )
        watch = self._watches.get(backend.id)
        backend.alerts = watch.alarms.messages if watch else ()
        self._engine.changed(backend)

    def _saw(self, flight: Flight) -> None:
        """A prompt has left its backend: its nodes are what the websocket told of it."""
        spans = spans_of(flight, utcnow())
        flight.timeline.clear()  # it may be told twice
        if spans:
            self.batch.put_spans(spans)

    # Who collects -----------------------------------------------------------------------------

    async def _look_about(self) -> None:
        await self._load_settings()
        alarms: dict[str, list[Alarm]] = {}
        next_claim = 0.0
        while True:
            backends = self._engine.backends
            missing = backends.keys() - self._mine
            now = time.monotonic()
            if missing and (now >= next_claim or missing - self._watched_for):
                self._watched_for = set(backends)
                next_claim = now + CLAIM
                try:
                    mine = await self.journal.claim(list(backends), utcnow())
                    self._claimed = True
                    if mine - self._mine:
                        alarms = await self._open_alarms()
                    self._mine = mine
                except ComfynbError as error:
                    self._trouble(error)
            self._sync(alarms)
            await asyncio.sleep(LOOK)

    async def _load_settings(self) -> None:
        try:
            self.settings = MetricsSettings.of(await self.journal.settings())
        except ComfynbError as error:
            self._trouble(error)

    async def _open_alarms(self) -> dict[str, list[Alarm]]:
        """Alerts that are open in the store: a kernel before this one opened them."""
        found: dict[str, list[Alarm]] = {}
        for alert_id, backend_id, kind, gpu, value, threshold in await self.journal.open_alerts():
            now = utcnow()
            alarm = Alarm(kind, gpu, now, alert_id, now, value, threshold)
            found.setdefault(backend_id, []).append(alarm)
        return found

    def _sync(self, alarms: Mapping[str, list[Alarm]]) -> None:
        """Have one task for each backend that is there, enabled, and ours to collect from."""
        wanted = {
            backend.id: backend
            for backend in self._engine.backends.values()
            if backend.id in self._mine and backend.config.enabled
        }
        for backend_id in [one for one in self._tasks if one not in wanted]:
            self._tasks.pop(backend_id).cancel()
            self._watches.pop(backend_id, None)
        for backend_id, backend in wanted.items():
            known = self._watches.get(backend_id)
            if known is not None and known.backend is not backend:
                self._tasks.pop(backend_id).cancel()
                known = None
            if known is None:
                watch = BackendWatch(
                    backend, self, alarms=Alarms(alarms.get(backend_id, ())), token=self._token
                )
                backend.alerts = watch.alarms.messages
                self._watches[backend_id] = watch
                self._tasks[backend_id] = self._engine.spawn(watch.run(), f"watch {backend.name}")
        for backend in self._engine.backends.values():
            # Whoever runs a prompt knows its nodes, whichever kernel collects from the machine.
            backend.witness = self._saw

    # Writing and keeping ----------------------------------------------------------------------

    async def _write_and_keep(self) -> None:
        flushed = kept = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            busy = any(watch.busy for watch in self._watches.values())
            if now - flushed >= (FLUSH_BUSY if busy else FLUSH_IDLE) or self._wants(now - flushed):
                flushed = now
                await self.flush()
            if now - kept >= KEEP and self._claimed:
                kept = now
                await self.keep()

    def _wants(self, seconds: float) -> bool:
        """The first samples of all are shown soon; so is what a job that just ended left."""
        return seconds >= FLUSH_BUSY and len(self.batch) > 2 * len(self._watches)

    async def flush(self) -> None:
        """Write what waits, and measure the prompts that ended."""
        if not await self._write_batch():
            return
        try:
            more = self._claimed
            while more:
                more = (await self.journal.measure(utcnow(), self.settings.keeping)).more
        except ComfynbError as error:
            self._trouble(error)

    async def _write_batch(self) -> bool:
        load = self.batch.take()
        if load:
            try:
                await self._write(load)
            except ComfynbError as error:
                self.batch.give_back(load)
                self._trouble(error)
                return False
            self._troubled = False
        self._tell_drops()
        return True

    async def _write(self, load: Load) -> None:
        await self.journal.write(load.readings, load.spans, load.dropped)

    async def keep(self) -> None:
        """Sum up and delete what is due, in small steps."""
        await self._load_settings()
        until = utcnow()
        await self.flush()
        if len(self.batch) and self._troubled:
            return  # what waits here would come too late
        try:
            more = True
            while more:
                more = (await self.journal.keep(until, utcnow(), self.settings.keeping)).more
                # What comes meanwhile does not wait for all of it.
                await self._write_batch()
        except ComfynbError as error:
            self._trouble(error)

    def _trouble(self, error: ComfynbError) -> None:
        """Say once that the store does not take metrics, not every two seconds."""
        if not self._troubled:
            self._troubled = True
            self._report(error)

    def _tell_drops(self) -> None:
        dropped = self.batch.dropped.total() + self.batch.dropped_spans
        if dropped > self._told_drops:
            lost, self._told_drops = dropped - self._told_drops, dropped
            self._report(
                ComfynbError(
                    f"{lost} samples of metrics were dropped, since the store took none for a "
                    "while: wb.metrics.status() has the count of each backend."
                )
            )
