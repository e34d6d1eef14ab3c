"""Alerts of one backend: opened when a value stays over its threshold, closed well below it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.models import new_id
from comfynb.store.metrics import Reading

__all__ = ["Alarm", "Alarms", "Turn"]

_UNITS: Final[Mapping[str, str]] = {
    "temperature": "°C",
    "memory": "% of VRAM",
    "disk": "% of its fullest disk",
    "gone": "s without an answer",
}


@dataclass(slots=True)
class Alarm:
    """One value that is watched; an alert is open while ``id`` is set."""

    kind: str
    gpu: int | None
    over_since: datetime | None = None
    id: str | None = None
    opened_at: datetime | None = None
    worst: float | None = None
    threshold: float = 0.0

    @property
    def message(self) -> str:
        """What is wrong, in a few words."""
        place = f"GPU {self.gpu}: " if self.gpu else ""
        return f"{place}{self.kind} {self.worst:.0f} {_UNITS[self.kind]} (from {self.threshold:g})"


@dataclass(frozen=True, slots=True)
class Turn:
    """An alert was opened, or closed at ``closed_at``."""

    alarm: Alarm
    alert_id: str
    closed_at: datetime | None = None


class Alarms:
    """The alarms of one backend."""

    def __init__(self, known: Iterable[Alarm] = ()) -> None:
        self._alarms = {(one.kind, one.gpu): one for one in known}

    @property
    def messages(self) -> tuple[str, ...]:
        """What is wrong now."""
        return tuple(one.message for one in self._alarms.values() if one.id is not None)

    def answered(
        self, readings: Iterable[Reading], at: datetime, settings: MetricsSettings
    ) -> list[Turn]:
        """Judge a sample."""
        turns = self._judge("gone", None, 0.0, at, settings.gone_seconds, 0.0, 0.0)
        for one in readings:
            used, total = one.gpu_memory_used, one.gpu_memory_total
            share = 100 * used / total if used is not None and total else None
            hold = settings.hold_seconds
            turns += self._judge(
                "temperature", one.gpu, one.gpu_temperature, at,
                settings.temperature, settings.temperature_margin, hold,
            )  # fmt: skip
            turns += self._judge(
                "memory", one.gpu, share, at, settings.memory, settings.memory_margin, hold
            )
            if one.main:
                full = (
                    100 * (1 - one.disk_free / one.disk_total)
                    if one.disk_free is not None and one.disk_total
                    else None
                )
                turns += self._judge(
                    "disk", None, full, at, settings.disk, settings.disk_margin, hold
                )
        return turns

    def silent(self, since: datetime, at: datetime, settings: MetricsSettings) -> list[Turn]:
        """Judge that it did not answer, since a time; other alerts stay as they are."""
        seconds = (at - since).total_seconds()
        return self._judge("gone", None, seconds, at, settings.gone_seconds, 0.0, 0.0)

    def _judge(  # noqa: PLR0917 - one line of a table
        self,
        kind: str,
        gpu: int | None,
        value: float | None,
        at: datetime,
        threshold: float,
        margin: float,
        hold: float,
    ) -> list[Turn]:
        if value is None:
            # Unknown is neither good nor bad: an open alert waits for the next value.
            return []
        key = (kind, gpu)
        alarm = self._alarms.get(key)
        if value >= threshold:
            if alarm is None:
                alarm = self._alarms[key] = Alarm(kind, gpu)
            alarm.over_since = alarm.over_since or at
            alarm.worst = value if alarm.worst is None else max(alarm.worst, value)
            held = (at - alarm.over_since).total_seconds() >= hold
            if alarm.id is None and held:
                alarm.id, alarm.opened_at, alarm.threshold = new_id(), at, threshold
                return [Turn(alarm, alarm.id)]
            return []
        if alarm is None:
            return []
        if alarm.id is None:
            del self._alarms[key]
        elif value < threshold - margin or value <= 0 or kind == "gone":
            del self._alarms[key]
            return [Turn(alarm, alarm.id, at)]
        return []
