"""What is taken back out of servers' queues, because it hinders or would be done sooner elsewhere.

Either a run by itself came, and should not wait behind points of sweeps, or nothing waits any more
and a backend without work would end sooner what lies in another one's queue.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from comfynb.engine.scheduling.entries import Book, Entry
from comfynb.engine.scheduling.ledger import Ledger
from comfynb.engine.scheduling.runs import Runs
from comfynb.engine.tasks import NodeTask

__all__ = ["AHEAD", "Recalls"]

AHEAD: Final = 1.0
"""Seconds of a sweep's prompts that a run by itself may find before it in a server's queue; more
are taken back."""
MOST: Final = 2
"""How often one task is taken back from a server's queue to be done sooner elsewhere."""
WORTH: Final = 0.25
"""Seconds that must be gained by taking a prompt back."""
BETWEEN: Final = 0.05
"""Seconds between two looks for prompts to take back."""


class Recalls:
    """Chooses what is taken back; each task at most twice."""

    def __init__(self, ledger: Ledger, runs: Runs) -> None:
        self._ledger = ledger
        self._runs = runs
        self._counts: dict[int, int] = {}
        """By the task's id(): how often it was."""
        self._ahead: list[Entry] = []
        self._looked = -math.inf

    def __repr__(self) -> str:
        return f"Recalls({len(self._counts)} tasks)"

    def before(self, entries: Iterable[Entry]) -> None:
        """A run by itself was given to a server that has these points in its queue."""
        self._ahead.extend(entries)

    def forget(self, task: NodeTask) -> None:
        """It has ended, or was dropped."""
        self._counts.pop(id(task), None)

    def choose(self, now: float) -> Iterator[NodeTask]:
        """Tasks to be taken back if their servers have not begun them."""
        ahead, self._ahead = self._ahead, []
        if self._runs:
            ahead += self._runs.in_the_way(now, AHEAD)
        for entry in ahead:
            if entry.seat is not None and self._count(entry):
                yield entry.task
        if self._runs or not self._ledger.groups or self._ledger.any_points:
            return
        if now - self._looked >= BETWEEN:
            self._looked = now
            yield from self._last_ones(now)

    def _last_ones(self, now: float) -> Iterator[NodeTask]:
        books, seats = self._ledger.books, self._ledger.seats
        idle = [
            (self._ledger.durations.slowness(book.id), book.id)
            for book in books.values()
            if not book.given and seats[book.id].free > 0
        ]
        late = [
            (book.backlog(now, seats[book.id].foreign), book.id)
            for book in books.values()
            if len(book.given) > book.slots
        ]
        # The fastest of the idle ones takes from the one that would be done last, and so on.
        for (_, helper), (finish, helped) in zip(sorted(idle), sorted(late)[::-1], strict=False):
            found = self._last_of(books[helped], books[helper], finish)
            if found is not None and self._count(found):
                yield found.task

    def _last_of(self, other: Book, book: Book, finish: float) -> Entry | None:
        """The last prompt in a backend's queue, if an idle one would end it sooner."""
        last = next(reversed(other.given.values()))
        if last.task.group is None:
            return None
        if not self._ledger.may(self._ledger.seats[book.id], last.kind):
            return None
        mine = self._ledger.durations.estimate(book.id, last.reading, book.warm)
        return last if finish - mine > max(WORTH, 0.1 * mine) else None

    def _count(self, entry: Entry) -> bool:
        count = self._counts.get(id(entry.task), 0)
        self._counts[id(entry.task)] = count + 1
        return count < MOST
