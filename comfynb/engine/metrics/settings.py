"""How often is sampled, how long it is kept, and from where on something is an alert."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Final, Self

from comfynb.errors import InvalidValue, UsageError
from comfynb.store.metrics import Keeping

__all__ = ["MetricsSettings"]

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "busy_seconds": (0.25, 60),
    "idle_seconds": (1, 600),
    "raw_hours": (1, 24 * 365),
    "steps_10s_days": (1, 366),
    "steps_1m_days": (1, 3660),
    "temperature": (30, 150),
    "temperature_margin": (0, 50),
    "memory": (1, 100),
    "memory_margin": (0, 50),
    "disk": (1, 100),
    "disk_margin": (0, 50),
    "gone_seconds": (1, 86400),
    "hold_seconds": (0, 3600),
}


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Settings of one store, shared by all kernels on it."""

    busy_seconds: float = 1.0
    """Between two samples while a job of ours runs there."""
    idle_seconds: float = 10.0
    """Between two samples otherwise."""
    raw_hours: float = 24.0
    """Samples are kept so long; then there are steps of ten seconds."""
    steps_10s_days: float = 7.0
    """These are kept so long; then there are steps of a minute."""
    steps_1m_days: float = 365.0
    temperature: float = 88.0
    """Degrees Celsius from which a GPU's temperature is an alert."""
    temperature_margin: float = 5.0
    """So much below the threshold the alert is over."""
    memory: float = 97.0
    """Percent of VRAM in use."""
    memory_margin: float = 3.0
    disk: float = 95.0
    """Percent of the fullest disk of models and outputs in use."""
    disk_margin: float = 2.0
    gone_seconds: float = 30.0
    """A backend that has not answered for so long is gone."""
    hold_seconds: float = 10.0
    """A value has to be over its threshold for so long."""

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Self:
        """Take stored settings; names that this version does not know are left alone."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def changed(self, values: Mapping[str, float | None]) -> "MetricsSettings":
        """Give other settings; None takes one back to its default.

        Raises:
            UsageError: there is no such setting.
            InvalidValue: it must lie between other limits.
        """
        defaults = type(self)()
        taken = {}
        for name, value in values.items():
            if name not in _RANGES:
                raise UsageError(
                    f"metrics have no setting {name!r:.60}: there are {', '.join(_RANGES)}"
                )
            low, high = _RANGES[name]
            if value is None:
                taken[name] = getattr(defaults, name)
            elif isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidValue(f"{name} must be a number from {low:g} to {high:g}")
            elif not (math.isfinite(value) and low <= value <= high):
                raise InvalidValue(f"{name} must be from {low:g} to {high:g}, not {value:g}")
            else:
                taken[name] = float(value)
        return replace(self, **taken)

    @property
    def keeping(self) -> Keeping:
        """How long each level is kept."""
        return Keeping(
            timedelta(hours=self.raw_hours),
            timedelta(days=self.steps_10s_days),
            timedelta(days=self.steps_1m_days),
        )
