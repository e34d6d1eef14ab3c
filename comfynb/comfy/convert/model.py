"""A saved UI workflow as graphs, nodes, slots and links, read without trusting the file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "BYPASSED",
    "INPUT_NODE",
    "MUTED",
    "OUTPUT_NODE",
    "Boundary",
    "Graph",
    "Link",
    "Node",
    "Slot",
    "Workflow",
    "node_key",
    "parse_node",
    "parse_slot_number",
    "read_workflow",
]

MUTED: Final = 2
BYPASSED: Final = 4
INPUT_NODE: Final = "-10"
OUTPUT_NODE: Final = "-20"
_LINK_PARTS = ("id", "origin_id", "origin_slot", "target_id", "target_slot")


@dataclass(slots=True)
class Slot:
    """An input of a saved node: ``link`` is the link's key, ``widget`` the widget it stands for."""

    name: str
    type: str
    link: str | None
    widget: str | None


@dataclass(slots=True)
class Link:
    """A connection: node keys and slot numbers at both ends."""

    key: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(slots=True)
class Boundary:
    """An input or output of a subgraph definition, with the keys of its inner links."""

    name: str
    type: str
    links: list[str]
    label: str = ""


@dataclass(slots=True, eq=False)
class Node:
    """A saved node. ``values`` is the list or dict in which its widgets' values were saved."""

    id: str
    type: str
    title: str
    mode: int
    inputs: list[Slot]
    output_types: list[str]
    values: list[Any] | dict[str, Any] | None
    named: Mapping[str, Any] | None
    properties: Mapping[str, Any]
    graph: "Graph"

    @property
    def runs(self) -> bool:
        """Neither muted nor bypassed."""
        return self.mode not in {MUTED, BYPASSED}


@dataclass(slots=True, eq=False)
class Graph:
    """The root graph (``id`` is empty) or a subgraph definition."""

    id: str
    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    arrivals: dict[str, list[Link]] = field(default_factory=dict)
    """The links into each node, at most one for each slot number."""
    inputs: list[Boundary] = field(default_factory=list)
    outputs: list[Boundary] = field(default_factory=list)
    _departures: dict[tuple[str, int], list[Link]] | None = None

    def links_from(self, node_id: str, slot: int = 0) -> list[Link]:
        """The links that leave one output, in the order of the file."""
        if self._departures is None:
            self._departures = {}
            for link in self.links.values():
                self._departures.setdefault((link.origin, link.origin_slot), []).append(link)
        return self._departures.get((node_id, slot), [])

    def add_link(self, link: Link) -> None:
        """Add a link that the file does not have."""
        self.links[link.key] = link
        self._departures = None

    def drop_link(self, link: Link) -> None:
        """Remove a link."""
        self.links.pop(link.key, None)
        self._departures = None


@dataclass(slots=True)
class Workflow:
    """The root graph, the subgraph definitions by id, and remarks about what was unreadable."""

    root: Graph
    definitions: dict[str, Graph]
    remarks: list[tuple[str, str]] = field(default_factory=list)
    """``(node key, what was wrong)``."""

    def definition_of(self, node: Node) -> Graph | None:
        """The subgraph that a node stands for, or None."""
        return self.definitions.get(node.type)


def node_key(value: object) -> str | None:
    """The id of a node or link as text: ``5``, ``5.0`` and ``"5"`` are the same node."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return None if isinstance(value, bool) else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    return None


def read_workflow(data: Mapping[str, Any]) -> Workflow:
    """Read a UI workflow. What cannot be read is left out with a remark; nothing is raised."""
    workflow = Workflow(Graph("", ""), {})
    for definition in _definitions(data):
        graph_id = definition.get("id")
        if isinstance(graph_id, str) and graph_id and graph_id not in workflow.definitions:
            name = definition.get("name")
            graph = Graph(graph_id, name if isinstance(name, str) else "")
            workflow.definitions[graph_id] = graph
            _fill(graph, definition, workflow.remarks)
            graph.inputs = [_boundary(slot) for slot in _dicts(definition.get("inputs"))]
            graph.outputs = [_boundary(slot) for slot in _dicts(definition.get("outputs"))]
    _fill(workflow.root, data, workflow.remarks)
    return workflow


def _definitions(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every subgraph definition; some files nest them."""
    waiting = [data]
    while waiting:
        definitions = waiting.pop().get("definitions")
        if isinstance(definitions, dict):
            inner = _dicts(definitions.get("subgraphs"))
            yield from inner
            waiting.extend(inner)


