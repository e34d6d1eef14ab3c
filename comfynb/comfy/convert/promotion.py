"""The older way of promotion: pairs in ``properties.proxyWidgets`` become subgraph inputs."""

import re
from typing import TYPE_CHECKING, Any

from comfynb.comfy.convert.model import Node, node_key
from comfynb.comfy.convert.state import NO_VALUE, Entry
from comfynb.comfy.convert.virtual import PRIMITIVE

if TYPE_CHECKING:
    from comfynb.comfy.convert.hosts import Host, Hosts

__all__ = ["apply_proxies"]

_PREFIX = re.compile(r"\s*(\d+)\s*:\s*(.+)", re.DOTALL)
_BYPASSED_TO = "proxyBypassedToSubgraphInput"


def apply_proxies(hosts: "Hosts", host: "Host", proxies: list[Any]) -> None:
    """Give an instance's values to what it promotes, making subgraph inputs where none are."""
    saved = host.node.values
    primitives: dict[str, tuple[str, Any]] = {}
    own: list[tuple[str, Any]] = []
    for number, proxy in enumerate(proxies):
        if not isinstance(proxy, list) or not 2 <= len(proxy) <= 3:
            continue
        key, name = node_key(proxy[0]), proxy[1]
        if key is None or not isinstance(name, str):
            continue
        value = NO_VALUE
        if isinstance(saved, list) and number < len(saved):
            value = saved[number]
        if key == "-1":
            own.append((name, value))
            continue
        inner_most = node_key(proxy[2]) if len(proxy) == 3 else None
        if not hosts.resolves(host.definition, key, name):
            while (match := _PREFIX.fullmatch(name)) is not None:
                inner_most, name = match[1], match[2]
        if _set_existing(hosts, host, key, name, value):
            continue
        inner = host.definition.nodes.get(key)
        if inner is None or name.startswith("$$"):
            continue
        if inner.type != PRIMITIVE:
            _promote(hosts, host, inner, (name, inner_most), value)
        elif key not in primitives or primitives[key][1] is NO_VALUE:
            primitives[key] = (name, value)
    for key, (name, value) in primitives.items():
        _promote_primitive(hosts, host, host.definition.nodes[key], name, value)
    # Pairs that name the instance's own inputs have the last word.
    for name, value in own:
        place = host.place_of(name)
        if place is not None and value is not NO_VALUE and host.inputs[place].widget:
            host.values[place] = value


def _set_existing(hosts: "Hosts", host: "Host", key: str, name: str, value: Any) -> bool:
    """Give the value to a subgraph input that already stands for the widget, if one does."""
    place = hosts.input_for(host.definition, key, name)
    inner = host.definition.nodes.get(key)
    if place is None and inner is not None and inner.type == PRIMITIVE:
        bypassed_to = inner.properties.get(_BYPASSED_TO)
        place = host.place_of(bypassed_to) if isinstance(bypassed_to, str) else None
    if place is None:
        return False
    if value is not NO_VALUE and host.inputs[place].widget:
        host.values[place] = value
    return True


def _promote(
    hosts: "Hosts", host: "Host", inner: Node, wanted: tuple[str, str | None], value: Any
) -> None:
    """Make a subgraph input for a widget of an inner node or instance."""
    name, inner_most = wanted
    nested = hosts.of(inner)
    if nested is None:
        state = hosts.state_of(inner)
        entry = state.entry(name)
        if entry is not None and entry.widget and name in state.values:
            hosts.add_input(host, name, entry.type, [(inner, entry)], value)
        return
    for place, entry in enumerate(nested.inputs):
        target = hosts.target_of(nested.definition, place)
        if inner_most is not None:
            fits = target == (inner_most, name)
        else:
            fits = entry.name == name or (target is not None and target[1] == name)
        if fits:
            if entry.widget:
                hosts.add_input(host, name, entry.type, [(inner, entry)], value)
            return


def _promote_primitive(
    hosts: "Hosts", host: "Host", primitive: Node, name: str, value: Any
) -> None:
    """A promoted primitive gives way to a subgraph input for all that it is linked to."""
    targets: list[tuple[Node, Entry]] = []
    for link in host.definition.links_from(primitive.id):
        target = host.definition.nodes.get(link.target)
        if target is None:
            return
        nested = hosts.of(target)
        inputs = nested.inputs if nested is not None else hosts.state_of(target).inputs
        found = [e for e in inputs if e.link is not None and e.link.key == link.key]
        if not found:
            return
        targets.append((target, found[0]))
    if not targets:
        return
    type_ = primitive.output_types[0] if primitive.output_types else "*"
    if any("*" not in {type_, entry.type} and entry.type != type_ for _, entry in targets):
        return
    title = primitive.title if primitive.title != PRIMITIVE else ""
    created = hosts.add_input(host, title or name, type_, targets, value)
    primitive.properties = {**primitive.properties, _BYPASSED_TO: created}
