"""How many prompts one server's queue holds: enough that it never runs dry, and no more."""

from collections import deque
from typing import Final

__all__ = ["Depth"]

SECONDS: Final = 0.5
"""How much work may wait behind what runs: little enough that a pause or a better idea takes effect
soon."""
REACTIONS: Final = 3.0
"""At least so many times what it takes us to notice an end and to bring the next prompt: one while
half a queue is used up, and as much again where the next one takes longer."""
LONGEST: Final = 5.0
"""More than so many seconds of work never wait because of that."""
MOST: Final = 128
"""Prompts that wait at most."""
LATEST: Final = 15


class Depth:
    """Learns from how long prompts took there, and how long it took to bring the next one."""

    __slots__ = ("_durations", "_filling", "_reactions", "prefetch", "typical")

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=LATEST)
        self._reactions: deque[float] = deque(maxlen=LATEST)
        self._filling = True
        self.typical: float | None = None
        """Seconds that prompts took lately (the median; of two the shorter, since the first one
        loads); None if none did."""
        self.prefetch = 1
        """How many prompts may wait behind the running ones."""

    def __repr__(self) -> str:
        return f"Depth({self.prefetch} behind what runs)"

    def took(self, seconds: float) -> None:
        """A prompt ran for so long."""
        self._durations.append(seconds)
        self.typical = sorted(self._durations)[(len(self._durations) - 1) // 2]
        self._count()

    def reacted(self, seconds: float) -> None:
        """It took so long from when there was room until a prompt was there."""
        self._reactions.append(seconds)
        self._count()

    def _count(self) -> None:
        if self.typical is None:
            return
        slow = sorted(self._reactions)
        if len(slow) > 2:
            slow.pop()  # a hiccup is no reason
        reaction = slow[-1] if slow else 0.0
        seconds = max(SECONDS, min(LONGEST, REACTIONS * reaction))
        self.prefetch = min(MOST, self._worth(seconds))

    def room(self, slots: int, out: int, *, shared: bool = False) -> int:
        """How many more prompts it may be given that runs ``slots`` at once and has ``out``.

        A long queue is filled up by halves, so that what is sent together is also written down
        together; a short one whenever there is room. Where the queue is ``shared`` with other
        people, being slow is no reason to put more into it: they would wait behind all of that.
        """
        behind = min(self.prefetch, self._worth(SECONDS)) if shared else self.prefetch
        room = slots + behind - out
        self._filling = room > 0 and (self._filling or room >= behind // 2)
        return room if self._filling else 0

    def _worth(self, seconds: float) -> int:
        """How many prompts are so many seconds of work."""
        return 1 if self.typical is None else max(1, round(seconds / max(self.typical, 0.001)))
