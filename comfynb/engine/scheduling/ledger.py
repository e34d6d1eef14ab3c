"""What the parts of the scheduler share: the sweeps, the backends, and who may run what."""

from collections import Counter
from collections.abc import Hashable

from comfynb.engine.scheduling.durations import Describe, Durations
from comfynb.engine.scheduling.entries import Book
from comfynb.engine.scheduling.group import Group
from comfynb.engine.scheduling.seats import Seat
from comfynb.engine.tasks import Requirements

__all__ = ["Ledger"]


class Ledger:
    """Changed by the scheduler, looked at by its parts."""

    def __init__(self, describe: Describe) -> None:
        self.durations = Durations(describe)
        self.groups: dict[str, Group] = {}
        """Sweeps that have something waiting or out."""
        self.books: dict[str, Book] = {}
        self.seats: dict[str, Seat] = {}
        """The backends that were ever asked, as both are keyed by their ids."""
        self.held: Counter[Hashable] = Counter()
        """How many backends work on what needs this or that loaded."""
        self.requirements: list[Requirements] = []
        """By their numbers: the kinds of tasks."""
        self._kinds: dict[Requirements, int] = {}
        self.changes = 0
        """How often backends came or went."""

    def __repr__(self) -> str:
        return f"Ledger({len(self.groups)} sweeps, {len(self.books)} backends)"

    def kind(self, requirements: Requirements) -> int:
        """The number of these requirements: what is equal is looked up once for all tasks."""
        kind = self._kinds.get(requirements)
        if kind is None:
            kind = self._kinds[requirements] = len(self.requirements)
            self.requirements.append(requirements)
        return kind

    def may(self, seat: Seat, kind: int) -> bool:
        """Whether a backend can run tasks of that kind, and those who want them run there."""
        requirements = self.requirements[kind]
        if requirements.affinity is not None and requirements.affinity != seat.id:
            # Only AUTO_SELECT may leave its preferred backend, and the engine lifts the affinity
            # when that one cannot run the task; until then the task waits for it.
            return False
        return seat.refusal(requirements) is None

    def book(self, seat: Seat) -> Book:
        """What is known of a backend."""
        book = self.books.get(seat.id)
        if book is None:
            book = self.books[seat.id] = Book(seat.id, self.held)
            self.changes += 1
        book.slots = max(1, seat.concurrency)
        self.seats[seat.id] = seat
        return book

    @property
    def any_points(self) -> bool:
        """Whether points of any sweep wait."""
        return any(group.count for group in self.groups.values())
