"""Where plots of metrics get their data: samples, spans of jobs and facts of one job, from a store.

Everything is awaited: the store's read thread asks, and another makes Python of the answer.
"""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.metrics.series import Series
from comfynb.errors import NotFound
from comfynb.models import JobStatus
from comfynb.store import Table
from comfynb.widgets.markup import one_line
from comfynb.widgets.metrics.views import (
    JobDetails,
    JobSpan,
    MetricLine,
    MetricsWindow,
    NodeSpan,
)

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["StoredMetrics"]

MOST_SPANS: Final = 5000
"""Attempts that one window tells of; the newest."""
MOST_DETAIL: Final = 240
"""Characters of parameters in a bar's hover text."""

# An attempt that ended without a time (its server forgot it) is drawn where it began.
_SPANS: Final = """
select
    p.prompt_id, p.job_id, p.state, p.started_at, p.completed_at,
    coalesce(backends.name, p.backend_id) as backend,
    workflows.name as workflow,
    jobs.parameter_values,
    ((((jobs.canvas_snapshot -> 'nodes') -> 0) -> 'config') ->> 'name') as name
from (
    select * from prompts
    where started_at < $2
        and coalesce(completed_at, case when state = 'running' then $2 else started_at end) >= $1
        {backends}
    order by started_at desc
    limit {most}
) as p
left join jobs on jobs.id = p.job_id
left join workflow_versions on workflow_versions.id = p.workflow_version
left join workflows on workflows.id = workflow_versions.workflow_id
left join backends on backends.id = p.backend_id
order by p.started_at, p.prompt_id
"""
_COUNT: Final = """
select count(*) as n from prompts
where started_at < $2
    and coalesce(completed_at, case when state = 'running' then $2 else started_at end) >= $1
    {backends}
"""
_STATUS: Final = {
    "running": JobStatus.RUNNING,
    "completed": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}


