"""What may be connected with what, and the sentence that says why not."""

from collections import defaultdict
from collections.abc import Mapping

from comfynb.models import CanvasConnection, DataType
from comfynb.widgets.canvas.contract import Compatible

__all__ = ["Ends", "way_between", "why_not"]

Ends = tuple[tuple[str, str], tuple[str, str]]
"""A connection that is not there yet: (node, output port), (node, input port)."""


def way_between(
    connections: Mapping[str, CanvasConnection], start: str, goal: str
) -> list[str] | None:
    """The nodes on a way from ``start`` to ``goal`` along connections; None if there is none."""
    after: dict[str, list[str]] = defaultdict(list)
    for one in connections.values():
        after[one.source_node_id].append(one.target_node_id)
    came: dict[str, str] = {start: start}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node == goal:
            way = [node]
            while way[-1] != start:
                way.append(came[way[-1]])
            return way[::-1]
        for following in after[node]:
            if following not in came:
                came[following] = node
                waiting.append(following)
    return None


def why_not(
    connections: Mapping[str, CanvasConnection],
    ends: Ends,
    types: tuple[DataType, DataType],
    compatible: Compatible,
    titles: Mapping[str, str],
) -> str | None:
    """Why an output cannot be connected to an input, as one sentence; None if it can."""
    (source, _), (target, _) = ends
    if source == target:
        return "A node cannot be connected to itself."
    if not compatible(*types):
        return f"{types[0].value} does not fit {types[1].value}."
    for one in connections.values():
        there = (one.source_node_id, one.source_port), (one.target_node_id, one.target_port)
        if there == ends:
            return "These two are connected already."
    way = way_between(connections, target, source)
    if way is not None:
        names = [titles.get(node, node) for node in way]
        if len(names) > 4:
            names = [*names[:2], "…", names[-1]]
        return "That would be a circle: " + " → ".join([*names, names[0]]) + "."
    return None
