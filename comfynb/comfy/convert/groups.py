"""Legacy group nodes (``workflow>NAME``) opened into subgraphs, as newer front-ends do on loading.

The front-end of their time kept the inner nodes in ``extra.groupNodes`` and showed all their free
inputs, widgets and outputs on one node, in one long list each.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.convert.layout import layout_of
from comfynb.comfy.convert.model import (
    INPUT_NODE,
    OUTPUT_NODE,
    Boundary,
    Graph,
    Link,
    Node,
    Slot,
    Workflow,
    parse_node,
    parse_slot_number,
)
from comfynb.comfy.convert.state import NO_VALUE, configure
from comfynb.comfy.convert.virtual import PRIMITIVE
from comfynb.comfy.convert.widgets import Widget, has_widget, widgets_of
from comfynb.comfy.object_info import InputSpec, ObjectInfo, parse_inputs

__all__ = ["open_groups"]

_PREFIXES = ("workflow>", "workflow/")


def open_groups(workflow: Workflow, data: Mapping[str, Any], info: ObjectInfo) -> None:
    """Replace every group node by an instance of a subgraph of its own."""
    extra = data.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, dict) else None
    if not isinstance(groups, dict):
        return
    for graph in (workflow.root, *list(workflow.definitions.values())):
        for node in graph.nodes.values():
            name = next((node.type[len(p) :] for p in _PREFIXES if node.type.startswith(p)), None)
            group = groups.get(name) if name is not None else None
            if isinstance(group, dict):
                graph_id = f"{graph.id}/{node.id} {node.type}"
                workflow.definitions[graph_id] = _Opening(graph_id, group, node, info).run()
                node.type = graph_id
                node.values = None
                node.named = None
                node.properties = {}


class _Opening:
    """Turns one group node's definition and values into a subgraph."""

    def __init__(
        self, graph_id: str, group: Mapping[str, Any], host: Node, info: ObjectInfo
    ) -> None:
        self._group = group
        self._host = host
        self._info = info
        self._graph = Graph(graph_id, host.type.split(">", 1)[-1])
        self._nodes: dict[int, Node] = {}
        self._seen: dict[str, int] = {}
        self._next_link = 0

    def run(self) -> Graph:
        raw_nodes = self._group.get("nodes")
        for index, raw in enumerate(raw_nodes if isinstance(raw_nodes, list) else ()):
            node = parse_node({**raw, "id": index}, self._graph) if isinstance(raw, dict) else None
            if node is not None:
                # Links are given by place; the ids in the slots are of another graph.
                for slot in node.inputs:
                    slot.link = None
                self._nodes[index] = node
                self._graph.nodes[node.id] = node
        linked = dict(self._inner_links())
        self._assign_values()
        late: list[tuple[int, str, str]] = []
        for index in self._nodes:
            for place, name, type_, converted in self._free_inputs(index):
                if (index, place) in linked:
                    continue
                if converted:
                    late.append((index, name, type_))
                else:
                    self._add_input(index, name, type_)
        for index, name, type_ in late:
            self._add_input(index, name, type_)
        self._add_outputs()
        return self._graph

    def _connect(self, origin: tuple[str, int], target: tuple[str, int]) -> Link:
        self._next_link += 1
        link = Link(str(self._next_link), *origin, *target)
        self._graph.links[link.key] = link
        self._graph.arrivals.setdefault(link.target, []).append(link)
        return link

    def _inner_links(self) -> Iterator[tuple[tuple[int, int], Link]]:
        for raw in _lists(self._group.get("links")):
            ends = [parse_slot_number(part) for part in raw[:4]]
            if len(ends) < 4 or any(end is None for end in ends):
                continue
            source, out, target, place = (end or 0 for end in ends)
            if source in self._nodes and target in self._nodes:
                link = self._connect((str(source), out), (str(target), place))
                inputs = self._nodes[target].inputs
                if place < len(inputs):
                    inputs[place].link = link.key
                yield (target, place), link

    # Values -----------------------------------------------------------------------------------

    def _assign_values(self) -> None:
        """Deal the group node's own values out to the widgets inside, in the order of the list."""
        saved = self._host.values
        place = 0
        for index, node in self._nodes.items():
            values = self._own_values(node)
            for widget in self._outer_widgets(index):
                if not widget.saved:
                    continue
                value = saved[place] if isinstance(saved, list) and place < len(saved) else None
                place += 1
                if not isinstance(saved, list) or place > len(saved):
                    value = widget.default
                if widget.sent:
                    values[widget.name] = value
            if node.type == PRIMITIVE:
                node.values = [values["value"]] if "value" in values else node.values
            elif values:
                node.values = values

    def _own_values(self, node: Node) -> dict[str, Any]:
        layout = layout_of(self._info, node.type)
        if layout is None:
            return {}
        state = configure(node, layout)
        return {
            name: value
            for name, value in state.values.items()
            if value is not NO_VALUE and state.widgets[name].sent
        }

    def _outer_widgets(self, index: int) -> Iterator[Widget]:
        node = self._nodes[index]
        if node.type == PRIMITIVE:
            spec = self._fed_spec(node)
            if spec is not None:
                yield Widget("value", spec, spec.default)
                if spec.type in {"INT", "FLOAT", "COMBO"}:
                    yield Widget("value control", sent=False, control=True)
                if spec.type == "COMBO":
                    yield Widget("value filter", sent=False)
            return
        for spec in self._specs(node):
            if has_widget(spec) and not self._is_converted(node, spec.name):
                yield from widgets_of(spec)

    def _fed_spec(self, primitive: Node) -> InputSpec | None:
        for link in self._graph.links_from(primitive.id):
            target = self._graph.nodes.get(link.target)
            if target is None or link.target_slot >= len(target.inputs):
                continue
            slot = target.inputs[link.target_slot]
            for spec in self._specs(target):
                if spec.name == (slot.widget or slot.name):
                    return spec
        return None

    def _specs(self, node: Node) -> list[InputSpec]:
        # As declared: group nodes do not know about input_order.
        node_class = self._info.node(node.type)
        return list(parse_inputs(node_class.data.get("input"))) if node_class is not None else []

    @staticmethod
    def _is_converted(node: Node, name: str) -> bool:
        return any(slot.name == name and slot.widget == name for slot in node.inputs)

    # Inputs and outputs -----------------------------------------------------------------------

    def _free_inputs(self, index: int) -> Iterator[tuple[int, str, str, bool]]:
        """Yield ``(slot, name, type, is a converted widget)`` for every socket of an inner node."""
        node = self._nodes[index]
        places = {slot.name: place for place, slot in enumerate(node.inputs)}
        specs = self._specs(node)
        if not specs:
            for place, slot in enumerate(node.inputs):
                yield place, slot.name, slot.type, False
            return
        sockets = 0
        for spec in specs:
            if not has_widget(spec):
                yield places.get(spec.name, sockets), spec.name, spec.socket, False
                sockets += 1
            elif self._is_converted(node, spec.name):
                yield places[spec.name], spec.name, spec.type, True

    def _add_input(self, index: int, name: str, type_: str) -> None:
        node = self._nodes[index]
        outer = self._outer_name(node, name or type_)
        place = next((p for p, slot in enumerate(node.inputs) if slot.name == name), None)
        if place is None:
            # The definition may leave unlinked inputs out.
            node.inputs.append(Slot(name, type_, None, None))
            place = len(node.inputs) - 1
        link = self._connect((INPUT_NODE, len(self._graph.inputs)), (node.id, place))
        node.inputs[place].link = link.key
        self._graph.inputs.append(Boundary(outer, type_, [link.key]))

    def _outer_name(self, node: Node, name: str) -> str:
        key = outer = name
        if name in self._seen:
            prefix = node.title or node.type
            key = outer = f"{prefix} {name}"
            if key in self._seen:
                outer = f"{prefix} {self._seen[key]} {name}"
        self._seen[key] = self._seen.get(key, 1) + 1
        return outer

    def _add_outputs(self) -> None:
        outside = {
            (parse_slot_number(raw[0]), parse_slot_number(raw[1]))
            for raw in _lists(self._group.get("external"))
            if len(raw) >= 3 and raw[2] is not None
        }
        config = self._group.get("config")
        wanted: list[tuple[str, int, int]] = []
        for index, node in self._nodes.items():
            own = config.get(str(index)) if isinstance(config, dict) else None
            shown = own.get("output") if isinstance(own, dict) else None
            for slot, type_ in enumerate(self._output_types(node)):
                used = bool(self._graph.links_from(node.id, slot))
                visible = not used or (index, slot) in outside
                setting = shown.get(str(slot)) if isinstance(shown, dict) else None
                if isinstance(setting, dict) and isinstance(setting.get("visible"), bool):
                    visible = setting["visible"]
                if visible:
                    number = len(self._graph.outputs)
                    self._graph.outputs.append(Boundary(type_, type_, []))
                    wanted.append((node.id, slot, number))
        for origin, slot, number in wanted:
            link = self._connect((origin, slot), (OUTPUT_NODE, number))
            self._graph.outputs[number].links.append(link.key)

    def _output_types(self, node: Node) -> list[str]:
        node_class = self._info.node(node.type)
        if node_class is not None:
            return [output.type for output in node_class.outputs]
        return [] if node.type == PRIMITIVE else node.output_types


def _lists(value: object) -> list[list[Any]]:
    return [item for item in value if isinstance(item, list)] if isinstance(value, list) else []
