"""What is drawn on which layer, from the scene, the hand, the problems and the job; and the SVG."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from comfynb.engine.views import BackendView
from comfynb.models import CanvasNode, NodeType
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.checking import Checking
from comfynb.widgets.canvas.draw import FULL, Looks, View, draw_scene
from comfynb.widgets.canvas.draw_hand import (
    draw_band,
    draw_dragged,
    draw_hover,
    draw_tip,
    draw_wire,
    moved,
)
from comfynb.widgets.canvas.draw_job import (
    PICTURE,
    Minimap,
    draw_job,
    draw_minimap,
    minimap,
    status_text,
)
from comfynb.widgets.canvas.geometry import Geometry, Rect
from comfynb.widgets.canvas.hand import Dirty, Hand, Mode
from comfynb.widgets.canvas.primitives import Primitive
from comfynb.widgets.canvas.summaries import summary
from comfynb.widgets.canvas.svg import to_svg
from comfynb.widgets.canvas.watched import Watched
from comfynb.widgets.markup import one_line
from comfynb.widgets.thumbnails import data_uri

__all__ = ["Painter"]

MARGIN = 24.0
"""CSS pixels around the graph in its SVG."""

WIDEST = 1400.0
"""CSS pixels of the SVG's width."""

READABLE = 150
"""In an SVG with more nodes than these, details are left out that nobody could read."""


class Painter:
    """Knows what is to be seen; asks, and changes nothing."""

    def __init__(
        self,
        hand: Hand,
        watched: Watched,
        checking: Checking,
        backends: Callable[[], Sequence[BackendView]],
    ) -> None:
        self._hand, self._scene = hand, hand.scene
        self._watched, self._checking, self._backends = watched, checking, backends
        self.map_on = True
        """Whether the minimap is wanted."""

    def view(self) -> View:
        """What of the canvas is seen."""
        return View(self._hand.camera, *self._hand.size)

    def minimap(self) -> Minimap | None:
        """The minimap, if it is seen."""
        return minimap(self._scene.geometry, self.view()) if self.map_on else None

    def heights(self) -> dict[str, float]:
        """Heights with the pictures that are beneath workflows once they ran."""
        geometry, nodes = self._scene.geometry, self._scene.document.nodes
        workflows = {key for key, one in nodes.items() if one.node_type is NodeType.WORKFLOW}
        return {
            key: geometry.node_rect(key).height + PICTURE
            for key in workflows | self._watched.pictures.keys
            if key in geometry.of.index
        }

    def looks(self, *, selected: Collection[str] | None = None) -> Looks:
        """What nodes look like; ``selected``: as if only these were, and nothing was wrong."""
        scene, hand = self._scene, self._hand
        words = self._summaries()
        if selected is not None:
            return Looks(scene.document.nodes, scene.title, words, selected=selected)
        return Looks(
            nodes=scene.document.nodes,
            title=scene.title,
            summary=words,
            selected=scene.selected,
            selected_edges=scene.selected_edges,
            problems=self._checking.marked,
            hidden=hand.hidden,
            hidden_edge=hand.taken,
        )

    def _summaries(self) -> Callable[[CanvasNode], str]:
        """The summaries of one drawing, which asks for the backends once at most."""
        known: list[Sequence[BackendView]] = []

        def words(node: CanvasNode) -> str:
            if not known:
                known.append(self._backends())
            return summary(node, known[0])

        return words

    # Layers

    def paint(self, dirty: Dirty) -> dict[Dirty, list[Primitive]]:
        """The drawings of the layers that are dirty."""
        geometry, view = self._scene.geometry, self.view()
        out: dict[Dirty, list[Primitive]] = {}
        if Dirty.SCENE in dirty:
            out[Dirty.SCENE] = draw_scene(geometry, view, self.looks())
        if Dirty.JOB in dirty:
            layer = self._job(geometry, view)
            if self.map_on:
                layer += draw_minimap(geometry, view, self.looks(selected=()), self._watched.states)
            out[Dirty.JOB] = layer
        if Dirty.HAND in dirty:
            out[Dirty.HAND] = self._held(geometry, view)
        return out

    def _job(
        self, geometry: Geometry, view: View, only: Sequence[str] | None = None
    ) -> list[Primitive]:
        return draw_job(
            geometry,
            view,
            self._watched.states,
            asking=self._watched.asking,
            pictures=self._watched.pictures.keys,
            hidden=() if only is not None else self._hand.hidden,
            only=only,
        )

    def _held(self, geometry: Geometry, view: View) -> list[Primitive]:
        hand, out = self._hand, list[Primitive]()
        if hand.mode is Mode.DRAG:
            there = moved(geometry, hand.places)
            out += draw_dragged(there, view, self.looks(selected=hand.places), hand.places)
            if self._watched.states or self._watched.pictures.keys:
                out += self._job(there, view, list(hand.places))
        if hand.band is not None:
            out += draw_band(view, hand.band)
        if hand.wire is not None:
            out += draw_wire(geometry, view, hand.wire)
        if hand.mode is Mode.IDLE:
            out += draw_hover(geometry, view, *hand.hover, hand.on_fold)
            tip = self._tip()
            if tip:
                out += draw_tip(view, *hand.pointer, tip)
        return out

    def _tip(self) -> str | None:
        node, port = self._hand.hover
        if port is not None:
            seen = self._scene.port(port)
            need = ", required" if seen.required else ""
            return f"{one_line(seen.label, 60)}: {seen.data_type.value}{need}"
        if node is None:
            return None
        if self._hand.on_fold == node:
            return self._behind(node)
        state = self._watched.states.get(node)
        if state is not None and state.error:
            return one_line(status_text(state), 120)
        wrong = self._checking.about(node)
        return one_line(f"! {wrong[0]}", 120) if wrong else None

    def _behind(self, node: str) -> str:
        """What a click on a node's "+n" row would show."""
        of = self._scene.geometry.of
        folded = np.flatnonzero(of.port_folded & (of.port_node == of.index[node]))
        if not len(folded):
            return "Show only the ports that matter (E)"
        labels = ", ".join(of.port_views[place].label for place in folded[:12])
        more = "…" if len(folded) > 12 else ""
        return one_line(f"{labels}{more}", 120)

    # The static form

    def svg(self, title: str, colours: Mapping[str, str] | None = None) -> str:
        """The whole graph with its job; without ``colours`` in those of the page that it is in."""
        geometry, pictures = self._scene.geometry, self._watched.pictures
        bounds = geometry.bounds() or Rect(0.0, 0.0, 400.0, 160.0)
        below = PICTURE if pictures.keys else 0.0
        zoom = min(1.0, WIDEST / (bounds.width + 2 * MARGIN))
        size = (
            (bounds.width + 2 * MARGIN) * zoom,
            (bounds.height + 2 * MARGIN + below) * zoom,
        )
        camera = Camera((MARGIN - bounds.x) * zoom, (MARGIN - bounds.y) * zoom, zoom)
        view = View(camera, *size, grid=False)
        detail = FULL if len(geometry.of.ids) <= READABLE else None
        drawing = draw_scene(geometry, view, self.looks(selected=()), detail=detail)
        drawing += self._job(geometry, view)
        shown = {key: data_uri(one) for key, one in pictures.shown.items()}
        return to_svg(drawing, size, title=title, colours=colours, pictures=shown)
