"""What a job says about nodes, over them: status, progress, step, pictures; and the minimap."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from comfynb.engine.views import NodeView
from comfynb.models import JobStatus
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.colours import KIND_LOOKS, STATUS_COLOURS
from comfynb.widgets.canvas.draw import (
    BOXES,
    FULL,
    RADIUS,
    SMALLEST,
    Looks,
    View,
    boxes_of,
    detail_at,
)
from comfynb.widgets.canvas.geometry import FOOTER, WIDTH, Floats, Geometry, Ints, Rect
from comfynb.widgets.canvas.primitives import (
    Clipped,
    Images,
    Polygons,
    Primitive,
    Rects,
    Texts,
    rounded,
)
from comfynb.widgets.canvas.text import clip_to
from comfynb.widgets.theme import look

__all__ = ["PICTURE", "Minimap", "draw_job", "draw_minimap", "minimap", "status_text"]

PICTURE = 132.0
"""Height of the picture beneath a node, with its margins, at a zoom of 1."""


def status_text(node: NodeView, *, asking: bool = False) -> str:
    """A node's status in a line: sign, word or step, and the backend."""
    seen = look(node.status)
    if asking:
        return "? choose a backend"
    if node.status is JobStatus.RUNNING:
        times = f" · {node.runs_done}/{node.runs}" if node.runs > 1 else ""
        doing = node.step or node.backend or ""
        return f"{seen.sign} {node.progress:.0f} %{times}" + (f" · {doing}" if doing else "")
    told = [seen.word]
    if node.runs > 1:
        told.append(f"{node.runs_done}/{node.runs}")
    if node.status is JobStatus.FAILED and node.error:
        told = [node.error.partition("\n")[0]]
    elif node.backend and node.status is not JobStatus.SKIPPED:
        told.append(node.backend)
    return f"{seen.sign} " + " · ".join(told)


def draw_job(
    geometry: Geometry,
    view: View,
    states: Mapping[str, NodeView],
    *,
    asking: Collection[str] = (),
    pictures: Collection[str] = (),
    hidden: Collection[str] = (),
    only: Collection[str] | None = None,
) -> list[Primitive]:
    """The job's layer: over each node of the job its frame, its foot, and its picture.

    ``asking`` are nodes that wait for a person, ``pictures`` those that have one (the key of an
    image is the node's id); ``hidden`` are drawn elsewhere, and ``only`` restricts to some.
    """
    of, camera = geometry.of, view.camera
    seen = view.camera.seen(view.width, view.height).grown(PICTURE + 20.0)
    visible = geometry.nodes_in(seen)
    wanted = [
        (of.index[key], key)
        for key in (states if only is None else only)
        if key in states and key in of.index and key not in hidden and visible[of.index[key]]
    ]
    level = detail_at(camera.zoom)
    out: list[Primitive] = []
    by_status: dict[JobStatus, list[tuple[int, str]]] = {}
    for place, key in wanted:
        by_status.setdefault(states[key].status, []).append((place, key))
    for status, found in by_status.items():
        places = np.array([place for place, _ in found], dtype=np.int64)
        boxes = boxes_of(geometry, places, camera)
        nodes = [(states[key], status_text(states[key], asking=key in asking)) for _, key in found]
        out += _frames(boxes, status, camera.zoom, level)
        if level == FULL:
            out += _feet(boxes, nodes, status, camera.zoom)
        elif status is JobStatus.RUNNING:
            out += _bars(boxes, [node for node, _ in nodes], camera.zoom)
    if level > BOXES:
        with_picture = (of.index[key] for key in pictures if key in of.index and key not in hidden)
        shown = [place for place in with_picture if visible[place]]
        if only is not None:
            shown = [place for place in shown if of.ids[place] in only]
        out += _pictures(geometry, np.array(shown, dtype=np.int64), camera)
    return out


