"""Values that a subgraph instance holds for widgets inside it: both generations of promotion.

Newer files save them in the instance's own ``widgets_values``, one for each subgraph input behind
which a widget stands. Older ones list ``[inner node, widget]`` pairs in ``properties.proxyWidgets``
and save the values in that list's order; on loading, the front-end makes subgraph inputs of them,
which all instances of the subgraph share. That is done here in the same order, inside out, because
later instances are read with the inputs that earlier ones have brought.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.convert.model import (
    INPUT_NODE,
    Boundary,
    Graph,
    Link,
    Node,
    Workflow,
)
from comfynb.comfy.convert.promotion import apply_proxies
from comfynb.comfy.convert.state import NO_VALUE, Entry, NodeState

__all__ = ["Host", "Hosts"]

_DEEPEST = 100


@dataclass(slots=True)
class Host:
    """A subgraph instance: its inputs and their values."""

    node: Node
    definition: Graph
    inputs: list[Entry]
    values: list[Any]
    """One for each input: the value of the widget behind it, or NO_VALUE where there is none."""

    def place_of(self, name: str) -> int | None:
        """The position of an input."""
        for place, entry in enumerate(self.inputs):
            if entry.name == name:
                return place
        return None


class Hosts:
    """All subgraph instances of a workflow."""

    def __init__(self, workflow: Workflow, state_of: Callable[[Node], NodeState]) -> None:
        self._workflow = workflow
        self.state_of = state_of
        self._hosts: dict[int, Host] = {}
        self._of_definition: dict[str, list[Host]] = {}
        self._targets: dict[tuple[str, int], tuple[str, str] | None] = {}
        self._new_links = 0

    def load(self) -> None:
        """Work out every instance. Must be called once, before anything is asked."""
        for graph in self._inside_out():
            instances = [
                (node, definition)
                for node in graph.nodes.values()
                if (definition := self._workflow.definition_of(node)) is not None
            ]
            for node, definition in instances:
                host = self._make(node, definition)
                self._hosts[id(node)] = host
                self._of_definition.setdefault(definition.id, []).append(host)
            for node, _ in instances:
                proxies = node.properties.get("proxyWidgets")
                if isinstance(proxies, list) and proxies:
                    apply_proxies(self, self._hosts[id(node)], proxies)

    def of(self, node: Node) -> Host | None:
        """The instance that a node is, or None for a plain node."""
        return self._hosts.get(id(node))

    def _inside_out(self) -> Iterator[Graph]:
        """Yield the definitions, each after those that it uses, then the root."""
        done: set[str] = set()
        for first in self._workflow.definitions.values():
            stack = [(first, False)]
            while stack:
                graph, used_are_done = stack.pop()
                if used_are_done:
                    yield graph
                    continue
                if graph.id in done:
                    continue
                done.add(graph.id)
                stack.append((graph, True))
                for node in reversed(graph.nodes.values()):
                    used = self._workflow.definition_of(node)
                    if used is not None and used.id not in done:
                        stack.append((used, False))
        yield self._workflow.root

    # One instance -----------------------------------------------------------------------------

    def _make(self, node: Node, definition: Graph) -> Host:
        inputs = [Entry(slot.name, slot.type) for slot in definition.inputs]
        host = Host(node, definition, inputs, [NO_VALUE] * len(inputs))
        self._link(host)
        for place, entry in enumerate(inputs):
            target = self._widget_behind(definition, place)
            if target is not None:
                entry.widget = True
                host.values[place] = target[2]
        self._apply_saved(host)
        return host

    def _link(self, host: Host) -> None:
        """Attach outer links by input name, and by slot number where the file names none."""
        node, graph = host.node, host.node.graph
        taken: set[str] = set()
        for slot in node.inputs:
            link = graph.links.get(slot.link) if slot.link is not None else None
            place = host.place_of(slot.name)
            if link is None or link.target != node.id or place is None:
                continue
            if host.inputs[place].link is None:
                host.inputs[place].link = link
                taken.add(link.key)
        named = {slot.link for slot in node.inputs if slot.link is not None}
        for link in graph.arrivals.get(node.id, ()):
            place = link.target_slot
            if link.key in taken or link.key in named or place >= len(host.inputs):
                continue
            if host.inputs[place].link is None:
                host.inputs[place].link = link

    def _apply_saved(self, host: Host) -> None:
        kept = dict(_quarantined(host.node))
        saved = host.node.values
        number = 0
        for place, entry in enumerate(host.inputs):
            if not entry.widget:
                continue
            value = NO_VALUE
            if entry.name in kept:
                value = kept[entry.name]
            elif isinstance(saved, dict):
                value = saved.get(entry.name, NO_VALUE)
            elif saved and number < len(saved):
                value = saved[number]
            number += 1
            if value is not NO_VALUE:
                host.values[place] = value

    # What stands behind an input --------------------------------------------------------------

    def inner_links(self, definition: Graph, place: int) -> Iterator[Link]:
        """Yield the links behind a subgraph input, in the order in which it lists them."""
        listed = definition.inputs[place].links
        for key in listed:
            link = definition.links.get(key)
            if link is not None:
                yield link
        known = set(listed)
        for link in definition.links_from(INPUT_NODE, place):
            if link.key not in known:
                yield link

    def _widget_behind(self, definition: Graph, place: int) -> tuple[Node, str, Any] | None:
        """The first widget that a subgraph input leads to: its node, its name, its value."""
        for link in self.inner_links(definition, place):
            inner = definition.nodes.get(link.target)
            if inner is None:
                continue
            host = self._hosts.get(id(inner))
            if host is not None:
                for number, entry in enumerate(host.inputs):
                    if entry.link is not None and entry.link.key == link.key and entry.widget:
                        return inner, entry.name, host.values[number]
                continue
            state = self.state_of(inner)
            slot = state.entry_of(link)
            if slot is not None and slot.widget:
                name = _widget_name(inner, slot.name)
                if name in state.values:
                    return inner, name, state.values[name]
        return None

    def target_of(self, definition: Graph, place: int) -> tuple[str, str] | None:
        """The inner node and widget (or nested input) that a subgraph input stands for."""
        key = (definition.id, place)
        if key not in self._targets:
            self._targets[key] = self._find_target(definition, place)
        return self._targets[key]

    def _find_target(self, definition: Graph, place: int) -> tuple[str, str] | None:
        for link in self.inner_links(definition, place):
            inner = definition.nodes.get(link.target)
            if inner is None:
                continue
            host = self._hosts.get(id(inner))
            if host is not None:
                for entry in host.inputs:
                    if entry.link is not None and entry.link.key == link.key:
                        return inner.id, entry.name
                continue
            state = self.state_of(inner)
            slot = state.entry_of(link)
            if slot is not None and slot.widget:
                name = _widget_name(inner, slot.name)
                if name in state.values:
                    return inner.id, name
        return None

    def input_for(self, definition: Graph, key: str, name: str) -> int | None:
        """The position of the subgraph input that stands for an inner widget, or None."""
        for place in range(len(definition.inputs)):
            if self.target_of(definition, place) == (key, name):
                return place
        return None

    def resolves(self, definition: Graph, key: str, name: str) -> bool:
        """Whether a pair leads to a widget, through nested subgraphs if need be."""
        for _ in range(_DEEPEST):
            inner = definition.nodes.get(key)
            if inner is None:
                return False
            host = self._hosts.get(id(inner))
            if host is None:
                return name in self.state_of(inner).values
            place = host.place_of(name)
            target = self.target_of(host.definition, place) if place is not None else None
            if target is None:
                return False
            definition, (key, name) = host.definition, target
        return False

    # New inputs ----------------------------------------------------------------------------------

    def add_input(
        self,
        host: Host,
        name: str,
        type_: str,
        targets: list[tuple[Node, Entry]],
        value: Any,
    ) -> str:
        """Add an input to a definition, linked to inner inputs instead of what fed them before."""
        definition = host.definition
        names = {boundary.name for boundary in definition.inputs}
        unique, number = name, 1
        while unique in names:
            unique = f"{name}_{number}"
            number += 1
        place = len(definition.inputs)
        boundary = Boundary(unique, type_, [])
        definition.inputs.append(boundary)
        for node, entry in targets:
            if entry.link is not None:
                definition.drop_link(entry.link)
            self._new_links += 1
            link = Link(f"promoted {self._new_links}", INPUT_NODE, place, node.id, 0)
            definition.add_link(link)
            boundary.links.append(link.key)
            entry.link = link
            if id(node) not in self._hosts:
                self.state_of(node).by_link[link.key] = entry
        self._targets.clear()
        behind = self._widget_behind(definition, place)
        for other in self._of_definition.get(definition.id, ()):
            other.inputs.append(Entry(unique, type_, widget=behind is not None))
            other.values.append(behind[2] if behind is not None else NO_VALUE)
            self._demote(other)
        if value is not NO_VALUE and behind is not None:
            host.values[place] = value
        return unique

    def _demote(self, host: Host) -> None:
        """Forget the values of inputs that lead to no widget any more."""
        for place, entry in enumerate(host.inputs):
            if entry.widget and self._widget_behind(host.definition, place) is None:
                entry.widget = False
                host.values[place] = NO_VALUE


def _quarantined(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield values that an earlier migration kept by input name; the first entry wins."""
    entries = node.properties.get("proxyWidgetErrorQuarantine")
    for entry in reversed(entries if isinstance(entries, list) else []):
        original = entry.get("originalEntry") if isinstance(entry, Mapping) else None
        if not isinstance(original, list) or len(original) < 2 or original[0] != "-1":
            continue
        if "hostValue" in entry and isinstance(original[1], str):
            yield original[1], entry["hostValue"]


def _widget_name(node: Node, input_name: str) -> str:
    for slot in node.inputs:
        if slot.name == input_name and slot.widget is not None:
            return slot.widget
    return input_name
