"""Where everything lies on the canvas: sizes of nodes, places of ports, curves, hit tests.

All coordinates here are the canvas's own: CSS pixels at a zoom of 1, y downwards. Tests over all
nodes or curves are single NumPy expressions: for 1,000 nodes one takes some 10 µs, less than it
would take to look up a spatial index and to keep it up to date while things are dragged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasConnection, DataType

__all__ = [
    "FOOTER",
    "HEADER",
    "ROW",
    "WIDTH",
    "Floats",
    "Geometry",
    "PortRef",
    "Rect",
    "Topology",
    "curves",
    "node_height",
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
SAMPLES = 20
"""Points of a drawn curve."""


class Rect(NamedTuple):
    """A rectangle: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def between(cls, one: tuple[float, float], other: tuple[float, float]) -> "Rect":
        """The rectangle with these opposite corners."""
        left, top = min(one[0], other[0]), min(one[1], other[1])
        return cls(left, top, abs(one[0] - other[0]), abs(one[1] - other[1]))

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies in it or on its edge."""
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height

    def grown(self, by: float) -> "Rect":
        """The same with a margin all around."""
        return Rect(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)


class PortRef(NamedTuple):
    """One port of one node; an output and an input may have the same name."""

    node_id: str
    name: str
    is_output: bool


def node_height(ports: PortsView) -> float:
    """How high a node with these ports is."""
    rows = max(len(ports.inputs), len(ports.outputs))
    return HEADER + (rows * ROW + 2 * PADDING if rows else 0.0) + FOOTER


def row_of(dy: float) -> int:
    """The row that a port so far beneath its node's top stands in, from 0."""
    return round((dy - HEADER - PADDING) / ROW - 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Nodes, ports and connections as arrays, without where the nodes are.

    Moving nodes leaves it as it is. Ports and connections are numbered; a connection whose port
    does not exist (any more) starts or ends at the node's head and is ``broken``.
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
    edge_ids: tuple[str, ...]
    edge_index: Mapping[str, int]
    edge_from: Ints
    """The node that a connection comes from."""
    edge_to: Ints
    edge_ends: Floats
    """(n, 4): dx, dy of the start from its node, dx, dy of the end from its node."""
    edge_type: Ints
    edge_broken: Bools


def topology(nodes: Mapping[str, PortsView], connections: Iterable[CanvasConnection]) -> Topology:
    """Number everything. Connections between nodes that do not exist are left out."""
    index = {node_id: place for place, node_id in enumerate(nodes)}
    refs: list[PortRef] = []
    views: list[PortView] = []
    rows: list[tuple[int, float, float, bool, int]] = []
    for place, (node_id, ports) in enumerate(nodes.items()):
        for is_output, side in ((False, ports.inputs), (True, ports.outputs)):
            for row, view in enumerate(side):
                refs.append(PortRef(node_id, view.name, is_output))
                views.append(view)
                y = HEADER + PADDING + (row + 0.5) * ROW
                rows.append(
                    (place, WIDTH if is_output else 0.0, y, is_output, TYPE_CODE[view.data_type])
                )
    port_index = {ref: place for place, ref in enumerate(refs)}
    used = np.zeros(len(refs), dtype=bool)
    edges: list[tuple[str, int, int, float, float, float, float, int, bool]] = []
    for one in connections:
        source, target = index.get(one.source_node_id), index.get(one.target_node_id)
        if source is None or target is None:
            continue
        begin = _port(port_index, nodes, one.source_node_id, one.source_port, is_output=True)
        end = _port(port_index, nodes, one.target_node_id, one.target_port, is_output=False)
        x0, y0, kind = WIDTH, HEADER / 2, TYPE_CODE[one.data_type]
        x1, y1 = 0.0, HEADER / 2
        if begin is not None:
            used[begin] = True
            _, x0, y0, _, kind = rows[begin]
        if end is not None:
            used[end] = True
            _, x1, y1, _, wanted = rows[end]
            if TYPES[wanted] is DataType.TRIGGER:
                kind = wanted
        broken = begin is None or end is None
        edges.append((one.id, source, target, x0, y0, x1, y1, kind, broken))
    return Topology(
        ids=tuple(nodes),
        index=index,
        views=tuple(nodes.values()),
        heights=np.array([node_height(ports) for ports in nodes.values()], dtype=float),
        ports=tuple(refs),
        port_views=tuple(views),
        port_index=port_index,
        port_node=np.array([row[0] for row in rows], dtype=np.int64),
        port_dx=np.array([row[1] for row in rows], dtype=float),
        port_dy=np.array([row[2] for row in rows], dtype=float),
        port_output=np.array([row[3] for row in rows], dtype=bool),
        port_type=np.array([row[4] for row in rows], dtype=np.int64),
        port_used=used,
        edge_ids=tuple(edge[0] for edge in edges),
        edge_index={edge[0]: place for place, edge in enumerate(edges)},
        edge_from=np.array([edge[1] for edge in edges], dtype=np.int64),
        edge_to=np.array([edge[2] for edge in edges], dtype=np.int64),
        edge_ends=np.array([edge[3:7] for edge in edges], dtype=float).reshape(-1, 4),
        edge_type=np.array([edge[7] for edge in edges], dtype=np.int64),
        edge_broken=np.array([edge[8] for edge in edges], dtype=bool),
    )


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


_T = np.linspace(0.0, 1.0, SAMPLES)
_BERNSTEIN = np.stack(
    [(1 - _T) ** 3, 3 * _T * (1 - _T) ** 2, 3 * _T**2 * (1 - _T), _T**3]
)  # (4, SAMPLES)
_COARSE = np.ascontiguousarray(_BERNSTEIN[:, [0, 3, 6, 9, 10, 13, 16, 19]])


def _reach(x0: Floats, x1: Floats, y0: Floats, y1: Floats) -> Floats:
    """How far the control points lie from the ends: level at both, a loop where it goes back."""
    ahead = x1 - x0
    return np.where(
        ahead >= 0,
        np.clip(ahead * 0.5, 24.0, 220.0),
        np.clip(-ahead * 0.4 + np.abs(y1 - y0) * 0.15, 60.0, 260.0),
    )


def curves(ends: Floats, *, coarse: bool = False) -> Floats:
    """Points of curves between ``ends`` (n, 4: x0, y0, x1, y1); (n, 20 or 8, 2)."""
    x0, y0, x1, y1 = ends[:, 0], ends[:, 1], ends[:, 2], ends[:, 3]
    reach = _reach(x0, x1, y0, y1)
    basis = _COARSE if coarse else _BERNSTEIN
    out = np.empty((len(ends), basis.shape[1], 2))
    out[:, :, 0] = np.stack([x0, x0 + reach, x1 - reach, x1], axis=1) @ basis
    out[:, :, 1] = np.stack([y0, y0, y1, y1], axis=1) @ basis
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """A topology with its nodes in their places."""

    of: Topology
    x: Floats
    y: Floats

    # Places

    def node_rect(self, node_id: str) -> Rect:
        """Where one node is."""
        place = self.of.index[node_id]
        return Rect(
            float(self.x[place]), float(self.y[place]), WIDTH, float(self.of.heights[place])
        )

    def port_places(self) -> tuple[Floats, Floats]:
        """x and y of every port."""
        of = self.of
        return self.x[of.port_node] + of.port_dx, self.y[of.port_node] + of.port_dy

    def port_place(self, ref: PortRef) -> tuple[float, float]:
        """Where one port is."""
        port = self.of.port_index[ref]
        node = self.of.port_node[port]
        return (
            float(self.x[node] + self.of.port_dx[port]),
            float(self.y[node] + self.of.port_dy[port]),
        )

    def edge_ends(self, places: Ints | None = None) -> Floats:
        """(n, 4): where every connection starts and ends, or some."""
        of = self.of
        chosen = slice(None) if places is None else places
        out = of.edge_ends[chosen].copy()
        start, end = of.edge_from[chosen], of.edge_to[chosen]
        out[:, 0] += self.x[start]
        out[:, 1] += self.y[start]
        out[:, 2] += self.x[end]
        out[:, 3] += self.y[end]
        return out

    def bounds(self, node_ids: Iterable[str] | None = None) -> Rect | None:
        """The rectangle around all nodes, or around some; None if there are none."""
        if node_ids is None:
            places = np.arange(len(self.x))
        else:
            index = self.of.index
            places = np.array([index[one] for one in node_ids if one in index], dtype=np.int64)
        if not len(places):
            return None
        x, y, height = self.x[places], self.y[places], self.of.heights[places]
        left, top = float(x.min()), float(y.min())
        return Rect(left, top, float(x.max()) + WIDTH - left, float((y + height).max()) - top)

    # Visibility

    def nodes_in(self, rect: Rect) -> Bools:
        """Which nodes touch a rectangle."""
        seen = (self.x <= rect.x + rect.width) & (self.x + WIDTH >= rect.x)
        return np.asarray(
            seen & (self.y <= rect.y + rect.height) & (self.y + self.of.heights >= rect.y)
        )

    def edges_in(self, ends: Floats, rect: Rect) -> Bools:
        """Which connections may touch a rectangle: their curves' boxes do."""
        x0, y0, x1, y1 = ends[:, 0], ends[:, 1], ends[:, 2], ends[:, 3]
        loop = np.where(x1 < x0, 260.0, 24.0)  # the control points reach that far
        left, right = np.minimum(x0, x1) - loop, np.maximum(x0, x1) + loop
        seen = (left <= rect.x + rect.width) & (right >= rect.x)
        low, high = np.minimum(y0, y1), np.maximum(y0, y1)
        return np.asarray(seen & (low <= rect.y + rect.height) & (high >= rect.y))

    # Hits

    def node_at(self, x: float, y: float) -> str | None:
        """The topmost node at a point."""
        hit = (self.x <= x) & (x <= self.x + WIDTH)
        hit &= (self.y <= y) & (y <= self.y + self.of.heights)
        found = np.flatnonzero(hit)
        return self.of.ids[found[-1]] if len(found) else None

    def port_at(self, x: float, y: float, reach: float) -> PortRef | None:
        """The nearest port within ``reach`` of a point."""
        if not self.of.ports:
            return None
        px, py = self.port_places()
        distance = np.hypot(px - x, py - y)
        best = int(distance.argmin())
        return self.of.ports[best] if distance[best] <= reach else None

    def edge_at(self, x: float, y: float, reach: float) -> str | None:
        """The connection whose curve comes nearest to a point, within ``reach``."""
        if not self.of.edge_ids:
            return None
        ends = self.edge_ends()
        near = np.flatnonzero(self.edges_in(ends, Rect(x, y, 0, 0).grown(reach)))
        if not len(near):
            return None
        points = curves(ends[near])
        start, step = points[:, :-1], np.diff(points, axis=1)
        to = np.array([x, y]) - start
        length = (step**2).sum(axis=2)
        along = np.clip((to * step).sum(axis=2) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        gap = np.hypot(*np.moveaxis(to - along[:, :, None] * step, 2, 0)).min(axis=1)
        best = int(gap.argmin())
        return self.of.edge_ids[near[best]] if gap[best] <= reach else None
