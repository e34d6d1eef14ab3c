"""Which waiting task goes to which backend next."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.models import FallbackStrategy

__all__ = ["Scheduler", "Seat"]


class Seat(Protocol):
    """A backend as the scheduler sees it."""

    @property
    def id(self) -> str:
        """The backend's id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def load(self) -> float:
        """Prompts outstanding for each one it may run at once; the least loaded goes first."""

    @property
    def free(self) -> int:
        """How many more prompts it may be given now."""

    def refusal(self, requirements: Requirements) -> str | None:
        """Why it cannot run such a task, as the end of a sentence; None when it can."""


class Scheduler:
    """First come, first served among the tasks that a backend may run; the idlest backend first.

    Tasks with equal requirements wait in one line, so a decision costs as much for twenty
    thousand waiting tasks as for one.
    """

    def __init__(self) -> None:
        self._lines: dict[Requirements, deque[NodeTask]] = {}
        self._arrivals: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[NodeTask]:
        for line in self._lines.values():
            yield from line

    def add(self, task: NodeTask, *, first: bool = False) -> None:
        """Let ``task`` wait; ``first`` puts it before those of its kind (it was lost, say)."""
        line = self._lines.setdefault(task.requirements, deque())
        self._count += 1
        self._arrivals[id(task)] = -self._count if first else self._count
        if first:
            line.appendleft(task)
        else:
            line.append(task)

    def remove(self, task: NodeTask) -> bool:
        """Take ``task`` out of its line; False if it does not wait (any more)."""
        line = self._lines.get(task.requirements)
        if not line or id(task) not in self._arrivals:
            return False
        line.remove(task)
        self._forget(task)
        return True

    def _forget(self, task: NodeTask) -> None:
        self._arrivals.pop(id(task), None)
        if not self._lines[task.requirements]:
            del self._lines[task.requirements]

    def assign(self, seats: Iterable[Seat]) -> Iterator[tuple[NodeTask, Seat]]:
        """Hand out waiting tasks; the caller's bookkeeping must change ``load`` and ``free``."""
        now = time.monotonic()
        candidates = list(seats)
        while self._lines:
            candidates = [seat for seat in candidates if seat.free > 0]
            if not candidates:
                return
            seat = min(candidates, key=lambda candidate: candidate.load)
            task = self._next(seat, now)
            if task is None:
                candidates.remove(seat)
            else:
                yield task, seat

    def _next(self, seat: Seat, now: float) -> NodeTask | None:
        best: deque[NodeTask] | None = None
        for requirements, line in self._lines.items():
            if line[0].not_before > now or not self._may(seat, requirements):
                continue
            if best is None or self._arrivals[id(line[0])] < self._arrivals[id(best[0])]:
                best = line
        if best is None:
            return None
        task = best.popleft()
        self._forget(task)
        return task

    @staticmethod
    def _may(seat: Seat, requirements: Requirements) -> bool:
        if requirements.affinity is not None and requirements.affinity != seat.id:
            # Only AUTO_SELECT may leave its preferred backend, and the engine lifts the affinity
            # when that one cannot run the task; until then the task waits for it.
            return False
        return seat.refusal(requirements) is None

    def stranded(self, seats: Iterable[Seat]) -> list[tuple[NodeTask, str, bool]]:
        """Waiting tasks that no backend can run now: (task, why, whether another could)."""
        all_seats = list(seats)
        found: list[tuple[NodeTask, str, bool]] = []
        for requirements, line in self._lines.items():
            if any(self._may(seat, requirements) for seat in all_seats):
                continue
            reasons = [
                f"{seat.name}: {reason}"
                for seat in all_seats
                if requirements.affinity in {None, seat.id}
                and (reason := seat.refusal(requirements)) is not None
            ]
            why = "; ".join(reasons) or "there is no backend"
            elsewhere = (
                requirements.affinity is not None
                and requirements.fallback is FallbackStrategy.AUTO_SELECT
                and any(seat.refusal(requirements) is None for seat in all_seats)
            )
            found.extend((task, why, elsewhere) for task in line)
        return found
