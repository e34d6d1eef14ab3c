"""A graph's layout, and who is told when it changes: what code and canvas have in common."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from comfynb.engine.graph import WorkflowPorts, ports_of, title_of
from comfynb.errors import NotFound
from comfynb.models import CanvasConnection, CanvasLayout, CanvasNode, new_id
from comfynb.widgets.canvas.arranging import arranged
from comfynb.widgets.canvas.topology import topology

__all__ = ["GraphModel"]

BELOW = 240.0
"""How far the nodes of code begin beneath the top of those that lie where somebody put them."""


class GraphModel:
    """One layout. Every change makes a new one, so whoever holds the former keeps it."""

    def __init__(self, layout: CanvasLayout) -> None:
        self._layout = layout
        self._watchers: dict[object, Callable[[CanvasLayout], None]] = {}
        self._placed: dict[str, tuple[float, float]] = {}
        """Where nodes lie that nobody has moved since they were placed here."""

    @property
    def layout(self) -> CanvasLayout:
        """The graph as it is now; a copy that may be changed."""
        return self._layout.model_copy(deep=True)

    @property
    def current(self) -> CanvasLayout:
        """The graph as it is now; not to be changed."""
        return self._layout

    def watch(self, token: object, callback: Callable[[CanvasLayout], None]) -> None:
        """Call ``callback`` with a copy after each change that ``token`` itself did not make."""
        self._watchers[token] = callback

    def unwatch(self, token: object) -> None:
        """Tell nobody of that token any more."""
        self._watchers.pop(token, None)

    def replace(self, layout: CanvasLayout, by: object = None) -> None:
        """Take another layout; ``by`` is whose change it is."""
        self._layout = layout
        for token, callback in list(self._watchers.items()):
            if token is not by:
                callback(self.layout)

    # Edits ------------------------------------------------------------------------------------

    def node(self, node_id: str) -> CanvasNode:
        """One node.

        Raises:
            NotFound: it was deleted.
        """
        found = next((node for node in self._layout.nodes if node.id == node_id), None)
        if found is None:
            raise NotFound("This node was deleted from its graph.")
        return found

    def add(self, node: CanvasNode, ports: Mapping[str, WorkflowPorts]) -> None:
        """One more node, placed where there is room."""
        self._placed[node.id] = node.position
        self._edit(nodes=[*self._layout.nodes, node], ports=ports)

    def connect(self, connection: CanvasConnection, ports: Mapping[str, WorkflowPorts]) -> None:
        """One more connection."""
        self._edit(connections=[*self._layout.connections, connection], ports=ports)

    def change(self, node_id: str, **changes: Any) -> None:
        """Other fields of one node, validated."""
        old = self.node(node_id)
        new = CanvasNode.model_validate({**old.model_dump(), **changes})
        self._edit(nodes=[new if node is old else node for node in self._layout.nodes])

    def remove(self, node_ids: Iterable[str] = (), connection_ids: Iterable[str] = ()) -> None:
        """Fewer nodes, with what was connected to them, and fewer connections."""
        gone, cut = set(node_ids), set(connection_ids)
        self._edit(
            nodes=[node for node in self._layout.nodes if node.id not in gone],
            connections=[
                one
                for one in self._layout.connections
                if one.id not in cut and not {one.source_node_id, one.target_node_id} & gone
            ],
        )

    def unique_title(self, wanted: str) -> str:
        """``wanted``, or with a number where a node is called so already."""
        taken = {title_of(node) for node in self._layout.nodes}
        title, number = wanted, 1
        while title in taken:
            number += 1
            title = f"{wanted} {number}"
        return title

    @staticmethod
    def new_connection(source: tuple[str, str], target: tuple[str, str]) -> CanvasConnection:
        """A connection between two (node id, port)."""
        return CanvasConnection(
            id=new_id(),
            source_node_id=source[0],
            source_port=source[1],
            target_node_id=target[0],
            target_port=target[1],
        )

    def _edit(
        self,
        *,
        nodes: list[CanvasNode] | None = None,
        connections: list[CanvasConnection] | None = None,
        ports: Mapping[str, WorkflowPorts] | None = None,
    ) -> None:
        layout = CanvasLayout(
            nodes=self._layout.nodes if nodes is None else nodes,
            connections=self._layout.connections if connections is None else connections,
            viewport=self._layout.viewport,
        )
        self.replace(layout if ports is None else self._place(layout, ports))

    def _place(self, layout: CanvasLayout, ports: Mapping[str, WorkflowPorts]) -> CanvasLayout:
        """Put the nodes that only code has placed where they belong; others stay."""
        free = {node.id for node in layout.nodes if self._placed.get(node.id) == node.position}
        if not free:
            return layout
        kept = [node for node in layout.nodes if node.id not in free]
        top = max((node.position[1] + BELOW for node in kept), default=0.0)
        left = min((node.position[0] for node in kept), default=0.0)
        views = {
            node.id: ports_of(node, ports.get(node.workflow_id or "")) for node in layout.nodes
        }
        # As the canvas shows them: tall nodes are folded.
        of = topology(views, layout.connections)
        for node_id, (x, y) in arranged(of, free).items():
            self._placed[node_id] = (left + x, top + y)
        nodes = [
            node.model_copy(update={"position": self._placed[node.id]}) if node.id in free else node
            for node in layout.nodes
        ]
        return layout.model_copy(update={"nodes": nodes})
