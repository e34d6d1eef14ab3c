"""Writes a snapshot as OpenMetrics text, which Prometheus and its relatives read."""

from collections.abc import Iterable, Mapping
from typing import Any

from .fields import DISK, GPU, HOST, QUEUE, THROTTLE_REASONS, Field

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = Mapping[str, Any]


class _Family:
    """One metric family: its description comes once, however many samples follow."""

    def __init__(self, name: str, kind: str, unit: str, about: str) -> None:
        self.head = [f"# TYPE {name} {kind}"]
        if unit:
            self.head.append(f"# UNIT {name} {unit}")
        self.head.append(f"# HELP {name} {_escaped(about)}")
        self.sample_name = name + {"counter": "_total", "info": "_info"}.get(kind, "")
        self.samples: list[str] = []

    def add(self, labels: Labels, value: float) -> None:
        text = ",".join(f'{key}="{_escaped(str(value))}"' for key, value in labels.items())
        shown = f"{{{text}}}" if text else ""
        self.samples.append(f"{self.sample_name}{shown} {_number(value)}")


class _Page:
    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def add(
        self,
        name: str,
        value: float | None,
        labels: Labels,
        *,
        about: str,
        kind: str = "gauge",
        unit: str = "",
    ) -> None:
        """Add a sample; what is not known (None) is left out, as Prometheus expects."""
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = _Family(name, kind, unit, about)
        family.add(labels, value)

    def add_fields(
        self, fields: Iterable[Field], values: Mapping[str, Any], labels: Labels
    ) -> None:
        """Add all fields of a table that have a metric."""
        for field in fields:
            metric = field.metric
            value = values[field.key]
            if metric is None or value is None:
                continue
            self.add(
                metric.name,
                _scaled(value, metric.scale),
                {**labels, **metric.labels},
                about=field.about,
                kind=metric.kind,
                unit=metric.unit,
            )

    def text(self) -> str:
        lines = []
        for family in self._families.values():
            lines += family.head
            lines += family.samples
        return "\n".join([*lines, "# EOF"]) + "\n"


def render(snapshot: Mapping[str, Any]) -> bytes:
    """Return the snapshot as OpenMetrics text, encoded."""
    page = _Page()
    agent = snapshot["agent"]
    page.add(
        "comfynb_agent",
        1,
        {
            "version": agent["version"],
            "mode": agent["mode"],
            "backend_id": snapshot["backend_id"],
            "driver_version": agent["driver_version"] or "",
        },
        about="The agent that tells this",
        kind="info",
    )
    page.add(
        "comfynb_agent_missing",
        len(snapshot["missing"]),
        {},
        about="Things that the agent could not read; its JSON snapshot names them",
    )
    page.add_fields(HOST, snapshot["host"], {})
    page.add_fields(QUEUE, snapshot["comfyui"], {})
    for disk in snapshot["disks"]:
        page.add_fields(DISK, disk, {"role": disk["role"], "path": disk["path"]})
    for gpu in snapshot["gpus"]:
        _add_gpu(page, gpu)
    return page.text().encode()


def _add_gpu(page: _Page, gpu: Mapping[str, Any]) -> None:
    labels = {"gpu": gpu["index"], "uuid": gpu["uuid"] or ""}
    page.add(
        "comfynb_gpu",
        1,
        {**labels, "name": gpu["gpu_name"] or "", "pci_bus_id": gpu["pci_bus_id"] or ""},
        about="A GPU of this machine",
        kind="info",
    )
    page.add(
        "comfynb_gpu_up",
        1 if gpu["state"] == "ok" else 0,
        labels,
        about="Whether the GPU answers",
    )
    page.add_fields(GPU, gpu, labels)
    for number, speed in enumerate(gpu["fan_speeds"] or ()):
        page.add(
            "comfynb_gpu_fan_speed_ratio",
            _scaled(speed, 0.01),
            {**labels, "fan": number},
            about="Intended speed of a fan",
            unit="ratio",
        )
    if gpu["throttle_reasons"] is not None:
        for reason in THROTTLE_REASONS.values():
            page.add(
                "comfynb_gpu_throttle",
                1 if reason in gpu["throttle_reasons"] else 0,
                {**labels, "comfynb_gpu_throttle": reason},
                about="Why the clocks are below their maximum",
                kind="stateset",
            )
    for process in gpu["processes"] or ():
        page.add(
            "comfynb_gpu_process_memory_bytes",
            process["memory_used_bytes"],
            {**labels, "pid": process["pid"], "process": process["name"] or ""},
            about="VRAM that a program uses",
            unit="bytes",
        )


def _scaled(value: float, scale: float) -> float:
    """Return value times scale without the digits that binary fractions leave behind."""
    if scale == 1:
        return value
    return value * scale if scale > 1 else value / round(1 / scale)


def _number(value: float) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(value)


def _escaped(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
