"""Placing a graph by itself: layers from left to right, few crossings, straight long lines.

Sugiyama's method in its short form: turn the edges that close a circle, put each node right of
what feeds it, order the layers by the barycentre of their neighbours, and move nodes up and down
towards their neighbours as far as they do not overlap. Parts that are not connected stand beneath
one another.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Link", "arrange"]

GAP_X = 80.0
GAP_Y = 40.0
DUMMY = 12.0
"""Room for a line that passes through a layer."""

SWEEPS = 8


class Link(NamedTuple):
    """An edge, with how far beneath the top of its nodes it starts and ends."""

    source: str
    target: str
    source_dy: float = 0.0
    target_dy: float = 0.0


@dataclass(slots=True)
class _Item:
    """A node, or a place where a long line passes a layer."""

    key: str | None
    height: float
    layer: int
    y: float = 0.0
    order: float = 0.0
    before: list[tuple["_Item", float, float]] = field(default_factory=list)
    """(the other one, dy there, dy here)"""
    after: list[tuple["_Item", float, float]] = field(default_factory=list)


def arrange(
    heights: Mapping[str, float],
    links: Sequence[Link],
    *,
    width: float,
    snap: float = 1.0,
) -> dict[str, tuple[float, float]]:
    """The left upper corner of every node in ``heights``; the first one's part begins at (0, 0)."""
    placed: dict[str, tuple[float, float]] = {}
    top = 0.0
    step = -(-(width + GAP_X) // snap) * snap
    for part in _parts(heights, links):
        inside = [one for one in links if one.source in part and one.target in part]
        layers = _layers({key: heights[key] for key in part}, inside)
        _order(layers)
        _settle(layers)
        low = min(item.y for layer in layers for item in layer)
        bottom = top
        for column, layer in enumerate(layers):
            for item in layer:
                if item.key is not None:
                    y = round((top + item.y - low) / snap) * snap
                    placed[item.key] = (column * step, y)
                    bottom = max(bottom, y + item.height)
        top = bottom + 2 * GAP_Y
    return placed


def _parts(heights: Mapping[str, float], links: Sequence[Link]) -> list[dict[str, None]]:
    """The connected parts, the largest first; nodes in the order in which they were given."""
    beside: dict[str, list[str]] = defaultdict(list)
    for one in links:
        beside[one.source].append(one.target)
        beside[one.target].append(one.source)
    seen: set[str] = set()
    parts = []
    for key in heights:
        if key in seen:
            continue
        found, waiting = {key}, [key]
        while waiting:
            for other in beside[waiting.pop()]:
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        seen |= found
        parts.append(found)
    parts.sort(key=len, reverse=True)
    return [{key: None for key in heights if key in part} for part in parts]


def _acyclic(keys: Mapping[str, float], links: Sequence[Link]) -> list[Link]:
    """The links without self-loops, those that close a circle turned round."""
    after: dict[str, list[tuple[str, Link]]] = defaultdict(list)
    for one in links:
        if one.source != one.target:
            after[one.source].append((one.target, one))
    fed = {one.target for one in links if one.source != one.target}
    state: dict[str, int] = {}  # 1: on the way, 2: done
    turned: set[int] = set()
    for start in sorted(keys, key=lambda key: key in fed):
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(after[start]))]
        while stack:
            node, rest = stack[-1]
            for other, link in rest:
                if state.get(other) == 1:
                    turned.add(id(link))
                elif other not in state:
                    state[other] = 1
                    stack.append((other, iter(after[other])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return [
        Link(one.target, one.source, one.target_dy, one.source_dy) if id(one) in turned else one
        for one in links
        if one.source != one.target
    ]


def _ranks(keys: Mapping[str, float], links: Sequence[Link]) -> dict[str, int]:
    """A column for each node: as far left as its inputs let it be, sources close to their use."""
    before: dict[str, set[str]] = {key: set() for key in keys}
    after: dict[str, set[str]] = {key: set() for key in keys}
    for one in links:
        before[one.target].add(one.source)
        after[one.source].add(one.target)
    left = {key: len(before[key]) for key in keys}
    ready = [key for key in keys if not left[key]]
    rank: dict[str, int] = {}
    for key in ready:  # grows while it is read
        rank[key] = max((rank[one] + 1 for one in before[key]), default=0)
        for following in after[key]:
            left[following] -= 1
            if not left[following]:
                ready.append(following)
    for key in reversed(ready):
        if not before[key] and after[key]:
            rank[key] = min(rank[one] for one in after[key]) - 1
    return rank


def _layers(keys: Mapping[str, float], links: Sequence[Link]) -> list[list[_Item]]:
    acyclic = _acyclic(keys, links)
    rank = _ranks(keys, acyclic)
    first = min(rank.values())
    layers: list[list[_Item]] = [[] for _ in range(max(rank.values()) - first + 1)]
    items: dict[str, _Item] = {}
    for key, height in keys.items():
        items[key] = _Item(key, height, rank[key] - first)
        layers[items[key].layer].append(items[key])
    for one in acyclic:
        last, dy = items[one.source], one.source_dy
        for layer in range(last.layer + 1, items[one.target].layer):
            passing = _Item(None, DUMMY, layer)
            layers[layer].append(passing)
            _join(last, passing, dy, DUMMY / 2)
            last, dy = passing, DUMMY / 2
        _join(last, items[one.target], dy, one.target_dy)
    return layers


def _join(one: _Item, other: _Item, dy: float, other_dy: float) -> None:
    one.after.append((other, other_dy, dy))
    other.before.append((one, dy, other_dy))


def _number(layer: Sequence[_Item]) -> None:
    for place, item in enumerate(layer):
        item.order = float(place)


def _order(layers: Sequence[list[_Item]]) -> None:
    """Barycentre sweeps; the order with the fewest crossings wins."""
    for layer in layers:
        _number(layer)
    best, orders = _crossings(layers), [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        for layer in layers[1:] if forth else list(reversed(layers))[1:]:
            layer.sort(key=_barycentre(forth=forth))
            _number(layer)
        crossings = _crossings(layers)
        if crossings < best:
            best, orders = crossings, [list(layer) for layer in layers]
    for layer, order in zip(layers, orders, strict=True):
        layer[:] = order
        _number(layer)


def _barycentre(*, forth: bool) -> Callable[[_Item], float]:
    def middle(item: _Item) -> float:
        beside = item.before if forth else item.after
        if not beside:
            return item.order
        # The port counts a little: of two wires to one node the upper one comes from above.
        return sum(one.order + dy / 1e5 for one, dy, _ in beside) / len(beside)

    return middle


def _crossings(layers: Sequence[Sequence[_Item]]) -> int:
    """How many pairs of lines cross, counted with a Fenwick tree."""
    total = 0
    for layer, following in itertools.pairwise(layers):
        ends = [
            int(other.order)
            for item in layer
            for other, _, _ in sorted(item.after, key=lambda one: one[0].order)
        ]
        tree = [0] * (len(following) + 1)
        for seen, end in enumerate(ends):
            at, smaller = end + 1, 0
            while at:
                smaller += tree[at]
                at -= at & -at
            total += seen - smaller
            at = end + 1
            while at <= len(following):
                tree[at] += 1
                at += at & -at
    return total


def _settle(layers: Sequence[Sequence[_Item]]) -> None:
    """Move nodes towards their neighbours, keeping order and distance."""
    for layer in layers:
        y = 0.0
        for item in layer:
            item.y = y
            y += item.height + _gap(item)
    for turn in range(2 * SWEEPS):
        for layer in layers if turn % 2 == 0 else list(reversed(layers)):
            wished = [_wish(item, back=turn % 2 == 0, both=turn >= SWEEPS) for item in layer]
            _place(layer, wished)


def _gap(item: _Item) -> float:
    return GAP_Y if item.key is not None else GAP_Y / 2


def _wish(item: _Item, *, back: bool, both: bool) -> float:
    beside = item.before if back else item.after
    if both or not beside:
        beside = item.before + item.after
    if not beside:
        return item.y
    lines = sorted(other.y + there - here for other, there, here in beside)
    middle = len(lines) // 2
    return lines[middle] if len(lines) % 2 else (lines[middle - 1] + lines[middle]) / 2


def _place(layer: Sequence[_Item], wished: Sequence[float]) -> None:
    """The places nearest to the wishes without overlaps: pool adjacent violators."""
    offsets, at = [], 0.0
    for item in layer:
        offsets.append(at)
        at += item.height + _gap(item)
    blocks: list[tuple[float, int]] = []  # mean of wish - offset, how many
    for wish, offset in zip(wished, offsets, strict=True):
        mean, count = wish - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean = (mean * count + other * more) / (count + more)
            count += more
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    for item, mean, offset in zip(layer, means, offsets, strict=True):
        item.y = mean + offset
