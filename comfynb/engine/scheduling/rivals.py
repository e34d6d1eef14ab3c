"""Whether a backend should take a task at all: not if others have done all that waits sooner."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from comfynb.engine.scheduling.entries import Book, Entry
from comfynb.engine.scheduling.group import Family
from comfynb.engine.scheduling.ledger import Ledger
from comfynb.engine.scheduling.seats import Seat

__all__ = ["Rivals", "Team"]

FORGET: Final = 0.5
"""Seconds for which the fleet's pace is taken as known."""
LEARNED: Final = 1.2
"""It is reckoned again as soon as so many times as many prompts were measured."""


@dataclass(slots=True)
class Team:
    """The backends that may do tasks of a kind, and how fast they are together."""

    at: float
    changes: int
    """How often backends had come or gone by then."""
    age: int
    """How many prompts had been measured by then."""
    pace: float
    """Tasks in a second."""
    members: list[tuple[float, Book, Seat]]
    """Seconds of a task on each; the fastest first."""


class Rivals:
    """Compares one backend with all the others; near the end that decides who is left out."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._teams: dict[tuple[str, Hashable, int], Team] = {}

    def __repr__(self) -> str:
        return f"Rivals({len(self._teams)} teams)"

    def forget(self, group: str) -> None:
        """A sweep is over."""
        for key in [key for key in self._teams if key[0] == group]:
            del self._teams[key]

    def team(self, family: Family, kind: int, now: float) -> Team:
        """All backends that may do tasks of a family, as they were a moment ago."""
        ledger = self._ledger
        key = family.group.key, family.shape.key, kind
        known = self._teams.get(key)
        age = ledger.durations.age("")
        if (
            known is not None
            and now - known.at < FORGET
            and age <= LEARNED * known.age
            and known.changes == ledger.changes
        ):
            return known
        members = [
            (family.unit(seat.id, ledger.durations), ledger.books[seat.id], seat)
            for seat in ledger.seats.values()
            if ledger.may(seat, kind)
        ]
        members.sort(key=lambda member: member[0])
        pace = sum(1.0 / unit for unit, _, _ in members)
        known = self._teams[key] = Team(now, ledger.changes, age, max(pace, 1e-9), members)
        return known

    def is_first(self, seat: Seat, book: Book, entry: Entry, seconds: float, now: float) -> bool:
        """Whether a backend ends this task before others would have done all that waits."""
        durations = self._ledger.durations
        finish = book.backlog(now, seat.foreign) + seconds
        family = entry.family
        assert family is not None
        unit = family.unit("", durations)
        work = 0.0
        for group in self._ledger.groups.values():
            for each in group.families.values():
                if each.branch.count:
                    work += each.branch.count * each.unit("", durations)
        left = max(1.0, work / unit)
        if finish <= left / self.team(family, entry.kind, now).pace:
            return True
        needed = math.ceil(left - 1e-6)
        return self._slots_before(finish, seat, entry, now=now, needed=needed) < needed

    def _slots_before(
        self, finish: float, seat: Seat, entry: Entry, *, now: float, needed: int
    ) -> int:
        """How many such tasks the other backends could have ended by then; ``needed`` suffice."""
        family = entry.family
        assert family is not None
        slots = 0
        helper = 0
        for unit, other, rival in self.team(family, entry.kind, now).members:
            if unit > finish:
                break  # and so are all that are slower
            # Reckoned anew only where it is late: there may be hundreds of them.
            backlog = 0.0
            if other.given:
                backlog = other.free_at - now
                if backlog <= 0:
                    backlog = other.backlog(now)
            if backlog + unit > finish or rival is seat:
                continue
            if not other.given and rival.free <= 0:
                continue  # it is set aside, or about to be
            backlog += rival.foreign * unit / other.slots
            enter = 0.0
            if other.leaf is None or (other.leaf is not entry.leaf and not other.leaf.count):
                enter = self._entering(other, entry, unit)
            # As for those who help: who has to load does so only if the gain is as large again.
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

    def _entering(self, book: Book, entry: Entry, unit: float) -> float:
        """Seconds that a backend would load for before it does tasks like this one."""
        durations = self._ledger.durations
        age = durations.age(book.id)
        known = book.entering
        if known is not None and known[:2] == (age, entry.leaf) and known[2] is book.warm:
            return known[3]
        seconds = durations.estimate(book.id, entry.reading, book.warm)
        enter = max(0.0, seconds - unit)
        book.entering = age, entry.leaf, book.warm, enter
        return enter
