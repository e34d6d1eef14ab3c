"""A task in the scheduler's books, and a backend in them."""

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING

from comfynb.engine.scheduling.shapes import Reading
from comfynb.engine.tasks import NodeTask

if TYPE_CHECKING:
    from comfynb.engine.scheduling.branches import Branch
    from comfynb.engine.scheduling.group import Family

__all__ = ["Book", "Entry"]


class Entry:
    """One task, from when it waits until it has ended."""

    __slots__ = (
        "arrival",
        "estimate",
        "family",
        "kind",
        "leaf",
        "reading",
        "seat",
        "task",
        "warm",
    )

    def __init__(self, task: NodeTask, reading: Reading, kind: int, arrival: int) -> None:
        self.task = task
        self.arrival = arrival
        """Runs by themselves go in this order."""
        self.reading = reading
        self.kind = kind
        """The number of its requirements."""
        self.leaf: Branch | None = None
        self.family: Family | None = None
        self.seat: str | None = None
        """The backend that has it."""
        self.estimate = 0.0
        """Seconds that it was expected to take there."""
        self.warm: frozenset[int] = frozenset()
        """What that backend was expected to have loaded."""

    def __repr__(self) -> str:
        return f"Entry({self.task.execution.id!r})"


class Book:
    """What the scheduler knows of one backend: what it has been given, and what is warm there."""

    __slots__ = (
        "begun",
        "entering",
        "family",
        "free_at",
        "given",
        "held",
        "id",
        "leaf",
        "pace",
        "slots",
        "warm",
    )

    def __init__(self, seat_id: str, held: Counter[Hashable] | None = None) -> None:
        self.id = seat_id
        self.held: Counter[Hashable] = Counter() if held is None else held
        """How many backends work on what needs this or that loaded; shared by all backends."""
        self.given: dict[int, Entry] = {}
        """By the task's id(), in the order in which they were given."""
        self.slots = 1
        self.begun = 0.0
        """When what runs there began to run."""
        self.free_at = 0.0
        """When it should have done all that it was given, as it was when that last changed."""
        self.warm: frozenset[int] = frozenset()
        """What the last prompt given to it leaves in its cache."""
        self.leaf: Branch | None = None
        self.family: Family | None = None
        self.pace = 0.0
        self.entering: tuple[int, Branch | None, frozenset[int], float] | None = None
        """What going over to a leaf was found to cost with what is warm, and at which age of what
        is known about it."""

    def __repr__(self) -> str:
        return f"Book({self.id!r}, {len(self.given)} given)"

    def backlog(self, now: float, foreign: int = 0) -> float:
        """Seconds until it has done all that it was given, and what others gave it."""
        if not self.given and not foreign:
            return 0.0
        seconds = 0.0
        running = self.slots
        for entry in self.given.values():
            left = entry.estimate
            if running:
                running -= 1
                elapsed = now - self.begun
                # What has taken longer than expected will take as long again, for all we know.
                left = left - elapsed if elapsed < left else elapsed - left
            seconds += left
        if foreign:
            typical = seconds / len(self.given) if self.given else 1.0
            seconds += foreign * typical
        return seconds / self.slots

    def take(self, entry: Entry, now: float) -> None:
        """It was given a task."""
        if not self.given:
            self.begun = now
        self.free_at = max(self.free_at, now) + entry.estimate / self.slots
        self.given[id(entry.task)] = entry

    def done(self, entry: Entry, now: float) -> None:
        """It is done with a task."""
        if self.given.pop(id(entry.task), None) is not None:
            self.begun = now
            self.free_at = now + self.backlog(now)

    def points_behind(self) -> list[Entry]:
        """Points of sweeps that it has not begun, as far as is known."""
        return [e for e in list(self.given.values())[self.slots :] if e.task.group is not None]

    def head(self, now: float) -> float:
        """Seconds until one of the prompts that it runs has ended."""
        return min(
            (
                abs(entry.estimate - (now - self.begun))
                for entry in list(self.given.values())[: self.slots]
            ),
            default=0.0,
        )

    def settle(self, leaf: "Branch | None", family: "Family | None", pace: float) -> None:
        """Work on a leaf from now on, or on none."""
        if leaf is self.leaf:
            return
        before, before_pace = self.leaf, self.pace
        self.leaf, self.family, self.pace = leaf, family, pace
        if leaf is not None:
            leaf.attend(pace)
            self.held.update(leaf.needs())
        if before is not None:
            self.held.subtract(before.needs())
            before.leave(before_pace)