def _frames(boxes: Floats, status: JobStatus, zoom: float, level: int) -> list[Primitive]:
    colour = STATUS_COLOURS[status]
    if level == BOXES:
        fill = boxes + np.array([-1.0, -1.0, 2.0, 2.0])
        return [Rects(fill, colour, 0.6 if status is not JobStatus.PENDING else 0.25)]
    shapes = rounded(boxes, RADIUS * zoom)
    if status in {JobStatus.SKIPPED, JobStatus.CANCELLED}:
        return [
            Polygons(shapes, fill="canvas", alpha=0.55),
            Polygons(shapes, stroke=colour, width=1.5, dash=(5.0, 4.0)),
        ]
    if status is JobStatus.PENDING:
        return [Polygons(shapes, stroke=colour, width=1.5, dash=(2.0, 3.0))]
    out: list[Primitive] = [Polygons(shapes, stroke=colour, width=2.2)]
    if status is JobStatus.RUNNING:
        halo = rounded(boxes + np.array([-4.0, -4.0, 8.0, 8.0]), RADIUS * zoom + 4.0)
        out.append(Polygons(halo, stroke=colour, width=4.0, alpha=0.3))
    return out


def _foot_boxes(boxes: Floats, zoom: float) -> Floats:
    feet = boxes.copy()
    feet[:, 3] = FOOTER * zoom
    feet[:, 1] = boxes[:, 1] + boxes[:, 3] - FOOTER * zoom
    return feet


def _feet(
    boxes: Floats, nodes: list[tuple[NodeView, str]], status: JobStatus, zoom: float
) -> list[Primitive]:
    colour, inside = STATUS_COLOURS[status], boxes + np.array([1.2, 0.0, -2.4, -1.2])
    feet = _foot_boxes(inside, zoom)
    shapes = rounded(feet, (RADIUS - 1.0) * zoom, bottom=True)
    out: list[Primitive] = [
        Polygons(shapes, fill="node"),
        Polygons(shapes, fill=colour, alpha=0.13),
    ]
    if status in {JobStatus.RUNNING, JobStatus.PAUSED}:
        filled = feet.copy()
        filled[:, 2] *= np.array([node.progress / 100.0 for node, _ in nodes])
        out.append(Polygons(rounded(filled, (RADIUS - 1.0) * zoom, bottom=True), colour, alpha=0.3))
        filled[:, 1] += filled[:, 3] - 3.0 * zoom
        filled[:, 3] = 3.0 * zoom
        out.append(Rects(filled, colour))
    size, room = max(11.0 * zoom, SMALLEST), (WIDTH - 20.0) * zoom
    middle = feet[:, 1] + feet[:, 3] / 2
    texts = [
        (clip_to(text, size, room), float(x) + 10.0 * zoom, float(y))
        for (_, text), x, y in zip(nodes, feet[:, 0], middle, strict=True)
    ]
    out.append(Texts(texts, "text", size, 500, most=room))
    return out


def _bars(boxes: Floats, nodes: list[NodeView], zoom: float) -> list[Primitive]:
    tracks = boxes.copy()
    tracks[:, 1] += boxes[:, 3] - 7.0 * zoom - 1.0
    tracks[:, 3] = 7.0 * zoom
    filled = tracks.copy()
    filled[:, 2] *= np.array([node.progress / 100.0 for node in nodes])
    return [Rects(tracks, "track"), Rects(filled, "brand")]


def picture_box(box: Floats, zoom: float) -> Floats:
    """Where the pictures of nodes with these boxes are: (n, 4)."""
    out = box.copy()
    out[:, 1] += box[:, 3] + 5.0 * zoom
    out[:, 3] = (PICTURE - 10.0) * zoom
    return out


def _pictures(geometry: Geometry, places: Ints, camera: Camera) -> list[Primitive]:
    if not len(places):
        return []
    zoom = camera.zoom
    panels = picture_box(boxes_of(geometry, places, camera), zoom)
    shapes = rounded(panels, RADIUS * zoom)
    inner = panels + np.array([5.0, 5.0, -10.0, -10.0]) * zoom
    items = [
        (geometry.of.ids[place], x, y, width, height)
        for place, (x, y, width, height) in zip(places.tolist(), inner.tolist(), strict=True)
    ]
    return [
        Polygons(shapes, fill="node", stroke="border", width=1.0),
        Images(items),
    ]


