"""What the hand does, on the uppermost layer: what is dragged, rubber band, wire, and its tip."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from comfynb.widgets.canvas.colours import PORT_SHAPES
from comfynb.widgets.canvas.draw import (
    FULL,
    PORT_RADIUS,
    RADIUS,
    Looks,
    View,
    boxes_of,
    detail_at,
    draw_edges,
    draw_nodes,
    fold_boxes,
)
from comfynb.widgets.canvas.geometry import TYPES, Bools, Floats, Geometry, PortRef, Rect, curves
from comfynb.widgets.canvas.primitives import (
    Lines,
    Polygons,
    Primitive,
    Texts,
    marker,
    rounded,
)
from comfynb.widgets.canvas.text import clip_to, text_width

__all__ = ["Wire", "draw_band", "draw_dragged", "draw_hover", "draw_tip", "draw_wire", "moved"]


@dataclass(frozen=True, slots=True, eq=False)
class Wire:
    """A connection that is being drawn: from a port to the pointer, or to a port that it met."""

    start: PortRef
    to: tuple[float, float]
    """The pointer, on the canvas."""
    fits: Bools
    """For every port, whether the wire may end there."""
    target: PortRef | None = None
    reason: str | None = None
    """Why it may not end where it is."""


def moved(geometry: Geometry, places: Mapping[str, tuple[float, float]]) -> Geometry:
    """The same geometry with some nodes elsewhere."""
    x, y = geometry.x.copy(), geometry.y.copy()
    for key, (at_x, at_y) in places.items():
        place = geometry.of.index[key]
        x[place], y[place] = at_x, at_y
    return Geometry(geometry.of, x, y)


def draw_dragged(
    geometry: Geometry, view: View, looks: Looks, nodes: Collection[str]
) -> list[Primitive]:
    """Nodes on their way, and the connections that hang on them."""
    of = geometry.of
    level = detail_at(view.camera.zoom)
    chosen = np.zeros(len(of.ids), dtype=bool)
    chosen[[of.index[key] for key in nodes if key in of.index]] = True
    seen = view.camera.seen(view.width, view.height).grown(20.0)
    out: list[Primitive] = []
    if of.edge_ids:
        hanging = np.flatnonzero(chosen[of.edge_from] | chosen[of.edge_to])
        if len(hanging):
            ends = geometry.edge_ends(hanging)
            visible = geometry.edges_in(ends, seen)
            out += draw_edges(geometry, hanging[visible], ends[visible], view.camera, looks, level)
    places = np.flatnonzero(chosen & geometry.nodes_in(seen))
    return out + draw_nodes(geometry, places, view.camera, looks, level)


def draw_band(view: View, rect: Rect) -> list[Primitive]:
    """The rectangle that selects what it touches."""
    x, y = view.camera.to_screen(rect.x, rect.y)
    box = np.array([[x, y, rect.width * view.camera.zoom, rect.height * view.camera.zoom]])
    shape = rounded(box, 2.0)
    return [
        Polygons(shape, fill="brand", alpha=0.12),
        Polygons(shape, stroke="brand", width=1.2, dash=(5.0, 3.0)),
    ]


def draw_hover(
    geometry: Geometry, view: View, node: str | None, port: PortRef | None, fold: str | None = None
) -> list[Primitive]:
    """A frame about the node, a ring about the port, or the "+n" row that the pointer is on."""
    camera, of = view.camera, geometry.of
    if port is not None and port in of.port_index:
        x, y = camera.to_screen(*geometry.port_place(port))
        kind = TYPES[int(of.port_type[of.port_index[port]])]
        ring = marker("circle", np.array([x]), np.array([y]), (PORT_RADIUS + 4.0) * camera.zoom)
        return [Polygons(ring, fill=f"type-{kind.value}", alpha=0.35)]
    if node is not None and node in of.index:
        box = boxes_of(geometry, np.array([of.index[node]]), camera)
        shape = rounded(box, RADIUS * camera.zoom)
        out: list[Primitive] = [Polygons(shape, stroke="brand", width=1.5, alpha=0.7)]
        if fold == node:
            row = fold_boxes(geometry, np.array([of.index[node]]), camera)
            out.append(Polygons(rounded(row, 8.0 * camera.zoom), stroke="brand", width=1.5))
        return out
    return []


def draw_wire(geometry: Geometry, view: View, wire: Wire) -> list[Primitive]:
    """The wire, the ports where it may end lit, and all others crossed out."""
    camera, of = view.camera, geometry.of
    zoom = camera.zoom
    seen = camera.seen(view.width, view.height).grown(10.0)
    px, py = geometry.port_places()
    visible = (px >= seen.x) & (px <= seen.x + seen.width)
    visible &= (py >= seen.y) & (py <= seen.y + seen.height)
    x, y = camera.x + zoom * px, camera.y + zoom * py
    start = of.port_index[wire.start]
    others = visible & (of.port_output != wire.start.is_output)
    out: list[Primitive] = []
    behind = np.unique(of.port_node[others & wire.fits & of.port_folded])
    if len(behind) and detail_at(zoom) == FULL:
        rows = rounded(fold_boxes(geometry, behind, camera), 8.0 * zoom)
        out.append(Polygons(rows, fill="good", alpha=0.3))
        out.append(Polygons(rows, stroke="good", width=1.5))
    others &= ~of.port_folded
    lit, dark = others & wire.fits, others & ~wire.fits
    if lit.any():
        radius = max(PORT_RADIUS * zoom + 5.0, 6.0)
        out.append(Polygons(marker("circle", x[lit], y[lit], radius), fill="good", alpha=0.3))
        out.append(Polygons(marker("circle", x[lit], y[lit], radius), stroke="good", width=2.0))
    if dark.any():
        arm = max(PORT_RADIUS * zoom, 3.0)
        out.append(Polygons(marker("circle", x[dark], y[dark], arm * 1.5), fill="node", alpha=0.75))
        out += _crosses(x[dark], y[dark], arm * 0.8)
    kind = TYPES[int(of.port_type[start])]
    colour = "bad" if wire.reason is not None else f"type-{kind.value}"
    here = (float(px[start]), float(py[start]))
    there = geometry.port_place(wire.target) if wire.target is not None else wire.to
    ends = (*here, *there) if wire.start.is_output else (*there, *here)
    points = curves(np.array([ends])) * zoom + np.array([camera.x, camera.y])
    out.append(Lines(points, colour, max(2.6 * zoom, 1.5), 1.0, (6.0, 5.0) if wire.reason else ()))
    tip_x, tip_y = camera.to_screen(*there)
    shape = marker(PORT_SHAPES[kind], np.array([tip_x]), np.array([tip_y]), max(5.0 * zoom, 4.0))
    out.append(Polygons(shape, fill=colour))
    if wire.reason is not None:
        out += draw_tip(view, *camera.to_screen(*wire.to), f"✕ {wire.reason}")
    return out


def _crosses(x: Floats, y: Floats, arm: float) -> list[Primitive]:
    middle = np.stack([x, y], axis=1)[:, None, :]
    one = middle + np.array([[-arm, -arm], [arm, arm]])
    other = middle + np.array([[-arm, arm], [arm, -arm]])
    return [Lines(np.concatenate([one, other]), "idle", 1.6)]


def draw_tip(view: View, x: float, y: float, text: str) -> list[Primitive]:
    """Words beside the pointer, kept inside the window."""
    size = 12.0
    shown = clip_to(text, size, min(420.0, view.width - 40.0))
    width = text_width(shown, size) + 20.0
    left = min(max(x + 16.0, 6.0), view.width - width - 6.0)
    top = y + 18.0 if y + 52.0 < view.height else y - 42.0
    box = rounded(np.array([[left, top, width, 26.0]]), 5.0)
    return [
        Polygons(box, fill="tip", alpha=0.96),
        Texts([(shown, left + 10.0, top + 13.5)], "tiptext", size, 500, most=width - 16.0),
    ]
