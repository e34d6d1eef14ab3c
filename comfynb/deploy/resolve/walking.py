"""Walks a UI workflow as it would run: into subgraphs and group nodes, with what instances set."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfynb.comfy.convert.model import (
    Graph,
    Node,
    Workflow,
    parse_node,
    read_workflow,
)
from comfynb.deploy.resolve.folders import is_model_file
from comfynb.errors import WorkflowError

__all__ = ["Walk", "WalkedNode", "walk"]

MOST_NODES: Final = 50_000
"""A workflow that expands to more nodes is refused."""
_GROUPS: Final = ("workflow>", "workflow/")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class WalkedNode:
    """A node on the way: ``set`` holds widget values that instances around it give.

    A node is ``active`` if neither it nor an instance around it is muted or bypassed. Front-ends
    send more: of muted and bypassed instances only those in the root graph stay closed.
    """

    node: Node
    path: str
    active: bool
    sent: bool
    set: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Walk:
    """A workflow's nodes, and what stands in the way of reading it."""

    nodes: list[WalkedNode]
    problems: list[str]
    declared: list[Any]
    """What instances of subgraphs and the workflow itself declare as models."""


def walk(data: Mapping[str, Any]) -> Walk:
    """List every node that a server may get to see, instances of subgraphs opened.

    Raises :class:`~comfynb.errors.WorkflowError` where subgraphs expand beyond all measure.
    """
    workflow = read_workflow(data)
    return _Walker(workflow, data).run()


@dataclass(frozen=True, slots=True)
class _Around:
    """Where a graph stands: its path, its instances' modes, and the values that they set in it."""

    prefix: str = ""
    active: bool = True
    sent: bool = True
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    definitions: tuple[str, ...] = ()


class _Walker:
    def __init__(self, workflow: Workflow, data: Mapping[str, Any]) -> None:
        self._workflow = workflow
        extra = data.get("extra")
        groups = extra.get("groupNodes") if isinstance(extra, dict) else None
        self._groups: Mapping[str, Any] = groups if isinstance(groups, dict) else {}
        self._walk = Walk([], [], _items(data.get("models")))
        self._visited = 0

    def run(self) -> Walk:
        for node_id, remark in self._workflow.remarks:
            where = f"Node {node_id:.40}: " if node_id else ""
            self._walk.problems.append(f"{where}{remark}.")
        self._graph(self._workflow.root, _Around())
        return self._walk

    def _graph(self, graph: Graph, around: "_Around") -> None:
        for node in graph.nodes.values():
            self._visited += 1
            if self._visited > MOST_NODES:
                raise WorkflowError(
                    f"The workflow's subgraphs expand to more than {MOST_NODES} nodes: "
                    "it is damaged, or made to cause harm."
                )
            path = f"{around.prefix}{node.id}"
            runs = around.active and node.runs
            values = around.given.get(node.id, {})
            definition = self._workflow.definition_of(node)
            if definition is not None:
                if definition.id in around.definitions:
                    self._problem(f"Subgraph {definition.name!r:.60} contains itself.")
                    continue
                self._walk.declared += _items(node.properties.get("models")) if runs else []
                inner = _passed_on(node, definition, values, self._workflow)
                opened = around.sent and (node.runs or bool(around.prefix))
                definitions = (*around.definitions, definition.id)
                self._graph(definition, _Around(f"{path}:", runs, opened, inner, definitions))
            elif (group := self._group_of(node)) is not None:
                for index, inner_node in enumerate(group):
                    sent = around.sent and node.runs and inner_node.runs
                    self._add(inner_node, f"{path}:{index}", runs and inner_node.runs, sent, {})
            else:
                if _UUID.fullmatch(node.type):
                    self._problem(
                        f"Node {path:.60} is an instance of a subgraph that the file does not "
                        "define: what it needs cannot be known."
                    )
                    continue
                self._add(node, path, runs, around.sent and node.runs, values)

    def _add(
        self, node: Node, path: str, active: bool, sent: bool, values: Mapping[str, Any]
    ) -> None:
        self._walk.nodes.append(WalkedNode(node, path, active, sent, values))

    def _problem(self, text: str) -> None:
        if text not in self._walk.problems:
            self._walk.problems.append(text)

    def _group_of(self, node: Node) -> list[Node] | None:
        name = next((node.type[len(p) :] for p in _GROUPS if node.type.startswith(p)), None)
        group = self._groups.get(name) if name is not None else None
        if name is None or node.type == "workflow/note":
            return None
        if not isinstance(group, dict) or not isinstance(group.get("nodes"), list):
            self._problem(
                f"Node {node.id:.40} is the group node {name!r:.60}, which the file does not "
                "define: what it needs cannot be known."
            )
            return []
        graph = Graph("", name)
        raw = (item for item in group["nodes"] if isinstance(item, dict))
        inner = [
            parsed
            for index, item in enumerate(raw)
            if (parsed := parse_node({**item, "id": index}, graph)) is not None
        ]
        _deal_out(node, inner)
        return inner


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _deal_out(host: Node, inner: list[Node]) -> None:
    """Give a group node's own model names to the nodes within, which stand in the same order."""
    chosen = [value for value in _items(host.values) if is_model_file(value)]
    places = [
        (node, place)
        for node in inner
        for place, value in enumerate(_items(node.values))
        if is_model_file(value)
    ]
    if len(chosen) == len(places):
        for (node, place), value in zip(places, chosen, strict=True):
            if isinstance(node.values, list):
                node.values = [*node.values[:place], value, *node.values[place + 1 :]]


