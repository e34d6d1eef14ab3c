"""A sweep while this process knows it: hands its points out, a window of them at a time.

Points wait in the store without jobs until they are handed out; a job is made together with the
link from its point, in one transaction. So a sweep of twenty thousand points begins at once, a
pause is exact, and whatever kernel comes after a killed one finds each point either with its job
(which is adopted like any other) or without (and hands it out).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.live import LiveJob
from comfynb.engine.slices import Slice
from comfynb.engine.sweeps import Pace, SweepView
from comfynb.engine.watching import End, Watchers, pause_after
from comfynb.errors import ComfynbError, UsageError
from comfynb.models import (
    Job,
    JobStatus,
    PictureRating,
    SweepKind,
    SweepRecord,
    SweepStatus,
    utcnow,
)
from comfynb.store import Pending
from comfynb.store.sweeps import Steered, SweepJournal
from comfynb.workbench.sweeps.following import Following
from comfynb.workbench.sweeps.graph_targets import AnyTarget
from comfynb.workbench.sweeps.handouts import HandOuts
from comfynb.workbench.sweeps.planning import Planned
from comfynb.workbench.sweeps.points import Point, Points

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["SweepRun"]

WINDOW: Final = 1024
"""Points that have a job and have not ended, at most, or twice what the backends take at once: what
the scheduler may choose among."""
FIRST: Final = 64
"""Points that are handed out in one transaction while the backends have nothing to do."""
CHUNK: Final = 256
"""The same once they have: a transaction costs much more than what each point adds to it."""
POLL: Final = 1.0
"""Seconds between two looks at jobs that another kernel runs."""
ADOPT: Final = 10.0
"""Seconds between two attempts to take over jobs that nobody runs."""
PATIENCE: Final = 5.0
"""Seconds before the store is asked again after an error; that long a backend's first answer is
waited for as well."""

_AGAIN: Final = (JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED)


class SweepRun:
    """One sweep. Changed on the loop's thread only; ``view`` may be read from any thread."""

    def __init__(
        self,
        workbench: "Workbench",
        record: SweepRecord,
        targets: Sequence[AnyTarget],
        points: Points,
        *,
        mine: bool,
    ) -> None:
        self._workbench = workbench
        self._host = workbench.host
        self._engine = workbench.engine
        self.journal = SweepJournal(workbench.store)
        self.record = record
        self.targets = list(targets)
        self.points = points
        self.mine = mine
        self.note: str | None = None
        self.pace = Pace()
        self._jobs = Following(workbench, points, self.pace, self._followed)
        self._handouts = HandOuts(workbench)
        self._queue: deque[Point] = deque()
        self._wake = asyncio.Event()
        self._feeding: asyncio.Task[Any] | None = None
        self._polling: asyncio.Task[Any] | None = None
        self._ticking: asyncio.Task[Any] | None = None
        self._watchers: Watchers[SweepView] = Watchers()
        self._dirty = False
        self.on_change: Callable[[], None] | None = None
        """Called on the loop after any change."""
        self.keep_open = False
        """Points will be added: it does not end when those that there are have ended."""
        self._end = End(reached=record.status.is_terminal)
        self._steerings = 0
        """How often it was paused, resumed or cancelled here: what was read before is older."""

    def __repr__(self) -> str:
        return f"SweepRun({self.record.name!r}, {len(self.points)} points)"

    @property
    def id(self) -> str:
        """The sweep's id."""
        return self.record.id

    @property
    def status(self) -> SweepStatus:
        """How it is as a whole."""
        return self.record.status

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self._end.reached

    # Loading and starting ---------------------------------------------------------------------

    def start(self, waiting: Iterable[Point], job_ids: Iterable[str] = ()) -> None:
        """Hand points out from now on, if it is this kernel's and has not ended.

        ``waiting`` are those that have no job, in turn; ``job_ids`` are jobs that the others have,
        and that have not ended.
        """
        self._jobs.find(job_ids)
        self._queue = deque(waiting)
        if self.status is SweepStatus.RUNNING:
            self.pace.begin(time.monotonic())
        self.go_on()

    def go_on(self) -> None:
        """Look anew at what is to be done."""
        if not self.status.is_terminal:
            self._end.reopen()
        self._wake.set()
        if self.mine and not self.finished and (self._feeding is None or self._feeding.done()):
            self._feeding = self._engine.spawn(self._feed(), f"sweep {self.record.name}")
        if self._jobs.elsewhere or not self.mine:
            self._keep_polling()

    def _followed(self) -> None:
        self.touch()
        self._wake.set()

    # Handing out ------------------------------------------------------------------------------

    async def _feed(self) -> None:
        await self._know_backends()
        while not self.finished:
            self._wake.clear()
            try:
                count = self._next_chunk
                if self.status is SweepStatus.RUNNING and count:
                    await self._hand_out(count)
                    continue
                if self._over:
                    await self._conclude()
                    continue
            except ComfynbError as error:
                # The store may be another program's for a while; a full disk has to be emptied.
                self.note = str(error)
                self.touch()
                await asyncio.sleep(PATIENCE)
                continue
            await self._wake.wait()

    async def _know_backends(self) -> None:
        waiting = [backend.checked() for backend in self._engine.backends.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*waiting)

    @property
    def _next_chunk(self) -> int:
        """How many points to hand out now; none until enough of those that are out have ended."""
        seats = sum(
            backend.config.max_concurrent_jobs + backend.prefetch
            for backend in self._engine.backends.values()
        )
        out = len(self._jobs)
        if out < FIRST:
            return min(len(self._queue), FIRST)
        room = max(WINDOW, 2 * seats) - out
        left = min(len(self._queue), CHUNK)
        return left if room >= left else 0

    async def _hand_out(self, count: int) -> None:
        points = [self._queue.popleft() for _ in range(min(count, len(self._queue)))]
        try:
            made = await self._handouts.make(points, self.targets, self.record.name)
            answers = await self.journal.hand_out(self.id, made, again=self.record.again)
        except BaseException:
            self._give_back(points)
            raise
        if answers is None:
            self._give_back(points)
            await self._look_again()
            return
        jobs = {one.index: one.job for one in made}
        by_number = {point.number: point for point in points}
        new: list[tuple[Job, AnyTarget]] = []
        elsewhere: list[str] = []
        work = Slice()
        for answer in answers:
            await work.rest()
            point = by_number.pop(answer.number)
            self.points.take_job(point, answer.job_id, linked=answer.linked)
            if not answer.linked:
                new.append((jobs[answer.number], self.targets[point.target]))
            else:
                elsewhere.append(answer.job_id)
        self.touch()
        await self._launch(new)
        elsewhere = [job_id for job_id in elsewhere if job_id not in self._jobs.here]
        if elsewhere:
            await self._link(elsewhere)
        if by_number:
            await self._reload(by_number.values())

    def _give_back(self, points: Sequence[Point]) -> None:
        """Points that could not be handed out wait again, unless nobody wants them any more."""
        if self.status is SweepStatus.CANCELLED:
            for point in points:
                self.points.set_status(point, JobStatus.CANCELLED)
        else:
            self._queue.extendleft(reversed(points))

    async def _launch(self, new: Sequence[tuple[Job, AnyTarget]]) -> None:
        work = Slice()
        for job, target in new:
            live = LiveJob(job, name=target.name, titles=target.titles)
            self._jobs.follow(live)
            if self.status is SweepStatus.PAUSED:
                live.job.status = JobStatus.PAUSED
            self._engine.launch([live])
            if self.status is SweepStatus.CANCELLED:
                self._engine.cancel(live)
            await work.rest()

    async def _link(self, job_ids: Sequence[str]) -> None:
        await self._jobs.link(job_ids)
        self.go_on()

    async def _reload(self, points: Iterable[Point]) -> None:
        """Points that have a job already, although nobody here knew."""
        wanted = {point.number: point for point in points}
        found = []
        for row in await self.journal.points_of(self.id):
            point = wanted.get(row.number)
            if point is not None and row.job_id is not None:
                self.points.take_job(point, row.job_id, linked=row.linked)
                found.append(row.job_id)
        await self._link(found)

    async def _look_again(self) -> None:
        """The store says that it is another's, or does not run: believe it."""
        steerings = self._steerings
        record = await self.journal.load(self.id)
        if record is None:
            self.note = "It was deleted."
            self._finish()
            return
        if steerings != self._steerings:
            return
        self.record = record
        self.mine = record.owner_id == self._workbench.store.owner_id
        self.touch()
        if record.status.is_terminal:
            self._finish()
        elif not self.mine:
            self.go_on()
            await asyncio.sleep(POLL)

    # Looking at what others do -----------------------------------------------------------------

    def _keep_polling(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = self._engine.spawn(self._poll(), f"look at {self.record.name}")

    async def _poll(self) -> None:
        """Look at jobs that another kernel runs, and at a sweep that it hands out."""
        looked = time.monotonic()
        while self._jobs.elsewhere or not (self.mine or self.finished):
            await asyncio.sleep(POLL)
            if self._jobs.elsewhere:
                await self._jobs.look_elsewhere()
            if not self.mine and (self._watchers or self._end.awaited):
                await self._refresh()
            if self._jobs.elsewhere and time.monotonic() - looked > ADOPT:
                looked = time.monotonic()
                await self._engine.resume()

    async def _refresh(self) -> None:
        """What another kernel handed out meanwhile."""
        steerings = self._steerings
        record = await self.journal.load(self.id)
        rows = await self.journal.points_of(self.id)
        if record is None or steerings != self._steerings:
            return
        self.record = record
        self.points.add(Point.of_row(row) for row in rows[len(self.points) :])
        for row, point in zip(rows, self.points.every, strict=False):
            if row.job_id != point.job_id:
                if row.job_id is None:
                    self.points.drop_job(point)
                else:
                    self.points.take_job(point, row.job_id, linked=row.linked)
        await self._link(
            [
                job_id
                for job_id in self.points.jobs
                if not all(point.status.is_terminal for point in self.points.of_job(job_id))
            ]
        )
        self.touch()
        if record.status.is_terminal and not self._jobs.elsewhere:
            self._finish()

    # Ending -----------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        if len(self._jobs) or self.keep_open:
            return False
        return not self._queue or self.status is SweepStatus.CANCELLED

    async def _conclude(self) -> None:
        if self.status is not SweepStatus.CANCELLED:
            steered = await self.journal.steer(
                self.id, SweepStatus.COMPLETED, unless={SweepStatus.CANCELLED}
            )
            if not self._over:
                # Points were added while the end was being stored.
                await self.journal.steer(self.id, SweepStatus.RUNNING)
                return
            if not steered.done:
                await self._look_again()
                return
            self.record.status = SweepStatus.COMPLETED
            self.record.completed_at = utcnow()
        self._finish()

    def _finish(self) -> None:
        self.touch()
        self._tell()
        self._end.reach()

    async def wait(self) -> None:
        """Return when it has ended; being cancelled here leaves it alone."""
        await self._end.wait()

    def wait_blocking(self, timeout: float | None) -> None:
        """Block the calling thread until it has ended; never on the loop's own thread."""
        self._end.wait_blocking(timeout)

    # Steering ---------------------------------------------------------------------------------

    def steer(self, status: SweepStatus, *, retry: bool = False, reopen: bool = False) -> None:
        """Pause, go on, cancel or retry; stored when this returns. ``reopen`` goes on although it
        had ended.

        Raises:
            UsageError: it has ended, or another kernel hands its points out.
        """
        self._host.ask(self._begin, status)
        steered = self.journal.steer(
            self.id, status, **self._how(retry=retry, reopen=reopen)
        ).result()
        self._host.ask(self._steered, status, steered, retry)

    async def steer_soon(self, status: SweepStatus, *, retry: bool = False) -> None:
        """As :meth:`steer`, without blocking the loop."""
        self._begin(status)
        steered = await self.journal.steer(self.id, status, **self._how(retry=retry))
        self._steered(status, steered, retry)

    @staticmethod
    def _how(*, retry: bool, reopen: bool = False) -> dict[str, Any]:
        ended = {SweepStatus.COMPLETED, SweepStatus.CANCELLED}
        return {
            "unless": set() if retry or reopen else ended,
            "retry": {one.value for one in _AGAIN} if retry else (),
        }

    def _begin(self, status: SweepStatus) -> None:
        if status in {SweepStatus.PAUSED, SweepStatus.CANCELLED} and self.mine:
            self._engine.hold(list(self._jobs.here.values()))

    def _steered(self, status: SweepStatus, steered: Steered, retry: bool) -> None:
        name = self.record.name
        self._steerings += 1
        if not steered.done:
            if steered.status is SweepStatus.RUNNING:
                self._engine.release(list(self._jobs.here.values()))
            self.record.status = steered.status
            self.touch()
            if steered.status.is_terminal:
                raise UsageError(
                    f"{name} is {steered.status.value}: sweep.retry_failed() runs what did not "
                    "complete, sweep.add(...) adds points."
                )
            raise UsageError(f"Another kernel hands out the points of {name}: do it there.")
        self.record.status = status
        self.record.owner_id = self._workbench.store.owner_id
        self.record.completed_at = utcnow() if status.is_terminal else None
        self.mine = True
        now = time.monotonic()
        if status is SweepStatus.PAUSED:
            self.pace.pause(now)
            # Some may have been handed out while the pause was being stored.
            self._engine.hold(list(self._jobs.here.values()))
        elif status is SweepStatus.RUNNING:
            self.pace.begin(now)
            self._engine.release(list(self._jobs.here.values()))
            if retry:
                self._queue_again()
        elif status is SweepStatus.CANCELLED:
            self.keep_open = False
            for point in self._queue:
                self.points.set_status(point, JobStatus.CANCELLED)
            self._queue.clear()
            lives = dict(self._jobs.here)
            self._engine.dropped(lives.pop(one) for one in steered.dropped if one in lives)
            for live in lives.values():
                self._engine.cancel(live)
        self.note = None
        self.touch()
        self.go_on()

    def _queue_again(self) -> None:
        for point in self.points.every:
            if point.status in _AGAIN:
                self.points.drop_job(point)
                self._queue.append(point)

    def extend(self, planned: Planned, changed: SweepRecord) -> None:
        """Points were added to it in the store."""
        self.record = changed
        self.targets = list(planned.targets)
        self.mine = True
        self.points.add(planned.points)
        self._queue.extend(planned.in_turn)
        if self.status is SweepStatus.RUNNING:
            self.pace.begin(time.monotonic())
        self.touch()
        self.go_on()

    # Scores -----------------------------------------------------------------------------------

    async def rate(self, key: tuple[str, str, str, int], rating: float | None) -> None:
        """Keep what a person thinks of a picture: 0 to 5, or None to forget it."""
        await self.keep_rating(key, rating)
        self.rated(key, rating)

    def keep_rating(self, key: tuple[str, str, str, int], rating: float | None) -> Pending[Any]:
        """Store what a person thinks of a picture."""
        if rating is None:
            return self.journal.unrate(key)
        prompt_id, node_id, kind, index = key
        return self.journal.rate(
            PictureRating(
                prompt_id=prompt_id, node_id=node_id, kind=kind, index=index, rating=rating
            )
        )

    def rated(self, key: tuple[str, str, str, int], rating: float | None) -> None:
        """A picture's rating was stored."""
        self.points.rate(key, rating)
        self.touch()

    def scored(self, number: int, score: float | None) -> None:
        """A point's score was stored."""
        self.points.set_score(number, score)
        self.touch()

    # Showing ----------------------------------------------------------------------------------

    @property
    def view(self) -> SweepView:
        """What a person sees of it now."""
        now = time.monotonic()
        counts = {status: n for status, n in self.points.counts.items() if n}
        left = sum(n for status, n in counts.items() if not status.is_terminal)
        rate = self.pace.per_second(now)
        return SweepView(
            id=self.id,
            name=self.record.name,
            status=self.status,
            axes=tuple(self.record.axes),
            points=self.points.views,
            counts=counts,
            linked=self.points.linked,
            backends=self._jobs.shares,
            created_at=self.record.created_at,
            completed_at=self.record.completed_at,
            per_minute=None if rate is None else 60 * rate,
            seconds_left=self.pace.seconds_left(now, left) if left else None,
            note=self.note,
            mine=self.mine,
            scored=self.record.kind is SweepKind.STUDY,
        )

    def watch(self, callback: Callable[[SweepView], None]) -> Callable[[], None]:
        """Call ``callback`` with a new view after changes; returns the way to stop."""
        stop = self._watchers.add(callback)
        self._host.call(self._keep_ticking)
        return stop

    def _keep_ticking(self) -> None:
        if not self.mine and not self.finished:
            self._keep_polling()
        if self._ticking is None or self._ticking.done():
            self._ticking = self._engine.spawn(self._tick(), f"tell of {self.record.name}")

    async def _tick(self) -> None:
        work = Slice()
        while self._watchers and not (self.finished and not self._dirty):
            began = time.monotonic()
            changed = self._jobs.look() or self._dirty
            took = time.monotonic() - began
            await work.rest()
            began = time.monotonic()
            if changed:
                self._tell()
            took += time.monotonic() - began
            await asyncio.sleep(pause_after(took))

    def touch(self) -> None:
        """Note a change: watchers are told soon."""
        self._dirty = True
        if self.on_change is not None:
            self.on_change()
        if self._watchers and self._host.on_loop:
            self._keep_ticking()

    def _tell(self) -> None:
        self._dirty = False
        if self._watchers:
            self._watchers.tell(self.view, self._engine.report)
