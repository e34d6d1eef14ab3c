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
    places: dict[str, dict[Any, int]] = {name: {} for name in names}

    def rank(index: int) -> list[int]:
        point = points[index]
        found = []
        for name in names:
            known = places[name]
            value = point.get(name)
            key = (type(value).__name__, value if _hashable(value) else repr(value))
            found.append(known.setdefault(key, len(known)))
        return found

    ranks = [rank(index) for index in range(len(points))]
    return sorted(range(len(points)), key=ranks.__getitem__)


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)
