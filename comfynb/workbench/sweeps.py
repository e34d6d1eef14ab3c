"""``wb.sweep`` and ``wb.sweeps``: what a person holds of many points of one workflow."""

import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from comfynb.engine.sweeps import PointTable, PointView, SweepView, Where, point_table
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import (
    FallbackStrategy,
    SweepPointRecord,
    SweepRecord,
    SweepStatus,
    new_id,
)
from comfynb.store.sweeps import JobRow, PictureRow, PointRow, SweepJournal
from comfynb.widgets import mimebundle, shared_view
from comfynb.widgets.sweep_comparison import SweepComparison
from comfynb.widgets.sweep_grid import SweepGrid
from comfynb.widgets.sweep_plot import SweepPlot, points_frame
from comfynb.widgets.sweep_text import sweep_line, sweeps_table
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.jobs import JobHandle, StoppedWaiting
from comfynb.workbench.sweep_graphs import AnyTarget, GraphTarget, target_of
from comfynb.workbench.sweep_plan import Asked, Planned, plan_points
from comfynb.workbench.sweep_points import Point
from comfynb.workbench.sweep_run import SweepRun
from comfynb.workbench.sweep_subjects import Sweepable

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Sweep", "Sweeps"]

Zip = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_KEPT: Final = 64
"""Sweeps that have ended and are kept at hand, so that the same one is shown again."""


