"""Sets a backend aside that keeps failing, tries it again now and then, and takes it back."""

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Guard"]

FAILURES: Final = 3
"""So many failures in a row, and a backend is set aside."""
FIRST: Final = 2.0
LAST: Final = 60.0
"""Seconds before one prompt is tried on it again; doubled as long as that fails too."""


class Guard:
    """Counts one backend's failures: prompts lost there, errors that its peers don't have."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST
        self._until: float | None = None
        self._why = ""

    def __repr__(self) -> str:
        return f"Guard({self.note or 'open'!r})"

    @property
    def aside(self) -> bool:
        """Whether it is set aside; then it gets one prompt at a time, and only now and then."""
        return self._until is not None

    @property
    def note(self) -> str | None:
        """What people are told about it."""
        if self._until is None:
            return None
        left = self._until - self._clock()
        when = f"next try in {left:.0f} s" if left > 0 else "being tried again"
        return f"set aside after {self._failures} failures in a row ({self._why}); {when}"

    def room(self, free: int, out: int) -> int:
        """How many of ``free`` prompts it may really be given while it has ``out``."""
        if self._until is None:
            return free
        if out or self._clock() < self._until:
            return 0
        return min(free, 1)

    def failed(self, why: str) -> bool:
        """A prompt failed because of the backend; True if that sets it aside now."""
        self._failures += 1
        self._why = why
        if self._failures < FAILURES:
            return False
        first = self._until is None
        if not first:
            self._pause = min(LAST, self._pause * 2)
        self._until = self._clock() + self._pause
        return first

    def worked(self) -> bool:
        """A prompt was done there; True if it had been set aside and is taken back."""
        back = self._until is not None
        self._failures = 0
        self._pause = FIRST
        self._until = None
        return back
