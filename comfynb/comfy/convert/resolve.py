"""Follows links to what really feeds an input, through subgraphs, bypasses and reroutes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfynb.comfy.convert.hosts import Host, Hosts
from comfynb.comfy.convert.model import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    Graph,
    Link,
    Node,
    Workflow,
)
from comfynb.comfy.convert.state import NO_VALUE, Entry, NodeState
from comfynb.comfy.convert.virtual import GETTERS, find_setter

__all__ = ["Resolver", "Scope", "Source", "Value", "connects"]


@dataclass(slots=True, eq=False)
class Scope:
    """One place where a graph is shown: the root, or the inside of one subgraph instance."""

    graph: Graph
    prefix: str = ""
    parent: "Scope | None" = None
    host: Host | None = None
    inner: dict[str, "Scope"] = field(default_factory=dict)
    titles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """An output of a node that reaches the server."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Value:
    """A value that a subgraph instance holds for an input inside it."""

    value: Any


class _CircleError(Exception):
    """The links lead back to where they came from."""


class Resolver:
    """Answers what an input is fed by."""

    def __init__(
        self,
        workflow: Workflow,
        hosts: Hosts,
        state_of: Callable[[Node], NodeState],
        virtual: Callable[[Node], bool],
        output_type: Callable[[Node, int], str],
    ) -> None:
        self._workflow = workflow
        self._hosts = hosts
        self._state_of = state_of
        self._virtual = virtual
        self._output_type = output_type

    def inputs_of(self, node: Node) -> list[Entry]:
        """The inputs of a plain node or of a subgraph instance."""
        definition = self._workflow.definition_of(node)
        if definition is not None:
            return self._hosts.of(node, definition).inputs
        return self._state_of(node).inputs

    def resolve(self, scope: Scope, node: Node, place: int) -> Source | Value | None:
        """What feeds an input of a node: a source, a held value, or nothing."""
        try:
            return self._input(scope, node, place, None, set())
        except (_CircleError, RecursionError):
            return None

    def _input(
        self, scope: Scope, node: Node, place: int, type_: str | None, seen: set[Any]
    ) -> Source | Value | None:
        inputs = self.inputs_of(node)
        if place >= len(inputs):
            return None
        entry = inputs[place]
        if scope.host is not None:
            override = scope.host.overrides.get((node.id, entry.name), NO_VALUE)
            if override is not NO_VALUE:
                return Value(override)
        link = entry.link
        if link is None:
            return None
        step = (id(scope), node.id, "in", place)
        if step in seen:
            raise _CircleError
        seen.add(step)
        if link.origin == INPUT_NODE and scope.host is not None:
            return self._outside(scope, link, seen)
        origin = scope.graph.nodes.get(link.origin)
        if origin is None:
            return None
        return self._output(scope, origin, link.origin_slot, type_ or entry.type, seen)

    def _outside(self, scope: Scope, link: Link, seen: set[Any]) -> Source | Value | None:
        """Leave a subgraph through one of its inputs."""
        host, parent = scope.host, scope.parent
        if host is None or parent is None or link.origin_slot >= len(host.inputs):
            return None
        entry = host.inputs[link.origin_slot]
        overridden = parent.host is not None and (host.node.id, entry.name) in parent.host.overrides
        if entry.link is None and not overridden:
            value = host.values[link.origin_slot]
            return None if value is NO_VALUE or not entry.widget else Value(value)
        return self._input(parent, host.node, link.origin_slot, None, seen)

    def _output(
        self, scope: Scope, node: Node, slot: int, type_: str, seen: set[Any]
    ) -> Source | Value | None:
        step = (id(scope), node.id, "out", slot)
        if step in seen:
            raise _CircleError
        seen.add(step)
        if node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            place = self._way_through(node, slot, type_)
            return None if place is None else self._input(scope, node, place, None, seen)
        if self._workflow.definition_of(node) is not None:
            return self._inside(scope, node, slot, type_, seen)
        if self._virtual(node):
            return self._through_virtual(scope, node, slot, type_, seen)
        return Source(scope.prefix + node.id, slot)

    def _inside(
        self, scope: Scope, node: Node, slot: int, type_: str, seen: set[Any]
    ) -> Source | Value | None:
        """Enter a subgraph through one of its outputs."""
        inner = scope.inner.get(node.id)
        if inner is None or slot >= len(inner.graph.outputs):
            return None
        definition = inner.graph
        link = _link_to_output(definition, slot)
        if link is None:
            return None
        if link.origin == INPUT_NODE:
            return self._outside(inner, link, seen)
        origin = definition.nodes.get(link.origin)
        if origin is None:
            return None
        return self._output(inner, origin, link.origin_slot, type_, seen)

    def _through_virtual(
        self, scope: Scope, node: Node, slot: int, type_: str, seen: set[Any]
    ) -> Source | Value | None:
        if node.type in GETTERS:
            around: Scope | None = scope
            while around is not None:
                setter = find_setter(around.graph, node)
                if setter is not None:
                    return self._input(around, setter, 0, type_, seen)
                around = around.parent
            return None
        return self._input(scope, node, slot, type_, seen)

    def _way_through(self, node: Node, slot: int, type_: str) -> int | None:
        """The input that a bypassed node passes on at one of its outputs.

        The one opposite, if it fits; else the first of the wanted type; else the first that fits.
        """
        inputs = self.inputs_of(node)
        if not inputs:
            return None
        if type_ in {"*", ""}:
            return slot if slot < len(inputs) else 0
        own = self._output_type(node, slot)
        if slot < len(inputs):
            opposite = inputs[slot].type
            if connects(opposite, own) and connects(opposite, type_):
                return slot
        for place, entry in enumerate(inputs):
            if entry.type == type_:
                return place
        for place, entry in enumerate(inputs):
            if connects(entry.type, own) and connects(entry.type, type_):
                return place
        return None


def _link_to_output(definition: Graph, slot: int) -> Link | None:
    for key in definition.outputs[slot].links:
        link = definition.links.get(key)
        if link is not None:
            return link
    for link in definition.arrivals.get("-20", ()):
        if link.target_slot == slot:
            return link
    return None


def connects(one: str, other: str) -> bool:
    """Whether the front-end lets two slot types be linked: ``*`` fits all, ``A,B`` is a choice."""
    if one in {"", "*"} or other in {"", "*"} or one == other:
        return True
    ours, theirs = one.lower().split(","), other.lower().split(",")
    if len(ours) == 1 and len(theirs) == 1:
        return ours == theirs
    return any(a == b or a in {"", "*"} or b in {"", "*"} for a in ours for b in theirs)
