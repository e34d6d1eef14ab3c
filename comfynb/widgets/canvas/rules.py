"""What may be connected with what, and the sentence that says why not."""

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from comfynb.models import CanvasConnection, DataType
from comfynb.widgets.canvas.contract import Compatible
from comfynb.widgets.canvas.topology import TYPES, Bools, PortRef, Topology

__all__ = ["Ends", "connectable", "way_between", "why_not"]

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
    title: Callable[[str], str],
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
        names = [title(node) for node in way]
        if len(names) > 4:
            names = [*names[:2], "…", names[-1]]
        return "That would be a circle: " + " → ".join([*names, names[0]]) + "."
    return None


def connectable(
    connections: Mapping[str, CanvasConnection],
    of: Topology,
    start: PortRef,
    compatible: Compatible,
) -> Bools:
    """For every port, whether ``why_not`` would let it be connected with ``start``.

    ``connections`` are those between nodes of the topology.
    """
    kind, node = of.port_views[of.port_index[start]].data_type, of.index[start.node_id]
    pairs = ((kind, other) if start.is_output else (other, kind) for other in TYPES)
    allowed = np.array([compatible(*pair) for pair in pairs], dtype=bool)
    fits = allowed[of.port_type] & (of.port_output != start.is_output)
    circle = np.zeros(len(of.ids), dtype=bool)
    circle[[of.index[key] for key in _behind(connections, start)]] = True
    fits &= ~circle[of.port_node]
    fits[of.port_node == node] = False
    for one in connections.values():
        source = PortRef(one.source_node_id, one.source_port, True)
        target = PortRef(one.target_node_id, one.target_port, False)
        if start in {source, target}:
            other = target if start.is_output else source
            if other in of.port_index:
                fits[of.port_index[other]] = False
    return np.asarray(fits)


def _behind(connections: Mapping[str, CanvasConnection], start: PortRef) -> set[str]:
    """The nodes that a wire from here may not end at, as it would close a circle."""
    beside: dict[str, list[str]] = defaultdict(list)
    for one in connections.values():
        way = (one.target_node_id, one.source_node_id)
        here, there = way if start.is_output else way[::-1]
        beside[here].append(there)
    found, waiting = set[str](), [start.node_id]
    while waiting:
        for other in beside[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
