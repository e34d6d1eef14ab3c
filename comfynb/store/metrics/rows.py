"""What is stored of machines: samples of GPUs, spans of prompts' nodes, and their units."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["AVERAGED", "FIELDS", "NodeSpan", "Reading", "floor_time"]

AVERAGED: Final = (
    "gpu_utilization",
    "gpu_memory_used",
    "gpu_temperature",
    "power_watts",
    "cpu_utilization",
    "ram_used",
    "queue_depth",
)
"""Fields that roll-ups keep as mean, least and greatest value."""

FIELDS: Final[Mapping[str, str]] = {
    "gpu_utilization": "%",
    "gpu_memory_used": "MB",
    "gpu_memory_total": "MB",
    "gpu_temperature": "°C",
    "power_watts": "W",
    "cpu_utilization": "%",
    "ram_used": "MB",
    "ram_total": "MB",
    "queue_depth": "prompts",
    "disk_free": "MB",
    "disk_total": "MB",
}
"""What can be asked for over time, with units."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of one GPU; None where a value is unknown. Memory and disk in MB.

    ``began`` is when the sample before it was taken, None after a gap. ``energy_joules`` is what
    was used since then. ``main`` marks the GPU that ComfyUI computes on; the values of the whole
    machine stand there only.
    """

    backend_id: str
    taken_at: datetime
    began: datetime | None
    gpu: int = 0
    main: bool = True
    online: bool = True
    gpu_utilization: float | None = None
    gpu_memory_used: int | None = None
    gpu_memory_total: int | None = None
    gpu_temperature: int | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    cpu_utilization: float | None = None
    ram_used: int | None = None
    ram_total: int | None = None
    queue_depth: int | None = None
    disk_free: int | None = None
    disk_total: int | None = None
    active_job_id: str | None = None
    source: str | None = None
    gpu_name: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """When one node of a prompt ran; ``model`` is the model file that it names, if it does."""

    prompt_id: str
    index: int
    node_id: str
    class_type: str
    title: str
    model: str | None
    started_at: datetime
    completed_at: datetime


def floor_time(moment: datetime, seconds: int) -> datetime:
    """Return the last whole multiple of ``seconds`` (counted from 1970) before a time."""
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)
