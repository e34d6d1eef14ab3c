"""A graph in words: what each of its nodes does, and what is connected to what."""

from typing import TYPE_CHECKING

from comfynb.engine.graph.config import DEFAULT_PATTERN
from comfynb.models import CanvasNode, NodeType
from comfynb.widgets.markup import one_line

if TYPE_CHECKING:
    from comfynb.workbench.graphs.graph import Graph

__all__ = ["count_of", "graph_text"]


def graph_text(graph: "Graph") -> str:
    """A line for each node and each connection."""
    layout = graph.model.current
    titles = {node.id: one_line(title, 80) for title, node in graph.nodes.items()}
    lines = [f"<Graph {one_line(graph.name, 80)}: {count_of(len(graph), 'node')}>"]
    lines += [
        f"  {titles[node.id]}: {one_line(_summary(graph, node), 200)}" for node in layout.nodes
    ]
    lines += [
        f"  {titles.get(one.source_node_id, '?')}.{one.source_port} >> "
        f"{titles.get(one.target_node_id, '?')}.{one.target_port}"
        for one in layout.connections
    ]
    return "\n".join(lines)


def count_of(number: int, word: str) -> str:
    """ "1 node", "2 nodes"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _summary(graph: "Graph", node: CanvasNode) -> str:
    config = node.config
    match node.node_type:
        case NodeType.WORKFLOW:
            ports = graph.workflow_ports_of(node)
            name = ports.name if ports is not None else "a workflow that is not known"
            where = graph.backend_name(node.backend_affinity)
            place = f" on {where}, else {node.fallback_strategy.value}" if where else ""
            values = config.get("values") or {}
            given = "".join(f", {key}={value!r:.40}" for key, value in values.items())
            return f"runs {name}{place}{given}"
        case NodeType.CONDITION:
            return f"if {config.get('expression')}"
        case NodeType.FANOUT:
            return f"{config.get('mode', 'broadcast')} to {config.get('output_count', 2)}"
        case NodeType.MERGE:
            return str(config.get("mode", "concatenate"))
        case NodeType.INPUT:
            for key in ("files", "values", "value"):
                if config.get(key) is not None:
                    return f"{key} {config[key]!r:.80}"
            return "nothing yet"
        case NodeType.OUTPUT:
            return f"{config.get('output_folder')}/{config.get('naming_pattern', DEFAULT_PATTERN)}"