def _passed_on(
    node: Node, definition: Graph, outer: Mapping[str, Any], workflow: Workflow
) -> dict[str, dict[str, Any]]:
    """Values that an instance sets within: ``{inner node: {widget: value}}``."""
    inner: dict[str, dict[str, Any]] = {}
    own = {**_own_values(node, definition, workflow), **outer}
    proxied = list(_proxied(node))
    own.update({name: value for target, name, value in proxied if target == "-1"})
    for boundary in definition.inputs:
        if boundary.name not in own:
            continue
        for target, widget in _targets(definition, boundary.links):
            inner.setdefault(target, {})[widget] = own[boundary.name]
    for target, widget, value in proxied:
        inner.setdefault(target, {}).setdefault(widget, value)
    return inner


def _targets(definition: Graph, links: list[str]) -> Iterator[tuple[str, str]]:
    for key in links:
        link = definition.links.get(key)
        target = definition.nodes.get(link.target) if link is not None else None
        if link is None or target is None:
            continue
        for slot in target.inputs:
            if slot.link == key:
                yield target.id, slot.widget or slot.name


def _own_values(node: Node, definition: Graph, workflow: Workflow) -> dict[str, Any]:
    if node.named is not None:
        return dict(node.named)
    if isinstance(node.values, dict):
        return dict(node.values)
    if not node.values or isinstance(node.properties.get("proxyWidgets"), list):
        return {}
    names = [slot.name for slot in node.inputs if slot.widget is not None]
    if len(names) != len(node.values):
        names = [
            boundary.name
            for boundary in definition.inputs
            if any(
                _is_widget(definition, workflow, target, widget)
                for target, widget in _targets(definition, boundary.links)
            )
        ]
    return dict(zip(names, node.values, strict=True)) if len(names) == len(node.values) else {}


def _is_widget(definition: Graph, workflow: Workflow, target: str, widget: str) -> bool:
    node = definition.nodes[target]
    nested = workflow.definition_of(node)
    return nested is not None or any(slot.widget == widget for slot in node.inputs)


def _proxied(node: Node) -> Iterator[tuple[str, str, Any]]:
    """The older way: pairs of inner node and widget, and the values in the same order."""
    pairs, values = node.properties.get("proxyWidgets"), node.values
    if not isinstance(pairs, list) or not isinstance(values, list):
        return
    for pair, value in zip(pairs, values, strict=False):
        if isinstance(pair, list) and len(pair) >= 2 and all(isinstance(p, str) for p in pair[:2]):
            yield pair[0], pair[1], value