def _fill(graph: Graph, data: Mapping[str, Any], remarks: list[tuple[str, str]]) -> None:
    for raw in _dicts(data.get("nodes")):
        node = parse_node(raw, graph)
        if node is None:
            remarks.append(("", "a node without id or type was left out"))
        elif node.id in graph.nodes:
            # The front-end gives the second one a new number; links still mean the first.
            remarks.append((node.id, f"a second node has the id {node.id}"))
            node.id = _free_id(graph)
            graph.nodes[node.id] = node
        else:
            graph.nodes[node.id] = node
    for raw_link in _items(data.get("links")):
        link = _link(raw_link)
        if link is not None:
            graph.links.setdefault(link.key, link)
    referenced = {slot.link for node in graph.nodes.values() for slot in node.inputs}
    places: dict[tuple[str, int], Link] = {}
    for link in graph.links.values():
        place = (link.target, link.target_slot)
        taken = places.get(place)
        # Of two links into one input, the one that an input names is the real one.
        if taken is None or (link.key in referenced and taken.key not in referenced):
            places[place] = link
    for link in places.values():
        graph.arrivals.setdefault(link.target, []).append(link)


def _free_id(graph: Graph) -> str:
    number = len(graph.nodes) + 1
    while str(number) in graph.nodes:
        number += 1
    return str(number)


def parse_node(raw: Mapping[str, Any], graph: Graph) -> Node | None:
    """Read one saved node; None if it has no id or type."""
    key, type_ = node_key(raw.get("id")), raw.get("type")
    if key is None or not isinstance(type_, str):
        return None
    title, mode = raw.get("title"), raw.get("mode")
    values, named = raw.get("widgets_values"), raw.get("widgets_values_named")
    properties = raw.get("properties")
    return Node(
        id=key,
        type=type_,
        title=title if isinstance(title, str) else "",
        mode=int(mode) if isinstance(mode, int | float) and math.isfinite(mode) else 0,
        inputs=[_slot(slot) for slot in _dicts(raw.get("inputs"))],
        output_types=[_type(slot.get("type")) for slot in _dicts(raw.get("outputs"))],
        values=values if isinstance(values, list | dict) else None,
        named=named if isinstance(named, dict) else None,
        properties=properties if isinstance(properties, dict) else {},
        graph=graph,
    )


def _slot(raw: Mapping[str, Any]) -> Slot:
    name, widget = raw.get("name"), raw.get("widget")
    widget_name = widget.get("name") if isinstance(widget, dict) else None
    link = raw.get("link")
    return Slot(
        name if isinstance(name, str) else "",
        _type(raw.get("type")),
        None if link is None else node_key(link),
        widget_name if isinstance(widget_name, str) else None,
    )


def _boundary(raw: Mapping[str, Any]) -> Boundary:
    name, label = raw.get("name"), raw.get("label")
    keys = (node_key(key) for key in _items(raw.get("linkIds")))
    return Boundary(
        name if isinstance(name, str) else "",
        _type(raw.get("type")),
        [key for key in keys if key is not None],
        label if isinstance(label, str) else "",
    )


def _link(raw: object) -> Link | None:
    parts: list[Any]
    if isinstance(raw, dict):
        parts = [raw.get(part) for part in _LINK_PARTS]
    elif isinstance(raw, list):
        parts = raw
    else:
        return None
    if len(parts) < 5:
        return None
    key, origin, target = node_key(parts[0]), node_key(parts[1]), node_key(parts[3])
    from_slot, to_slot = parse_slot_number(parts[2]), parse_slot_number(parts[4])
    if key is None or origin is None or target is None or from_slot is None or to_slot is None:
        return None
    return Link(key, origin, from_slot, target, to_slot)


def parse_slot_number(value: object) -> int | None:
    """Read the number of a slot, or give None."""
    if type(value) is int:
        return value if 0 <= value < 1_000_000 else None
    # Old files and hand-written ones hold slot numbers as text.
    key = node_key(value)
    if key is None or len(key) > 6 or not (key.isascii() and key.isdigit()):
        return None
    return int(key)


def _type(value: object) -> str:
    if isinstance(value, str):
        return value
    # 0 and -1 are the front-end's own types for "anything" and for triggers.
    if isinstance(value, list):
        return "COMBO"
    return "*"


def _items(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    # Some tools write what should be a list as a mapping of numbers.
    return list(value.values()) if isinstance(value, dict) else []


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in _items(value) if isinstance(item, dict)]