class StoredMetrics:
    """The metrics of some backends (ids; all without) in a Workbench's store, for a plot.

    ``fields`` are columns of ``metrics_history``; ``gpu`` a GPU's index, or None for the one that
    ComfyUI computes on; ``job_id`` leaves the bars of all other jobs out.
    """

    def __init__(
        self,
        workbench: "Workbench",
        fields: Sequence[str],
        *,
        backends: Sequence[str] | None = None,
        gpu: int | None = None,
        job_id: str | None = None,
    ) -> None:
        self._workbench = workbench
        self._fields = tuple(fields)
        self._backends = None if backends is None else tuple(backends)
        self._gpu = gpu
        self._job_id = job_id

    def now(self) -> float:
        """The time now, in UTC seconds since 1970."""
        return time.time()

    def _names(self) -> dict[str, str]:
        live = self._workbench.engine.backends
        return {
            key: backend.name
            for key, backend in list(live.items())
            if self._backends is None or key in self._backends
        }

    async def window(self, start: float, end: float, points: int) -> MetricsWindow:
        """Samples and jobs between two times (UTC seconds since 1970)."""
        since, until = _moment(start), _moment(end)
        names = self._names()
        asked = self._workbench.metrics.queries.series(
            self._fields,
            since,
            until,
            names=names,
            backends=self._backends,
            gpu=self._gpu,
            points=points,
        )
        chosen, params = self._chosen(since, until)
        rows = self._workbench.store.sql(_SPANS.format(backends=chosen, most=MOST_SPANS), params)
        series, table = await asked, await rows
        more = 0
        if len(table) >= MOST_SPANS:
            counted = await self._workbench.store.sql(_COUNT.format(backends=chosen), params)
            more = int(counted[0]["n"]) - len(table)
        lines, jobs = await asyncio.to_thread(_read, series, table)
        order = [*names.values(), *(job.backend for job in jobs)]
        return MetricsWindow(start, end, tuple(dict.fromkeys(order)), lines, jobs, more)

    def _chosen(self, since: datetime, until: datetime) -> tuple[str, list[Any]]:
        params: list[Any] = [since, until]
        chosen = ""
        if self._backends is not None:
            params.append(list(self._backends))
            chosen += f"and backend_id = any(${len(params)}::text[]) "
        if self._job_id is not None:
            params.append(self._job_id)
            chosen += f"and job_id = ${len(params)} "
        return chosen, params

    async def job(self, job_id: str) -> JobDetails:
        """What became of one job.

        Raises:
            NotFound: the store has no such job.
        """
        queries = self._workbench.metrics.queries
        view = await self._view_of(job_id)
        # Of one that has just ended, its nodes may not have been written yet.
        await self._workbench.metrics.collector.flush()
        attempts = await queries.of_job(job_id)
        nodes = await queries.nodes(job_id)
        used = [row for row in attempts if row["started_at"] is not None]
        begun = min((row["started_at"] for row in used), default=None)
        seconds = sum(row["measured_seconds"] or 0.0 for row in used)
        waits = [row["wait_seconds"] for row in used if row["wait_seconds"] is not None]
        return JobDetails(
            id=job_id,
            name=view.name,
            status=view.status,
            backends=tuple(dict.fromkeys(row["backend"] for row in used)),
            started_at=begun,
            completed_at=max(
                (row["completed_at"] for row in used if row["completed_at"]), default=None
            ),
            waited=min(waits, default=None),
            vram_peak=_most(used, "gpu_memory_peak"),
            vram_total=await self._vram_of([row["backend_id"] for row in used]),
            energy_joules=_sum(used, "energy_joules"),
            gpu_utilization=(
                sum(
                    row["gpu_utilization"] * (row["measured_seconds"] or 0.0)
                    for row in used
                    if row["gpu_utilization"] is not None
                )
                / seconds
                if seconds and any(row["gpu_utilization"] is not None for row in used)
                else None
            ),
            gpu_temperature_max=_most(used, "gpu_temperature_max"),
            cached_nodes=_sum(used, "cached_nodes"),
            error=view.error,
            values=dict(view.values),
            nodes=[] if begun is None else [_node(row, begun) for row in nodes],
            images=view.images,
        )

    async def _view_of(self, job_id: str) -> Any:
        workbench = self._workbench
        live = workbench.engine.live(job_id)
        if live is None:
            job = await workbench.store.journal.load_job(job_id)
            if job is None:
                raise NotFound(f"The store has no job {job_id!r}; it may have been deleted.")
            outputs = await workbench.store.journal.outputs_of([job_id])
            live = workbench.engine.attach_with(job, outputs)
        return live.view

    async def _vram_of(self, backends: Sequence[str]) -> int | None:
        """What the GPU has; unknown where the job ran on several kinds."""
        table = await self._workbench.store.sql(
            "select distinct gpu_memory_total from metrics_last where main "
            "and gpu_memory_total is not null and backend_id = any($1::text[])",
            [sorted(set(backends))],
        )
        return int(table[0]["gpu_memory_total"]) if len(table) == 1 else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _read(series: Series, table: Table) -> tuple[tuple[MetricLine, ...], tuple[JobSpan, ...]]:
    lines = tuple(
        MetricLine(
            line.backend,
            line.field,
            line.times.tolist(),
            [None if math.isnan(value) else value for value in line.values.tolist()],
            line.gpu,
        )
        for line in series
    )
    return lines, tuple(_span(row) for row in table)


def _span(row: Mapping[str, Any]) -> JobSpan:
    status = _STATUS.get(row["state"], JobStatus.LOST)
    start = row["started_at"].timestamp()
    end = None if row["completed_at"] is None else row["completed_at"].timestamp()
    if end is None and status is not JobStatus.RUNNING:
        end = start
    return JobSpan(
        row["job_id"],
        row["name"] or row["workflow"] or "job",
        row["backend"],
        status,
        start,
        end,
        _detail(row["parameter_values"]),
        row["prompt_id"],
    )


def _detail(stored: Any) -> str:
    values = json.loads(stored) if isinstance(stored, str) else stored
    if not isinstance(values, dict):
        return ""
    parts = (f"{one_line(name, 40)} {one_line(value, 80)}" for name, value in values.items())
    return one_line(", ".join(parts), MOST_DETAIL)


def _node(row: Mapping[str, Any], begun: datetime) -> NodeSpan:
    return NodeSpan(
        row["title"],
        row["class_type"],
        (row["started_at"] - begun).total_seconds(),
        (row["completed_at"] - begun).total_seconds(),
        row["model"],
    )


def _most(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None
