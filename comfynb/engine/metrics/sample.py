"""From what a machine told at one moment to the rows that are stored of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from comfynb.comfy.agent_snapshot import AgentSnapshot, DiskState, GpuState
from comfynb.store.metrics import Reading

__all__ = ["fullest", "readings_of"]

MEBIBYTE: Final = 1024 * 1024


def _mb(value: int | None) -> int | None:
    return None if value is None else value // MEBIBYTE


def fullest(disks: tuple[DiskState, ...]) -> DiskState | None:
    """Return the disk with the least share of free space; None where none tells both sizes."""
    known = [
        (d.free / d.total, n, d) for n, d in enumerate(disks) if d.total and d.free is not None
    ]
    return min(known)[2] if known else None


def readings_of(
    snapshot: AgentSnapshot,
    backend_id: str,
    taken_at: datetime,
    previous: Mapping[int, Reading] | None,
    *,
    active_job_id: str | None = None,
    note: str | None = None,
) -> list[Reading]:
    """Give one row for each GPU (one without GPU values where there is none), the main one first.

    ``previous`` are the rows of the sample before, by GPU, or None after a gap: then nothing is
    said of the time since.
    """
    main = snapshot.gpu()
    others = [gpu for gpu in snapshot.gpus if gpu is not main]
    disk = fullest(snapshot.disks)
    rows = []
    seen: set[int] = set()
    for gpu in [main, *others]:
        index = gpu.index if gpu is not None else 0
        if index in seen:
            continue
        seen.add(index)
        before = previous.get(index) if previous is not None else None
        began = before.taken_at if before is not None else None
        first = gpu is main
        rows.append(
            Reading(
                backend_id=backend_id,
                taken_at=taken_at,
                began=began,
                gpu=index,
                main=first,
                online=True,
                gpu_utilization=gpu.utilization if gpu else None,
                gpu_memory_used=_mb(gpu.memory_used) if gpu else None,
                gpu_memory_total=_mb(gpu.memory_total) if gpu else None,
                gpu_temperature=gpu.temperature if gpu else None,
                power_watts=gpu.power_watts if gpu else None,
                energy_joules=_energy(gpu, before, taken_at),
                cpu_utilization=snapshot.cpu_utilization if first else None,
                ram_used=_mb(snapshot.ram_used) if first else None,
                ram_total=_mb(snapshot.ram_total) if first else None,
                queue_depth=snapshot.queue_depth if first else None,
                disk_free=_mb(disk.free) if first and disk else None,
                disk_total=_mb(disk.total) if first and disk else None,
                active_job_id=active_job_id if first else None,
                source=snapshot.source,
                gpu_name=gpu.name if gpu else None,
                note=note,
            )
        )
    return rows


def _energy(gpu: GpuState | None, before: Reading | None, taken_at: datetime) -> float | None:
    """Joules since the sample before: the mean of both powers times the time between them."""
    if gpu is None or before is None or gpu.power_watts is None or before.power_watts is None:
        return None
    seconds = (taken_at - before.taken_at).total_seconds()
    return (gpu.power_watts + before.power_watts) / 2 * seconds
