"""``wb.metrics``: what the machines did, which job made them do it, and what is wrong now."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from comfynb.comfy import parse_address
from comfynb.engine.metrics import CollectorStatus, MetricsCollector, MetricsSettings, Reading
from comfynb.engine.metrics.queries import MetricsQueries
from comfynb.engine.metrics.series import Series
from comfynb.errors import InvalidValue, UsageError
from comfynb.models import utcnow
from comfynb.store import Pending, Table
from comfynb.workbench.metrics.plot import MetricsPlots

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Metrics", "agent_secret", "seconds_of"]

FIELDS: Final = (
    "gpu_utilization",
    "gpu_memory_used",
    "gpu_temperature",
    "power_watts",
    "cpu_utilization",
    "ram_used",
    "queue_depth",
)
"""What is asked for without being named."""

_LENGTH: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

Moment = datetime | float


def seconds_of(length: str | float | timedelta) -> float:
    """Read "90s", "15m", "1h", "7d", "2w", a number of seconds, or a timedelta.

    Raises:
        InvalidValue: it is none of these, or not longer than nothing.
    """
    if isinstance(length, timedelta):
        seconds = length.total_seconds()
    elif isinstance(length, str):
        match = _LENGTH.fullmatch(length)
        if match is None:
            raise InvalidValue(f'{length!r:.40} is no length of time: write "15m", "1h" or "7d"')
        seconds = float(match[1]) * _SECONDS[match[2]]
    else:
        seconds = float(length)
    if not 0 < seconds < 1e10:
        raise InvalidValue(f"{length!r:.40} is no length of time")
    return seconds


def _moment(value: Moment) -> datetime:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidValue("a time needs a zone: datetime.now(UTC), or .astimezone()")
        return value
    return datetime.fromtimestamp(value, tz=utcnow().tzinfo)


class Metrics(MetricsPlots):
    """Samples of every backend, summed up over time, on one axis with the jobs.

    What is asked for by ``last=`` is the time up to now: "15m", "1h", "7d". Times have a zone.
    Everything is in the store too: ``wb.sql("select * from workflow_usage")``; docs/analytics.md
    explains the tables and views.
    """

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench
        self.queries = MetricsQueries(workbench.store)
        """The same questions, to be awaited where the loop must not wait."""
        self.collector = MetricsCollector(
            workbench.store,
            workbench.engine,
            report=workbench.report,
            token=lambda backend_id: workbench.secrets.get(agent_secret(backend_id)),
        )

    # Over time --------------------------------------------------------------------------------

    def series(
        self,
        fields: str | Sequence[str] = FIELDS,
        backends: str | Iterable[str] | None = None,
        *,
        last: str | float | timedelta = "1h",
        start: Moment | None = None,
        end: Moment | None = None,
        points: int = 2000,
        gpu: int | None = None,
    ) -> Series:
        """Lines for a plot: at most ``points`` points each, from the level that is fine enough.

        ``backends`` are names or ids; all without it. ``gpu`` is a GPU's index; without it, the
        one that ComfyUI computes on. ``start`` and ``end`` instead of ``last``.

        Raises:
            UsageError: there is no such field.
            NotFound: there is no such backend.
            InvalidValue: the times make no sense.
        """
        return self.request(
            fields, backends, last=last, start=start, end=end, points=points, gpu=gpu
        ).result()

    def request(
        self,
        fields: str | Sequence[str] = FIELDS,
        backends: str | Iterable[str] | None = None,
        *,
        last: str | float | timedelta = "1h",
        start: Moment | None = None,
        end: Moment | None = None,
        points: int = 2000,
        gpu: int | None = None,
    ) -> Pending[Series]:
        """As :meth:`series`, to be awaited."""
        since, until = self._window(last, start, end)
        return self.queries.series(
            (fields,) if isinstance(fields, str) else tuple(fields),
            since,
            until,
            names={b.id: b.name for b in self._workbench.backends},
            backends=self._ids(backends),
            gpu=gpu,
            points=points,
        )

    def _window(
        self, last: str | float | timedelta, start: Moment | None, end: Moment | None
    ) -> tuple[datetime, datetime]:
        until = utcnow() if end is None else _moment(end)
        if start is not None:
            return _moment(start), until
        return until - timedelta(seconds=seconds_of(last)), until

    def _ids(self, backends: str | Iterable[str] | None) -> list[str] | None:
        if backends is None:
            return None
        named = [backends] if isinstance(backends, str) else list(backends)
        return [self._workbench.backends[name].id for name in named]

    # Tables -----------------------------------------------------------------------------------

    def now(self) -> Table:
        """The newest values of each GPU."""
        return self.queries.now().result()

    def alerts(self, last: str | float | timedelta | None = None) -> Table:
        """What is wrong now; with ``last``, also what was."""
        since = None if last is None else utcnow() - timedelta(seconds=seconds_of(last))
        return self.queries.alerts(since).result()

    def gaps(self, last: str | float | timedelta = "1d") -> Table:
        """When nothing was measured, and whether the machine or the collecting was away."""
        return self.queries.gaps(*self._window(last, None, None)).result()

    def prompts(
        self,
        last: str | float | timedelta = "1h",
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        backends: str | Iterable[str] | None = None,
    ) -> Table:
        """What ran, attempt by attempt: waiting, duration, peak VRAM, energy, cached nodes."""
        window = self._window(last, start, end)
        return self.queries.prompts(*window, self._ids(backends)).result()

    def usage(self, by: str = "workflow") -> Table:
        """Durations, success, peak VRAM, energy by "workflow" (and backend), "job" or "backend"."""
        if by not in {"workflow", "job", "backend"}:
            raise UsageError(f'by must be "workflow", "job" or "backend", not {by!r:.40}')
        return self.queries.usage(by).result()

    def throughput(self, last: str | float | timedelta = "7d") -> Table:
        """What each backend did hour by hour: prompts, success rate, waiting, energy."""
        return self.queries.throughput(*self._window(last, None, None)).result()

    def demand(self) -> Table:
        """Which backend to buy more of, best first; docs/analytics.md says what the score means."""
        return self.queries.demand().result()

    # Collecting -------------------------------------------------------------------------------

    @property
    def status(self) -> list[CollectorStatus]:
        """How collecting goes: where values come from, how often, and what was dropped."""
        return self.collector.status

    @property
    def settings(self) -> MetricsSettings:
        """Intervals, retention and thresholds."""
        return self.collector.settings

    def configure(self, **settings: float | None) -> MetricsSettings:
        """Change settings for all kernels on this store; None takes one back to its default.

        ``wb.metrics.configure(temperature=80, raw_hours=48)``; others read them within a minute.
        """
        changed = self.settings.changed(settings)
        self.collector.journal.set(settings).result()
        self._workbench.host.ask(self.collector.use, changed)
        return changed

    def agent(self, backend: str, url: str | None = None, *, token: str | None = None) -> None:
        """Say where a backend's agent answers, or with which token.

        Without ``url`` it is looked for on ComfyUI's own port and on port 8189 of its machine. The
        token is kept in a file that only you can read, never in the store.
        """
        live = self._workbench.backends[backend]._live  # noqa: SLF001 - a neighbour's
        address = None
        if url is not None:
            parsed, found = parse_address(url)
            if found is not None:
                raise UsageError("Give the agent's token as token=, not in its address.")
            address = parsed.base_url
        secret = agent_secret(live.id)
        if token is not None:
            self._workbench.secrets.set(secret, token)
        else:
            self._workbench.secrets.remove(secret)
        self._workbench.known_backends.change(live, agent_url=address)
        self._workbench.host.ask(self.collector.look_for_agents)

    def watch(self, callback: Callable[[Sequence[Reading]], None]) -> Callable[[], None]:
        """Call ``callback`` with the rows of each sample as this kernel takes it, on the loop's
        thread; returns the way to stop. Nothing comes while another kernel collects."""
        return self._workbench.host.ask(self.collector.watch, callback)

    def start(self) -> None:
        """Collect again after :meth:`stop`."""
        self._workbench.host.ask(self.collector.start)

    def stop(self) -> None:
        """Collect no more in this kernel; another one on the same store takes over."""
        self._workbench.host.ask(self.collector.stop)

    def __repr__(self) -> str:
        lines = []
        for one in self.status:
            if not one.mine:
                state = "another kernel collects" if one.samples == 0 else "handed over"
            elif one.source is None:
                state = one.error or "not asked yet"
            else:
                state = f"{one.source}, every {one.interval:g} s, {one.samples} samples"
            dropped = f", {one.dropped} dropped" if one.dropped else ""
            lines.append(f"{one.backend}: {state}{dropped}")
        return "\n".join(lines) or "no backends yet: wb.backends.add(...)"


def agent_secret(backend_id: str) -> str:
    """The name under which a backend's agent's token is kept."""
    return f"{backend_id}/agent"
