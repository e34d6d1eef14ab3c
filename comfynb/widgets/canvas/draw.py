"""The graph as it lies there: grid, connections, nodes with their ports and words.

Everything is a batch over all visible nodes; only words are put together one by one. What would be
smaller than it can be read is left out: three levels of detail by zoom, and only what is in view.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comfynb.models import CanvasNode, DataType, NodeType
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.colours import KIND_LOOKS, PORT_SHAPES
from comfynb.widgets.canvas.geometry import (
    FOOTER,
    HEADER,
    TYPES,
    WIDTH,
    Bools,
    Floats,
    Geometry,
    Ints,
    curves,
    row_of,
)
from comfynb.widgets.canvas.primitives import (
    Lines,
    Polygons,
    Primitive,
    Rects,
    Texts,
    marker,
    rounded,
)
from comfynb.widgets.canvas.text import clip_to

__all__ = [
    "BOXES",
    "FULL",
    "NAMES",
    "Looks",
    "View",
    "boxes_of",
    "detail_at",
    "draw_edges",
    "draw_nodes",
    "draw_scene",
    "fold_boxes",
]

BOXES, NAMES, FULL = 0, 1, 2
"""Levels of detail: coloured boxes; names and ports; everything."""

RADIUS = 8.0
PORT_RADIUS = 5.2
SMALLEST = 9.0
"""CSS pixels of the smallest words that are shown."""


def detail_at(zoom: float) -> int:
    """What can be read at a zoom."""
    return FULL if zoom >= 0.42 else NAMES if zoom >= 0.2 else BOXES


@dataclass(frozen=True, slots=True)
class View:
    """What of the canvas is shown where: camera, and the window's size in CSS pixels."""

    camera: Camera
    width: float
    height: float
    grid: bool = True


@dataclass(frozen=True, slots=True)
class Looks:
    """What the drawing knows of nodes beside their geometry."""

    nodes: Mapping[str, CanvasNode]
    title: Callable[[str], str]
    summary: Callable[[CanvasNode], str]
    selected: Collection[str] = ()
    selected_edges: Collection[str] = ()
    problems: Collection[str] = ()
    """Ids of nodes and connections with something wrong."""
    hidden: Collection[str] = ()
    """Nodes that another layer draws now, with their connections."""
    hidden_edge: str | None = None


def boxes_of(geometry: Geometry, places: Ints, camera: Camera) -> Floats:
    """(n, 4): where nodes are on screen."""
    out = np.empty((len(places), 4))
    out[:, 0] = camera.x + camera.zoom * geometry.x[places]
    out[:, 1] = camera.y + camera.zoom * geometry.y[places]
    out[:, 2] = camera.zoom * WIDTH
    out[:, 3] = camera.zoom * geometry.of.heights[places]
    return out


def _flags(ids: Sequence[str], wanted: Collection[str], index: Mapping[str, int]) -> Bools:
    flags = np.zeros(len(ids), dtype=bool)
    for one in wanted:
        if one in index:
            flags[index[one]] = True
    return flags


def draw_scene(
    geometry: Geometry, view: View, looks: Looks, *, detail: int | None = None, cull: bool = True
) -> list[Primitive]:
    """Everything that lies still, the lowest first."""
    of = geometry.of
    level = detail_at(view.camera.zoom) if detail is None else detail
    seen = view.camera.seen(view.width, view.height).grown(20.0)
    shown = geometry.nodes_in(seen) if cull else np.ones(len(of.ids), dtype=bool)
    hidden = _flags(of.ids, looks.hidden, of.index)
    drawing = draw_grid(view) if view.grid else []
    if of.edge_ids:
        ends = geometry.edge_ends()
        edges = geometry.edges_in(ends, seen) if cull else np.ones(len(of.edge_ids), dtype=bool)
        if looks.hidden:
            edges &= ~(hidden[of.edge_from] | hidden[of.edge_to])
        if looks.hidden_edge is not None and looks.hidden_edge in of.edge_index:
            edges[of.edge_index[looks.hidden_edge]] = False
        shown_edges = np.flatnonzero(edges)
        drawing += draw_edges(geometry, shown_edges, ends[shown_edges], view.camera, looks, level)
    places = np.flatnonzero(shown & ~hidden)
    return drawing + draw_nodes(geometry, places, view.camera, looks, level)


