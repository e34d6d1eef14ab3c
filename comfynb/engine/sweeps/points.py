"""The points of a sweep, made one after the other out of its axes, draws and condition."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfynb.engine.sweeps.axes import Group
from comfynb.engine.sweeps.samplers import Sampler, draw, shuffled, unit
from comfynb.errors import InvalidValue, UsageError

__all__ = ["MOST_POINTS", "Space"]

MOST_POINTS: Final = 100_000
"""Points of one sweep."""
_PATIENCE: Final = 1000
"""How many draws in a row a condition may refuse."""

Condition = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Space:
    """All combinations of the groups' rows, the first group slowest, with draws beside them.

    * without ``samples`` and ``n``: every combination once;
    * with ``n`` only: ``n`` of the combinations, each at most once, in their order;
    * with ``samples`` only: every combination once, each with draws of its own;
    * with both: ``n`` points; the combinations are gone through evenly, in shuffled rounds.

    ``where`` keeps the points for which it is true; with ``samples`` and ``n``, others are drawn in
    the place of those that it refuses.
    """

    groups: Sequence[Group] = ()
    samples: Mapping[str, Sampler] = field(default_factory=dict)
    n: int | None = None
    seed: int = 0
    where: Condition | None = None

    @property
    def names(self) -> list[str]:
        """The parameters that vary, in order."""
        return [*itertools.chain(*(group.names for group in self.groups)), *self.samples]

    @property
    def combinations(self) -> int:
        """How many combinations the groups have."""
        return math.prod(group.size for group in self.groups)

    def check(self) -> None:
        """Raise what is wrong with it as a whole.

        Raises:
            UsageError: no axis, or draws without a number of them.
            InvalidValue: far too many points.
        """
        if not self.groups and not self.samples:
            raise UsageError(
                'A sweep needs something to vary: grid={"seed": range(16)}, zip=... or sample=...'
            )
        if self.n is not None and (
            isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1
        ):
            raise InvalidValue(f"n is the number of points, from 1, not {self.n!r:.40}.")
        if self.samples and not self.groups and self.n is None:
            raise UsageError("How many points shall be drawn? Give n=100, say.")
        count = self.combinations if self.n is None else self.n
        if count > MOST_POINTS:
            sizes = " x ".join(f"{group.size} ({', '.join(group.names)})" for group in self.groups)
            how = f"{sizes} = {count:,}" if self.n is None else f"n = {count:,}"
            raise InvalidValue(
                f"{how} points are more than the {MOST_POINTS:,} of one sweep: "
                "n=1000 takes that many of them."
            )

    def combination(self, number: int) -> dict[str, Any]:
        """The ``number``-th combination; the last group changes fastest."""
        rows = []
        for group in reversed(self.groups):
            number, place = divmod(number, group.size)
            rows.append(group.row(place))
        point: dict[str, Any] = {}
        for row in reversed(rows):
            point |= row
        return point

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The points in order.

        Raises:
            InvalidValue: the condition refuses whatever is drawn.
        """
        self.check()
        if self.samples and self.n is not None:
            yield from self._drawn(self.n)
            return
        for number, combined in self._combined():
            point = self._with_draws(combined, number)
            if self.where is None or self.where(point):
                yield point

    def _combined(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The combinations that are points, by number."""
        if self.n is None or self.n >= self.combinations:
            names = [*itertools.chain(*(group.names for group in self.groups))]
            rows = [list(zip(*group.columns, strict=True)) for group in self.groups]
            for number, row in enumerate(itertools.product(*rows)):
                yield number, dict(zip(names, itertools.chain(*row), strict=True))
        else:
            for number in self._subset(self.n):
                yield number, self.combination(number)

    def _subset(self, n: int) -> Sequence[int]:
        count = self.combinations
        if count <= 4 * MOST_POINTS:
            return sorted(shuffled(count, self.seed, "\0subset")[:n])
        found: set[int] = set()
        attempts = itertools.count()
        while len(found) < n:
            found.add(int(unit(self.seed, "\0subset", next(attempts)) * count))
        return sorted(found)

    def _rounds(self) -> Iterator[int]:
        count = self.combinations
        for number in itertools.count():
            if count > MOST_POINTS:
                yield int(unit(self.seed, "\0combination", number) * count)
            elif count == 1:
                yield 0
            else:
                yield from shuffled(count, self.seed, f"\0round {number}")

    def _drawn(self, n: int) -> Iterator[dict[str, Any]]:
        refused = 0
        for number, which in enumerate(self._rounds()):
            point = self._with_draws(self.combination(which), number)
            if self.where is None or self.where(point):
                yield point
                refused = 0
                n -= 1
                if n == 0:
                    return
            else:
                refused += 1
                if refused > _PATIENCE + self.combinations:
                    raise InvalidValue(
                        f"The condition refused {refused:,} draws in a row: hardly any point "
                        "fulfils it."
                    )

    def _with_draws(self, point: dict[str, Any], number: int) -> dict[str, Any]:
        for name, sampler in self.samples.items():
            point[name] = draw(sampler, self.seed, name, number)
        return point
