"""What of ``wb.metrics`` is looked at: the plot over time, heat maps, and one job's own plot."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from comfynb.engine.host import run_blocking
from comfynb.engine.metrics.series import Series
from comfynb.errors import InvalidValue, UsageError
from comfynb.models import utcnow
from comfynb.store import Table
from comfynb.store.database import Result
from comfynb.widgets.composite import Composite, shared_view
from comfynb.widgets.metrics.figure import DEFAULT_FIELDS
from comfynb.widgets.metrics.heatmap import MetricsHeatmap
from comfynb.widgets.metrics.look import spoken
from comfynb.widgets.metrics.plot import POINTS, MetricsPlot
from comfynb.widgets.metrics.views import HeatView, field_look
from comfynb.workbench.metrics.source import StoredMetrics

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["MetricsPlots", "PlottedTable", "job_metrics"]

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
COLUMNS: Final = 48
"""Steps in time of the heat map of backends."""
Moment = datetime | float


class PlottedTable(Table):
    """A table that shows itself as a picture; everything else is the table's: ``to_df()``, rows.

    ``view`` is the picture, one for as long as it is not closed.
    """

    def __init__(self, table: Table, make: Callable[[], Composite]) -> None:
        super().__init__(
            Result(tuple(table.columns), tuple(table.types), table.rows, table.truncated)
        )
        self._make = make

    @property
    def view(self) -> Composite:
        """The widget that shows it."""
        return shared_view(self, self._make)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self.view._repr_mimebundle_()


class MetricsPlots:
    """The pictures among ``wb.metrics``; `Metrics` has the numbers."""

    if TYPE_CHECKING:
        _workbench: Workbench

        def _window(
            self, last: str | float | timedelta, start: Moment | None, end: Moment | None
        ) -> tuple[datetime, datetime]: ...

        def _ids(self, backends: str | Iterable[str] | None) -> list[str] | None: ...

    def plot(
        self,
        last: str | float | timedelta = "1h",
        *,
        fields: str | Sequence[str] | None = None,
        backends: str | Iterable[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        gpu: int | None = None,
    ) -> MetricsPlot:
        """Metrics over time with the jobs as bars beneath, on one axis.

        It is live: the window moves once a second while somebody looks. Drag to zoom in, which
        holds the window; double-click to go back. Click a bar for its job's nodes, peak VRAM,
        energy and pictures. Lines are broken where nothing was measured.

        ``fields`` are those of :meth:`Metrics.series`; without it, all that are measured. With
        ``start`` (and ``end``) instead of ``last`` it stands still. ``gpu`` is a GPU's index;
        without it, the one that ComfyUI computes on.

        Raises:
            UsageError, NotFound, InvalidValue: as :meth:`Metrics.series`.
        """
        since, until = self._window(last, start, end)
        if since >= until:
            raise InvalidValue("start must lie before end")
        chosen = (fields,) if isinstance(fields, str) else fields
        source = StoredMetrics(
            self._workbench,
            chosen or DEFAULT_FIELDS,
            backends=self._ids(backends),
            gpu=gpu,
        )
        first, now = since.timestamp(), until.timestamp()
        return MetricsPlot(
            source,
            run_blocking(source.window(first, now, POINTS)),
            fields=chosen,
            last=now - first if start is None and end is None else None,
        )

    def heatmap(
        self,
        by: str = "weekday",
        *,
        last: str | float | timedelta = "1d",
        field: str = "gpu_utilization",
        backends: str | Iterable[str] | None = None,
        timezone: str = "UTC",
    ) -> PlottedTable:
        """How busy the GPUs are: by="weekday" (hours and weekdays, of all that is kept, in
        ``timezone``) or by="backend" (backends over the time ``last``, of any ``field``).

        It is a table too: ``.to_df()``.

        Raises:
            UsageError: ``by`` is something else.
        """
        if by == "weekday":
            return self._by_weekday(timezone, self._ids(backends))
        if by == "backend":
            return self._by_backend(last, field, backends)
        raise UsageError(f'by must be "weekday" or "backend", not {by!r:.40}')

    def _by_weekday(self, timezone: str, chosen: list[str] | None) -> PlottedTable:
        table = self._workbench.metrics.queries.heatmap(timezone).result()
        known = [
            row
            for row in table
            if row["gpu_utilization"] is not None
            and (chosen is None or row["backend_id"] in chosen)
        ]
        seconds = np.zeros((7, 24))
        busy = np.zeros((7, 24))
        for row in known:
            place = int(row["weekday"]) - 1, int(row["hour_of_day"])
            seconds[place] += row["measured_seconds"]
            busy[place] += row["gpu_utilization"] * row["measured_seconds"]
        cells = [
            [b / s if s else None for b, s in zip(busy[day], seconds[day], strict=True)]
            for day in range(7)
        ]
        view = HeatView(
            f"Mean GPU utilisation by weekday and hour ({timezone})",
            "%",
            WEEKDAYS,
            [str(hour) for hour in range(24)],
            cells,
            100.0,
        )
        return PlottedTable(table, lambda: MetricsHeatmap(view))

    def _by_backend(
        self, last: str | float | timedelta, field: str, backends: str | Iterable[str] | None
    ) -> PlottedTable:
        since, until = self._window(last, None, None)
        series = self._workbench.metrics.series(
            field, backends, start=since, end=until, points=COLUMNS * 20
        )
        chosen = self._ids(backends)
        names = [b.name for b in self._workbench.backends if chosen is None or b.id in chosen]
        view = _over_time(series, field, names)
        rows = [
            (name, datetime.fromtimestamp(begin, UTC), cell)
            for name, cells in zip(view.rows, view.cells, strict=True)
            for begin, cell in zip(_begins(series), cells, strict=True)
            if cell is not None
        ]
        table = Table(
            Result(
                ("backend", "began", field),
                ("VARCHAR", "TIMESTAMP WITH TIME ZONE", "DOUBLE"),
                rows,
                more=False,
            )
        )
        return PlottedTable(table, lambda: MetricsHeatmap(view))


def _begins(series: Series) -> list[float]:
    start, end = series.start.timestamp(), series.end.timestamp()
    return [start + (end - start) * n / COLUMNS for n in range(COLUMNS)]


def _over_time(series: Series, field: str, names: Sequence[str]) -> HeatView:
    """Means of a field in equal steps, one row for each backend."""
    start, end = series.start.timestamp(), series.end.timestamp()
    seen = field_look(field)
    cells: list[list[float | None]] = []
    for name in names:
        line = series.line(name, field)
        if line is None:
            cells.append([None] * COLUMNS)
            continue
        known = ~np.isnan(line.means)
        places = ((line.times[known] - start) / (end - start) * COLUMNS).astype(int)
        places = places.clip(0, COLUMNS - 1)
        counts = np.bincount(places, minlength=COLUMNS)
        sums = np.bincount(places, weights=line.means[known], minlength=COLUMNS)
        cells.append(
            [
                float(total / count / seen.scale) if count else None
                for total, count in zip(sums, counts, strict=True)
            ]
        )
    shape = "%d %b %H:%M" if end - start > 86_400 else "%H:%M:%S" if end - start < 3600 else "%H:%M"
    labels = [datetime.fromtimestamp(begin, UTC).strftime(shape) for begin in _begins(series)]
    title = f"{seen.title} of each backend, mean of every {spoken((end - start) / COLUMNS)} (UTC)"
    return HeatView(title, seen.unit, list(names), labels, cells, seen.top)


def job_metrics(workbench: "Workbench", job_id: str) -> PlottedTable:
    """The samples of the machines that ran a job, while they did, with a small plot of them."""
    table = workbench.metrics.queries.samples(job_id).result()
    attempts = workbench.metrics.queries.of_job(job_id).result()
    begun = [row["started_at"] for row in attempts if row["started_at"] is not None]
    ended = [row["completed_at"] or utcnow() for row in attempts if row["started_at"] is not None]
    end = max(ended, default=utcnow())
    begin = min(begun, default=end)
    margin = max((end - begin) * 0.08, timedelta(seconds=1))
    source = StoredMetrics(
        workbench,
        DEFAULT_FIELDS,
        backends=sorted({row["backend_id"] for row in attempts}) or None,
        job_id=job_id,
    )

    def make() -> Composite:
        first, last = (begin - margin).timestamp(), (end + margin).timestamp()
        window = run_blocking(source.window(first, last, POINTS))
        return MetricsPlot(source, window, title="Metrics of one job", bar=False)

    return PlottedTable(table, make)
