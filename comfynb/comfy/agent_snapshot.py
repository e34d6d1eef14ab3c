"""What a metrics agent tells of one machine at one moment, read without trusting it.

Source: the OpenAPI document that an agent serves at ``/comfynb/openapi.json``. A value that is
absent, or lies outside what it can be, is None: nobody knows it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from comfynb.comfy.protocol import SystemStats
from comfynb.models import BackendStatus, MetricsSnapshot, new_id, utcnow

__all__ = ["SCHEMA_VERSION", "AgentSnapshot", "DiskState", "GpuProcess", "GpuState", "Metrics"]

SCHEMA_VERSION = 1

_MIB = 1024 * 1024
_MOST = 2**53
_MOST_LISTED = 256
_LONGEST_TEXT = 1000


class Metrics(NamedTuple):
    """A stored model, and which of its fields are 0 only because nobody knows them."""

    snapshot: MetricsSnapshot
    unknown: frozenset[str]


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A program on a GPU; ``memory_used`` in bytes."""

    pid: int
    name: str | None
    kind: str
    memory_used: int | None


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU: memory in bytes, utilisation in percent, temperature in degrees Celsius.

    ``more`` has whatever the agent tells of it, under the agent's names, whose units are in them
    or in its OpenAPI document: ``power_limit_watts``, ``clock_sm_mhz``, ``fan_speeds`` ...
    """

    index: int
    uuid: str | None
    name: str | None
    state: str
    """"ok", "lost", or "silent" where the driver does not answer."""
    comfyui: bool
    """Whether ComfyUI is known to compute on it."""
    memory_total: int | None = None
    memory_used: int | None = None
    utilization: float | None = None
    temperature: int | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    processes: tuple[GpuProcess, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DiskState:
    """The file system of a folder; sizes in bytes."""

    role: str
    path: str
    total: int | None
    free: int | None


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    """A machine at one moment; ``source`` is "agent" or "system_stats".

    ``taken`` is the machine's own clock, aware, in UTC. ``sequence`` counts an agent's snapshots:
    a gap in it means that some were not received.
    """

    source: str
    taken: datetime
    sequence: int | None = None
    online: bool | None = None
    queue_depth: int | None = None
    """Prompts that wait or run."""
    prompt_id: str | None = None
    """Of the prompt that runs."""
    cpu_utilization: float | None = None
    """0 to 100 %, all processors."""
    ram_total: int | None = None
    """Bytes."""
    ram_used: int | None = None
    """Bytes."""
    gpus: tuple[GpuState, ...] = ()
    disks: tuple[DiskState, ...] = ()
    missing: tuple[str, ...] = ()
    """Sentences on what could not be read."""

    @classmethod
    def parse(cls, raw: object) -> "AgentSnapshot | None":
        """Read an agent's answer; None where it is none, or of another schema version."""
        data = _dict(raw)
        taken = _time(data.get("timestamp"))
        if data.get("schema_version") != SCHEMA_VERSION or taken is None:
            return None
        host = _dict(data.get("host"))
        return cls(
            source="agent",
            taken=taken,
            sequence=_whole(data.get("sequence")),
            online=_flag(data.get("online")),
            queue_depth=_whole(data.get("queue_depth")),
            prompt_id=_text(data.get("current_job_id")),
            cpu_utilization=_percent(host.get("cpu_utilization")),
            ram_total=_whole(host.get("ram_total_bytes")),
            ram_used=_whole(host.get("ram_used_bytes")),
            gpus=tuple(_gpu(number, one) for number, one in enumerate(_dicts(data.get("gpus")))),
            disks=tuple(_disk(one) for one in _dicts(data.get("disks"))),
            missing=_texts(data.get("missing")),
        )

    @classmethod
    def from_system_stats(
        cls, stats: SystemStats, *, queue_depth: int | None = None, prompt_id: str | None = None
    ) -> "AgentSnapshot":
        """Tell what ComfyUI itself knows: memory, and neither utilisation nor temperature."""
        gpus = tuple(
            GpuState(
                index=device.index if device.index is not None else number,
                uuid=None,
                name=device.name or None,
                state="ok",
                comfyui=True,
                memory_total=device.vram_total,
                memory_used=max(0, device.vram_total - device.vram_free),
            )
            for number, device in enumerate(stats.devices)
            if device.type != "cpu"
        )
        sentence = (
            "No metrics agent answers, so utilisation, temperature and power are unknown: copy "
            "the agent into ComfyUI's custom_nodes, or run comfynb-agent beside it."
        )
        return cls(
            source="system_stats",
            taken=utcnow(),
            online=True,
            queue_depth=queue_depth,
            prompt_id=prompt_id,
            ram_total=stats.ram_total or None,
            ram_used=max(0, stats.ram_total - stats.ram_free) if stats.ram_total else None,
            gpus=gpus,
            missing=(sentence,),
        )

    def gpu(self, chosen: int | str | None = None) -> GpuState | None:
        """Give the GPU of that index or UUID; by default ComfyUI's, else the first."""
        if chosen is not None:
            return next((one for one in self.gpus if chosen in {one.index, one.uuid}), None)
        mine = (one for one in self.gpus if one.comfyui)
        return next(mine, None) or next(iter(self.gpus), None)

    def fields(self, chosen: int | str | None = None) -> dict[str, Any]:
        """Give the values of the metrics models' fields, in their units; None where unknown."""
        gpu = self.gpu(chosen)
        return {
            "gpu_name": gpu.name if gpu else None,
            "gpu_memory_used": _mb(gpu.memory_used) if gpu else None,
            "gpu_memory_total": _mb(gpu.memory_total) if gpu else None,
            "gpu_utilization": gpu.utilization if gpu else None,
            "gpu_temperature": gpu.temperature if gpu else None,
            "cpu_utilization": self.cpu_utilization,
            "ram_used": _mb(self.ram_used),
            "ram_total": _mb(self.ram_total),
            "queue_depth": self.queue_depth,
        }

    def metrics(
        self, backend_id: str, *, gpu: int | str | None = None, active_job_id: str | None = None
    ) -> Metrics:
        """Make the row to store for one GPU of a backend.

        The model has no word for unknown: such fields are 0 there, and named in ``unknown``.
        ``active_job_id`` is comfynb's; the agent knows only ``prompt_id``.
        """
        values = self.fields(gpu)
        del values["gpu_name"]
        snapshot = MetricsSnapshot(
            id=new_id(),
            backend_id=backend_id,
            timestamp=self.taken,
            active_job_id=active_job_id,
            **{name: 0 if value is None else value for name, value in values.items()},
        )
        return Metrics(snapshot, frozenset(n for n, value in values.items() if value is None))

    def tell(self, status: BackendStatus, *, gpu: int | str | None = None) -> None:
        """Write what is known into a backend's status; what is not stays as it was."""
        for name, value in self.fields(gpu).items():
            if value is not None:
                setattr(status, name, value)