def draw_grid(view: View) -> list[Primitive]:
    """Dots at a distance that stays comfortable to look at."""
    camera, step = view.camera, 20.0
    while step * camera.zoom < 16.0:
        step *= 4
    pitch = step * camera.zoom
    xs = np.arange(camera.x % pitch, view.width, pitch)
    ys = np.arange(camera.y % pitch, view.height, pitch)
    size = 1.6 if pitch >= 20 else 1.2
    boxes = np.empty((len(xs) * len(ys), 4))
    boxes[:, 0] = np.repeat(xs, len(ys)) - size / 2
    boxes[:, 1] = np.tile(ys, len(xs)) - size / 2
    boxes[:, 2:] = size
    return [Rects(boxes, "grid")]


def draw_edges(  # noqa: PLR0917 - called in two places
    geometry: Geometry, places: Ints, ends: Floats, camera: Camera, looks: Looks, level: int
) -> list[Primitive]:
    """Connections as curves in their type's colour; order-only and broken ones are dashed.

    ``ends`` are those of the connections at ``places``.
    """
    if not len(places):
        return []
    of = geometry.of
    # The curve is that of the canvas, not of the screen: it keeps its form at every zoom.
    points = curves(ends, coarse=level == BOXES) * camera.zoom
    points += np.array([camera.x, camera.y])
    chosen = _flags(of.edge_ids, looks.selected_edges, of.edge_index)[places]
    wrong = of.edge_broken[places] | _flags(of.edge_ids, looks.problems, of.edge_index)[places]
    types = of.edge_type[places]
    thin = level == BOXES
    width = max(2.2 * min(camera.zoom, 1.2), 1.0)
    out: list[Primitive] = []
    for code, kind in enumerate(TYPES):
        usual = (types == code) & ~wrong
        if usual.any():
            dash = (7.0, 5.0) if kind is DataType.TRIGGER and not thin else ()
            colour = f"type-{kind.value}"
            out.append(Lines(points[usual], colour, width, 0.55 if thin else 0.9, dash))
    if wrong.any():
        out.append(Lines(points[wrong], "bad", width, 1.0, () if thin else (3.0, 5.0)))
    if chosen.any():
        out.append(Lines(points[chosen], "brand", width + 5.0, 0.3))
        out.append(Lines(points[chosen], "brand", width + 0.8))
    return out


def draw_nodes(
    geometry: Geometry, places: Ints, camera: Camera, looks: Looks, level: int
) -> list[Primitive]:
    """Nodes with what can be read of them."""
    if not len(places):
        return []
    of, zoom = geometry.of, camera.zoom
    boxes = boxes_of(geometry, places, camera)
    ids = [of.ids[place] for place in places]
    chosen = _flags(of.ids, looks.selected, of.index)[places]
    wrong = _flags(of.ids, looks.problems, of.index)[places]
    if level == BOXES:
        return _plain_boxes(boxes, ids, chosen, wrong, looks)
    radius = RADIUS * zoom
    out: list[Primitive] = []
    if chosen.any():
        glow = rounded(_grown(boxes[chosen], 3.0), radius + 3.0)
        out.append(Polygons(glow, stroke="brand", width=5.0, alpha=0.28))
    bodies = rounded(boxes, radius)
    out.append(Polygons(bodies + np.array([0.0, 3.0 * zoom]), fill="shadow", alpha=0.12))
    out.append(Polygons(bodies, fill="node"))
    out += _heads(boxes, ids, looks, zoom, level)
    out.append(Polygons(bodies, stroke="border", width=1.0))
    if chosen.any():
        out.append(Polygons(bodies[chosen], stroke="brand", width=2.0))
    out += _words(geometry, places, boxes, ids, looks, zoom, level)
    out += _ports(geometry, places, camera, level)
    if wrong.any():
        out += _badges(boxes[wrong], zoom)
    return out


def _grown(boxes: Floats, by: float) -> Floats:
    return np.asarray(boxes + np.array([-by, -by, 2 * by, 2 * by]))