@dataclass(frozen=True, slots=True)
class Minimap:
    """The small map in the corner: where it is on screen, and what part of the canvas it shows."""

    box: Rect
    shows: Rect

    @property
    def scale(self) -> float:
        """CSS pixels of the map for one of the canvas."""
        return self.box.width / self.shows.width

    def to_canvas(self, x: float, y: float) -> tuple[float, float]:
        """The point of the canvas that a point on the map stands for."""
        return (
            self.shows.x + (x - self.box.x) / self.scale,
            self.shows.y + (y - self.box.y) / self.scale,
        )


MAP_WIDTH, MAP_HEIGHT, MAP_MARGIN = 168.0, 108.0, 10.0


def minimap(geometry: Geometry, view: View) -> Minimap | None:
    """The map for a view; None while it would show nothing that is not seen anyway."""
    bounds = geometry.bounds()
    seen = view.camera.seen(view.width, view.height)
    if bounds is None or view.width < 420 or view.height < 260:
        return None
    inside = (
        bounds.x >= seen.x
        and bounds.y >= seen.y
        and bounds.x + bounds.width <= seen.x + seen.width
        and bounds.y + bounds.height <= seen.y + seen.height
    )
    if inside and view.camera.zoom >= 0.2:
        return None
    left, top = min(bounds.x, seen.x), min(bounds.y, seen.y)
    right = max(bounds.x + bounds.width, seen.x + seen.width)
    bottom = max(bounds.y + bounds.height, seen.y + seen.height)
    # What is far outside must not shrink the graph to a point.
    reach_x, reach_y = 2 * bounds.width + 400.0, 2 * bounds.height + 400.0
    left, right = max(left, bounds.x - reach_x), min(right, bounds.x + bounds.width + reach_x)
    top, bottom = max(top, bounds.y - reach_y), min(bottom, bounds.y + bounds.height + reach_y)
    width, height = right - left, bottom - top
    scale = min(MAP_WIDTH / width, MAP_HEIGHT / height) * 0.94
    wide, high = MAP_WIDTH / scale, MAP_HEIGHT / scale
    shows = Rect(left - (wide - width) / 2, top - (high - height) / 2, wide, high)
    x = view.width - MAP_WIDTH - MAP_MARGIN
    y = view.height - MAP_HEIGHT - MAP_MARGIN
    return Minimap(Rect(x, y, MAP_WIDTH, MAP_HEIGHT), shows)


def draw_minimap(
    geometry: Geometry, view: View, looks: Looks, states: Mapping[str, NodeView]
) -> list[Primitive]:
    """The map, nodes in the colour of their status or kind, and the part that is seen."""
    small = minimap(geometry, view)
    if small is None:
        return []
    of, scale = geometry.of, small.scale
    camera = Camera(small.box.x - small.shows.x * scale, small.box.y - small.shows.y * scale, scale)
    boxes = boxes_of(geometry, np.arange(len(of.ids)), camera)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.5)
    colours: dict[str, list[int]] = {}
    for place, key in enumerate(of.ids):
        state = states.get(key)
        kind = KIND_LOOKS[looks.nodes[key].node_type].colour
        colours.setdefault(kind if state is None else STATUS_COLOURS[state.status], []).append(
            place
        )
    frame = np.array([list(small.box)])
    seen = view.camera.seen(view.width, view.height)
    x, y = camera.to_screen(seen.x, seen.y)
    window = np.array([[x, y, seen.width * scale, seen.height * scale]])
    inside: list[Primitive] = [
        Rects(boxes[np.array(places)], colour, 0.85) for colour, places in colours.items()
    ]
    inside.append(Polygons(rounded(window, 2.0), fill="brand", alpha=0.12))
    inside.append(Polygons(rounded(window, 2.0), stroke="brand", width=1.5))
    return [
        Polygons(rounded(frame, 6.0), fill="node", alpha=0.94),
        Clipped((small.box.x, small.box.y, small.box.width, small.box.height), inside),
        Polygons(rounded(frame, 6.0), stroke="border", width=1.0),
    ]
