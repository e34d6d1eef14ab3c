"""What nodes and graphs say of themselves in a line."""

from collections import Counter
from collections.abc import Sequence

from comfynb.engine.views import BackendView
from comfynb.models import CanvasNode, NodeType
from comfynb.widgets.canvas.colours import KIND_LOOKS
from comfynb.widgets.canvas.document import Document
from comfynb.widgets.canvas.inspector import FALLBACKS
from comfynb.widgets.markup import one_line

__all__ = ["in_words", "summary"]


def summary(node: CanvasNode, backends: Sequence[BackendView]) -> str:
    """What stands in a node's foot while no job is shown: where it runs, or what it does."""
    config = node.config
    match node.node_type:
        case NodeType.WORKFLOW:
            if node.backend_affinity is None:
                return "any backend"
            known = {one.id: one.name for one in backends}
            where = known.get(node.backend_affinity, node.backend_affinity)
            words = {value: key for key, value in FALLBACKS.items()}
            return f"{where}, else {words[node.fallback_strategy].split(' ')[0]}"
        case NodeType.CONDITION:
            return str(config.get("expression") or "no expression yet")
        case NodeType.FANOUT:
            return str(config.get("mode", "broadcast"))
        case NodeType.MERGE:
            return str(config.get("mode", "concatenate"))
        case NodeType.INPUT:
            given = config.get("files") or config.get("values") or config.get("value")
            number = len(given) if isinstance(given, list) else int(given is not None)
            word = "item" if number == 1 else "items"
            return f"{config.get('data_type', 'any')} · {number} {word}"
        case NodeType.OUTPUT:
            return str(config.get("output_folder") or "no folder yet")


def in_words(name: str, document: Document) -> str:
    """A graph's name, its nodes counted by kind, its connections."""
    kinds = Counter(KIND_LOOKS[one.node_type].word.lower() for one in document.nodes.values())
    nodes = ", ".join(f"{number} {word}" for word, number in kinds.items()) or "empty"
    return f"{one_line(name, 80)}: {nodes}; {len(document.connections)} connections"
