"""Which waiting task goes to which backend next; docs/scheduling.md says why.

Runs by themselves go first, in the order in which they came. Points of sweeps come after them, in
an order in which what is expensive changes rarely, and each backend stays with what it has loaded.
"""

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from comfynb.engine.scheduling.branches import Branch
from comfynb.engine.scheduling.durations import Describe
from comfynb.engine.scheduling.entries import Book, Entry
from comfynb.engine.scheduling.group import Group
from comfynb.engine.scheduling.ledger import Ledger
from comfynb.engine.scheduling.recalls import AHEAD, Recalls
from comfynb.engine.scheduling.rivals import Rivals
from comfynb.engine.scheduling.runs import Runs
from comfynb.engine.scheduling.seats import Seat
from comfynb.engine.scheduling.shapes import Reader
from comfynb.engine.scheduling.spots import Spots
from comfynb.engine.scheduling.stranded import stranded
from comfynb.engine.tasks import NodeTask

__all__ = ["Scheduler", "Seat"]

TURN: Final = 20.0
"""A backend goes over to a sweep that is behind when it is behind by more than so many times what
that costs it in loads: so turns cost a twentieth at most."""
ASKED_AGAIN: Final = 16
"""So many of the backends that have nothing to do are asked again at a time."""


class Scheduler:
    """Everything that waits, and for each backend what it was given and what is warm there.

    A decision costs as much for twenty thousand waiting tasks as for one. ``clock`` gives seconds.
    """

    def __init__(
        self,
        describe: Describe = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = Ledger(describe)
        self.durations = self._ledger.durations
        self._books = self._ledger.books
        self._groups = self._ledger.groups
        self._runs = Runs(self._ledger)
        self._spots = Spots(self._ledger)
        self._rivals = Rivals(self._ledger)
        self._recalls = Recalls(self._ledger, self._runs)
        self._clock = clock
        self._reader = Reader()
        self._arrived = itertools.count(1)
        self._entries: dict[int, Entry] = {}
        """By the task's id(): everything that waits or is out."""
        self._delayed: list[tuple[float, int, Entry]] = []
        self._turn = 0.0
        """How much the group that was served last had used by then."""
        self.declined: set[str] = set()
        """Backends with room that were given nothing: others do what waits sooner, or alone can."""
        self.passed: set[str] = set()
        """Of those, whom the newest round asked."""

    def __len__(self) -> int:
        delayed = sum(1 for _, _, entry in self._delayed if self._waits(entry))
        return len(self._runs) + sum(group.count for group in self._groups.values()) + delayed

    def __iter__(self) -> Iterator[NodeTask]:
        for entry in self._waiting():
            yield entry.task

    def _waits(self, entry: Entry) -> bool:
        return self._entries.get(id(entry.task)) is entry and entry.seat is None

    def _waiting(self) -> Iterator[Entry]:
        yield from self._runs
        for group in self._groups.values():
            yield from group
        for _, _, entry in self._delayed:
            if self._waits(entry):
                yield entry

    # Coming and going -------------------------------------------------------------------------

    def add(self, task: NodeTask, *, first: bool = False) -> None:
        """Let ``task`` wait; ``first`` puts it before those of its kind (it was lost, say)."""
        number = next(self._arrived)
        entry = self._enter(task, -number if first else number)
        if task.group is not None and task.not_before > self._clock():
            heapq.heappush(self._delayed, (task.not_before, number, entry))
        else:
            self._queue(entry, first=first)

    def _enter(self, task: NodeTask, arrival: int) -> Entry:
        kind = self._ledger.kind(task.requirements)
        entry = self._entries[id(task)] = Entry(task, self._reader.read(task), kind, arrival)
        return entry

    def _queue(self, entry: Entry, *, first: bool) -> None:
        task = entry.task
        if task.group is None:
            self._runs.add(entry, first=first)
            return
        group = self._groups.get(task.group)
        if group is None:
            group = self._groups[task.group] = Group(task.group, max(task.weight, 1e-3))
        if not group.count:
            # Nobody saves up turns by having nothing to do.
            group.used = max(group.used, self._turn)
        group.add(entry, first=first)

    def remove(self, task: NodeTask) -> bool:
        """Take ``task`` out of its line; False if it does not wait (any more)."""
        entry = self._entries.get(id(task))
        if entry is None or entry.seat is not None:
            return False
        if entry.family is not None:
            entry.family.drop(entry)
        else:
            self._runs.remove(entry)
        self._entries.pop(id(task))
        self._recalls.forget(task)
        return True

    # What happens to what is out --------------------------------------------------------------

    def _give(self, entry: Entry, seat: Seat, now: float) -> None:
        book = self._ledger.book(seat)
        entry.seat = seat.id
        entry.warm = book.warm
        entry.estimate = self.durations.estimate(seat.id, entry.reading, book.warm)
        book.take(entry, now)
        book.warm = frozenset(entry.reading.sigs)
        if entry.task.group is not None and (group := self._groups.get(entry.task.group)):
            group.flying += 1
            group.charge(entry.estimate)
            self._turn = max(self._turn, group.used - entry.estimate / group.weight)

    def adopt(self, task: NodeTask, seat: Seat) -> None:
        """A backend has this task already: an earlier kernel gave it."""
        self._give(self._enter(task, next(self._arrived)), seat, self._clock())

    def runs(self, task: NodeTask) -> None:
        """Its backend has begun to run it."""
        entry = self._entries.get(id(task))
        if entry is not None and entry.seat is not None:
            book = self._books[entry.seat]
            book.begun = now = self._clock()
            book.free_at = now + book.backlog(now)

    def ended(
        self,
        task: NodeTask,
        seconds: float | None = None,
        spans: Mapping[str, float] | None = None,
    ) -> None:
        """Its backend is done with it, well (after ``seconds``) or not (None)."""
        entry = self._entries.get(id(task))
        if entry is None or entry.seat is None:
            return
        self._books[entry.seat].done(entry, self._clock())
        group = self._groups.get(task.group) if task.group is not None else None
        if group is not None:
            group.flying -= 1
            group.charge((seconds or 0.0) - entry.estimate)
        if seconds is not None:
            self.durations.observe(entry.seat, entry.reading, entry.warm, seconds, spans)
            if entry.family is not None and entry.family.due(self.durations):
                entry.family.group.unsorted.add(entry.family)
            self._recalls.forget(task)
        entry.seat = None
        self._entries.pop(id(task))
        if group is not None and not group.flying and not group.count:
            self._close(group)

    def _close(self, group: Group) -> None:
        del self._groups[group.key]
        self._rivals.forget(group.key)
        for book in self._books.values():
            if book.family is not None and book.family.group is group:
                book.settle(None, None, 0.0)

    def cooled(self, seat_id: str) -> None:
        """A backend has nothing loaded any more: it was restarted, or its memory was freed."""
        book = self._books.get(seat_id)
        if book is not None:
            book.warm = frozenset()

    def gone(self, seat_id: str) -> None:
        """A backend was removed, or is away: nobody counts on it."""
        book = self._books.get(seat_id)
        if book is not None:
            book.warm = frozenset()
            book.settle(None, None, 0.0)
        self.declined.discard(seat_id)
        self._ledger.changes += 1

    # Handing out ------------------------------------------------------------------------------

    def assign(self, seats: Iterable[Seat]) -> Iterator[tuple[NodeTask, Seat]]:
        """Hand out waiting tasks; the caller's bookkeeping must change ``load`` and ``free``.

        ``seats`` are those whose state has changed, or all. Who stops before the end asks again
        with those that are not in ``passed``.
        """
        now = self._clock()
        self._wake(now)
        open_seats = {seat.id: seat for seat in seats if seat.free > 0}
        self.passed.clear()
        for seat in open_seats.values():
            self._ledger.book(seat)
        if self._runs:
            yield from self._assign_runs(open_seats, now)
        if not self._ledger.any_points:
            self.declined.clear()
            return
        for group in self._groups.values():
            if group.unsorted:
                group.sort(self.durations, list(self._books.values()))
        yield from self._assign_points(open_seats, now)

    def _wake(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _, _, entry = heapq.heappop(self._delayed)
            if self._waits(entry) and entry.family is None:
                self._queue(entry, first=True)

    def _assign_runs(
        self, open_seats: dict[str, Seat], now: float
    ) -> Iterator[tuple[NodeTask, Seat]]:
        while open_seats and (found := self._runs.next(open_seats, now)) is not None:
            entry, seat = found
            points = self._books[seat.id].points_behind()
            if sum(each.estimate for each in points) > AHEAD:
                self._recalls.before(points)
            self._give(entry, seat, now)
            yield entry.task, seat
            if seat.free <= 0:
                del open_seats[seat.id]

    def _assign_points(
        self, open_seats: dict[str, Seat], now: float
    ) -> Iterator[tuple[NodeTask, Seat]]:
        order = itertools.count()

        def place(seat: Seat) -> tuple[float, float, int, Seat]:
            return seat.load, self.durations.slowness(seat.id), next(order), seat

        queue = [place(seat) for seat in open_seats.values() if seat.free > 0]
        heapq.heapify(queue)
        idle: list[Seat] = []
        while queue:
            _, _, _, seat = heapq.heappop(queue)
            entry = self._pick(seat, now)
            if entry is None:
                idle.append(seat)
                continue
            self.declined.discard(seat.id)
            self._give(entry, seat, now)
            yield entry.task, seat
            if seat.free > 0:
                heapq.heappush(queue, place(seat))
        if idle and not any(book.given for book in self._books.values()):
            # Estimates are only estimates: somebody must go on.
            yield from self._insist(idle, now)

    def _insist(self, idle: list[Seat], now: float) -> Iterator[tuple[NodeTask, Seat]]:
        for seat in sorted(idle, key=lambda each: self.durations.slowness(each.id)):
            entry = self._pick(seat, now, insist=True)
            if entry is not None:
                self.declined.discard(seat.id)
                self._give(entry, seat, now)
                yield entry.task, seat
                return

    def _pick(self, seat: Seat, now: float, *, insist: bool = False) -> Entry | None:
        """The point that a backend should do next, if it should do one."""
        book = self._books[seat.id]

        def may(kind: int) -> bool:
            return self._ledger.may(seat, kind)

        spots: list[tuple[float, float, Group, Branch, Entry]] = []
        for group in self._groups.values():
            if not group.branch.count:
                continue
            leaf = self._spots.find(group, book, may, now, insist=insist)
            if leaf is None:
                continue
            entry = leaf.first()
            family = entry.family
            assert family is not None
            seconds = self.durations.estimate(seat.id, entry.reading, book.warm)
            enter = max(0.0, seconds - family.unit(seat.id, self.durations))
            spots.append((group.used + TURN * enter / group.weight, seconds, group, leaf, entry))
        if len(spots) > 1:
            spots.sort(key=lambda spot: spot[0])
            spots = self._stay(book, spots)
        for _, seconds, _, leaf, entry in spots:
            if insist or self._rivals.is_first(seat, book, entry, seconds, now):
                family = entry.family
                assert family is not None
                book.settle(leaf, family, 1.0 / family.unit(seat.id, self.durations))
                return leaf.pop()
        # Asked again soon: what was learned meanwhile may change the answer.
        self.declined.add(seat.id)
        self.passed.add(seat.id)
        return None

    @staticmethod
    def _stay(
        book: Book, spots: list[tuple[float, float, Group, Branch, Entry]]
    ) -> list[tuple[float, float, Group, Branch, Entry]]:
        """Leave a stretch for another sweep's turn only if that has fewer backends than ours.

        Otherwise all backends would run to whoever is behind, and back again.
        """
        own = next((spot for spot in spots if spot[3] is book.leaf), None)
        if own is None or spots[0] is own:
            return spots
        ours, theirs = own[2], spots[0][2]
        if (theirs.branch.attended + 1) / theirs.weight <= ours.branch.attended / ours.weight:
            return spots
        return [own, *(spot for spot in spots if spot is not own)]

    def reconsider(self) -> list[str]:
        """The fastest of the backends that have nothing to do: ids, to be asked again.

        Others may have turned out slower than they were expected to be.
        """
        if len(self.declined) <= ASKED_AGAIN:
            return list(self.declined)
        return heapq.nsmallest(ASKED_AGAIN, self.declined, key=self.durations.slowness)

    def recall(self) -> Iterator[NodeTask]:
        """Tasks that a server has not begun and that should be taken back out of its queue.

        Either a run by itself came, and should not wait behind them, or nothing waits any more
        and an idle backend would end them sooner. Each is offered at most twice.
        """
        return self._recalls.choose(self._clock())

    # Looking ----------------------------------------------------------------------------------

    def seconds_left(self, group: str) -> float | None:
        """Seconds until a sweep is done, as far as can be told; None for one that is not here."""
        found = self._groups.get(group)
        if found is None:
            return None
        now = self._clock()
        seconds = 0.0
        for family in found.families.values():
            if family.count:
                kind = next(iter(family.branch.kinds), None)
                if kind is not None:
                    seconds += family.count / self._rivals.team(family, kind, now).pace
        backlogs = [
            book.backlog(now)
            for book in self._books.values()
            if any(entry.task.group == group for entry in book.given.values())
        ]
        share = found.weight / sum(g.weight for g in self._groups.values() if g.count or g is found)
        return seconds / share + max(backlogs, default=0.0)

    def stranded(self, seats: Iterable[Seat]) -> list[tuple[NodeTask, str, bool]]:
        """Waiting tasks that no backend can run now: (task, why, whether another could)."""
        kinds = set(self._runs.kinds)
        for group in self._groups.values():
            kinds.update(group.kinds)
        return stranded(self._ledger, self._waiting(), kinds, list(seats))
