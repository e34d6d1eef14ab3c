"""The edited graph without any widget: document, selection, geometry, and commands on them."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from comfynb.engine.views import PortsView, PortView
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    DataType,
    Viewport,
    new_id,
)
from comfynb.widgets.canvas import rules
from comfynb.widgets.canvas.arranging import SNAP, arranged
from comfynb.widgets.canvas.clipboard import Clip, clipboard
from comfynb.widgets.canvas.contract import Compatible, PaletteItem, Ports, Title
from comfynb.widgets.canvas.described import Described
from comfynb.widgets.canvas.document import Document, History
from comfynb.widgets.canvas.geometry import (
    Bools,
    Geometry,
    PortRef,
    Rect,
    Topology,
    topology,
)

__all__ = ["SNAP", "Scene"]

PASTE_SHIFT = 40.0
"""How far a copy lies from what it was copied from."""


class Scene:
    """A graph being edited: every change is a command that can be undone.

    ``ports``, ``title`` and ``compatible`` are asked, never told. An id that does not exist (any
    more) raises KeyError: events are looked up in the geometry before they come here.
    """

    def __init__(
        self, layout: CanvasLayout, *, ports: Ports, title: Title, compatible: Compatible
    ) -> None:
        self._described = Described(ports, title)
        self.compatible = compatible
        self.history = History(Document.of(layout))
        self.selected: set[str] = set()
        self.selected_edges: set[str] = set()
        self.snap = True
        self.unfolded: set[str] = set()
        """Nodes that show all of their ports; no part of the graph, and not kept with it."""
        self._topology: tuple[object, Topology] | None = None
        self._geometry: tuple[Document, Geometry] | None = None
        self._pastes = 0

    # What is there

    @property
    def document(self) -> Document:
        """The graph as it is now."""
        return self.history.current

    def layout(self, viewport: Viewport | None = None) -> CanvasLayout:
        """The graph as a layout of its own."""
        return self.document.layout(viewport)

    def ports(self, node_id: str) -> PortsView:
        """The ports of a node."""
        return self._described.ports(self.document.nodes[node_id])

    def title(self, node_id: str) -> str:
        """What a node is called."""
        return self._described.title(self.document.nodes[node_id])

    def forget(self) -> None:
        """Ask for ports and titles anew: a workflow was renamed or changed."""
        self._described.forget()
        self._topology = None
        self._geometry = None

    def port(self, ref: PortRef) -> PortView:
        """What is known of a port. Raises KeyError."""
        of = self.geometry.of
        return of.port_views[of.port_index[ref]]

    @property
    def geometry(self) -> Geometry:
        """Where everything is; made anew when the document has changed."""
        document = self.document
        if self._geometry is not None and self._geometry[0] is document:
            return self._geometry[1]
        if self._topology is None or self._topology[0] is not document.shape:
            views = {key: self._described.ports(node) for key, node in document.nodes.items()}
            made_of = topology(views, document.connections.values(), self.unfolded)
            self._topology = document.shape, made_of
        places = np.array([node.position for node in document.nodes.values()], dtype=float)
        places = places.reshape(-1, 2)
        made = Geometry(self._topology[1], places[:, 0].copy(), places[:, 1].copy())
        self._geometry = document, made
        return made

    # Selection

    def select(
        self, nodes: Iterable[str] = (), edges: Iterable[str] = (), *, more: bool = False
    ) -> None:
        """Select some nodes and connections; ``more`` keeps what was selected."""
        kept, kept_edges = (self.selected, self.selected_edges) if more else (set(), set())
        self.selected = {key for key in {*kept, *nodes} if key in self.document.nodes}
        self.selected_edges = {
            key for key in {*kept_edges, *edges} if key in self.document.connections
        }

    def toggle(self, node: str | None = None, edge: str | None = None) -> None:
        """Select what was not, and the other way round."""
        if node is not None:
            self.selected ^= {node}
        if edge is not None:
            self.selected_edges ^= {edge}

    def select_all(self) -> None:
        """Select every node."""
        self.select(self.document.nodes, self.document.connections)

    def select_in(self, rect: Rect, *, more: bool = False) -> None:
        """Select the nodes that touch a rectangle."""
        geometry = self.geometry
        found = np.flatnonzero(geometry.nodes_in(rect))
        self.select([geometry.of.ids[place] for place in found], more=more)

    def fold(self, nodes: Iterable[str]) -> bool | None:
        """Show all ports of these nodes, or where they do already, only those that matter.

        Returns whether they are shown now; None if none of the nodes has ports to fold away.
        """
        of = self.geometry.of
        tall = {key for key in nodes if not np.isnan(of.fold_dy[of.index[key]])}
        if not tall:
            return None
        folded = bool(tall - self.unfolded)
        self.unfolded = self.unfolded | tall if folded else self.unfolded - tall
        self._topology = self._geometry = None
        return folded

    def _reselect(self) -> None:
        self.select(self.selected, self.selected_edges)

    # Commands

    def _commit(self, document: Document, label: str, *, merge: object = None) -> None:
        self.history.commit(document, label, merge=merge)
        self._reselect()

    def snapped(self, x: float, y: float) -> tuple[float, float]:
        """The place itself, or the nearest one of the grid if snapping is on."""
        if not self.snap:
            return x, y
        return round(x / SNAP) * SNAP, round(y / SNAP) * SNAP

    def add(self, item: PaletteItem, x: float, y: float, *, merge: object = None) -> str:
        """Add what a palette item stands for, its left upper corner at a place; returns its id."""
        node = CanvasNode(
            id=new_id(),
            node_type=item.node_type,
            position=self.snapped(x, y),
            workflow_id=item.workflow_id,
            config=copy.deepcopy(dict(item.config)),
        )
        self._commit(self.document.added([node]), f"add {item.title}", merge=merge)
        self.select([node.id])
        return node.id

    def add_connected(self, item: PaletteItem, x: float, y: float, start: PortRef) -> str:
        """Add a node and connect the first port of it that fits ``start``, as one edit.

        The port, if there is one, comes to lie at (x, y).
        """
        both = object()
        made = self.add(item, x, y, merge=both)
        of = self.geometry.of
        fitting = np.flatnonzero(self.connectable(start) & (of.port_node == of.index[made]))
        if len(fitting):
            end = of.ports[int(fitting[0])]
            self.connect(start, end, merge=both)
            at_x, at_y = self.geometry.port_place(end)  # where it is once it is connected
            place = self.snapped(2 * x - at_x, 2 * y - at_y)
            self._commit(self.document.moved({made: place}), "move", merge=both)
            self.select([made])
        self.history.seal()
        return made

    def move(self, dx: float, dy: float, *, merge: object = None) -> None:
        """Move the selected nodes; with snapping, the first one lands on the grid."""
        moved = self.moved_by(dx, dy)
        if moved:
            what = _count(len(moved), "node")
            self._commit(self.document.moved(moved), f"move {what}", merge=merge)

    def moved_by(
        self, dx: float, dy: float, lead: str | None = None
    ) -> dict[str, tuple[float, float]]:
        """Where the selected nodes would be. ``lead`` is the one that lands on the grid."""
        nodes = sorted(self.selected, key=self.geometry.of.index.__getitem__)
        if not nodes:
            return {}
        at = self.document.nodes[lead if lead in self.selected and lead else nodes[0]].position
        to = self.snapped(at[0] + dx, at[1] + dy)
        step = to[0] - at[0], to[1] - at[1]
        if step == (0.0, 0.0):
            return {}
        places = ((key, self.document.nodes[key].position) for key in nodes)
        return {key: (x + step[0], y + step[1]) for key, (x, y) in places}

    def put(self, places: Mapping[str, tuple[float, float]], label: str) -> None:
        """Put nodes at places as they are given."""
        now = {key: self.document.nodes[key].position for key in places}
        if places and now != dict(places):
            self._commit(self.document.moved(places), label)

    def auto_layout(self, heights: Mapping[str, float] | None = None) -> None:
        """Arrange the selected nodes if there are several, else all.

        ``heights`` are those of nodes with pictures beneath them.
        """
        geometry = self.geometry
        keys = self.selected if len(self.selected) > 1 else geometry.of.index
        if not keys:
            return
        placed = arranged(geometry.of, keys, heights)
        around = geometry.bounds(keys)
        assert around is not None
        left, top = round(around.x / SNAP) * SNAP, round(around.y / SNAP) * SNAP
        places = {key: (x + left, y + top) for key, (x, y) in placed.items()}
        self.put(places, f"arrange {_count(len(places), 'node')}")

    def why_not(self, one: PortRef, other: PortRef) -> str | None:
        """Why two ports cannot be connected, as one sentence; None if they can."""
        if one.is_output == other.is_output:
            side = "outputs" if one.is_output else "inputs"
            return f"Both are {side}; connect an output with an input."
        source, target = (one, other) if one.is_output else (other, one)
        return rules.why_not(
            self._sound(),
            ((source.node_id, source.name), (target.node_id, target.name)),
            (self.port(source).data_type, self.port(target).data_type),
            self.compatible,
            self.title,
        )

    def connectable(self, start: PortRef) -> Bools:
        """For every port, whether ``why_not`` would let it be connected with ``start``."""
        return rules.connectable(self._sound(), self.geometry.of, start, self.compatible)

    def _sound(self) -> dict[str, CanvasConnection]:
        """The connections between nodes that exist; a layout may have others."""
        nodes = self.document.nodes
        return {
            key: one
            for key, one in self.document.connections.items()
            if one.source_node_id in nodes and one.target_node_id in nodes
        }

    def connect(
        self,
        one: PortRef,
        other: PortRef,
        *,
        instead_of: str | None = None,
        merge: object = None,
    ) -> str:
        """Connect two ports; returns the connection's id. ``why_not`` must have said None.

        What an input had before is replaced, unless it takes any number of connections.
        ``instead_of`` is a connection that was taken off with the mouse and is put here.
        """
        source, target = (one, other) if one.is_output else (other, one)
        wanted = self.port(target).data_type
        made = CanvasConnection(
            id=new_id(),
            source_node_id=source.node_id,
            source_port=source.name,
            target_node_id=target.node_id,
            target_port=target.name,
            data_type=wanted if wanted is DataType.TRIGGER else self.port(source).data_type,
        )
        gone = self._replaced_at(target)
        if instead_of is not None:
            gone.add(instead_of)
        document = self.document.removed(edge_ids=gone) if gone else self.document
        self._commit(document.added(connections=[made]), "connect", merge=merge)
        self.select(edges=[made.id])
        return made.id

    def _replaced_at(self, target: PortRef) -> set[str]:
        """The connections that would go if something else were connected to an input."""
        if self.port(target).many:
            return set()
        return {
            key
            for key, one in self.document.connections.items()
            if (one.target_node_id, one.target_port) == (target.node_id, target.name)
        }

    def delete(self) -> None:
        """Remove what is selected."""
        nodes, edges = len(self.selected), len(self.selected_edges)
        if nodes or edges:
            what = _count(nodes, "node") if nodes else _count(edges, "connection")
            after = self.document.removed(self.selected, self.selected_edges)
            self._commit(after, f"delete {what}")

    def change(self, node_id: str, changes: Mapping[str, Any], *, merge: object = None) -> None:
        """Set fields of a node; one that would be the same is no edit.

        Raises pydantic's ValidationError.
        """
        old = self.document.nodes[node_id]
        if any(getattr(old, key) != value for key, value in changes.items()):
            after = self.document.replaced(node_id, changes)
            self._commit(after, f"change {self.title(node_id)}", merge=merge)

    def configure(self, node_id: str, values: Mapping[str, Any], *, merge: object = None) -> None:
        """Put values into a node's config; None removes a key."""
        config = dict(self.document.nodes[node_id].config)
        for key, value in values.items():
            config[key] = value
            if value is None:
                del config[key]
        self.change(node_id, {"config": config}, merge=merge)

    def set_layout(self, layout: CanvasLayout) -> bool:
        """Show another graph, as one edit; returns whether it is another one."""
        after = Document.of(layout)
        if after.same_as(self.document):
            return False
        self._commit(after, "change from code")
        return True

    # Copies

    def copy(self) -> int:
        """Copy the selected nodes; returns how many. The clipboard is the kernel's."""
        clip = Clip.of(self.document, self.selected)
        if clip.nodes:
            clipboard.clip = clip
            self._pastes = 0
        return len(clip.nodes)

    def cut(self) -> int:
        """Copy and delete."""
        number = self.copy()
        if number:
            self.selected_edges.clear()
            self.delete()
        return number

    def paste(self, at: tuple[float, float] | None = None) -> list[str]:
        """Put in what was copied, here or in another editor; returns the new nodes' ids.

        ``at`` is where its middle goes; else beside the original, further with each time.
        """
        clip = clipboard.clip
        if not clip.nodes:
            return []
        self._pastes += 1
        shift = (PASTE_SHIFT * self._pastes,) * 2
        if at is not None:
            (x, y), middle = clip.corner, clip.middle
            to = self.snapped(at[0] - middle[0] + x, at[1] - middle[1] + y)
            shift = to[0] - x, to[1] - y
        return self._insert(clip, shift, "paste")

    def duplicate(self) -> list[str]:
        """Copies of the selected nodes beside them; the clipboard stays as it is."""
        clip = Clip.of(self.document, self.selected)
        return self._insert(clip, (PASTE_SHIFT, PASTE_SHIFT), "duplicate") if clip.nodes else []

    def _insert(self, clip: Clip, shift: tuple[float, float], word: str) -> list[str]:
        nodes, connections = clip.copies(shift)
        keys = [node.id for node in nodes]
        self._commit(self.document.added(nodes, connections), f"{word} {_count(len(keys), 'node')}")
        self.select(keys)
        return keys

    # History

    def undo(self) -> str | None:
        """One step back; returns what was undone, in words."""
        label = self.history.undo()
        self._reselect()
        return label

    def redo(self) -> str | None:
        """One step forth; returns what was done again, in words."""
        label = self.history.redo()
        self._reselect()
        return label


def _count(number: int, word: str) -> str:
    return f"a {word}" if number == 1 else f"{number} {word}s"
