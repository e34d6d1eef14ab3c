"""Samples on their way to the store: few writes for all, bounded, and honest about loss."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from comfynb.store.metrics import NodeSpan, Reading

__all__ = ["Batch", "Load"]

MOST_WAITING: Final = 50_000
"""Samples that may wait for a store that is busy elsewhere: 40 minutes of 20 backends."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is written at a time."""

    readings: Sequence[Reading]
    spans: Sequence[NodeSpan]
    dropped: Mapping[str, int]

    def __bool__(self) -> bool:
        return bool(self.readings or self.spans or self.dropped)


class Batch:
    """A queue in which the oldest give way when it is full; who lost how many is counted."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._readings: deque[Reading] = deque()
        self._spans: deque[NodeSpan] = deque()
        self._untold: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        """Samples that were lost, by backend, since this collector began."""
        self.dropped_spans = 0

    def __len__(self) -> int:
        return len(self._readings) + len(self._spans)

    def put(self, readings: Sequence[Reading]) -> None:
        """Add samples."""
        self._readings.extend(readings)
        while len(self._readings) > self._most:
            lost = self._readings.popleft()
            self.dropped[lost.backend_id] += 1
            self._untold[lost.backend_id] += 1

    def put_spans(self, spans: Sequence[NodeSpan]) -> None:
        """Add spans of a prompt's nodes."""
        self._spans.extend(spans)
        while len(self._spans) > self._most:
            self._spans.popleft()
            self.dropped_spans += 1

    def take(self) -> Load:
        """Give all there is."""
        load = Load(list(self._readings), list(self._spans), dict(self._untold))
        self._readings.clear()
        self._spans.clear()
        self._untold.clear()
        return load

    def give_back(self, load: Load) -> None:
        """Put back what could not be written, before what came meanwhile."""
        self._readings.extendleft(reversed(load.readings))
        self._spans.extendleft(reversed(load.spans))
        self._untold.update(load.dropped)
        self.put([])
        self.put_spans([])
