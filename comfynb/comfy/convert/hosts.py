"""Values that a subgraph instance holds for widgets inside it: both generations of promotion.

Newer files save them in the instance's own ``widgets_values``, one for each subgraph input behind
which a widget stands. Older ones list ``[inner node, widget]`` pairs in ``properties.proxyWidgets``
and save the values in that list's order.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfynb.comfy.convert.model import Graph, Link, Node, Workflow, node_key
from comfynb.comfy.convert.state import NO_VALUE, Entry, NodeState
from comfynb.comfy.convert.virtual import PRIMITIVE

__all__ = ["Host", "Hosts"]

_PREFIX = re.compile(r"\s*(\d+)\s*:\s*(.+)", re.DOTALL)
_DEEPEST = 100


@dataclass(slots=True)
class Host:
    """A subgraph instance: its inputs, their values, and what it overrides inside."""

    node: Node
    definition: Graph
    inputs: list[Entry]
    values: list[Any]
    """One for each input: the value of the widget behind it, or NO_VALUE where there is none."""
    overrides: dict[tuple[str, str], Any] = field(default_factory=dict)
    """``(inner node, input) -> value`` for promoted widgets that no subgraph input leads to."""

    def place_of(self, name: str) -> int | None:
        """The position of an input."""
        for place, entry in enumerate(self.inputs):
            if entry.name == name:
                return place
        return None


class Hosts:
    """Works out instances on demand; the state of an instance is the same wherever it is shown."""

    def __init__(self, workflow: Workflow, state_of: Callable[[Node], NodeState]) -> None:
        self._workflow = workflow
        self._state_of = state_of
        self._hosts: dict[int, Host] = {}
        self._busy: set[int] = set()
        self._targets: dict[tuple[str, int], tuple[str, str] | None] = {}

    def of(self, node: Node, definition: Graph) -> Host:
        """The instance's inputs and values."""
        found = self._hosts.get(id(node))
        if found is None:
            found = self._make(node, definition)
            self._hosts[id(node)] = found
        return found

    def _make(self, node: Node, definition: Graph) -> Host:
        inputs = [Entry(slot.name, slot.type) for slot in definition.inputs]
        host = Host(node, definition, inputs, [NO_VALUE] * len(inputs))
        self._link(host)
        if id(node) in self._busy:
            return host
        self._busy.add(id(node))
        try:
            for place in range(len(inputs)):
                target = self._widget_behind(definition, place)
                if target is not None:
                    inputs[place].widget = True
                    host.values[place] = target[2]
            self._apply_saved(host)
            self._apply_proxies(host)
        finally:
            self._busy.discard(id(node))
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

    def inner_links(self, definition: Graph, place: int) -> Iterator[Link]:
        """Yield the links behind a subgraph input, in the order in which it lists them."""
        listed = definition.inputs[place].links
        for key in listed:
            link = definition.links.get(key)
            if link is not None:
                yield link
        known = set(listed)
        for link in definition.links_from("-10", place):
            if link.key not in known:
                yield link

    def _widget_behind(self, definition: Graph, place: int) -> tuple[Node, str, Any] | None:
        """The first widget that a subgraph input leads to: its node, its name, its value."""
        for link in self.inner_links(definition, place):
            inner = definition.nodes.get(link.target)
            if inner is None:
                continue
            nested = self._workflow.definition_of(inner)
            if nested is not None:
                host = self.of(inner, nested)
                for number, entry in enumerate(host.inputs):
                    if entry.link is not None and entry.link.key == link.key and entry.widget:
                        return inner, entry.name, host.values[number]
                continue
            state = self._state_of(inner)
            slot = state.entry_of(link)
            if slot is not None and slot.widget:
                name = self._widget_name(inner, slot.name)
                if name in state.values:
                    return inner, name, state.values[name]
        return None

    @staticmethod
    def _widget_name(node: Node, input_name: str) -> str:
        for slot in node.inputs:
            if slot.name == input_name and slot.widget is not None:
                return slot.widget
        return input_name

    def _apply_saved(self, host: Host) -> None:
        kept = dict(self._quarantined(host.node))
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

    @staticmethod
    def _quarantined(node: Node) -> Iterator[tuple[str, Any]]:
        """Yield values that an earlier migration kept by input name."""
        entries = node.properties.get("proxyWidgetErrorQuarantine")
        for entry in reversed(entries if isinstance(entries, list) else []):
            original = entry.get("originalEntry") if isinstance(entry, Mapping) else None
            if not isinstance(original, list) or len(original) < 2 or original[0] != "-1":
                continue
            if "hostValue" in entry and isinstance(original[1], str):
                yield original[1], entry["hostValue"]

    def _apply_proxies(self, host: Host) -> None:
        proxies = host.node.properties.get("proxyWidgets")
        if not isinstance(proxies, list):
            return
        saved = host.node.values
        for number, proxy in enumerate(proxies):
            if not isinstance(proxy, list) or not 2 <= len(proxy) <= 3:
                continue
            key, name = node_key(proxy[0]), proxy[1]
            value = NO_VALUE
            if isinstance(saved, list) and number < len(saved):
                value = saved[number]
            if key is not None and isinstance(name, str):
                disambiguator = node_key(proxy[2]) if len(proxy) == 3 else None
                self._apply_proxy(host, key, name, disambiguator, value)

    def _apply_proxy(
        self, host: Host, key: str, name: str, disambiguator: str | None, value: Any
    ) -> None:
        if not self._resolves(host.definition, key, name):
            while (match := _PREFIX.fullmatch(name)) is not None:
                disambiguator, name = match[1], match[2]
        place = self._input_for(host.definition, key, name)
        if place is None and key == "-1":
            place = host.place_of(name)
        if place is not None:
            if value is not NO_VALUE and host.inputs[place].widget:
                host.values[place] = value
            return
        inner = host.definition.nodes.get(key)
        if inner is None or name.startswith("$$"):
            return
        if inner.type == PRIMITIVE:
            self._bypass_primitive(host, inner, value)
            return
        nested = self._workflow.definition_of(inner)
        if nested is None:
            state = self._state_of(inner)
            found = next(
                (entry for entry in state.inputs if entry.widget and entry.name == name), None
            )
            if found is not None and name in state.values:
                chosen = state.values[name] if value is NO_VALUE else value
                host.overrides[inner.id, found.name] = chosen
            return
        self._override_nested(host, inner, nested, (name, disambiguator), value)

    def _override_nested(
        self,
        host: Host,
        inner: Node,
        nested: Graph,
        wanted: tuple[str, str | None],
        value: Any,
    ) -> None:
        name, disambiguator = wanted
        nested_host = self.of(inner, nested)
        for place, entry in enumerate(nested_host.inputs):
            target = self._target_of(nested, place)
            if disambiguator is not None:
                fits = target == (disambiguator, name)
            else:
                fits = entry.name == name or (target is not None and target[1] == name)
            if not fits:
                continue
            if entry.widget:
                chosen = nested_host.values[place] if value is NO_VALUE else value
                host.overrides[inner.id, entry.name] = chosen
            return

    def _bypass_primitive(self, host: Host, primitive: Node, value: Any) -> None:
        """A promoted primitive stands for all inputs that it is linked to."""
        if value is NO_VALUE:
            saved = primitive.values
            value = saved[0] if isinstance(saved, list) and saved else NO_VALUE
        if value is NO_VALUE:
            return
        for link in host.definition.links_from(primitive.id):
            target = host.definition.nodes.get(link.target)
            if target is None:
                continue
            nested = self._workflow.definition_of(target)
            if nested is not None:
                inputs = self.of(target, nested).inputs
            else:
                inputs = self._state_of(target).inputs
            for entry in inputs:
                if entry.link is not None and entry.link.key == link.key:
                    host.overrides[target.id, entry.name] = value

    def _target_of(self, definition: Graph, place: int) -> tuple[str, str] | None:
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
            nested = self._workflow.definition_of(inner)
            if nested is not None:
                for entry in self.of(inner, nested).inputs:
                    if entry.link is not None and entry.link.key == link.key:
                        return inner.id, entry.name
                continue
            state = self._state_of(inner)
            slot = state.entry_of(link)
            if slot is not None and slot.widget:
                name = self._widget_name(inner, slot.name)
                if name in state.values:
                    return inner.id, name
        return None

    def _input_for(self, definition: Graph, key: str, name: str) -> int | None:
        for place in range(len(definition.inputs)):
            if self._target_of(definition, place) == (key, name):
                return place
        return None

    def _resolves(self, definition: Graph, key: str, name: str) -> bool:
        """Whether a pair leads to a widget, through nested subgraphs if need be."""
        for _ in range(_DEEPEST):
            inner = definition.nodes.get(key)
            if inner is None:
                return False
            nested = self._workflow.definition_of(inner)
            if nested is None:
                return name in self._state_of(inner).values
            names = [slot.name for slot in nested.inputs]
            target = self._target_of(nested, names.index(name)) if name in names else None
            if target is None:
                return False
            definition, (key, name) = nested, target
        return False
