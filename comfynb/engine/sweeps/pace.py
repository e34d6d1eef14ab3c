"""How fast points end, and how long the rest will take."""

from collections import deque
from typing import Final

__all__ = ["Pace"]

_REMEMBERED: Final = 200
"""Endings that the pace is taken from: the latest, since the first ones may be slower."""


class Pace:
    """Told when points end, in monotonic seconds; pauses do not count as time."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)
        self._began: float | None = None
        self._paused_at: float | None = None

    def begin(self, now: float) -> None:
        """Points are handed out from now on, or again after a pause."""
        if self._paused_at is not None:
            gap = now - self._paused_at
            self._ends = deque((end + gap for end in self._ends), maxlen=_REMEMBERED)
            self._began = None if self._began is None else self._began + gap
            self._paused_at = None
        elif self._began is None:
            self._began = now

    def pause(self, now: float) -> None:
        """Nothing is handed out until :meth:`begin`."""
        if self._paused_at is None:
            self._paused_at = now

    def ended(self, now: float) -> None:
        """A point was computed."""
        self._ends.append(now)

    def per_second(self, now: float) -> float | None:
        """Points a second lately; None before the first has ended."""
        if not self._ends or self._began is None:
            return None
        now = self._paused_at if self._paused_at is not None else now
        # Once the oldest endings are forgotten, the first of those that are known is the start.
        full = len(self._ends) == _REMEMBERED
        start = self._ends[0] if full else self._began
        count = len(self._ends) - (1 if full else 0)
        return count / max(now - start, 1e-3) if count else None

    def seconds_left(self, now: float, left: int) -> float | None:
        """How long ``left`` more points will take at this pace."""
        rate = self.per_second(now)
        return left / rate if rate else None
