"""Writes a prompt in API format as a UI workflow that the front-end opens, laid out in columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.convert import convert
from comfynb.comfy.convert.layout import Layout, layout_of
from comfynb.comfy.convert.model import Graph, Link, Slot, parse_node
from comfynb.comfy.convert.state import NO_VALUE, Entry, NodeState, configure
from comfynb.comfy.convert.widgets import Widget
from comfynb.comfy.difference import Difference, diff_prompts
from comfynb.comfy.graph import is_link, links_of
from comfynb.comfy.object_info import ObjectInfo, as_object_info

__all__ = ["UiExport", "to_ui_workflow"]

_COLUMN = 420
_WIDTH = 340
_GAP = 60
_ROW = 26


@dataclass(frozen=True, slots=True)
class UiExport:
    """A UI workflow; ``changes`` lists what converting it back would not give as it was.

    Such are optional inputs that the prompt left out (the front-end sends their defaults), and
    links to nodes that the prompt does not have.
    """

    workflow: dict[str, Any]
    changes: list[Difference]


def to_ui_workflow(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> UiExport:
    """Lay out a prompt as a UI workflow, saved values in the places where the front-end reads them.

    Ids are kept. Sources stand left of what they feed. Seeds are saved as fixed, so that opening
    the workflow runs what the prompt ran.
    """
    info = as_object_info(object_info)
    links = _Links(prompt, info)
    nodes = [
        _node(node_id, node, links, info)
        for node_id, node in prompt.items()
        if isinstance(node, Mapping)
    ]
    _place(prompt, nodes)
    numbers = [node["id"] for node in nodes if isinstance(node["id"], int)]
    workflow = {
        "last_node_id": max(numbers, default=0),
        "last_link_id": len(links.rows),
        "nodes": nodes,
        "links": links.rows,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
    changes = diff_prompts(_titled(prompt, info), convert(workflow, info).prompt)
    return UiExport(workflow, changes)


def ui_id(node_id: str) -> int | str:
    """A node's id as the front-end saves it: a number where it is one."""
    plain = node_id.isascii() and node_id.isdigit() and len(node_id) < 16
    return int(node_id) if plain and str(int(node_id)) == node_id else node_id


class _Links:
    """The links of a prompt as rows of a UI workflow, found by their target."""

    def __init__(self, prompt: Mapping[str, Any], info: ObjectInfo) -> None:
        self.rows: list[list[Any]] = []
        self.into: dict[tuple[str, str], list[Any]] = {}
        self.out_of: dict[str, list[list[Any]]] = {}
        for node_id, node in prompt.items():
            for name, source, slot in links_of(node):
                if source not in prompt or slot < 0:
                    continue
                type_ = _output_type(info, prompt[source], slot)
                row = [len(self.rows) + 1, ui_id(source), slot, ui_id(node_id), 0, type_]
                self.rows.append(row)
                self.into[node_id, name] = row
                self.out_of.setdefault(source, []).append(row)


def _output_type(info: ObjectInfo, node: Any, slot: int) -> str:
    node_class = info.node(str(node.get("class_type"))) if isinstance(node, Mapping) else None
    outputs = node_class.outputs if node_class is not None else ()
    return outputs[slot].type if slot < len(outputs) else "*"


def _node(node_id: str, node: Mapping[str, Any], links: _Links, info: ObjectInfo) -> dict[str, Any]:
    type_ = str(node.get("class_type"))
    inputs = node.get("inputs") or {}
    values = {str(name): _unwrapped(value) for name, value in inputs.items() if not is_link(value)}
    linked = [name for name in inputs if (node_id, name) in links.into]
    layout = layout_of(info, type_)
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    saved: dict[str, Any] = {
        "id": ui_id(node_id),
        "type": type_,
        "pos": [0, 0],
        "size": [_WIDTH, 0],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": _outputs(node_id, type_, links, info),
        "properties": {"Node name for S&R": type_},
        **({"title": title} if isinstance(title, str) else {}),
    }
    if layout is None:
        _fill_unknown(saved, values, linked, links)
    else:
        arrivals = {name: str(links.into[node_id, name][0]) for name in linked}
        _fill(saved, _state(saved, values, arrivals, layout), values, links)
    saved["size"][1] = _ROW * (2 + max(len(saved["inputs"]), len(saved["outputs"])))
    return saved


def _state(
    saved: dict[str, Any], values: Mapping[str, Any], arrivals: Mapping[str, str], layout: Layout
) -> NodeState:
    """The node as the front-end has it: its widgets in their order, its inputs, rows that grew."""
    graph = Graph("", "")
    node = parse_node({**saved, "widgets_values": dict(values)}, graph)
    assert node is not None
    for name, key in arrivals.items():
        graph.links[key] = Link(key, "", 0, node.id, 0)
        node.inputs.append(Slot(name, "*", key, None))
    return configure(node, layout)