_OWN = frozenset({"index", "uuid", "gpu_name", "state", "comfyui", "processes"})


def _gpu(number: int, raw: dict[str, Any]) -> GpuState:
    index = _whole(raw.get("index"))
    processes = tuple(
        GpuProcess(pid, _text(one.get("name")), _text(one.get("kind")) or "", memory)
        for one in _dicts(raw.get("processes"))
        for pid, memory in [(_whole(one.get("pid")), _whole(one.get("memory_used_bytes")))]
        if pid is not None
    )
    temperature = _number(raw.get("gpu_temperature"), -300, 1000)
    return GpuState(
        index=number if index is None else index,
        uuid=_text(raw.get("uuid")),
        name=_text(raw.get("gpu_name")),
        state=_text(raw.get("state")) or "",
        comfyui=raw.get("comfyui") is True,
        memory_total=_whole(raw.get("memory_total_bytes")),
        memory_used=_whole(raw.get("memory_used_bytes")),
        utilization=_percent(raw.get("gpu_utilization")),
        temperature=None if temperature is None else round(temperature),
        power_watts=_number(raw.get("power_usage_watts"), 0, _MOST),
        energy_joules=_number(raw.get("energy_joules"), 0, _MOST),
        throttle_reasons=_texts(raw.get("throttle_reasons")),
        processes=processes,
        more={
            key: value
            for key, value in raw.items()
            if key not in _OWN and (isinstance(value, bool) or _plain(value))
        },
    )


def _disk(raw: dict[str, Any]) -> DiskState:
    return DiskState(
        role=_text(raw.get("role")) or "",
        path=_text(raw.get("path")) or "",
        total=_whole(raw.get("total_bytes")),
        free=_whole(raw.get("free_bytes")),
    )


def _dict(raw: object) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _dicts(raw: object) -> list[dict[str, Any]]:
    found = raw if isinstance(raw, list) else []
    return [one for one in found[:_MOST_LISTED] if isinstance(one, dict)]


def _text(raw: object) -> str | None:
    """Read one line of text; what a machine calls itself may be anything."""
    if not isinstance(raw, str) or not raw:
        return None
    printable = "".join(c if c.isprintable() else " " for c in raw[:_LONGEST_TEXT])
    return printable.encode("utf-8", "replace").decode()


def _texts(raw: object) -> tuple[str, ...]:
    found = raw if isinstance(raw, list) else []
    return tuple(text for one in found[:_MOST_LISTED] if (text := _text(one)) is not None)


def _number(raw: object, low: float, high: float) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    # NaN fails both comparisons
    return float(raw) if low <= raw <= high else None


def _whole(raw: object) -> int | None:
    """Read a count or a size."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        return None
    return raw if 0 <= raw <= _MOST else None


def _percent(raw: object) -> float | None:
    return _number(raw, 0, 100)


def _flag(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return len(value) <= _MOST_LISTED and all(isinstance(one, str | int) for one in value)
    if isinstance(value, int):
        return abs(value) <= _MOST
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _time(raw: object) -> datetime | None:
    try:
        taken = datetime.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        return None
    return taken if taken is not None and taken.utcoffset() is not None else None


def _mb(value: int | None) -> int | None:
    return None if value is None else value // _MIB
