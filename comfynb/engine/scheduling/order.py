"""Which nodes of a sweep's prompts should change most rarely: the expensive ones upstream."""

import math
from collections.abc import Iterable, Sequence
from functools import cache

__all__ = ["levels", "total"]

MOST = 8
"""So many varying nodes are ordered exactly; of more, the ones with the least behind them change
most often."""
WORTH = 0.01
"""A node is kept from changing if that saves this share of what runs for every point anyway."""


def total(mask: int, costs: Sequence[float]) -> float:
    """Seconds of the nodes in a mask."""
    seconds = 0.0
    while mask:
        low = mask & -mask
        seconds += costs[low.bit_length() - 1]
        mask ^= low
    return seconds


def levels(
    counts: Sequence[int], below: Sequence[int], costs: Sequence[float], points: int
) -> tuple[tuple[int, ...], int]:
    """Order the nodes that vary so that running all points costs least.

    ``counts`` says for each node how many different values of its own it has, ``below`` what runs
    again when it changes (a mask), ``costs`` its seconds, ``points`` how many prompts there are.

    Returns the nodes that are worth grouping by, the one that changes most rarely first, and the
    mask of what runs for every point whatever the order is.

    Where the nodes with outer places have been given ``p`` combinations of values and the next one
    makes ``q`` of them, it changes ``q - p`` times beyond their changes, and each time everything
    behind it and behind the inner ones runs again. Summed up over the places this is what an order
    costs; as each summand depends only on which nodes are outside, not on their order, the best
    order is found by going through the sets of nodes.
    """
    varying = [number for number, count in enumerate(counts) if count > 1]
    varying.sort(key=lambda number: -total(below[number], costs))
    inner = varying[MOST:]
    varying = varying[:MOST]

    def behind(numbers: Iterable[int]) -> int:
        mask = 0
        for number in (*numbers, *inner):
            mask |= below[number]
        return mask

    def combinations(numbers: Iterable[int]) -> int:
        return min(points, math.prod(counts[number] for number in numbers))

    @cache
    def best(outside: frozenset[int]) -> tuple[float, tuple[int, ...]]:
        rest = [number for number in varying if number not in outside]
        if not rest:
            return 0.0, ()
        each = total(behind(rest), costs)
        before = combinations(outside)
        found: tuple[float, tuple[int, ...]] | None = None
        for number in rest:
            taken = outside | {number}
            further, order = best(taken)
            cost = (combinations(taken) - before) * each + further
            if found is None or cost < found[0] * (1 - 1e-9):
                found = cost, (number, *order)
        assert found is not None
        return found

    order = list(best(frozenset())[1])
    always = behind(())
    while order:
        # From the inside: what would be saved by not letting it change from point to point?
        per_point = total(always, costs)
        saved = total(always | below[order[-1]], costs) - per_point
        alone = combinations(order) >= points and not inner
        if saved > WORTH * per_point and not alone:
            break
        always |= below[order.pop()]
    return tuple(order), always
