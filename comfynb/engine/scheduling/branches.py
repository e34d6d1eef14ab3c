"""The waiting tasks of a sweep as a tree: what is expensive near the root, equal tasks in a leaf.

A branch with all that hangs on it is a *stretch*: whoever works on it loads what its path stands
for once. A branch is *attended* while a backend works somewhere on it. Taking a task, finding the
next stretch and giving one up cost the same for a hundred tasks and for twenty thousand.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Final

from comfynb.engine.scheduling.entries import Entry

__all__ = ["Branch", "Held", "May"]

_TICKETS = itertools.count()

AROUND: Final = 32
"""So many stretches are looked at for one that needs what nobody else has loaded."""

Held = Mapping[Hashable, int]
"""How many backends work on what needs this or that loaded, in any sweep."""

May = Callable[[int], bool]
"""Whether a backend may run tasks with the requirements of that number."""


class Branch:
    """A stretch: smaller stretches, or (a leaf) tasks that need the same things loaded."""

    __slots__ = (
        "_open",
        "attended",
        "children",
        "count",
        "key",
        "kinds",
        "pace",
        "parent",
        "tasks",
        "ticket",
    )

    def __init__(self, parent: "Branch | None" = None, key: Hashable = None) -> None:
        self.parent = parent
        self.key = key
        self.count = 0
        """How many tasks wait here."""
        self.attended = 0
        """How many backends work here."""
        self.pace = 0.0
        """Tasks that they do in a second, all together."""
        self.children: dict[Hashable, Branch] = {}
        self.tasks: OrderedDict[int, Entry] = OrderedDict()
        self.kinds: dict[int, int] = {}
        """How many tasks there are of each kind of requirements."""
        self._open: dict[frozenset[int], list[tuple[int, int, Branch]]] = {}
        self.ticket = -1

    def __repr__(self) -> str:
        return f"Branch({self.count} tasks, {self.attended} backends)"

    def __iter__(self) -> Iterator[Entry]:
        yield from list(self.tasks.values())
        for child in list(self.children.values()):
            yield from child

    # Growing and shrinking --------------------------------------------------------------------

    def add(self, path: tuple[Hashable, ...], entry: Entry, *, first: bool = False) -> None:
        """Hang a task on the leaf at ``path``."""
        branch = self
        for key in path:
            child = branch.children.get(key)
            if child is None:
                child = branch.children[key] = Branch(branch, key)
            branch = child
        entry.leaf = branch
        branch.tasks[id(entry)] = entry
        if first:
            branch.tasks.move_to_end(id(entry), last=False)
        branch.recount(entry.kind, 1)

    def pop(self) -> Entry:
        """Take the first task of this leaf."""
        _, entry = self.tasks.popitem(last=False)
        self.recount(entry.kind, -1)
        return entry

    def first(self) -> Entry:
        """The task that :meth:`pop` would take; of a branch, one of its tasks."""
        branch = self
        while not branch.tasks:
            branch = next(child for child in branch.children.values() if child.count)
        return next(iter(branch.tasks.values()))

    def drop(self, entry: Entry) -> None:
        """Take a certain task out of this leaf."""
        del self.tasks[id(entry)]
        self.recount(entry.kind, -1)

    def recount(self, kind: int, change: int) -> None:
        """So many more tasks of a kind wait on this leaf."""
        branch: Branch | None = self
        while branch is not None:
            parent = branch.parent
            branch.count += change
            left = branch.kinds.get(kind, 0) + change
            if left:
                branch.kinds[kind] = left
            else:
                del branch.kinds[kind]
            grows = change > 0 and parent is not None and not branch.attended
            # Its place among its siblings follows its size, and the kinds of its tasks; for a few
            # tasks more it is not worth moving.
            if grows and (branch.count & (branch.count - 1) == 0 or left == 1):
                assert parent is not None
                parent.offer(branch)
            branch.prune()
            branch = parent

    def prune(self) -> None:
        """Fall off if there is nothing to do here and nobody is here."""
        if not self.count and not self.attended and self.parent is not None:
            if self.parent.children.get(self.key) is self:
                del self.parent.children[self.key]
            self.ticket = -1

    # Attending --------------------------------------------------------------------------------

    def attend(self, pace: float) -> None:
        """A backend that does ``pace`` tasks in a second begins to work on this leaf."""
        branch: Branch | None = self
        while branch is not None:
            branch.attended += 1
            branch.pace += pace
            branch = branch.parent

    def leave(self, pace: float) -> None:
        """It works elsewhere from now on."""
        branch: Branch | None = self
        while branch is not None:
            parent = branch.parent
            branch.attended -= 1
            branch.pace = branch.pace - pace if branch.attended else 0.0
            if not branch.attended:
                if branch.count and parent is not None:
                    parent.offer(branch)
                branch.prune()
            branch = parent

    def offer(self, child: "Branch") -> None:
        """A stretch right below may be taken by whoever is free."""
        child.ticket = next(_TICKETS)
        heap = self._open.setdefault(frozenset(child.kinds), [])
        heapq.heappush(heap, (-child.count, child.ticket, child))

    def needs(self) -> Iterator[Hashable]:
        """What this leaf needs loaded, from the inside; not its workflow, nor its requirements."""
        branch = self.parent
        while branch is not None and branch.parent is not None and branch.parent.parent is not None:
            yield branch.key
            branch = branch.parent

    def unattended(self, may: May, held: Held) -> "Branch | None":
        """The largest stretch right below that nobody works on and a backend may.

        One that needs what another backend has loaded, for another sweep, is left to that one as
        long as there is something else to do.
        """
        best = self._largest(may)
        if best is None or not held.get(best.key):
            return best
        others = [
            child
            for child in itertools.islice(self.children.values(), AROUND)
            if child.count
            and not child.attended
            and not held.get(child.key)
            and any(may(kind) for kind in child.kinds)
        ]
        return max(others, key=lambda child: child.count, default=best)

    def _largest(self, may: May) -> "Branch | None":
        best: Branch | None = None
        for kinds in list(self._open):
            if not any(may(kind) for kind in kinds):
                continue
            heap = self._open[kinds]
            found = self._top(heap, may)
            if not heap:
                del self._open[kinds]
            if found is not None and (best is None or found.count > best.count):
                best = found
        return best

    def _top(self, heap: list[tuple[int, int, "Branch"]], may: May) -> "Branch | None":
        while heap:
            _, ticket, child = heap[0]
            if ticket == child.ticket and child.count and not child.attended:
                if any(may(kind) for kind in child.kinds):
                    return child
                # Tasks of some kind have all been taken: it belongs among those of other kinds.
                heapq.heappop(heap)
                self.offer(child)
            else:
                heapq.heappop(heap)
        return None

    def within(self, may: May, warm: frozenset[int], held: Held) -> "Branch":
        """The leaf to begin with in this stretch: what is loaded already, else the largest."""
        branch = self
        while not branch.tasks:
            known = branch.warm_child(may, warm)
            branch = known or branch.unattended(may, held) or branch.busiest(may)
        return branch

    def warm_child(self, may: May, warm: frozenset[int]) -> "Branch | None":
        """The unattended stretch right below that a backend has loaded, if any."""
        if warm and self.children:
            for key in warm:
                child = self.children.get(key)
                if (
                    child is not None
                    and child.count
                    and not child.attended
                    and any(may(kind) for kind in child.kinds)
                ):
                    return child
        return None

    def busiest(self, may: May) -> "Branch":
        """Of stretches that are all attended, the one that would take longest."""
        return max(
            (
                child
                for child in self.children.values()
                if child.count and any(may(kind) for kind in child.kinds)
            ),
            key=lambda child: child.count / max(child.pace, 1e-9),
        )
