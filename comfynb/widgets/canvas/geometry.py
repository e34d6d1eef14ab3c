"""Where everything lies on the canvas: places of nodes and ports, curves, hit tests.

All coordinates here are the canvas's own: CSS pixels at a zoom of 1, y downwards. Tests over all
nodes or curves are single NumPy expressions: for 1,000 nodes one takes some 10 µs, less than it
would take to look up a spatial index and to keep it up to date while things are dragged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from comfynb.widgets.canvas.topology import (
    FOOTER,
    HEADER,
    ROW,
    TYPES,
    WIDTH,
    Bools,
    Floats,
    Ints,
    PortRef,
    Topology,
    row_of,
    topology,
)

__all__ = [
    "FOOTER",
    "HEADER",
    "ROW",
    "TYPES",
    "WIDTH",
    "Bools",
    "Floats",
    "Geometry",
    "Ints",
    "PortRef",
    "Rect",
    "Topology",
    "curves",
    "row_of",
    "topology",
]

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

    def fold_at(self, x: float, y: float) -> str | None:
        """The topmost node at a point, if the point lies on its "+n" row."""
        node = self.node_at(x, y)
        if node is None:
            return None
        place = self.of.index[node]
        gap = abs(y - float(self.y[place]) - float(self.of.fold_dy[place]))
        return node if gap <= ROW / 2 else None  # never for NaN

    def port_at(self, x: float, y: float, reach: float) -> PortRef | None:
        """The nearest port within ``reach`` of a point; none that is folded away."""
        if not self.of.ports:
            return None
        px, py = self.port_places()
        distance = np.hypot(px - x, py - y)
        distance[self.of.port_folded] = np.inf
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