def _by_kind(ids: Sequence[str], looks: Looks) -> list[tuple[NodeType, Ints]]:
    kinds: dict[NodeType, list[int]] = {}
    for place, node_id in enumerate(ids):
        kinds.setdefault(looks.nodes[node_id].node_type, []).append(place)
    return [(kind, np.array(found)) for kind, found in kinds.items()]


def _plain_boxes(
    boxes: Floats, ids: Sequence[str], chosen: Bools, wrong: Bools, looks: Looks
) -> list[Primitive]:
    out: list[Primitive] = [Rects(_grown(boxes, 0.7), "border"), Rects(boxes, "node")]
    heads = boxes.copy()
    heads[:, 3] = np.maximum(boxes[:, 3] * 0.3, 2.0)
    for kind, found in _by_kind(ids, looks):
        out.append(Rects(heads[found], KIND_LOOKS[kind].colour, 0.9))
    if wrong.any():
        out.append(Rects(boxes[wrong], "bad", 0.35))
    if chosen.any():
        out.append(Rects(_grown(boxes[chosen], 2.0), "brand", 0.45))
    return out


def _heads(
    boxes: Floats, ids: Sequence[str], looks: Looks, zoom: float, level: int
) -> list[Primitive]:
    radius = RADIUS * zoom
    heads = boxes.copy()
    heads[:, 3] = HEADER * zoom
    shapes = rounded(heads, radius, top=True)
    signs: list[Primitive] = []
    out: list[Primitive] = []
    centre = boxes[:, :2] + np.array([19.0, HEADER / 2]) * zoom
    for kind, found in _by_kind(ids, looks):
        look = KIND_LOOKS[kind]
        out.append(Polygons(shapes[found], fill=look.colour, alpha=0.17))
        for line in look.sign:
            stroke = np.array(line) * (7.0 * zoom)
            points = centre[found][:, None, :] + stroke
            signs.append(Lines(points, look.colour, max(1.7 * zoom, 1.0)))
    if level < FULL:
        return [*out, *signs]
    feet = np.empty((len(boxes), 2, 2))
    feet[:, :, 0] = boxes[:, :1] + np.array([0.0, 1.0]) * boxes[:, 2:3]
    feet[:, :, 1] = (boxes[:, 1] + boxes[:, 3] - FOOTER * zoom)[:, None]
    return [*out, *signs, Lines(feet, "border", 1.0, 0.5)]


def _words(  # noqa: PLR0917 - called in one place
    geometry: Geometry,
    places: Ints,
    boxes: Floats,
    ids: Sequence[str],
    looks: Looks,
    zoom: float,
    level: int,
) -> list[Primitive]:
    size = max(13.0 * zoom, SMALLEST + 1.0)
    left = 34.0 * zoom
    room = WIDTH * zoom - left - 10.0 * zoom
    middle = HEADER * zoom / 2
    corners = boxes[:, :2].tolist()
    titles = [
        (clip_to(looks.title(node_id), size, room), x + left, y + middle)
        for node_id, (x, y) in zip(ids, corners, strict=True)
    ]
    out: list[Primitive] = [Texts(titles, "text", size, 600, most=room)]
    if level < FULL:
        return out
    small, room = max(11.0 * zoom, SMALLEST), (WIDTH - 24.0) * zoom
    foot = (geometry.of.heights[places] - FOOTER / 2) * zoom
    summaries = [
        (clip_to(looks.summary(looks.nodes[node_id]), small, room), x + 12.0 * zoom, y + down)
        for node_id, (x, y), down in zip(ids, corners, foot.tolist(), strict=True)
    ]
    out.append(Texts(summaries, "soft", small, most=room))
    return out


def _port_places(geometry: Geometry, places: Ints) -> Ints:
    shown = np.zeros(len(geometry.of.ids), dtype=bool)
    shown[places] = True
    return np.flatnonzero(shown[geometry.of.port_node] & ~geometry.of.port_folded)


def fold_boxes(geometry: Geometry, places: Ints, camera: Camera) -> Floats:
    """Where the "+n" rows of nodes that have one are on screen: (n, 4)."""
    boxes = boxes_of(geometry, places, camera)
    boxes[:, 0] += 10.0 * camera.zoom
    boxes[:, 1] += (geometry.of.fold_dy[places] - 8.0) * camera.zoom
    boxes[:, 2] -= 20.0 * camera.zoom
    boxes[:, 3] = 16.0 * camera.zoom
    return boxes


