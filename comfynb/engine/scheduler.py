"""Which waiting task goes to which backend next; docs/scheduling.md says why.

Runs by themselves go first, in the order in which they came. Points of sweeps come after them, in
an order in which what is expensive changes rarely, and each backend stays with what it has loaded.
"""

import heapq
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from comfynb.engine.scheduling.branches import Branch, May
from comfynb.engine.scheduling.durations import Describe, Durations
from comfynb.engine.scheduling.entries import Book, Entry
from comfynb.engine.scheduling.group import Family, Group
from comfynb.engine.scheduling.shapes import Reader
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.models import FallbackStrategy

__all__ = ["Scheduler", "Seat"]

TURN: Final = 20.0
"""A backend goes over to a sweep that is behind when it is behind by more than so many times what
that costs it in loads: so turns cost a twentieth at most."""
FORGET: Final = 0.5
"""Seconds for which the fleet's pace is taken as known."""
LEARNED: Final = 1.1
"""It is reckoned again as soon as so many times as many prompts were measured."""
AHEAD: Final = 1.0
"""Seconds of a sweep's prompts that a run by itself may find before it in a server's queue; more
are taken back."""
RECALLS: Final = 2
"""How often one task is taken back from a server's queue to be done sooner elsewhere."""
WORTH: Final = 0.25
"""Seconds that must be gained by taking a prompt back."""
BETWEEN: Final = 0.05
"""Seconds between two looks for prompts to take back."""
LOOKED_AT: Final = 16
"""So many workflows of a sweep, or stretches of one, are searched for what is loaded."""
ASKED_AGAIN: Final = 16
"""So many of the backends that have nothing to do are asked again at a time."""


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

    @property
    def concurrency(self) -> int:
        """How many prompts it runs at once."""

    @property
    def foreign(self) -> int:
        """How many prompts of other people it has."""

    def refusal(self, requirements: Requirements) -> str | None:
        """Why it cannot run such a task, as the end of a sentence; None when it can."""


