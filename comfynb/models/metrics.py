"""What a backend's GPU, processor, memory and queue did at one moment."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from comfynb.models._base import (
    Count,
    ForeignKey,
    Name,
    Percent,
    StoredModel,
    UtcDatetime,
    utcnow,
)

__all__ = ["MetricsSnapshot"]


class MetricsSnapshot(StoredModel):
    """Point-in-time metrics snapshot for a backend.

    The table ``metrics`` holds more, and has a word for unknown; the view ``metrics_snapshots``
    gives its complete rows in this shape.
    """

    table_name: ClassVar[str] = "metrics_snapshots"
    is_view: ClassVar[bool] = True
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {"backend_id": ForeignKey("backends")}

    id: Name
    """Unique identifier (UUID)."""
    backend_id: Name
    timestamp: UtcDatetime = Field(default_factory=utcnow)
    gpu_memory_used: Count
    """VRAM in use, MB."""
    gpu_memory_total: Count
    """VRAM in MB."""
    gpu_utilization: Percent
    """0 to 100 %."""
    gpu_temperature: int
    """Degrees Celsius."""
    cpu_utilization: Percent
    """0 to 100 %."""
    ram_used: Count
    """RAM in use, MB."""
    ram_total: Count
    """RAM in MB."""
    queue_depth: Count
    """Prompts in its queue."""
    active_job_id: str | None = None
    """The job that ran."""