def _folds(geometry: Geometry, places: Ints, camera: Camera) -> list[Primitive]:
    """The rows that say how many ports are folded away."""
    of, zoom = geometry.of, camera.zoom
    places = places[~np.isnan(of.fold_dy[places])]
    if not len(places):
        return []
    boxes = fold_boxes(geometry, places, camera)
    size = max(11.0 * zoom, SMALLEST)
    texts = [
        (f"+{number} ports" if number else "fewer ports", x + width / 2, y + height / 2)
        for number, (x, y, width, height) in zip(
            of.folds[places].tolist(), boxes.tolist(), strict=True
        )
    ]
    return [
        Polygons(rounded(boxes, 8.0 * zoom), fill="track"),
        Texts(texts, "soft", size, 500, "center", most=(WIDTH - 36.0) * zoom),
    ]


def _ports(geometry: Geometry, places: Ints, camera: Camera, level: int) -> list[Primitive]:
    of, zoom = geometry.of, camera.zoom
    ports = _port_places(geometry, places)
    if not len(ports):
        return []
    folds = _folds(geometry, places, camera) if level == FULL else []
    nodes = of.port_node[ports]
    x = camera.x + zoom * (geometry.x[nodes] + of.port_dx[ports])
    y = camera.y + zoom * (geometry.y[nodes] + of.port_dy[ports])
    types, used = of.port_type[ports], of.port_used[ports]
    out: list[Primitive] = []
    for code, kind in enumerate(TYPES):
        colour = f"type-{kind.value}"
        mine = types == code
        if not mine.any():
            continue
        if level < FULL:
            side = 7.0 * zoom
            at = np.stack([x[mine] - side / 2, y[mine] - side / 2], axis=1)
            out.append(Rects(np.concatenate([at, np.full_like(at, side)], axis=1), colour))
            continue
        shape = PORT_SHAPES[kind]
        for filled, those in ((True, mine & used), (False, mine & ~used)):
            if those.any():
                points = marker(shape, x[those], y[those], PORT_RADIUS * zoom)
                fill = colour if filled else "node"
                out.append(Polygons(points, fill=fill, stroke=colour, width=1.8 * zoom))
    if level == FULL:
        out += _labels(geometry, ports, x, y, zoom)
    return out + folds


def _labels(
    geometry: Geometry, ports: Ints, x: npt.NDArray[np.float64], y: Floats, zoom: float
) -> list[Primitive]:
    of, size = geometry.of, max(11.5 * zoom, SMALLEST)
    sides: tuple[list[tuple[str, float, float]], ...] = ([], [])
    for port, at_x, at_y in zip(ports.tolist(), x.tolist(), y.tolist(), strict=True):
        view, is_output = of.port_views[port], bool(of.port_output[port])
        opposite = of.rows[of.port_node[port], 0 if is_output else 1]
        beside = row_of(float(of.port_dy[port])) < opposite
        room = ((WIDTH / 2 if beside else WIDTH) - 20.0) * zoom
        # An asterisk: it must be connected, and is not.
        open_ = view.required and not of.port_used[port]
        text = clip_to(view.label + (" *" if open_ else ""), size, room)
        sides[is_output].append((text, at_x + (-12.0 if is_output else 12.0) * zoom, at_y))
    room = (WIDTH - 24.0) * zoom
    return [
        Texts(side, "text", size, align=align, most=room)
        for side, align in zip(sides, ("left", "right"), strict=True)
        if side
    ]


def _badges(boxes: Floats, zoom: float) -> list[Primitive]:
    """A sign at the upper right corner of nodes with something wrong."""
    x, y = boxes[:, 0] + boxes[:, 2] - 4.0 * zoom, boxes[:, 1] + 4.0 * zoom
    size = max(9.0 * zoom, 6.0)
    middles = [("!", float(one), float(other)) for one, other in zip(x, y, strict=True)]
    return [
        Polygons(marker("circle", x, y, size), fill="bad", stroke="node", width=1.5),
        Texts(middles, "node", max(12.0 * zoom, 8.0), 700, "center"),
    ]
