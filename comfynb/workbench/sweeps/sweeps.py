"""``wb.sweeps``: every sweep in the store; makes new ones, takes over those of dead kernels."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from comfynb.engine.sweeps import Where
from comfynb.errors import NotFound
from comfynb.models import FallbackStrategy, JobStatus, SweepRecord, SweepStatus, new_id
from comfynb.store.sweeps import JobRow, PictureRow, PointRow, SweepJournal
from comfynb.widgets.sweeps import sweeps_table
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.sweeps.asked import Asked, Zip, checked_seed
from comfynb.workbench.sweeps.graph_targets import AnyTarget, target_of
from comfynb.workbench.sweeps.planning import Planned, plan_points
from comfynb.workbench.sweeps.points import Point, PointRecords, Points
from comfynb.workbench.sweeps.run import SweepRun
from comfynb.workbench.sweeps.subjects import Sweepable, sweepables
from comfynb.workbench.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Sweeps"]

_KEPT: Final = 64
"""Sweeps that have ended and are kept at hand, so that the same one is shown again."""


class _Found(NamedTuple):
    """A sweep as it was found in the store."""

    targets: list[AnyTarget]
    points: Points
    waiting: list[Point]
    """Those that were not handed out, in turn."""
    open_jobs: list[str]
    """Jobs of its points that have not ended."""


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
        workflows = sweepables(workflow)
        drawn = secrets.randbits(31) if seed is None else checked_seed(seed)
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
        self._journal.create(record, PointRecords(record.id, planned.points)).result()
        return self._workbench.host.ask(self._run_here, record, planned, keep_open)

    def _run_here(self, record: SweepRecord, planned: Planned, keep_open: bool) -> SweepRun:
        run = SweepRun(
            self._workbench, record, planned.targets, Points.of(planned.points), mine=True
        )
        run.keep_open = keep_open
        self._keep(run)
        run.start(planned.in_turn)
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
            found = await asyncio.to_thread(self._found, record, points, jobs, pictures)
            self._runs.pop(record.id, None)  # as another kernel's, perhaps
            self._attach(record, found)
        for job_id in await self._journal.left_over():
            live = self._workbench.engine.live(job_id)
            if live is not None:
                self._workbench.engine.cancel(live)
        return len(records)

    def _found(
        self,
        record: SweepRecord,
        points: Sequence[PointRow],
        jobs: Sequence[JobRow],
        pictures: Sequence[PictureRow],
    ) -> "_Found":
        """What a sweep that is in the store consists of; changes nothing here."""
        names = {each.id: each.name for each in list(self._workbench.engine.backends.values())}
        cancelled = record.status is SweepStatus.CANCELLED
        every = Points.stored(points, jobs, pictures, names, cancelled=cancelled)
        return _Found(
            [target_of(data) for data in record.targets],
            every,
            every.waiting(),
            [row.id for row in jobs if not JobStatus(row.status).is_terminal],
        )

    def _attach(self, record: SweepRecord, found: "_Found") -> SweepRun:
        known = self._runs.get(record.id)
        if known is not None:
            return known
        mine = record.owner_id == self._workbench.store.owner_id
        run = SweepRun(self._workbench, record, found.targets, found.points, mine=mine)
        self._keep(run)
        run.start(found.waiting, found.open_jobs)
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
        found = self._found(record, points, jobs, pictures)
        return self._workbench.host.ask(self._attach, record, found)

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
