"""Puts one snapshot together out of what the readers tell, and says what is missing from it."""

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, TypeVar

from . import SCHEMA_VERSION, __version__, openmetrics
from .disks import DiskReader
from .fields import DISK, HOST, SUMMARY
from .host import HostReader
from .nvml import GpuReading, NvmlReader
from .queues import QueueReading, QueueSource
from .worker import Answer, Worker

__all__ = ["Collector", "Snapshot"]

DISK_AGE = 10.0
"""Seconds between two looks at the disks."""

_MIB = 1024 * 1024
_OF_GPU = [
    field.key for field in SUMMARY if field.key.startswith("gpu_") and field.key != "gpu_index"
]

T = TypeVar("T")


class Snapshot:
    """One snapshot as JSON values; its texts are made once for all who want them."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @cached_property
    def body(self) -> bytes:
        """The JSON text."""
        return json.dumps(self.data, separators=(",", ":"), allow_nan=False).encode()

    @cached_property
    def openmetrics(self) -> bytes:
        """The OpenMetrics text."""
        return openmetrics.render(self.data)


class Collector:
    """Takes snapshots when asked; nothing is read while nobody asks.

    ``gpus``, ``host`` and ``disks`` are read in a thread each. ``mode`` is "standalone" or
    "comfyui". ``owner_gpus`` returns the UUIDs of the GPUs that this ComfyUI computes on, where
    its own process tells them.
    """

    def __init__(
        self,
        *,
        gpus: NvmlReader,
        disks: DiskReader,
        queue: QueueSource,
        backend_id: str,
        mode: str,
        owner_gpus: Callable[[], set[str]] = set,
        host: HostReader | None = None,
        patience: float = 2.0,
    ) -> None:
        self._backend_id = backend_id
        self._mode = mode
        self._owner_gpus = owner_gpus
        self._disk_reader = disks
        self._gpus = Worker("comfynb-agent-nvml", gpus.read, patience=patience, end=gpus.close)
        self._host = Worker("comfynb-agent-host", (host or HostReader()).read, patience=patience)
        self._disks = Worker("comfynb-agent-disks", disks.read, patience=patience)
        self._queue = queue
        self._started = _now()
        self._sequence = 0
        self._last_seen: str | None = None
        self._latest: Snapshot | None = None
        self._taken = float("-inf")
        self._lock: asyncio.Lock | None = None

    async def snapshot(self, max_age: float) -> Snapshot:
        """Return a snapshot that is not older than ``max_age`` seconds.

        It takes as long as the slowest reader, but never much longer than their patience.
        """
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            if self._latest is None or time.monotonic() - self._taken > max_age:
                self._latest = await self._take(max_age)
                self._taken = time.monotonic()
            return self._latest

    async def close(self) -> None:
        """Let the threads end."""
        for worker in (self._gpus, self._host, self._disks):
            worker.close()
        await self._queue.close()

    async def _take(self, max_age: float) -> Snapshot:
        gpus, host, disks, queue = await asyncio.gather(
            self._gpus.ask(max_age),
            self._host.ask(max_age),
            self._disks.ask(DISK_AGE),
            self._queue.ask(),
        )
        timestamp = _now()
        if queue.online:
            self._last_seen = timestamp
        missing: list[str] = []
        reading = self._of_gpus(gpus, missing)
        host_values = {field.key: None for field in HOST}
        host_values.update(_value(host, "The machine's processors and memory", missing) or {})
        shown_disks = self._of_disks(disks, missing)
        missing += queue.missing
        self._sequence += 1
        data = {
            **self._summary(reading, host_values, queue, timestamp),
            "gpus": reading.gpus,
            "host": host_values,
            "disks": shown_disks,
            "comfyui": {
                "source": queue.source,
                "online": queue.online,
                "running": queue.running,
                "pending": queue.pending,
                "running_prompt_ids": queue.running_prompt_ids,
            },
            "agent": {
                "version": __version__,
                "mode": self._mode,
                "pid": os.getpid(),
                "started": self._started,
                "driver_version": reading.driver_version,
            },
            "missing": missing,
        }
        return Snapshot(data)

    def _of_gpus(self, answer: Answer[GpuReading], missing: list[str]) -> GpuReading:
        reading = answer.value or GpuReading()
        if answer.late is None and answer.error is None:
            missing += reading.missing
            owned = self._owned(missing)
            gpus = [
                {**gpu, "comfyui": True} if gpu["uuid"] in owned else gpu for gpu in reading.gpus
            ]
            return GpuReading(gpus, [], reading.driver_version)
        if answer.error is not None:
            missing.append(f"The GPUs could not be read: {answer.error:.300}.")
        else:
            missing.append(
                f"NVML has not answered for {answer.late:.0f} s: nothing is known of the GPUs."
            )
        return GpuReading(reading.silenced(), [], reading.driver_version)

    def _owned(self, missing: list[str]) -> set[str]:
        try:
            return self._owner_gpus()
        except RuntimeError as error:  # CUDA's, of a GPU that is lost
            told = str(error)
            missing.append(f"The GPUs that ComfyUI computes on cannot be told: {told:.300}.")
            return set()

    def _of_disks(
        self, answer: Answer[tuple[list[dict[str, Any]], list[str]]], missing: list[str]
    ) -> list[dict[str, Any]]:
        at = self._disk_reader.at
        what = "The disks" if at is None else f"The disks (at the folder {at})"
        value = _value(answer, what, missing)
        if value is None:
            known = answer.value[0] if answer.value is not None else []
            blank = {field.key: None for field in DISK}
            return [{**blank, "role": disk["role"], "path": disk["path"]} for disk in known]
        disks, complaints = value
        missing += complaints
        return disks

    def _summary(
        self,
        reading: GpuReading,
        host: dict[str, Any],
        queue: QueueReading,
        timestamp: str,
    ) -> dict[str, Any]:
        """Return the fields of the two metrics models, of one GPU and in their units."""
        gpu = next((gpu for gpu in reading.gpus if gpu["comfyui"]), None)
        gpu = gpu or next(iter(reading.gpus), {"index": None})
        ids = queue.running_prompt_ids
        running = ids[0] if ids else None
        known = queue.running is not None and queue.pending is not None
        return {
            "schema_version": SCHEMA_VERSION,
            "id": str(uuid.uuid4()),
            "sequence": self._sequence,
            "timestamp": timestamp,
            "backend_id": self._backend_id,
            "online": queue.online,
            "last_seen": self._last_seen,
            "current_job_id": running,
            "active_job_id": running,
            "queue_depth": (queue.running or 0) + (queue.pending or 0) if known else None,
            "cpu_utilization": host["cpu_utilization"],
            "ram_total": _mb(host["ram_total_bytes"]),
            "ram_used": _mb(host["ram_used_bytes"]),
            "gpu_index": gpu["index"],
            **{key: gpu.get(key) for key in _OF_GPU},
        }


def _value(answer: Answer[T], what: str, missing: list[str]) -> T | None:
    """Return what was read just now, or say why there is nothing."""
    if answer.error is not None:
        missing.append(f"{what} could not be read: {answer.error:.300}.")
        return None
    if answer.late is not None:
        missing.append(f"{what} did not answer for {answer.late:.0f} s.")
        return None
    return answer.value


def _mb(value: int | None) -> int | None:
    return None if value is None else value // _MIB


def _now() -> str:
    # The class, not datetime.UTC: that came with Python 3.11.
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
