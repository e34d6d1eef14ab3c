"""Copied nodes with the connections among them: taken from one graph, put into any other."""

from collections.abc import Collection
from dataclasses import dataclass

from comfynb.models import CanvasConnection, CanvasNode, new_id
from comfynb.widgets.canvas.document import Document, own_copy
from comfynb.widgets.canvas.topology import HEADER, WIDTH

__all__ = ["Clip", "Clipboard", "clipboard"]


@dataclass(frozen=True, slots=True)
class Clip:
    """Nodes, in the order of their graph, and the connections among them."""

    nodes: tuple[CanvasNode, ...] = ()
    connections: tuple[CanvasConnection, ...] = ()

    @classmethod
    def of(cls, document: Document, keys: Collection[str]) -> "Clip":
        """What a document holds of these nodes; it shares nothing that somebody could change."""
        return cls(
            tuple(own_copy(node) for key, node in document.nodes.items() if key in keys),
            tuple(
                one
                for one in document.connections.values()
                if one.source_node_id in keys and one.target_node_id in keys
            ),
        )

    @property
    def corner(self) -> tuple[float, float]:
        """Where the first node is."""
        return self.nodes[0].position

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of what the nodes cover, as far as it is known without their ports."""
        xs, ys = zip(*(node.position for node in self.nodes), strict=True)
        return (min(xs) + max(xs) + WIDTH) / 2, (min(ys) + max(ys) + 2 * HEADER) / 2

    def copies(self, shift: tuple[float, float]) -> tuple[list[CanvasNode], list[CanvasConnection]]:
        """The same with other ids, elsewhere."""
        names = {node.id: new_id() for node in self.nodes}
        nodes = [
            own_copy(node).model_copy(
                update={
                    "id": names[node.id],
                    "position": (node.position[0] + shift[0], node.position[1] + shift[1]),
                }
            )
            for node in self.nodes
        ]
        connections = [
            one.model_copy(
                update={
                    "id": new_id(),
                    "source_node_id": names[one.source_node_id],
                    "target_node_id": names[one.target_node_id],
                }
            )
            for one in self.connections
        ]
        return nodes, connections


@dataclass(slots=True)
class Clipboard:
    """What was copied last."""

    clip: Clip = Clip()


clipboard = Clipboard()
"""One for all editors of a kernel."""
