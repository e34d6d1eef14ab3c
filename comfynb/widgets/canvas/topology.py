"""Nodes, ports and connections as arrays: sizes, rows and offsets, without where the nodes are."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasConnection, DataType
from comfynb.widgets.canvas.folding import rows_of

__all__ = [
    "FOOTER",
    "HEADER",
    "ROW",
    "TYPES",
    "WIDTH",
    "Bools",
    "Floats",
    "Ints",
    "PortRef",
    "Topology",
    "row_of",
    "topology",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

WIDTH = 200.0
HEADER = 36.0
ROW = 22.0
PADDING = 6.0
FOOTER = 26.0

TYPES: tuple[DataType, ...] = tuple(DataType)
TYPE_CODE = {kind: code for code, kind in enumerate(TYPES)}


class PortRef(NamedTuple):
    """One port of one node; an output and an input may have the same name."""

    node_id: str
    name: str
    is_output: bool


def _height(rows: int) -> float:
    return HEADER + (rows * ROW + 2 * PADDING if rows else 0.0) + FOOTER


def _middle(row: int) -> float:
    """How far the middle of a row lies beneath its node's top."""
    return HEADER + PADDING + (row + 0.5) * ROW


def row_of(dy: float) -> int:
    """The row that a port so far beneath its node's top stands in, from 0."""
    return round((dy - HEADER - PADDING) / ROW - 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Nodes, ports and connections as arrays, without where the nodes are.

    Moving nodes leaves it as it is. Ports and connections are numbered, whether they are folded
    away or not; a connection whose port does not exist (any more) starts or ends at the node's head
    and is ``broken``.
    """

    ids: tuple[str, ...]
    index: Mapping[str, int]
    views: tuple[PortsView, ...]
    heights: Floats
    ports: tuple[PortRef, ...]
    port_views: tuple[PortView, ...]
    port_index: Mapping[PortRef, int]
    port_node: Ints
    port_dx: Floats
    port_dy: Floats
    port_output: Bools
    port_type: Ints
    port_used: Bools
    port_folded: Bools
    """Ports behind their node's "+n" row, which is where they are said to lie."""
    rows: Ints
    """(n, 2): how many inputs and how many outputs of a node are rows of their own."""
    folds: Ints
    """How many ports of a node are folded away; 0 as well where they were unfolded."""
    fold_dy: Floats
    """How far the middle of the "+n" row lies beneath its node's top; NaN where there is none."""
    edge_ids: tuple[str, ...]
    edge_index: Mapping[str, int]
    edge_from: Ints
    """The node that a connection comes from."""
    edge_to: Ints
    edge_ends: Floats
    """(n, 4): dx, dy of the start from its node, dx, dy of the end from its node."""
    edge_type: Ints
    edge_broken: Bools


def topology(
    nodes: Mapping[str, PortsView],
    connections: Iterable[CanvasConnection],
    unfolded: Collection[str] = (),
) -> Topology:
    """Number everything. Connections between nodes that do not exist are left out.

    ``unfolded`` are the nodes that show all of their ports.
    """
    index = {node_id: place for place, node_id in enumerate(nodes)}
    refs = tuple(
        PortRef(node_id, view.name, is_output)
        for node_id, ports in nodes.items()
        for is_output, side in ((False, ports.inputs), (True, ports.outputs))
        for view in side
    )
    port_index = {ref: place for place, ref in enumerate(refs)}
    wires: list[tuple[CanvasConnection, int | None, int | None]] = []
    used = np.zeros(len(refs), dtype=bool)
    for one in connections:
        if one.source_node_id in index and one.target_node_id in index:
            begin = _port(port_index, nodes, one.source_node_id, one.source_port, is_output=True)
            end = _port(port_index, nodes, one.target_node_id, one.target_port, is_output=False)
            wires.append((one, begin, end))
            used[[place for place in (begin, end) if place is not None]] = True
    plan = _Plan(refs, used.tolist())
    for place, (node_id, ports) in enumerate(nodes.items()):
        plan.add(place, ports, folding=node_id not in unfolded)
    edges: list[tuple[int, int, float, float, float, float, int, bool]] = []
    for one, begin, end in wires:
        x0, y0, kind = WIDTH, HEADER / 2, TYPE_CODE[one.data_type]
        x1, y1 = 0.0, HEADER / 2
        if begin is not None:
            x0, y0, kind = plan.dx[begin], plan.dy[begin], plan.types[begin]
        if end is not None:
            x1, y1, wanted = plan.dx[end], plan.dy[end], plan.types[end]
            if TYPES[wanted] is DataType.TRIGGER:
                kind = wanted
        ends = index[one.source_node_id], index[one.target_node_id]
        edges.append((*ends, x0, y0, x1, y1, kind, begin is None or end is None))
    return Topology(
        ids=tuple(nodes),
        index=index,
        views=tuple(nodes.values()),
        heights=np.array(plan.heights, dtype=float),
        ports=refs,
        port_views=tuple(plan.views),
        port_index=port_index,
        port_node=np.array(plan.node, dtype=np.int64),
        port_dx=np.array(plan.dx, dtype=float),
        port_dy=np.array(plan.dy, dtype=float),
        port_output=np.array([ref.is_output for ref in refs], dtype=bool),
        port_type=np.array(plan.types, dtype=np.int64),
        port_used=used,
        port_folded=np.array(plan.folded, dtype=bool),
        rows=np.array(plan.rows, dtype=np.int64).reshape(-1, 2),
        folds=np.array(plan.folds, dtype=np.int64),
        fold_dy=np.array(plan.fold_dy, dtype=float),
        edge_ids=tuple(one.id for one, _, _ in wires),
        edge_index={one.id: place for place, (one, _, _) in enumerate(wires)},
        edge_from=np.array([edge[0] for edge in edges], dtype=np.int64),
        edge_to=np.array([edge[1] for edge in edges], dtype=np.int64),
        edge_ends=np.array([edge[2:6] for edge in edges], dtype=float).reshape(-1, 4),
        edge_type=np.array([edge[6] for edge in edges], dtype=np.int64),
        edge_broken=np.array([edge[7] for edge in edges], dtype=bool),
    )


class _Plan:
    """Rows and heights, node after node, port after port."""

    def __init__(self, refs: Sequence[PortRef], used: Sequence[bool]) -> None:
        self._refs, self._used = refs, used
        self.views: list[PortView] = []
        self.node: list[int] = []
        self.dx: list[float] = []
        self.dy: list[float] = []
        self.types: list[int] = []
        self.folded: list[bool] = []
        self.heights: list[float] = []
        self.rows: list[tuple[int, int]] = []
        self.folds: list[int] = []
        self.fold_dy: list[float] = []

    def add(self, place: int, ports: PortsView, *, folding: bool) -> None:
        """The next node."""
        sides: list[list[int | None]] = []
        at = len(self.views)
        for side in (ports.inputs, ports.outputs):
            names = [view.name for n, view in enumerate(side, at) if self._used[n]]
            sides.append(rows_of(side, names))
            at += len(side)
        away = sum(rows.count(None) for rows in sides)
        if not folding:
            sides = [list(range(len(rows))) for rows in sides]
        shown = len(sides[0]) - sides[0].count(None), len(sides[1]) - sides[1].count(None)
        fold = _middle(max(shown))
        for is_output, side, rows in zip(
            (False, True), (ports.inputs, ports.outputs), sides, strict=True
        ):
            for view, row in zip(side, rows, strict=True):
                self.views.append(view)
                self.node.append(place)
                self.dx.append(WIDTH if is_output else 0.0)
                self.dy.append(fold if row is None else _middle(row))
                self.types.append(TYPE_CODE[view.data_type])
                self.folded.append(row is None)
        self.heights.append(_height(max(shown) + (away > 0)))
        self.rows.append(shown)
        self.folds.append(away if folding else 0)
        self.fold_dy.append(fold if away else math.nan)


def _port(
    known: Mapping[PortRef, int],
    nodes: Mapping[str, PortsView],
    node_id: str,
    name: str,
    *,
    is_output: bool,
) -> int | None:
    """The port of that name; "output" and "input" mean the only one where there is one."""
    found = known.get(PortRef(node_id, name, is_output))
    if found is None and name == ("output" if is_output else "input"):
        side = nodes[node_id].outputs if is_output else nodes[node_id].inputs
        carrying = [view.name for view in side if view.data_type is not DataType.TRIGGER]
        if len(carrying) == 1:
            found = known[PortRef(node_id, carrying[0], is_output)]
    return found
