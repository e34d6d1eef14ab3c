"""In which order points are handed over: what is expensive upstream varies slowest.

How expensive a parameter is, the graph itself says: the more nodes lie downstream of the one that
it sets, the more has to be computed anew when it changes. The points are only roughly ordered here,
for a sweep that is longer than what is handed over at once; the scheduler decides in the end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["downstream", "submission_order"]


def downstream(prompt: Mapping[str, Any], node_ids: Iterable[str]) -> dict[str, int]:
    """How many nodes read, directly or not, from each of ``node_ids``."""
    readers: dict[str, set[str]] = defaultdict(set)
    for node_id, node in prompt.items():
        for value in (node.get("inputs") or {}).values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                readers[value[0]].add(node_id)
    counts = {}
    for start in set(node_ids):
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = readers[waiting.pop()] - seen
            seen |= new
            waiting += new
        counts[start] = len(seen)
    return counts


def submission_order(
    points: Sequence[Mapping[str, Any]], weights: Mapping[str, int]
) -> Sequence[int]:
    """Places of ``points`` in a good order; parameters with greater weights vary slowest.

    Values keep the order in which they first appear, and points that are alike theirs.
    """
    names = sorted((name for name in weights if weights[name] > 0), key=lambda name: -weights[name])
    if not names:
        return range(len(points))
    columns = [_places(points, name) for name in names]
    ranks: Sequence[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return sorted(range(len(points)), key=ranks.__getitem__)


def _places(points: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """Each point's value as a number: that of its first appearance."""
    known: dict[Any, int] = {}
    found = []
    for point in points:
        value = point.get(name)
        # 1, 1.0 and True are equal, and yet three values.
        key = value.__class__, value
        try:
            found.append(known.setdefault(key, len(known)))
        except TypeError:  # a list, of files perhaps
            found.append(known.setdefault((value.__class__, repr(value)), len(known)))
    return found
