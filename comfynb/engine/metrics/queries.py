"""What can be asked of the metrics: each answer is Pending, to be awaited or waited for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from comfynb.engine.metrics.series import Series, read_series
from comfynb.store import Pending, Store, Table, View

__all__ = ["VIEWS", "MetricsQueries"]

VIEWS: Final = (
    "metrics_now",
    "metrics_history",
    "metrics_gaps",
    "metrics_snapshots",
    "alerts_open",
    "prompt_usage",
    "job_usage",
    "workflow_usage",
    "backend_hours",
    "utilization_hours",
    "utilization_heatmap",
    "backend_demand",
)
"""The views that docs/analytics.md explains."""


class MetricsQueries:
    """Questions to one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def series(
        self,
        fields: Sequence[str],
        start: datetime,
        end: datetime,
        *,
        names: Mapping[str, str],
        backends: Sequence[str] | None = None,
        gpu: int | None = None,
        points: int = 2000,
    ) -> Pending[Series]:
        """Lines for a plot; see `read_series`. Works in the store's read thread."""

        def read(view: View) -> Series:
            return read_series(
                view, fields, start, end,
                names=names, backends=backends, gpu=gpu, points=points,
            )  # fmt: skip

        return self._store.read(read, "series")

    def now(self) -> Pending[Table]:
        """The newest sample of each GPU: view ``metrics_now``."""
        return self._store.sql("select * from metrics_now order by backend, gpu")

    def alerts(self, since: datetime | None = None) -> Pending[Table]:
        """Alerts that are open, or all that were since a time."""
        return self._store.sql(
            "select alerts.id, coalesce(backends.name, alerts.backend_id) as backend, "
            "alerts.backend_id, alerts.kind, alerts.gpu, alerts.opened_at, alerts.closed_at, "
            "alerts.value, alerts.threshold, alerts.message "
            "from alerts left join backends on backends.id = alerts.backend_id "
            "where alerts.closed_at is null or alerts.closed_at >= $1::timestamptz "
            "order by alerts.opened_at",
            [since or datetime(9999, 1, 1, tzinfo=UTC)],
        )

    def gaps(self, start: datetime, end: datetime) -> Pending[Table]:
        """Times without samples, as long as samples are kept: view ``metrics_gaps``."""
        return self._store.sql(
            "select * from metrics_gaps where ended >= $1 and began < $2 order by began",
            [start, end],
        )

    def prompts(
        self, start: datetime, end: datetime, backends: Sequence[str] | None = None
    ) -> Pending[Table]:
        """What ran between two times: rows of ``prompt_usage``, oldest first."""
        chosen = "" if backends is None else "and backend_id = any($3::text[]) "
        return self._store.sql(
            "select * from prompt_usage where started_at < $2 "  # noqa: S608 - no foreign text
            f"and coalesce(completed_at, $2) >= $1 {chosen}order by started_at",
            [start, end] if backends is None else [start, end, list(backends)],
        )

    def of_job(self, job_id: str) -> Pending[Table]:
        """What each attempt of one job was and cost: rows of ``prompt_usage``."""
        return self._store.sql(
            "select * from prompt_usage where job_id = $1 order by started_at, prompt_id", [job_id]
        )

    def nodes(self, job_id: str) -> Pending[Table]:
        """Which ComfyUI nodes ran for a job, and when."""
        return self._store.sql(
            'select prompts.prompt_id, prompts.backend_id, n."index", n.node_id, n.class_type, '
            "n.title, n.model, n.started_at, n.completed_at, "
            "cast(extract(epoch from n.completed_at - n.started_at) as double precision) "
            "as seconds from prompts join prompt_nodes as n on n.prompt_id = prompts.prompt_id "
            'where prompts.job_id = $1 order by n.started_at, n."index"',
            [job_id],
        )

    def samples(self, job_id: str) -> Pending[Table]:
        """The samples of the machines that ran a job, while they did: for a DataFrame."""
        return self._store.sql(
            "select coalesce(backends.name, m.backend_id) as backend, m.gpu, m.main, "
            "m.ended as taken_at, "
            "cast(extract(epoch from m.ended - p.started_at) as double precision) as second, "
            "m.step_seconds, m.gpu_utilization, m.gpu_memory_used, m.gpu_memory_total, "
            "m.gpu_temperature, m.power_watts, m.energy_joules, m.cpu_utilization, m.ram_used, "
            "m.queue_depth, p.prompt_id, p.attempt "
            "from prompts as p "
            "join metrics_history as m on m.backend_id = p.backend_id "
            "and m.ended > p.started_at "
            "and coalesce(m.began, m.ended) < coalesce(p.completed_at, now()) "
            "left join backends on backends.id = m.backend_id "
            "where p.job_id = $1 order by m.ended, m.gpu",
            [job_id],
        )

    def usage(self, by: str = "workflow") -> Pending[Table]:
        """Energy, memory, durations and success by "job", "workflow" or "backend"."""
        return self._store.sql(_USAGE[by])

    def throughput(self, start: datetime, end: datetime) -> Pending[Table]:
        """What each backend did hour by hour: view ``backend_hours``."""
        return self._store.sql(
            "select * from backend_hours where hour >= date_trunc('hour', $1::timestamptz) "
            "and hour < $2 order by hour, backend",
            [start, end],
        )

    def heatmap(self, timezone: str = "UTC") -> Pending[Table]:
        """Mean GPU utilisation by weekday (1 is Monday) and hour, in a time zone."""
        if timezone == "UTC":
            return self._store.sql(
                "select * from utilization_heatmap order by backend, gpu, weekday, hour_of_day"
            )
        return self._store.sql(_HEATMAP, [timezone])

    def demand(self) -> Pending[Table]:
        """Which backend to buy more of: view ``backend_demand``, best first."""
        return self._store.sql("select * from backend_demand order by score desc nulls last")


_USAGE: Final = {
    "job": "select * from job_usage order by started_at desc",
    "workflow": "select * from workflow_usage order by workflow, backend",
    "backend": """
        select
            backend, backend_id, sum(prompts) as prompts, sum(completed) as completed,
            sum(failed) as failed, sum(busy_seconds) as busy_seconds,
            sum(wait_seconds * prompts) / nullif(sum(prompts), 0) as wait_seconds,
            sum(energy_wh) as energy_wh
        from backend_hours group by backend, backend_id order by backend
    """,
}

# The hours of a time zone need not begin where those of UTC do.
_HEATMAP: Final = """
select
    coalesce(backends.name, m.backend_id) as backend, m.backend_id, m.gpu,
    cast(extract(isodow from m.ended at time zone $1) as bigint) as weekday,
    cast(extract(hour from m.ended at time zone $1) as bigint) as hour_of_day,
    sum(m.seconds) as measured_seconds,
    sum(m.gpu_utilization * m.seconds)
        / nullif(sum(case when m.gpu_utilization is not null then m.seconds end), 0)
        as gpu_utilization
from metrics_history as m
left join backends on backends.id = m.backend_id
group by 1, 2, 3, 4, 5
order by 1, 3, 4, 5
"""
