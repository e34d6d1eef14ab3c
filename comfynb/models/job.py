"""Jobs: one run of a canvas, and what became of each of its nodes."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from comfynb.models._base import (
    ForeignKey,
    JsonObject,
    Name,
    Percent,
    StoredModel,
    UtcDatetime,
    unique_ids,
    utcnow,
)
from comfynb.models.project import CanvasLayout

__all__ = ["Job", "JobStatus", "NodeExecution"]


class JobStatus(str, Enum):
    """Status of a job or node execution.

    SKIPPED and LOST are comfynb's own: a node on the side of a condition that was not taken, and
    a prompt that its server no longer knows.
    """

    PENDING = "pending"  # waiting to start
    RUNNING = "running"  # executing
    PAUSED = "paused"  # paused by the user
    COMPLETED = "completed"  # finished with success
    FAILED = "failed"  # an error occurred
    CANCELLED = "cancelled"  # cancelled by the user
    SKIPPED = "skipped"  # not on the path that was taken
    LOST = "lost"  # the server forgot it; its result is unknown

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to what has this status."""
        return self not in {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.PAUSED}


class NodeExecution(StoredModel):
    """Execution state of a single canvas node within a job."""

    table_name: ClassVar[str] = "node_executions"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "job_id": ForeignKey("jobs", on_delete="cascade"),
        "backend_id": ForeignKey("backends"),
    }

    id: Name
    """Unique identifier (UUID)."""
    job_id: Name
    canvas_node_id: Name
    backend_id: str | None = None
    status: JobStatus = JobStatus.PENDING
    comfy_prompt_id: str | None = None
    """ComfyUI's prompt id."""
    progress: Percent = 0.0
    """0 to 100 %."""
    current_step: str | None = None
    """What it does right now, e.g. 'KSampler: 15/30'."""
    input_data: JsonObject = Field(default_factory=dict)
    """Data from the nodes before it."""
    output_data: JsonObject | None = None
    """Data for the nodes after it."""
    started_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    error_message: str | None = None
    error_traceback: str | None = None


def _own_copy(layout: CanvasLayout) -> CanvasLayout:
    return layout.model_copy(deep=True)


class Job(StoredModel):
    """A complete job execution of an orchestration graph."""

    table_name: ClassVar[str] = "jobs"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {"project_id": ForeignKey("projects")}

    id: Name
    """Unique identifier (UUID)."""
    project_id: Name
    status: JobStatus = JobStatus.PENDING
    canvas_snapshot: Annotated[CanvasLayout, AfterValidator(_own_copy)]
    """The canvas as it was when the job began; a copy, so later edits do not reach it."""
    parameter_values: JsonObject = Field(default_factory=dict)
    """Values given by the user."""
    node_executions: Annotated[
        list[NodeExecution], AfterValidator(unique_ids("node executions"))
    ] = Field(default_factory=list)
    """Filled while it runs."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    started_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    error_message: str | None = None
    outputs: JsonObject = Field(default_factory=dict)
    """Final outputs of the OUTPUT nodes."""
