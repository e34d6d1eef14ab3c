"""The waiting tasks of one sweep, and how much of the backends' time it has had."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Final

from comfynb.engine.scheduling.branches import Branch
from comfynb.engine.scheduling.durations import Durations
from comfynb.engine.scheduling.entries import Book, Entry
from comfynb.engine.scheduling.order import levels, total
from comfynb.engine.scheduling.shapes import Reading, Shape

__all__ = ["Family", "Group"]

LOOK_AGAIN: Final = frozenset({1, 2, 4, 8, 16, 64, 256})
"""After so many measured prompts the order is thought over again."""


class Family:
    """Those tasks of a sweep whose prompts have the same nodes and links."""

    def __init__(self, group: "Group", shape: Shape) -> None:
        self.group = group
        self.shape = shape
        self.branch = Branch(group.branch, shape.key)
        self.levels: tuple[int, ...] = ()
        """The nodes by which tasks are grouped, the one that changes most rarely first."""
        self.always = 0
        """Mask of the nodes that run for each task however they are ordered."""
        self._values: list[set[int]] = [set() for _ in shape.order]
        self._new: list[tuple[Entry, bool]] = []
        self._points = 0
        self._units: dict[str, tuple[int, int, float]] = {}
        self._planned: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        titles = [self.shape.order[number] for number in self.levels]
        return f"Family({self.branch.count} tasks by {titles})"

    @property
    def count(self) -> int:
        """How many tasks wait."""
        return self.branch.count + len(self._new)

    def add(self, entry: Entry, *, first: bool) -> None:
        """One more task waits; it is put in its place when the next one is chosen."""
        entry.family = self
        entry.leaf = None
        self._new.append((entry, first))
        self.group.unsorted.add(self)

    def drop(self, entry: Entry) -> None:
        """A task waits no more."""
        if entry.leaf is not None:
            entry.leaf.drop(entry)
        else:
            self._new = [each for each in self._new if each[0] is not entry]

    def path(self, reading: Reading, kind: int) -> tuple[Hashable, ...]:
        """Where a task's leaf is."""
        return (*(reading.sigs[number] for number in self.levels), kind)

    def unit(self, seat: str, durations: Durations) -> float:
        """Seconds of a task on a backend that has everything loaded that can stay loaded."""
        age = durations.age(seat)
        known = self._units.get(seat)
        if known is None or known[0] != age or known[1] != self.always:
            seconds = max(1e-4, total(self.always, durations.costs(seat, self.shape)))
            known = self._units[seat] = age, self.always, seconds
        return known[2]

    def sort(self, durations: Durations, books: Iterable[Book]) -> None:
        """Put new tasks in their places; all of them anew where another order is better now."""
        values = self._values
        for entry, _ in self._new:
            for number, own in enumerate(entry.reading.own):
                values[number].add(own)
        self._points += len(self._new)
        counts = [len(each) for each in values]
        varying = sum(1 << number for number, count in enumerate(counts) if count > 1)
        seen = durations.seen.get(self.shape.key, 0)
        milestone = max((each for each in LOOK_AGAIN if each <= seen), default=0)
        now = varying, self._points.bit_length(), milestone
        if now != self._planned:
            self._planned = now
            order, always = levels(
                counts, self.shape.below, durations.usual(self.shape), self._points
            )
            self.always = always or (1 << len(self.shape.order)) - 1
            if order != self.levels:
                self.levels = order
                self._rebuild(books)
        new, self._new = self._new, []
        for entry, first in new:
            self.branch.add(self.path(entry.reading, entry.kind), entry, first=first)
        if self.branch.count and self.group.branch.children.get(self.shape.key) is not self.branch:
            # It was cut off while it was empty.
            self.group.branch.children[self.shape.key] = self.branch

    def due(self, durations: Durations) -> bool:
        """Whether enough was learned to think the order over again."""
        seen = durations.seen.get(self.shape.key, 0)
        return self._planned is not None and seen in LOOK_AGAIN and seen > self._planned[2]

    def _rebuild(self, books: Iterable[Book]) -> None:
        entries = list(self.branch)
        here = [book for book in books if book.family is self]
        for entry in entries:
            assert entry.leaf is not None
            entry.leaf.drop(entry)
        for book in here:
            book.settle(None, None, 0.0)
        self.branch = Branch(self.group.branch, self.shape.key)
        self.group.branch.children[self.shape.key] = self.branch
        for entry in entries:
            self.branch.add(self.path(entry.reading, entry.kind), entry)
        for book in here:
            self._put_back(book)

    def _put_back(self, book: Book) -> None:
        """Let a backend go on where its last prompt belongs in the new order."""
        last = next((e for e in reversed(book.given.values()) if e.family is self), None)
        if last is None:
            return
        branch = self.branch
        for key in self.path(last.reading, last.kind):
            child = branch.children.get(key)
            if child is None:
                return
            branch = child
        book.settle(branch, self, book.pace)


class Group:
    """One sweep."""

    def __init__(self, key: str, weight: float) -> None:
        self.key = key
        self.weight = weight
        self.used = 0.0
        """Seconds of backends that it has had, divided by its weight."""
        self.branch = Branch()
        self.families: dict[Hashable, Family] = {}
        self.unsorted: set[Family] = set()
        self.flying = 0

    def __repr__(self) -> str:
        return f"Group({self.key!r}, {self.count} tasks, {self.used:.1f} s used)"

    def __iter__(self) -> Iterator[Entry]:
        for family in self.families.values():
            yield from family.branch
            yield from (entry for entry, _ in family._new)  # noqa: SLF001 - its own family

    @property
    def count(self) -> int:
        """How many tasks wait."""
        return self.branch.count + sum(len(f._new) for f in self.unsorted)  # noqa: SLF001

    @property
    def kinds(self) -> set[int]:
        """The kinds of requirements of the tasks that wait."""
        new = {entry.kind for family in self.unsorted for entry, _ in family._new}  # noqa: SLF001
        return {*self.branch.kinds, *new}

    def charge(self, seconds: float) -> None:
        """It has had so much of a backend's time (or has not, after all)."""
        self.used += seconds / self.weight

    def add(self, entry: Entry, *, first: bool = False) -> None:
        """One more task waits."""
        shape = entry.reading.shape
        family = self.families.get(shape.key)
        if family is None:
            family = self.families[shape.key] = Family(self, shape)
        family.add(entry, first=first)

    def sort(self, durations: Durations, books: Iterable[Book]) -> None:
        """Put new tasks in their places."""
        while self.unsorted:
            self.unsorted.pop().sort(durations, books)