class Sweep(Sequence[PointView]):
    """Many points of a workflow or graph; awaitable, and a live grid of pictures where it is shown.

    As a sequence it holds its points: ``sweep[3].values``, ``sweep[3].pictures``.
    """

    def __init__(self, workbench: "Workbench", run: SweepRun) -> None:
        self._workbench = workbench
        self._run = run

    # What it is -------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id, as in the store."""
        return self._run.id

    @property
    def name(self) -> str:
        """What ``wb.sweeps[name]`` finds it by."""
        return self._run.record.name

    @property
    def status(self) -> SweepStatus:
        """running, paused, completed (every point has ended, well or not) or cancelled."""
        return self._run.status

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._run.finished

    @property
    def axes(self) -> list[str]:
        """The parameters that vary."""
        return list(self._run.record.axes)

    @property
    def seed(self) -> int:
        """What draws were made by: ``wb.sweep(..., seed=sweep.seed)`` makes the same points."""
        return self._run.record.seed

    @property
    def view(self) -> SweepView:
        """A snapshot of it now."""
        return self._run.view

    @property
    def counts(self) -> dict[str, int]:
        """How many points have which status."""
        return {status.value: number for status, number in self.view.counts.items()}

    def __len__(self) -> int:
        return len(self._run.points)

    @overload
    def __getitem__(self, index: int) -> PointView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PointView]: ...
    def __getitem__(self, index: int | slice) -> PointView | Sequence[PointView]:
        return self._run.points.views[index]

    def job(self, index: int) -> JobHandle:
        """The job of a point.

        Raises:
            NotFound: the point was not handed out yet.
        """
        job_id = self[index].job_id
        if job_id is None:
            raise NotFound(f"Point {index} of {self.name} has no job yet: it waits for its turn.")
        return self._workbench.load_job(job_id)

    # Waiting and steering ---------------------------------------------------------------------

    async def _wait(self) -> "Sweep":
        import asyncio

        try:
            await self._run.wait()
        except asyncio.CancelledError:
            raise StoppedWaiting(
                f"Stopped waiting; {self.name} goes on. sweep.cancel() ends it."
            ) from None
        return self

    def __await__(self) -> Generator[Any, None, "Sweep"]:
        return self._wait().__await__()

    def wait(self, timeout: float | None = None) -> "Sweep":
        """Wait until every point has ended, where there is no ``await``; ``timeout`` in seconds.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
        """
        host = self._workbench.host
        if host.on_loop:
            return host.wait(self._wait(), timeout)
        self._run.wait_blocking(timeout)
        return self

    def pause(self) -> None:
        """Send nothing more; what the backends have already ends. Also holds for later kernels."""
        self._run.steer(SweepStatus.PAUSED)

    def resume(self) -> None:
        """Go on after a pause."""
        self._run.steer(SweepStatus.RUNNING)

    def cancel(self) -> None:
        """Stop it: what is out is taken back, what is done stays done."""
        self._run.steer(SweepStatus.CANCELLED)

    def retry_failed(self) -> "Sweep":
        """Run again what failed, was lost or was cancelled; what completed stays."""
        self._run.steer(SweepStatus.RUNNING, retry=True)
        return self

    def add(
        self,
        grid: Mapping[str, Any] | None = None,
        *,
        zip: Zip | None = None,  # noqa: A002
        sample: Mapping[str, Any] | None = None,
        n: int | None = None,
        where: Where | None = None,
        values: Mapping[str, Any] | None = None,
        seed: int | None = None,
        workflow: Sweepable | Sequence[Sweepable] | None = None,
    ) -> "Sweep":
        """Add points, named as for :meth:`Workbench.sweep`; a sweep that had ended goes on.

        They run the sweep's workflow as it is now. Points that are there already are not computed
        again.
        """
        workbench = self._workbench
        asked = Asked(
            _workflows(workflow) or self._workflows(),
            grid=grid,
            zip=zip,
            sample=sample,
            n=n,
            where=where,
            values=values or {},
            seed=self.seed if seed is None else _seed(seed),
            group=self.id,
        )
        planned = plan_points(workbench, asked, known=self._run.targets, first=len(self))
        self._extend(planned)
        return self

    def _workflows(self) -> list[Sweepable]:
        workbench = self._workbench
        found: dict[str, Sweepable] = {}
        for target in self._run.targets:
            if target.name not in found:
                graph = isinstance(target, GraphTarget)
                known = workbench.graphs if graph else workbench.workflows
                found[target.name] = known[target.name]
        return list(found.values())

    def _extend(self, planned: Planned) -> list[SweepPointRecord]:
        run = self._run
        axes = list(dict.fromkeys([*run.record.axes, *planned.axes]))
        record = run.record.model_copy(
            update={"targets": [target.to_json() for target in planned.targets], "axes": axes}
        )
        changed = run.journal.extend(record, planned.points).result()
        if changed is None:
            raise UsageError(f"Another kernel hands out the points of {self.name}: add them there.")
        run.targets = list(planned.targets)
        self._workbench.host.ask(run.extend, planned.points, changed)
        return planned.points

    # Opinions ---------------------------------------------------------------------------------

    def rate(self, index: int, stars: float | None, *, picture: int = 0) -> None:
        """Keep what you think of a point's picture, 0 to 5 stars; None forgets it.

        Raises:
            NotFound: the point has no such picture (yet).
            InvalidValue: not 0 to 5.
        """
        pictures = self[index].pictures
        if not -len(pictures) <= picture < len(pictures):
            raise NotFound(f"Point {index} of {self.name} has {len(pictures)} pictures.")
        if stars is not None and (isinstance(stars, bool) or not 0 <= stars <= 5):
            raise InvalidValue(f"A rating is 0 to 5 stars, not {stars!r:.40}.")
        key = pictures[picture].key
        self._run.keep_rating(key, stars).result()
        self._workbench.host.ask(self._run.rated, key, stars)

    # Showing ----------------------------------------------------------------------------------

    def show(self) -> SweepGrid:
        """The live grid: pictures as they come, pace, buttons; click a picture to enlarge it."""
        run = self._run
        return SweepGrid(
            run,
            pause=lambda: run.steer_soon(SweepStatus.PAUSED),
            resume=lambda: run.steer_soon(SweepStatus.RUNNING),
            cancel=lambda: run.steer_soon(SweepStatus.CANCELLED),
            retry=lambda: run.steer_soon(SweepStatus.RUNNING, retry=True),
            rate=run.rate,
        )

    def grid(
        self,
        rows: str | None = None,
        columns: str | None = None,
        *,
        where: Where | Mapping[str, Any] | None = None,
    ) -> SweepComparison:
        """A table of pictures, live: one axis downwards, one across; the first two by default.

        ``where`` keeps some points: ``"steps == 20"``, a function, or ``{"steps": 20}``. A cell
        with several points shows the first; enlarge it to see the others. ``.to_png(path)`` and
        ``.to_html(path)`` write it into a file.

        Raises:
            NotFound: there is no such axis; the message lists them.
        """

        def arrange(view: SweepView) -> PointTable:
            return point_table(view.points, view.axes, rows, columns, where)

        return SweepComparison(self._run, arrange, rate=self._run.rate)

    def to_df(self) -> Any:
        """A pandas DataFrame with a row for each point: its values, and what became of it.

        Raises:
            UsageError: pandas is not installed.
        """
        return points_frame(self.view)

    def plot(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        color: str | None = None,
        kind: str | None = None,
    ) -> SweepPlot:
        """A plot of points: axes, ``score``, ``rating``, ``seconds`` against one another.

        Without ``x`` all parameters are drawn as parallel coordinates. ``kind`` is "scatter",
        "line" (means with their ranges) or "parallel".

        Raises:
            NotFound: no point has such a value.
        """
        return SweepPlot(self.view, x, y, color=color, kind=kind)

    def __repr__(self) -> str:
        return f"<Sweep {sweep_line(self.view)}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = shared_view(self._run, self.show)
        return mimebundle(shown, repr(self), shown.static_html())


