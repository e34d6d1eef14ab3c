"""What the plots of metrics are told: lines of samples, spans of jobs, facts of one job."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from comfynb.engine.views import ImageView
from comfynb.models import JobStatus

__all__ = [
    "FIELDS",
    "FieldLook",
    "HeatView",
    "JobDetails",
    "JobSpan",
    "MetricLine",
    "MetricsSource",
    "MetricsWindow",
    "NodeSpan",
    "field_look",
]


@dataclass(frozen=True, slots=True)
class FieldLook:
    """How a field is drawn: its title, its unit, what a stored value is divided by for that unit,
    and the top of its axis where that is known (100 for percent)."""

    title: str
    unit: str
    scale: float = 1.0
    top: float | None = None
    whole: bool = False
    """Counted: drawn as steps, with no numbers between."""
    from_zero: bool = True
    """Whether its axis begins at 0."""

    @property
    def axis(self) -> str:
        """The axis title, with its unit on a second line."""
        return f"{self.title}<br>{self.unit}"


FIELDS: Final[dict[str, FieldLook]] = {
    "gpu_utilization": FieldLook("GPU", "%", top=100.0),
    "gpu_memory_used": FieldLook("VRAM", "GiB", scale=1024.0),
    "gpu_temperature": FieldLook("Temperature", "°C", from_zero=False),
    "power_watts": FieldLook("Power", "W"),
    "cpu_utilization": FieldLook("CPU", "%", top=100.0),
    "ram_used": FieldLook("RAM", "GiB", scale=1024.0),
    "queue_depth": FieldLook("Queue", "prompts", whole=True),
    "disk_free": FieldLook("Disk free", "GiB", scale=1024.0),
}
"""What is drawn without being asked for is the first seven, in this order."""


def field_look(name: str) -> FieldLook:
    """How ``name`` is drawn; one that is not in ``FIELDS`` by its own name, without a unit."""
    return FIELDS.get(name) or FieldLook(name.replace("_", " "), "")


@dataclass(frozen=True, slots=True)
class MetricLine:
    """The samples of one field of one GPU (or machine): ``times`` are UTC seconds since 1970,
    ascending; a value is None where samples are missing, and the line is broken there."""

    backend: str
    field: str
    times: Sequence[float]
    values: Sequence[float | None]
    gpu: int | None = None
    """Its number where the machine has several."""


@dataclass(frozen=True, slots=True)
class JobSpan:
    """One attempt of a job on a backend; ``end`` is None while it runs. Times as in MetricLine."""

    id: str
    """The job's."""
    name: str
    backend: str
    status: JobStatus
    start: float
    end: float | None
    detail: str = ""
    """Its parameters in a few words."""
    key: str = ""
    """The attempt's own id; the job's where that has only one."""


@dataclass(frozen=True, slots=True)
class MetricsWindow:
    """Everything drawn between ``start`` and ``end`` (UTC seconds since 1970)."""

    start: float
    end: float
    backends: Sequence[str] = ()
    """All that have a colour and a lane, in this order, whether there are samples or not."""
    lines: Sequence[MetricLine] = ()
    jobs: Sequence[JobSpan] = ()
    more_jobs: int = 0
    """Jobs that were left out because there are too many."""


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """When a node of a prompt ran, in seconds since its job's start."""

    title: str
    class_type: str
    start: float
    end: float
    model: str | None = None


@dataclass(frozen=True, slots=True)
class JobDetails:
    """What the panel tells of one job; None is unknown."""

    id: str
    name: str
    status: JobStatus
    backends: Sequence[str] = ()
    started_at: datetime | None = None
    completed_at: datetime | None = None
    waited: float | None = None
    """Seconds between being made and being begun."""
    vram_peak: int | None = None
    """MiB."""
    vram_total: int | None = None
    """MiB."""
    energy_joules: float | None = None
    gpu_utilization: float | None = None
    """Mean, in percent."""
    gpu_temperature_max: float | None = None
    """Degrees Celsius."""
    cached_nodes: int | None = None
    error: str | None = None
    values: dict[str, object] = field(default_factory=dict)
    nodes: Sequence[NodeSpan] = ()
    images: Sequence[ImageView] = ()


@dataclass(frozen=True, slots=True)
class HeatView:
    """A table of numbers to be coloured: ``cells[row][column]``, None where nothing is known."""

    title: str
    unit: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[float | None]]
    top: float | None = None
    """The end of the scale; the largest number without it."""


class MetricsSource(Protocol):
    """Where a plot gets its data from. Every call answers from threads, not from the loop."""

    async def window(self, start: float, end: float, points: int) -> MetricsWindow:
        """Everything between two times, each line of at most ``points`` points."""

    async def job(self, job_id: str) -> JobDetails:
        """What became of one job. Raises NotFound."""

    def now(self) -> float:
        """The end of a live window, in UTC seconds since 1970."""
