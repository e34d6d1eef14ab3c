"""A canvas layout as the runner needs it: nodes in order, and what comes in where."""

from dataclasses import dataclass
from graphlib import TopologicalSorter

from comfynb.engine.graph.ports import DONE, NodePorts
from comfynb.engine.graph.titles import title_of
from comfynb.models import CanvasLayout, CanvasNode, DataType

__all__ = ["DONE", "Edge", "Graph"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection, by the ports' own names."""

    source: str
    source_port: str
    target_port: str
    is_order: bool
    """Whether it carries order only."""


class Graph:
    """One job's snapshot: it must have passed ``check_graph``, so it has no cycle.

    ``order`` names every node after those that it waits for, else in the canvas's order;
    ``incoming`` has a node's connections in the order of its ports, then in the canvas's order.
    """

    def __init__(self, layout: CanvasLayout) -> None:
        self.nodes: dict[str, CanvasNode] = {node.id: node for node in layout.nodes}
        self.titles: dict[str, str] = {node.id: title_of(node) for node in layout.nodes}
        self.incoming: dict[str, list[Edge]] = {node.id: [] for node in layout.nodes}
        ranks: dict[tuple[str, str], int] = {}
        ports = {node.id: NodePorts(node) for node in layout.nodes}
        for connection in layout.connections:
            source = self.nodes[connection.source_node_id]
            target = self.nodes[connection.target_node_id]
            out = ports[source.id].output(connection.source_port)
            into = ports[target.id].input(connection.target_port)
            order = into is not None and into.data_type is DataType.TRIGGER
            name = into.name if into is not None else connection.target_port
            self.incoming[target.id].append(
                Edge(source.id, out.name if out else connection.source_port, name, order)
            )
            ranks[target.id, name] = _number(name)
        for node_id, edges in self.incoming.items():
            edges.sort(key=lambda edge: ranks[node_id, edge.target_port])
        sorter = TopologicalSorter(
            {node_id: [edge.source for edge in edges] for node_id, edges in self.incoming.items()}
        )
        self.order: tuple[str, ...] = tuple(sorter.static_order())

    def __repr__(self) -> str:
        edges = sum(len(edges) for edges in self.incoming.values())
        return f"Graph({len(self.nodes)} nodes, {edges} connections)"


def _number(port: str) -> int:
    digits = port.rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0