def _fill(
    saved: dict[str, Any], state: NodeState, values: Mapping[str, Any], links: _Links
) -> None:
    declared = {name for name, widget in state.widgets.items() if widget.spec is not None}
    known = {*declared, *(name for name, w in state.widgets.items() if not w.sent or w.control)}
    if set(values) <= known:
        saved["widgets_values"] = [
            _saved_value(widget, state.values[name])
            for name, widget in state.widgets.items()
            if widget.saved
        ]
    else:
        # The class takes what it does not declare; a list has no places for that.
        saved["widgets_values"] = dict(values)
    _add_inputs(saved, state.inputs, links)


def _saved_value(widget: Widget, value: Any) -> Any:
    if widget.control:
        return "fixed"
    if value is NO_VALUE:
        return "" if widget.name.endswith(" filter") else None
    return value


def _fill_unknown(
    saved: dict[str, Any], values: Mapping[str, Any], linked: list[str], links: _Links
) -> None:
    """Without the class, the file itself must say which value belongs to which name."""
    entries = [Entry(name, "*") for name in linked]
    entries += [Entry(name, _type_of(value), widget=True) for name, value in values.items()]
    saved["widgets_values"] = list(values.values())
    saved["widgets_values_named"] = dict(values)
    _add_inputs(saved, entries, links)


def _add_inputs(saved: dict[str, Any], entries: list[Entry], links: _Links) -> None:
    node_id = str(saved["id"])
    for place, entry in enumerate(entries):
        row = links.into.get((node_id, entry.name))
        if row is not None:
            row[4] = place
        saved["inputs"].append(
            {
                "name": entry.name,
                "type": entry.type,
                "link": row[0] if row is not None else None,
                **({"widget": {"name": entry.name}} if entry.widget else {}),
            }
        )


def _outputs(node_id: str, type_: str, links: _Links, info: ObjectInfo) -> list[dict[str, Any]]:
    node_class = info.node(type_)
    rows = links.out_of.get(node_id, [])
    outputs = [
        {"name": output.name or output.type, "type": output.type}
        for output in (node_class.outputs if node_class is not None else ())
    ]
    wanted = max((row[2] + 1 for row in rows), default=0)
    outputs += [{"name": "*", "type": "*"} for _ in range(len(outputs), min(wanted, 1000))]
    return [
        {**output, "links": [row[0] for row in rows if row[2] == place] or None}
        for place, output in enumerate(outputs)
    ]


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "INT"
        case float():
            return "FLOAT"
        case str():
            return "STRING"
    return "*"


def _unwrapped(value: Any) -> Any:
    """A value as a widget saves it: the server's wrapping of lists and curves taken off."""
    if (
        isinstance(value, Mapping)
        and "__value__" in value
        and set(value) <= {"__value__", "__type__"}
    ):
        return value["__value__"]
    return value


def _titled(prompt: Mapping[str, Any], info: ObjectInfo) -> dict[str, Any]:
    """The prompt with the titles that the front-end gives to nodes that have none."""
    titled: dict[str, Any] = {}
    for node_id, node in prompt.items():
        meta = node.get("_meta")
        title = meta.get("title") if isinstance(meta, Mapping) else None
        if not isinstance(title, str) or not title:
            node_class = info.node(str(node.get("class_type")))
            title = node_class.display_name if node_class is not None else node.get("class_type")
        titled[node_id] = {**node, "_meta": {"title": title}}
    return titled


def _place(prompt: Mapping[str, Any], nodes: list[dict[str, Any]]) -> None:
    """Give each node a column behind all that feeds it, and a place under those above it."""
    columns = _columns(prompt)
    heights: dict[int, int] = {}
    ordered = sorted(nodes, key=lambda node: columns[str(node["id"])])
    for order, node in enumerate(ordered):
        column = columns[str(node["id"])]
        node["pos"] = [column * _COLUMN, heights.get(column, 0)]
        node["order"] = order
        heights[column] = heights.get(column, 0) + node["size"][1] + _GAP


def _columns(prompt: Mapping[str, Any]) -> dict[str, int]:
    """The length of the longest way to each node; links that close a circle do not count."""
    columns: dict[str, int] = {}
    for start in prompt:
        stack = [start]
        opened: set[str] = set()
        while stack:
            node_id = stack[-1]
            sources = {s for _, s, _ in links_of(prompt[node_id]) if s in prompt}
            waiting = [s for s in sources if s not in columns and s not in opened]
            opened.add(node_id)
            if waiting and node_id not in columns:
                stack.append(waiting[0])
                continue
            stack.pop()
            columns.setdefault(node_id, 1 + max((columns.get(s, -1) for s in sources), default=-1))
    return columns