class Sweeps:
    """``wb.sweeps``: every sweep in the store, this kernel's and others'."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench
        self._journal = SweepJournal(workbench.store)
        self._runs: dict[str, SweepRun] = {}

    def start(
        self,
        workflow: Sweepable | Sequence[Sweepable],
        grid: Mapping[str, Any] | None = None,
        *,
        zip: Zip | None = None,  # noqa: A002
        sample: Mapping[str, Any] | None = None,
        n: int | None = None,
        where: Where | None = None,
        values: Mapping[str, Any] | None = None,
        seed: int | None = None,
        name: str | None = None,
        again: bool = False,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.NONE,
        weight: float = 1.0,
    ) -> Sweep:
        """See :meth:`Workbench.sweep`."""
        workflows = _workflows(workflow)
        drawn = secrets.randbits(31) if seed is None else _seed(seed)
        asked = Asked(
            workflows,
            grid=grid,
            zip=zip,
            sample=sample,
            n=n,
            where=where,
            values=values or {},
            seed=drawn,
            backend=backend,
            fallback=FallbackStrategy(fallback),
            weight=weight,
            group=new_id(),
        )
        planned = plan_points(self._workbench, asked)
        record = SweepRecord(
            id=asked.group,
            name=name or self.free_name(workflows),
            axes=planned.axes,
            seed=drawn,
            again=again,
            spec=asked.to_json(),
            targets=[target.to_json() for target in planned.targets],
            owner_id=self._workbench.store.owner_id,
        )
        return Sweep(self._workbench, self.begin(record, planned))

    def begin(self, record: SweepRecord, planned: Planned, *, keep_open: bool = False) -> SweepRun:
        """Store a sweep, then hand its points out: when this returns, it survives a killed
        kernel."""
        self._journal.create(record, planned.points).result()
        points = [
            Point(point.index, point.place, point.target, point.values) for point in planned.points
        ]
        return self._workbench.host.ask(self._run_here, record, planned.targets, points, keep_open)

    def _run_here(
        self,
        record: SweepRecord,
        targets: Sequence[AnyTarget],
        points: Sequence[Point],
        keep_open: bool,
    ) -> SweepRun:
        run = SweepRun(self._workbench, record, targets, points, mine=True)
        run.keep_open = keep_open
        self._keep(run)
        run.start()
        return run

    def _keep(self, run: SweepRun) -> None:
        ended = [each for each in self._runs.values() if each.finished]
        for old in ended[: max(0, len(ended) - _KEPT)]:
            del self._runs[old.id]
        self._runs[run.id] = run

    def free_name(self, workflows: Sequence[Sweepable]) -> str:
        """A name for another sweep of these workflows."""
        taken = {record.name for record in self._journal.every().result()}
        stem = " + ".join(workflow.name for workflow in workflows)
        return next(
            name for number in range(1, len(taken) + 2) if (name := f"{stem} {number}") not in taken
        )

    # After an earlier kernel ------------------------------------------------------------------

    async def pick_up(self) -> int:
        """Go on with sweeps that no living kernel looks after; returns how many."""
        records = await self._journal.adopt()
        for record in records:
            points = await self._journal.points_of(record.id)
            ids = [row.job_id for row in points if row.job_id is not None]
            jobs = await self._journal.jobs_of(ids)
            pictures = await self._journal.pictures_of(ids)
            self._runs.pop(record.id, None)  # as another kernel's, perhaps
            self._attach(record, points, jobs, pictures)
        for job_id in await self._journal.left_over():
            live = self._workbench.engine.live(job_id)
            if live is not None:
                self._workbench.engine.cancel(live)
        return len(records)

    def _attach(
        self,
        record: SweepRecord,
        points: Sequence[PointRow],
        jobs: Sequence[JobRow],
        pictures: Sequence[PictureRow],
    ) -> SweepRun:
        known = self._runs.get(record.id)
        if known is not None:
            return known
        run = SweepRun(
            self._workbench,
            record,
            [target_of(data) for data in record.targets],
            [Point.of_row(row) for row in points],
            mine=record.owner_id == self._workbench.store.owner_id,
        )
        run.take(jobs, pictures)
        self._keep(run)
        run.start()
        return run

    def attach(self, record: SweepRecord) -> SweepRun:
        """The live form of a stored sweep; the same object for as long as it is kept."""
        known = self._runs.get(record.id)
        if known is not None:
            return known
        points = self._journal.points_of(record.id).result()
        ids = [row.job_id for row in points if row.job_id is not None]
        jobs = self._journal.jobs_of(ids).result()
        pictures = self._journal.pictures_of(ids).result()
        return self._workbench.host.ask(self._attach, record, points, jobs, pictures)

    # For people -------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Sweep:
        """A sweep by name (the newest of that name) or id.

        Raises:
            NotFound: there is none; the message lists the newest.
        """
        record = self.find(name)
        if record is None:
            names = ", ".join(self._names()[:10]) or "none yet"
            raise NotFound(f"The store has no sweep {name!r:.80}; there are: {names}.")
        return Sweep(self._workbench, self.attach(record))

    def find(self, name: str) -> SweepRecord | None:
        """The record of a sweep by name (the newest of that name) or id."""
        return self._journal.load(name).result()

    def _names(self) -> list[str]:
        return [record.name for record in self._journal.every().result()]

    def _ipython_key_completions_(self) -> list[str]:
        return list(dict.fromkeys(self._names()))

    def __iter__(self) -> Iterator[Sweep]:
        for record in self._journal.every().result():
            yield Sweep(self._workbench, self.attach(record))

    def __len__(self) -> int:
        return self._workbench.store.count(SweepRecord).result()

    def _table(self) -> StaticTable:
        rows = self._workbench.sql(
            'select sweeps.name, sweeps.kind, sweeps.status, count(points."index") as points, '
            "count(case when jobs.status = 'completed' then 1 end) as completed, "
            "count(case when jobs.status in ('failed', 'lost', 'cancelled') then 1 end) as failed, "
            "max(sweeps.created_at) as created_at "
            "from sweeps left join points on points.sweep_id = sweeps.id "
            "left join jobs on jobs.id = points.job_id "
            "group by sweeps.id, sweeps.name, sweeps.kind, sweeps.status "
            "order by max(sweeps.created_at) desc"
        )
        return sweeps_table(rows.rows)

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def _workflows(given: Sweepable | Sequence[Sweepable] | None) -> list[Sweepable]:
    if given is None:
        return []
    found = [given] if isinstance(given, Sweepable) else list(given)
    for one in found:
        if not isinstance(one, Sweepable):
            raise UsageError(
                f"A sweep runs workflows and graphs, not a {type(one).__name__}: "
                'wf = wb.workflows.load("portrait.json"), then wb.sweep(wf, grid=...).'
            )
    return found


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidValue(f"seed is a whole number from 0, not {seed!r:.40}.")
    return seed
