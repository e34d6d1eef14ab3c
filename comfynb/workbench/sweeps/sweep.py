"""``Sweep``: what a person holds of many points of one workflow, or of several."""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from comfynb.engine.sweeps import PointTable, PointView, SweepView, Where, point_table
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import SweepStatus
from comfynb.widgets import mimebundle, shared_view
from comfynb.widgets.sweeps import (
    SweepComparison,
    SweepGrid,
    SweepPlot,
    points_frame,
    sweep_line,
)
from comfynb.workbench.jobs import JobHandle, StoppedWaiting
from comfynb.workbench.sweeps.asked import Asked, Zip, checked_seed
from comfynb.workbench.sweeps.graph_targets import GraphTarget
from comfynb.workbench.sweeps.planning import Planned, plan_points
from comfynb.workbench.sweeps.points import PointRecords
from comfynb.workbench.sweeps.run import SweepRun
from comfynb.workbench.sweeps.subjects import Sweepable, sweepables

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Sweep"]


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
            sweepables(workflow) or self._workflows(),
            grid=grid,
            zip=zip,
            sample=sample,
            n=n,
            where=where,
            values=values or {},
            seed=self.seed if seed is None else checked_seed(seed),
            group=self.id,
        )
        self._extend(plan_points(workbench, asked, known=self._run.targets, first=len(self)))
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

    def _extend(self, planned: Planned) -> None:
        run = self._run
        axes = list(dict.fromkeys([*run.record.axes, *planned.axes]))
        record = run.record.model_copy(
            update={"targets": [target.to_json() for target in planned.targets], "axes": axes}
        )
        changed = run.journal.extend(record, PointRecords(self.id, planned.points)).result()
        if changed is None:
            raise UsageError(f"Another kernel hands out the points of {self.name}: add them there.")
        self._workbench.host.ask(run.extend, planned, changed)

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
