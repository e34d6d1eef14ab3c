"""What the widgets are told: frozen snapshots of jobs and backends, and how to watch them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from comfynb.models import DataType, JobStatus

__all__ = [
    "BackendView",
    "CandidateView",
    "ImageView",
    "JobView",
    "NodeView",
    "PortView",
    "PortsView",
    "QuestionView",
    "Watchable",
]

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ImageView:
    """One output file that lies on this machine (or will: ``path`` is None until downloaded)."""

    filename: str
    path: Path | None
    media_type: str
    size: int | None
    node_title: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class NodeView:
    """One canvas node in a job: status, progress 0-100, current step ("KSampler: 15/30").

    A node that runs once for each of several items is shown as one: ``runs`` and ``runs_done``
    count its executions.
    """

    canvas_node_id: str
    title: str
    status: JobStatus
    progress: float
    step: str | None
    backend: str | None
    error: str | None
    """One sentence; for a skipped node, why it was skipped."""
    traceback: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    runs: int = 1
    runs_done: int = 0
    images: tuple[ImageView, ...] = ()
    """The files that it has left so far."""
    preview: bytes | None = None
    preview_type: str = "image/jpeg"
    input_data: Mapping[str, object] = field(default_factory=dict)
    output_data: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A backend that may be answered with: ``problem`` says why it cannot run the node now."""

    backend_id: str
    name: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A node waits because its preferred backend cannot run it: which one shall take its place?"""

    job_id: str
    execution_id: str
    canvas_node_id: str
    node_title: str
    preferred: str
    """The preferred backend's name."""
    reason: str
    """Why it cannot run the node, as the end of a sentence."""
    candidates: tuple[CandidateView, ...] = ()
    """Backends other than the preferred one; those that can run it first."""


@dataclass(frozen=True, slots=True)
class PortView:
    """One port of a canvas node: ``name`` is what connections say, ``label`` what people read."""

    name: str
    label: str
    data_type: DataType
    required: bool = False
    """An input that must be connected (or set) before the graph can run."""
    many: bool = False
    """An input that takes any number of connections."""


@dataclass(frozen=True, slots=True)
class PortsView:
    """The ports of one canvas node, in the order in which they are drawn."""

    inputs: tuple[PortView, ...] = ()
    outputs: tuple[PortView, ...] = ()


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as a person sees it; ``progress`` is 0-100, ``preview`` a JPEG or PNG if one came."""

    id: str
    name: str
    status: JobStatus
    progress: float
    step: str | None
    backend: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    """One sentence; after a line break, the server's traceback."""
    nodes: tuple[NodeView, ...] = ()
    images: tuple[ImageView, ...] = ()
    preview: bytes | None = None
    preview_type: str = "image/jpeg"
    values: dict[str, object] = field(default_factory=dict)
    queue_position: int | None = None
    note: str | None = None
    """What happens right now in words, e.g. "waiting for a free backend"."""
    questions: tuple[QuestionView, ...] = ()
    """Nodes that wait for somebody to choose a backend."""


@dataclass(frozen=True, slots=True)
class BackendView:
    """A backend as a person sees it; memory in MB (10^6 bytes is never meant: MiB, as the seed)."""

    id: str
    name: str
    url: str
    enabled: bool
    online: bool | None
    """None until it was asked the first time."""
    version: str | None
    gpu: str | None
    vram_total: int | None
    vram_used: int | None
    queue_depth: int
    running: str | None
    """What it runs for us: the job's name and progress."""
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    last_seen: datetime | None
    error: str | None
    note: str | None = None
    """What is decided about it at the moment: that it is set aside because it keeps failing."""
    alerts: tuple[str, ...] = ()
    """What is wrong with the machine, in a few words each: too hot, memory or disk full, gone."""


class Watchable(Protocol[V_co]):
    """Something with a current view that says when it changed (at most 10 times a second)."""

    @property
    def view(self) -> V_co:
        """The current snapshot."""

    def watch(self, callback: Callable[[V_co], None]) -> Callable[[], None]:
        """Call ``callback`` on the event loop's thread after changes; returns the way to stop."""
