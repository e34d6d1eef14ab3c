"""Where in a sweep's tree a backend goes on: what it has loaded, a new stretch, or helping."""

import itertools
import math
from typing import Final

from comfynb.engine.scheduling.branches import Branch, May
from comfynb.engine.scheduling.entries import Book
from comfynb.engine.scheduling.group import Group
from comfynb.engine.scheduling.ledger import Ledger

__all__ = ["Spots"]

LOOKED_AT: Final = 16
"""So many workflows of a sweep, or stretches of one, are searched for what is loaded; where more
backends work on a stretch, it is not asked when the first of them takes its next task."""


class Spots:
    """Finds the next leaf for a backend in one sweep."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __repr__(self) -> str:
        return f"Spots({self._ledger!r})"

    def find(
        self, group: Group, book: Book, may: May, now: float, *, insist: bool
    ) -> Branch | None:
        """The leaf at which a backend would go on; None if it may not, or should not.

        ``insist`` has it help others even where that is not worth what it loads for it.
        """
        held = self._ledger.held
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
            found = branch.warm_child(may, book.warm) or branch.unattended(may, held)
            if branch is group.branch:
                found = self._anywhere(branch, found, book, may)
            elif branch.parent is group.branch:
                found = self._warmest(branch, found, book, may)
            if found is not None:
                return found.within(may, book.warm, held)
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
        """A stretch of any workflow of a sweep.

        Of one that others work on as well, if it is loaded here or if no whole workflow is left.
        """
        workflows = list(itertools.islice(root.children.values(), LOOKED_AT))
        for workflow in workflows:
            known = workflow.warm_child(may, book.warm)
            if known is not None:
                return known
        if found is not None:
            return found
        for workflow in workflows:
            found = workflow.unattended(may, self._ledger.held)
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
        durations = self._ledger.durations
        best: tuple[float, Branch] | None = None
        seat = self._ledger.seats[book.id]
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
            leaf = busiest.within(may, book.warm, self._ledger.held)
            entry = leaf.first()
            family = entry.family
            assert family is not None
            unit = family.unit(book.id, durations)
            seconds = durations.estimate(book.id, entry.reading, book.warm)
            enter = max(0.0, seconds - unit)
            if not durations.seen.get(family.shape.key):
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
        if branch.attended > LOOKED_AT:
            return 0.0
        for book in self._ledger.books.values():
            at: Branch | None = book.leaf
            while at is not None and at is not branch:
                at = at.parent
            if at is not None:
                soonest = min(soonest, book.backlog(now))
        return soonest if soonest < math.inf else 0.0