@dataclass(slots=True)
class Team:
    """The backends that may do tasks of a kind, and how fast they are together."""

    at: float
    age: int
    """How many prompts had been measured by then."""
    pace: float
    """Tasks in a second."""
    members: list[tuple[float, Book, Seat]]
    """Seconds of a task on each; the fastest first."""


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
        self.durations = Durations(describe)
        self._clock = clock
        self._reader = Reader()
        self._kinds: dict[Requirements, int] = {}
        self._requirements: list[Requirements] = []
        self._lines: dict[int, deque[Entry]] = {}
        self._arrivals: dict[int, int] = {}
        self._arrived = itertools.count(1)
        self._entries: dict[int, Entry] = {}
        """By the task's id(): everything that waits or is out."""
        self._delayed: list[tuple[float, int, Entry]] = []
        self._groups: dict[str, Group] = {}
        self._turn = 0.0
        """How much the group that was served last had used by then."""
        self._held: Counter[Hashable] = Counter()
        self._books: dict[str, Book] = {}
        self._seats: dict[str, Seat] = {}
        self._teams: dict[tuple[str, Hashable, int], Team] = {}
        self._recalled: dict[int, int] = {}
        self._ahead: list[Entry] = []
        self._looked = -math.inf
        self.declined: set[str] = set()
        """Backends with room that were given nothing: others do what waits sooner, or alone can."""

    def __len__(self) -> int:
        return (
            sum(len(line) for line in self._lines.values())
            + sum(group.count for group in self._groups.values())
            + sum(1 for _, _, entry in self._delayed if entry.seat is None and self._waits(entry))
        )

    def __iter__(self) -> Iterator[NodeTask]:
        for entry in self._waiting():
            yield entry.task

    def _waits(self, entry: Entry) -> bool:
        return self._entries.get(id(entry.task)) is entry

    def _waiting(self) -> Iterator[Entry]:
        for line in self._lines.values():
            yield from line
        for group in self._groups.values():
            yield from group
        for _, _, entry in self._delayed:
            if self._waits(entry) and entry.seat is None:
                yield entry

    # Coming and going -------------------------------------------------------------------------

    def add(self, task: NodeTask, *, first: bool = False) -> None:
        """Let ``task`` wait; ``first`` puts it before those of its kind (it was lost, say)."""
        entry = Entry(task, self._reader.read(task), self._kind(task.requirements))
        self._entries[id(task)] = entry
        number = next(self._arrived)
        self._arrivals[id(task)] = -number if first else number
        if task.group is not None and task.not_before > self._clock():
            heapq.heappush(self._delayed, (task.not_before, number, entry))
        else:
            self._queue(entry, first=first)

    def _queue(self, entry: Entry, *, first: bool) -> None:
        task = entry.task
        if task.group is None:
            line = self._lines.setdefault(entry.kind, deque())
            if first:
                line.appendleft(entry)
            else:
                line.append(entry)
            return
        group = self._groups.get(task.group)
        if group is None:
            group = self._groups[task.group] = Group(task.group, max(task.weight, 1e-3))
        if not group.count:
            # Nobody saves up turns by having nothing to do.
            group.used = max(group.used, self._turn)
        group.add(entry, first=first)

    def _kind(self, requirements: Requirements) -> int:
        kind = self._kinds.get(requirements)
        if kind is None:
            kind = self._kinds[requirements] = len(self._requirements)
            self._requirements.append(requirements)
        return kind

    def remove(self, task: NodeTask) -> bool:
        """Take ``task`` out of its line; False if it does not wait (any more)."""
        entry = self._entries.get(id(task))
        if entry is None or entry.seat is not None:
            return False
        if entry.family is not None:
            entry.family.drop(entry)
        elif (line := self._lines.get(entry.kind)) is not None and entry in line:
            line.remove(entry)
            self._close_line(entry.kind)
        self._forget(entry)
        return True

    def _close_line(self, kind: int) -> None:
        if not self._lines[kind]:
            del self._lines[kind]

    def _forget(self, entry: Entry) -> None:
        self._entries.pop(id(entry.task), None)
        self._arrivals.pop(id(entry.task), None)
        self._recalled.pop(id(entry.task), None)

    # What happens to what is out --------------------------------------------------------------

    def _give(self, entry: Entry, seat: Seat, now: float) -> None:
        book = self._book(seat)
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
        entry = Entry(task, self._reader.read(task), self._kind(task.requirements))
        self._entries[id(task)] = entry
        self._give(entry, seat, self._clock())

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
        book = self._books[entry.seat]
        book.done(entry, self._clock())
        group = self._groups.get(task.group) if task.group is not None else None
        if group is not None:
            group.flying -= 1
            group.charge((seconds or 0.0) - entry.estimate)
        if seconds is not None:
            self.durations.observe(entry.seat, entry.reading, entry.warm, seconds, spans)
            if entry.family is not None and entry.family.due(self.durations):
                entry.family.group.unsorted.add(entry.family)
        entry.seat = None
        recalls = self._recalled.get(id(task))
        self._forget(entry)
        if recalls is not None and seconds is None:
            self._recalled[id(task)] = recalls
        if group is not None and not group.flying and not group.count:
            del self._groups[group.key]
            for each in self._books.values():
                if each.family is not None and each.family.group is group:
                    each.settle(None, None, 0.0)

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
        self._teams.clear()

    def _book(self, seat: Seat) -> Book:
        book = self._books.get(seat.id)
        if book is None:
            book = self._books[seat.id] = Book(seat.id, self._held)
            self._teams.clear()
        book.slots = max(1, seat.concurrency)
        self._seats[seat.id] = seat
        return book

    # Handing out ------------------------------------------------------------------------------

    def assign(self, seats: Iterable[Seat]) -> Iterator[tuple[NodeTask, Seat]]:
        """Hand out waiting tasks; the caller's bookkeeping must change ``load`` and ``free``.

        ``seats`` are those whose state has changed, or all.
        """
        now = self._clock()
        self._wake(now)
        open_seats = {seat.id: seat for seat in seats if seat.free > 0}
        for seat in open_seats.values():
            self._book(seat)
        if self._lines:
            yield from self._assign_runs(open_seats, now)
        if not any(group.count for group in self._groups.values()):
            self.declined.clear()
            return
        for group in self._groups.values():
            if group.unsorted:
                group.sort(self.durations, list(self._books.values()))
        yield from self._assign_points(open_seats, now)

    def _wake(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            _, _, entry = heapq.heappop(self._delayed)
            if self._waits(entry) and entry.seat is None and entry.family is None:
                self._queue(entry, first=True)

    # Runs by themselves -----------------------------------------------------------------------

    def _assign_runs(
        self, open_seats: dict[str, Seat], now: float
    ) -> Iterator[tuple[NodeTask, Seat]]:
        while open_seats:
            found = self._next_run(open_seats, now)
            if found is None:
                return
            entry, seat = found
            self._lines[entry.kind].popleft()
            self._close_line(entry.kind)
            book = self._books[seat.id]
            before = list(book.given.values())[book.slots :]
            points = [each for each in before if each.task.group is not None]
            if sum(each.estimate for each in points) > AHEAD:
                self._ahead.extend(points)
            self._give(entry, seat, now)
            yield entry.task, seat
            if seat.free <= 0:
                del open_seats[seat.id]

    def _next_run(self, open_seats: dict[str, Seat], now: float) -> tuple[Entry, Seat] | None:
        """The run that came first among those that a backend may do, and who ends it first."""
        best: tuple[int, Entry, list[Seat]] | None = None
        for kind, line in self._lines.items():
            entry = line[0]
            arrival = self._arrivals[id(entry.task)]
            if entry.task.not_before > now or (best is not None and best[0] < arrival):
                continue
            able = [seat for seat in open_seats.values() if self._may(seat, kind)]
            if able:
                best = arrival, entry, able
        if best is None:
            return None
        _, entry, able = best

        def finish(seat: Seat) -> tuple[float, float]:
            book = self._books[seat.id]
            seconds = self.durations.estimate(seat.id, entry.reading, book.warm)
            return round(book.backlog(now, seat.foreign) + seconds, 6), seat.load

        return entry, min(able, key=finish)

    def _may(self, seat: Seat, kind: int) -> bool:
        requirements = self._requirements[kind]
        if requirements.affinity is not None and requirements.affinity != seat.id:
            # Only AUTO_SELECT may leave its preferred backend, and the engine lifts the affinity
            # when that one cannot run the task; until then the task waits for it.
            return False
        return seat.refusal(requirements) is None

    # Points of sweeps -------------------------------------------------------------------------

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
            return self._may(seat, kind)

        # The usual case first: more of what it is at, and nobody else waits for a turn.
        spots: list[tuple[float, float, Group, Branch, Entry]] = []
        for group in self._groups.values():
            if not group.branch.count:
                continue
            leaf = self._spot(group, book, may, now, insist=insist)
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
            if insist or self._is_first(seat, book, entry, seconds, now):
                family = entry.family
                assert family is not None
                book.settle(leaf, family, 1.0 / family.unit(seat.id, self.durations))
                return leaf.pop()
        # Asked again soon: what was learned meanwhile may change the answer.
        self.declined.add(seat.id)
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

    def _spot(
        self, group: Group, book: Book, may: May, now: float, *, insist: bool
    ) -> Branch | None:
        """Where in a sweep's tree a backend would go on."""
        leaf = book.leaf
        ours = leaf is not None and book.family is not None and book.family.group is group
        if ours and leaf is not None and leaf.count and any(may(kind) for kind in leaf.kinds):
            return leaf
        if not any(may(kind) for kind in group.branch.kinds):
            return None
        above: list[Branch] = []
        branch: Branch | None = leaf.parent if ours and leaf is not None else group.branch
        while branch is not None:
            above.append(branch)
            branch = branch.parent
        for branch in above:
            found = branch.warm_child(may, book.warm) or branch.unattended(may, self._held)
            if branch is group.branch:
                found = self._anywhere(branch, found, book, may)
            elif branch.parent is group.branch:
                found = self._warmest(branch, found, book, may)
            if found is not None:
                return found.within(may, book.warm, self._held)
        return self._split(above, book, may, now, insist=insist)

    @staticmethod
    def _warmest(branch: Branch, found: Branch | None, book: Book, may: May) -> Branch | None:
        """A stretch of which more is loaded, if there is one."""
        if book.warm and found is not None and not branch.warm_child(may, book.warm):
            for child in itertools.islice(branch.children.values(), LOOKED_AT):
                known = child.warm_child(may, book.warm) if not child.attended else None
                if known is not None:
                    return known
        return found

    def _anywhere(self, root: Branch, found: Branch | None, book: Book, may: May) -> Branch | None:
        """A stretch of any workflow of a sweep: of one that others work on as well, if it is loaded
        here or if no whole workflow is left."""
        workflows = list(itertools.islice(root.children.values(), LOOKED_AT))
        for workflow in workflows:
            known = workflow.warm_child(may, book.warm)
            if known is not None:
                return known
        if found is not None:
            return found
        for workflow in workflows:
            found = workflow.unattended(may, self._held)
            if found is not None:
                return found
        return None

    def _split(
        self, above: list[Branch], book: Book, may: May, now: float, *, insist: bool
    ) -> Branch | None:
        """Help with a stretch that others work on, if that is worth what must be loaded for it.

        It is if it ends sooner by more than the load takes, or if the helper then works for longer
        than it loads: one of fifty that help ends little sooner, and yet they all should.
        """
        best: tuple[float, Branch] | None = None
        seat = self._seats[book.id]
        backlog = book.backlog(now, seat.foreign)
        for branch in above:
            able = [
                child
                for child in branch.children.values()
                if child.count and any(may(kind) for kind in child.kinds)
            ]
            if not able:
                continue
            busiest = max(able, key=lambda child: child.count / max(child.pace, 1e-9))
            leaf = busiest.within(may, book.warm, self._held)
            entry = leaf.first()
            family = entry.family
            assert family is not None
            unit = family.unit(book.id, self.durations)
            seconds = self.durations.estimate(book.id, entry.reading, book.warm)
            enter = max(0.0, seconds - unit)
            if not self.durations.seen.get(family.shape.key):
                enter = 0.0  # nobody knows yet: let all begin rather than wait for the first
            theirs = self._backlog_of(busiest, now)
            alone = theirs + busiest.count / max(busiest.pace, 1e-9)
            begin = max(0.0, backlog + enter - theirs)
            together = theirs + (busiest.count + begin / unit) / (busiest.pace + 1 / unit)
            gain = alone - together if alone > backlog + seconds else 0.0
            useful = together - theirs - begin
            # One who could do all the rest in time, even if loading took twice as long, does.
            rest = backlog + 2 * enter + busiest.count * unit
            if insist or (gain > 0 and max(gain, useful) > enter) or rest <= alone:
                score = max(gain, useful, alone - rest) - enter
                if best is None or score > best[0]:
                    best = score, leaf
        return best[1] if best is not None else None

    def _backlog_of(self, branch: Branch, now: float) -> float:
        """Seconds until the first of those who work on a stretch takes another task of it."""
        soonest = math.inf
        if branch.attended > 16:
            return 0.0
        for book in self._books.values():
            at: Branch | None = book.leaf
            while at is not None and at is not branch:
                at = at.parent
            if at is not None:
                soonest = min(soonest, book.backlog(now))
        return soonest if soonest < math.inf else 0.0

    # Who would be done first ------------------------------------------------------------------

    def reconsider(self) -> list[str]:
        """The fastest of the backends that have nothing to do: ids, to be asked again.

        Others may have turned out slower than they were expected to be.
        """
        if len(self.declined) <= ASKED_AGAIN:
            return list(self.declined)
        return heapq.nsmallest(ASKED_AGAIN, self.declined, key=self.durations.slowness)

    def _is_first(self, seat: Seat, book: Book, entry: Entry, seconds: float, now: float) -> bool:
        """Whether a backend ends this task before others would have done all that waits."""
        finish = book.backlog(now, seat.foreign) + seconds
        family = entry.family
        assert family is not None
        unit = family.unit("", self.durations)
        work = 0.0
        for group in self._groups.values():
            for each in group.families.values():
                if each.branch.count:
                    work += each.branch.count * each.unit("", self.durations)
        left = max(1.0, work / unit)
        if finish <= left / self._team(family, entry.kind, now).pace:
            return True
        needed = math.ceil(left - 1e-6)
        return self._slots_before(finish, seat, entry, now=now, needed=needed) < needed

    def _team(self, family: Family, kind: int, now: float) -> Team:
        """All backends that may do tasks of a family, as they were a moment ago."""
        key = family.group.key, family.shape.key, kind
        known = self._teams.get(key)
        age = self.durations.age("")
        if known is not None and now - known.at < FORGET and age <= LEARNED * known.age:
            return known
        members = [
            (family.unit(seat.id, self.durations), self._books[seat.id], seat)
            for seat in self._seats.values()
            if self._may(seat, kind)
        ]
        members.sort(key=lambda member: member[0])
        pace = sum(1.0 / unit for unit, _, _ in members)
        known = self._teams[key] = Team(now, age, max(pace, 1e-9), members)
        return known

    def _entering(self, book: Book, entry: Entry, unit: float) -> float:
        """Seconds that a backend would load for before it does tasks like this one."""
        age = self.durations.age(book.id)
        known = book.entering
        if known is not None and known[:2] == (age, entry.leaf) and known[2] is book.warm:
            return known[3]
        seconds = self.durations.estimate(book.id, entry.reading, book.warm)
        enter = max(0.0, seconds - unit)
        book.entering = age, entry.leaf, book.warm, enter
        return enter

    def _slots_before(
        self, finish: float, seat: Seat, entry: Entry, *, now: float, needed: int
    ) -> int:
        """How many such tasks the other backends could have ended by then; ``needed`` suffice."""
        family = entry.family
        assert family is not None
        slots = 0
        helper = 0
        for unit, other, rival in self._team(family, entry.kind, now).members:
            if unit > finish:
                break  # and so are all that are slower
            backlog = other.about(now)
            if backlog + unit > finish or rival is seat:
                continue
            if not other.given and rival.free <= 0:
                continue  # it is set aside, or about to be
            backlog += rival.foreign * unit / other.slots
            enter = 0.0
            if other.leaf is None or (other.leaf is not entry.leaf and not other.leaf.count):
                enter = self._entering(other, entry, unit)
            # As in _split(): who has to load does so only if the gain is as large again.
            ends = int((finish * (1 - 1e-9) - backlog - 2 * enter) / unit)
            if ends <= 0:
                continue
            if enter > 0.1 * unit:
                helper = max(helper, ends)
            else:
                slots += ends
            if slots + helper >= needed:
                break
        return slots + helper

    # Taking back ------------------------------------------------------------------------------

    def recall(self) -> Iterator[NodeTask]:
        """Tasks that a server has not begun and that should be taken back out of its queue.

        Either a run by itself came, and should not wait behind them, or nothing waits any more
        and an idle backend would end them sooner. Each is offered at most twice.
        """
        now = self._clock()
        ahead, self._ahead = self._ahead, []
        if self._lines:
            ahead += self._in_the_way(now)
        for entry in ahead:
            if entry.seat is not None and self._count_recall(entry):
                yield entry.task
        if self._lines or any(group.count for group in self._groups.values()):
            return
        if not self._groups:
            return
        if now - self._looked < BETWEEN:
            return
        self._looked = now
        idle = [
            (self.durations.slowness(book.id), book.id)
            for book in self._books.values()
            if not book.given and self._seats[book.id].free > 0
        ]
        late = [
            (book.backlog(now, self._seats[book.id].foreign), book.id)
            for book in self._books.values()
            if len(book.given) > book.slots
        ]
        # The fastest of the idle ones takes from the one that would be done last, and so on.
        for (_, helper), (finish, helped) in zip(sorted(idle), sorted(late)[::-1], strict=False):
            found = self._last_of(self._books[helped], self._books[helper], finish)
            if found is not None and self._count_recall(found):
                yield found.task

    def _in_the_way(self, now: float) -> list[Entry]:
        """Points in the queue of the backend that a run by itself will have, when all are full."""
        for kind, line in self._lines.items():
            if line[0].task.not_before > now:
                continue
            able = [
                self._books[seat.id]
                for seat in self._seats.values()
                if self._may(seat, kind) and self._books[seat.id].given
            ]
            if not able or any(self._seats[book.id].free > 0 for book in able):
                continue
            soonest = min(able, key=lambda book: book.head(now))
            behind = list(soonest.given.values())[soonest.slots :]
            points = [entry for entry in behind if entry.task.group is not None]
            if sum(entry.estimate for entry in points) > AHEAD:
                return points
        return []

    def _count_recall(self, entry: Entry) -> bool:
        recalls = self._recalled.get(id(entry.task), 0)
        self._recalled[id(entry.task)] = recalls + 1
        return recalls < RECALLS

    def _last_of(self, other: Book, book: Book, finish: float) -> Entry | None:
        """The last prompt in a backend's queue, if an idle one would end it sooner."""
        last = next(reversed(other.given.values()))
        if last.task.group is None or not self._may(self._seats[book.id], last.kind):
            return None
        mine = self.durations.estimate(book.id, last.reading, book.warm)
        return last if finish - mine > max(WORTH, 0.1 * mine) else None

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
                    seconds += family.count / self._team(family, kind, now).pace
        backlogs = [
            book.backlog(now)
            for book in self._books.values()
            if any(entry.task.group == group for entry in book.given.values())
        ]
        share = found.weight / sum(g.weight for g in self._groups.values() if g.count or g is found)
        return seconds / share + max(backlogs, default=0.0)

    def stranded(self, seats: Iterable[Seat]) -> list[tuple[NodeTask, str, bool]]:
        """Waiting tasks that no backend can run now: (task, why, whether another could)."""
        all_seats = list(seats)
        verdicts: dict[int, tuple[str, bool] | None] = {}
        found: list[tuple[NodeTask, str, bool]] = []
        kinds = {kind for group in self._groups.values() for kind in group.branch.kinds}
        kinds.update(self._lines)
        kinds.update(
            entry.kind
            for group in self._groups.values()
            for family in group.unsorted
            for entry, _ in family._new  # noqa: SLF001
        )
        for kind in kinds:
            verdicts[kind] = self._verdict(kind, all_seats)
        if not any(verdicts.values()):
            return []
        for entry in self._waiting():
            verdict = verdicts.get(entry.kind)
            if verdict is not None:
                found.append((entry.task, *verdict))
        return found

    def _verdict(self, kind: int, seats: list[Seat]) -> tuple[str, bool] | None:
        requirements = self._requirements[kind]
        if any(self._may(seat, kind) for seat in seats):
            return None
        reasons = [
            f"{seat.name}: {reason}"
            for seat in seats
            if requirements.affinity in {None, seat.id}
            and (reason := seat.refusal(requirements)) is not None
        ]
        elsewhere = (
            requirements.affinity is not None
            and requirements.fallback is FallbackStrategy.AUTO_SELECT
            and any(seat.refusal(requirements) is None for seat in seats)
        )
        return "; ".join(reasons) or "there is no backend", elsewhere
