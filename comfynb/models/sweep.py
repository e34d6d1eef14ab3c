"""Sweeps: many points of one workflow from one call, and what people thought of the pictures."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar

from pydantic import Field

from comfynb.models._base import (
    Count,
    ForeignKey,
    JsonObject,
    JsonValue,
    Name,
    Sha256,
    StoredModel,
    UtcDatetime,
    new_id,
    utcnow,
)

__all__ = ["PictureRating", "SweepKind", "SweepPointRecord", "SweepRecord", "SweepStatus"]


class SweepStatus(str, Enum):
    """How a sweep as a whole is; its points have the status of their jobs."""

    RUNNING = "running"
    PAUSED = "paused"  # nothing new is sent
    COMPLETED = "completed"  # every point has ended, well or not
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens to it unless somebody asks."""
        return self in {SweepStatus.COMPLETED, SweepStatus.CANCELLED}


class SweepKind(str, Enum):
    """Who chooses the points."""

    SWEEP = "sweep"  # they were all known at the start
    STUDY = "study"  # the next ones depend on the scores of earlier ones


class SweepRecord(StoredModel):
    """One sweep: what was asked for, and all that is needed to go on in another kernel."""

    table_name: ClassVar[str] = "sweeps"

    id: Name = Field(default_factory=new_id)
    name: Name
    kind: SweepKind = SweepKind.SWEEP
    status: SweepStatus = SweepStatus.RUNNING
    axes: list[Name] = Field(default_factory=list)
    """The parameters that vary, in order."""
    seed: Count = 0
    """What draws were made by: the same seed makes the same points."""
    again: bool = False
    """Whether points are computed although they were before."""
    spec: JsonObject = Field(default_factory=dict)
    """What was asked for, in a form that people can read."""
    targets: Annotated[list[JsonValue], Field(default_factory=list)]
    """What the points run: frozen job snapshots, and which parameter each value goes to."""
    owner_id: str | None = None
    """Who hands its points out: the store's owner of that kernel."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    updated_at: UtcDatetime = Field(default_factory=utcnow)
    completed_at: UtcDatetime | None = None


class SweepPointRecord(StoredModel):
    """One point of a sweep; its status is that of its job, and ``pending`` while it has none."""

    table_name: ClassVar[str] = "points"
    primary_key: ClassVar[tuple[str, ...]] = ("sweep_id", "index")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "sweep_id": ForeignKey("sweeps", on_delete="cascade"),
        "job_id": ForeignKey("jobs", on_delete="set null"),
    }

    sweep_id: Name
    index: Count
    """From 0, in the order in which the axes were given."""
    place: Count = 0
    """From 0, in the order in which points are handed out."""
    target: Count = 0
    """Which of the sweep's targets it runs."""
    values: JsonObject = Field(default_factory=dict)
    """By the names of the axes, as they are sent."""
    key: Sha256 | None = None
    """What tells it from others, once it was handed out: see ``comfynb.engine.sweeps.keys``."""
    job_id: str | None = None
    linked: bool = False
    """Its job was made for another point with the same key."""
    score: float | None = None


class PictureRating(StoredModel):
    """What a person thought of one picture."""

    table_name: ClassVar[str] = "ratings"
    primary_key: ClassVar[tuple[str, ...]] = ("prompt_id", "node_id", "kind", "index")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "prompt_id": ForeignKey("prompts", "prompt_id", "cascade")
    }

    prompt_id: Name
    node_id: Name
    kind: Name
    index: Count
    rating: Annotated[float, Field(ge=0, le=5)]
    """0 to 5 stars."""
    rated_at: UtcDatetime = Field(default_factory=utcnow)
