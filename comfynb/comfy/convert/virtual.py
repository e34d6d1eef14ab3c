"""Nodes that exist only in the front-end: reroutes, primitives, notes, Set and Get pairs."""

from typing import Final

from comfynb.comfy.convert.model import Graph, Node

__all__ = ["GETTERS", "PRIMITIVE", "SETTERS", "find_setter", "is_virtual"]

PRIMITIVE: Final = "PrimitiveNode"
SETTERS: Final = frozenset({"SetNode", "easy setNode"})
GETTERS: Final = frozenset({"GetNode", "easy getNode"})
# The official front-end's own, then those of node packs that register nodes without a class.
_ALWAYS: Final = frozenset({"Reroute", PRIMITIVE, "Note", "MarkdownNote"})
_WITHOUT_CLASS: Final = frozenset(
    {
        *SETTERS,
        *GETTERS,
        "Bookmark (rgthree)",
        "Fast Actions Button (rgthree)",
        "Fast Bypasser (rgthree)",
        "Fast Groups Bypasser (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Fast Muter (rgthree)",
        "Label (rgthree)",
        "Mute / Bypass Relay (rgthree)",
        "Mute / Bypass Repeater (rgthree)",
        "Node Collector (rgthree)",
        "Random Unmuter (rgthree)",
        "Reroute (rgthree)",
        "workflow/note",
    }
)


def is_virtual(node: Node, *, known: bool) -> bool:
    """Whether the node never reaches a server; ``known``: the server has a class of that name."""
    return node.type in _ALWAYS or (not known and node.type in _WITHOUT_CLASS)


def find_setter(graph: Graph, getter: Node) -> Node | None:
    """The Set node of the same graph whose name a Get node was given."""
    name = _first(getter)
    if name is None:
        return None
    for node in graph.nodes.values():
        if node.type in SETTERS and _first(node) == name:
            return node
    return None


def _first(node: Node) -> object:
    values = node.values
    if isinstance(values, dict):
        return values.get("Constant") or next(iter(values.values()), None)
    return values[0] if values else None
