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


@dataclass(frozen=True, slots=True)
class _Input:
    """On the way, at an input; ``type`` is what is wanted, if reroutes lie behind."""

    scope: Scope
    node: Node
    slot: int
    type: str | None = None


@dataclass(frozen=True, slots=True)
class _Output:
    """On the way, at an output, with the type that is wanted of it."""

    scope: Scope
    node: Node
    slot: int
    type: str


_Step = Source | Value | _Input | _Output | None


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
        host = self._hosts.of(node)
        return host.inputs if host is not None else self._state_of(node).inputs

    def resolve(self, scope: Scope, node: Node, place: int) -> Source | Value | None:
        """What feeds an input of a node: a source, a held value, or nothing."""
        seen: set[Any] = set()
        step: Source | Value | _Input | _Output | None = _Input(scope, node, place)
        while isinstance(step, _Input | _Output):
            key = (id(step.scope), step.node.id, type(step), step.slot)
            if key in seen:
                return None
            seen.add(key)
            step = self._enter(step) if isinstance(step, _Input) else self._leave(step)
        return step

    def _enter(self, step: _Input) -> _Step:
        """Go from an input to what it is linked to."""
        inputs = self.inputs_of(step.node)
        link = inputs[step.slot].link if step.slot < len(inputs) else None
        if link is None:
            return None
        return self._along(step.scope, link, step.type or inputs[step.slot].type)

    def _along(self, scope: Scope, link: Link, type_: str) -> _Step:
        """Go along a link to the output, or out of the subgraph to the input, where it begins."""
        if link.origin == INPUT_NODE and scope.host is not None:
            return self._outside(scope, link.origin_slot)
        origin = scope.graph.nodes.get(link.origin)
        return None if origin is None else _Output(scope, origin, link.origin_slot, type_)

    @staticmethod
    def _outside(scope: Scope, place: int) -> _Step:
        """Leave a subgraph through one of its inputs."""
        host, parent = scope.host, scope.parent
        if host is None or parent is None or place >= len(host.inputs):
            return None
        entry = host.inputs[place]
        if entry.link is not None:
            return _Input(parent, host.node, place)
        value = host.values[place]
        return None if value is NO_VALUE or not entry.widget else Value(value)

    def _leave(self, step: _Output) -> _Step:
        """Go from an output to what it gives: itself, or what lies before it."""
        scope, node = step.scope, step.node
        if node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            place = self._way_through(node, step.slot, step.type)
            return None if place is None else _Input(scope, node, place)
        if self._workflow.definition_of(node) is not None:
            inner = scope.inner.get(node.id)
            link = _link_to_output(inner.graph, step.slot) if inner is not None else None
            if inner is None or link is None:
                return None
            return self._along(inner, link, step.type)
        if self._virtual(node):
            return self._through_virtual(step)
        return Source(scope.prefix + node.id, step.slot)

    @staticmethod
    def _through_virtual(step: _Output) -> _Step:
        if step.node.type not in GETTERS:
            return _Input(step.scope, step.node, step.slot, step.type)
        around: Scope | None = step.scope
        while around is not None:
            setter = find_setter(around.graph, step.node)
            if setter is not None:
                return _Input(around, setter, 0, step.type)
            around = around.parent
        return None

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
    if slot >= len(definition.outputs):
        return None
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
