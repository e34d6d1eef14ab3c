"""What canvas nodes are called in sentences and rows."""

from comfynb.models import CanvasNode, NodeType

__all__ = ["title_of"]

_KINDS = {
    NodeType.WORKFLOW: "Workflow",
    NodeType.CONDITION: "Condition",
    NodeType.FANOUT: "Fan-out",
    NodeType.MERGE: "Merge",
    NodeType.INPUT: "Input",
    NodeType.OUTPUT: "Output",
}


def title_of(node: CanvasNode) -> str:
    """A node's title: what its config says (``title``, ``name``), else its kind."""
    for key in ("title", "name"):
        value = node.config.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return _KINDS[node.node_type]
