"""The jobs of a sweep's points that have not ended: what becomes of them, here or elsewhere."""

import itertools
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from comfynb.engine.live import LiveJob
from comfynb.engine.slices import Slice
from comfynb.engine.sweeps import BackendShare, Pace
from comfynb.models import JobStatus
from comfynb.store.sweeps import JobRow, PictureRow, SweepJournal
from comfynb.workbench.sweeps.points import Points

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Following"]


class Following:
    """Jobs that are out, and the points that wait for them.

    ``changed`` is called on the loop when points have changed.
    """

    def __init__(
        self, workbench: "Workbench", points: Points, pace: Pace, changed: Callable[[], None]
    ) -> None:
        self._engine = workbench.engine
        self._host = workbench.host
        self._journal = SweepJournal(workbench.store)
        self._points = points
        self._pace = pace
        self._changed = changed
        self.here: dict[str, LiveJob] = {}
        """Those that this kernel runs."""
        self.elsewhere: set[str] = set()
        """Those that another kernel runs, or nobody for now."""
        self._touched: set[str] = set()
        """Of those, what may have changed since it was last looked at."""
        self._running: dict[str, list[str]] = {}
        """Where those run that run now, by job: what people call the backends."""
        self._ended: deque[str] = deque()
        self._collecting = False

    def __repr__(self) -> str:
        return f"Following({len(self.here)} jobs here, {len(self.elsewhere)} elsewhere)"

    def __len__(self) -> int:
        return len(self.here) + len(self.elsewhere)

    # Jobs of this kernel ----------------------------------------------------------------------

    def follow(self, live: LiveJob) -> None:
        """Wait for a job that this kernel runs."""
        if live.id not in self.here:
            self.here[live.id] = live
            self.elsewhere.discard(live.id)
            # A person may keep the job for longer than the sweep.
            reference = weakref.ref(self)

            def ended() -> None:
                following = reference()
                if following is not None:
                    following._ended_soon(live.id)  # noqa: SLF001 - the closure keeps it weakly

            def touched() -> None:
                following = reference()
                if following is not None:
                    following._touched.add(live.id)  # noqa: SLF001 - the same

            touched()
            live.add_touch_callback(touched)
            live.add_done_callback(ended)

    def _ended_soon(self, job_id: str) -> None:
        self._ended.append(job_id)
        self._collect_soon()

    def _collect_soon(self) -> None:
        if not self._collecting and self._host.usable:
            self._collecting = True
            self._host.loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._collecting = False
        now = time.monotonic()
        work = Slice()
        while self._ended:
            self._take_end(self._ended.popleft(), now)
            if work.over:
                break
        if self._ended:
            self._collect_soon()
        self._changed()

    def _take_end(self, job_id: str, now: float) -> None:
        live = self.here.pop(job_id, None)
        if live is None:
            return
        self._running.pop(job_id, None)
        self._points.end_live(live)
        if live.job.status is not JobStatus.CANCELLED:
            self._pace.ended(now)

    def look(self) -> bool:
        """Bring points up to date whose jobs go on; whether any has changed. On the loop."""
        changed = False
        touched, self._touched = self._touched, set()
        for job_id in touched:
            live = self.here.get(job_id)
            if live is None or live.job.status.is_terminal:
                continue
            status = live.job.status
            self._running[job_id] = _places(live)
            if status is JobStatus.PAUSED and _is_out(live):
                status = JobStatus.RUNNING  # what was sent before the pause ends
            for point in self._points.of_job(job_id):
                if point.status is not status:
                    self._points.set_status(point, status)
                    changed = True
        return changed

    # Jobs of the store ------------------------------------------------------------------------

    async def link(self, job_ids: Sequence[str]) -> None:
        """Find out about jobs that were made elsewhere: as a rule they ended long ago."""
        rows = await self._journal.jobs_of(job_ids)
        over = [row.id for row in rows if JobStatus(row.status).is_terminal]
        self.take(rows, await self._journal.pictures_of(over))

    def take(self, rows: Iterable[JobRow], pictures: Iterable[PictureRow]) -> None:
        """What became of jobs, as the store has it."""
        listed = list(rows)
        self._points.end_rows(listed, pictures, self.backend_names)
        self.find(row.id for row in listed if not JobStatus(row.status).is_terminal)

    def find(self, job_ids: Iterable[str]) -> None:
        """Wait for jobs that have not ended: here if this kernel runs them, else from afar."""
        for job_id in job_ids:
            live = self._engine.live(job_id)
            if live is not None and self._engine.runs(job_id):
                self.follow(live)
            else:
                self.elsewhere.add(job_id)

    async def look_elsewhere(self) -> None:
        """Find out what became of jobs that another kernel runs."""
        await self.link(list(self.elsewhere))
        self.elsewhere -= {
            job_id
            for job_id in self.elsewhere
            if all(point.status.is_terminal for point in self._points.of_job(job_id))
        }
        self._changed()

    @property
    def backend_names(self) -> dict[str, str]:
        """What people call the backends, by id."""
        return {backend.id: backend.name for backend in self._engine.backends.values()}

    # For people -------------------------------------------------------------------------------

    @property
    def shares(self) -> tuple[BackendShare, ...]:
        """What each backend has done and does; from any thread."""
        if self._host.on_loop:
            if self.look():
                self._changed()
            places: Iterable[list[str]] = self._running.values()
        else:
            places = map(_places, list(self.here.values()))
        running = Counter(itertools.chain.from_iterable(places))
        done = dict(self._points.shares)
        return tuple(
            BackendShare(
                name,
                completed=share.completed if share is not None else 0,
                failed=share.failed if share is not None else 0,
                running=running[name],
                seconds=share.seconds if share is not None else 0.0,
            )
            for name in sorted({*running, *done})
            for share in (done.get(name),)
        )


def _is_out(live: LiveJob) -> bool:
    return any(one.status is JobStatus.RUNNING for one in live.job.node_executions)


def _places(live: LiveJob) -> list[str]:
    """What people call the backends that run something of a job now."""
    if live.job.status is not JobStatus.RUNNING:
        return []
    return [
        live.backend_names.get(one.backend_id, one.backend_id)
        for one in live.job.node_executions
        if one.status is JobStatus.RUNNING and one.backend_id
    ]
