"""What the widgets are told about a sweep: frozen snapshots of its points and of how it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from comfynb.models import JobStatus, SweepStatus

__all__ = ["BackendShare", "PictureView", "PointView", "SweepView"]


@dataclass(frozen=True, slots=True)
class PictureView:
    """One picture that a point made; ``key`` names it in the store, for its rating."""

    key: tuple[str, str, str, int]
    """(prompt id, node id, kind, index)."""
    filename: str
    path: Path | None
    media_type: str
    width: int | None = None
    height: int | None = None
    rating: float | None = None
    """0 to 5, as a person gave it."""


@dataclass(frozen=True, slots=True)
class PointView:
    """One point: its values, how far it is, and what it made."""

    index: int
    values: Mapping[str, Any]
    status: JobStatus
    """PENDING until a backend runs it."""
    job_id: str | None = None
    linked: bool = False
    """Computed before, or for another point: nothing ran for this one."""
    backend: str | None = None
    seconds: float | None = None
    """How long its prompts ran."""
    error: str | None = None
    score: float | None = None
    """What a score function gave."""
    pictures: tuple[PictureView, ...] = ()

    @property
    def rating(self) -> float | None:
        """The mean of what a person gave its pictures; None if nobody rated one."""
        rated = [picture.rating for picture in self.pictures if picture.rating is not None]
        return sum(rated) / len(rated) if rated else None


@dataclass(frozen=True, slots=True)
class BackendShare:
    """What one backend did for a sweep."""

    name: str
    completed: int
    failed: int
    running: int
    seconds: float
    """All together that its completed points ran."""

    @property
    def seconds_per_point(self) -> float | None:
        """What a point costs there; None before one is completed."""
        return self.seconds / self.completed if self.completed else None


@dataclass(frozen=True, slots=True)
class SweepView:
    """A sweep as a person sees it now; ``points`` in the order of their numbers."""

    id: str
    name: str
    status: SweepStatus
    axes: tuple[str, ...]
    """The parameters that vary, in order."""
    points: tuple[PointView, ...]
    counts: Mapping[JobStatus, int]
    linked: int
    backends: tuple[BackendShare, ...]
    created_at: datetime
    completed_at: datetime | None
    per_minute: float | None = None
    """Points that ended lately, a minute."""
    seconds_left: float | None = None
    note: str | None = None
    """What happens right now in words."""
    mine: bool = True
    """Whether this kernel runs it; else it can only be looked at."""
    scored: bool = False
    """Whether a score is looked for: then the best points matter."""
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many points are over, one way or another."""
        return sum(number for status, number in self.counts.items() if status.is_terminal)
