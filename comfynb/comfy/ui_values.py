"""Puts other values into a UI workflow, in the places where the front-end will read them."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.convert import convert
from comfynb.comfy.convert.layout import layout_of
from comfynb.comfy.convert.model import Graph, node_key, parse_node
from comfynb.comfy.convert.state import configure
from comfynb.comfy.convert.virtual import PRIMITIVE
from comfynb.comfy.object_info import ObjectInfo, as_object_info
from comfynb.comfy.problems import node_label, shorten
from comfynb.errors import WorkflowError

__all__ = ["with_values"]

Raw = dict[str, Any]
Places = Iterator[tuple[Any, Any]]
"""Containers and the keys in them under which a value may be saved."""


def with_values(
    workflow: Mapping[str, Any],
    values: Mapping[tuple[str, str], Any],
    object_info: Mapping[str, Any],
) -> dict[str, Any]:
    """Give a copy of a UI workflow that converts to the same prompt with other values.

    ``values`` by ``(node id in the prompt, input)``. A value may be saved in the node, in a
    subgraph's instance around it, or in a primitive that feeds it: each place is tried, and the one
    after which the prompt has exactly the new value is kept. Raises
    :class:`~comfynb.errors.WorkflowError` where no place does, because several instances share the
    subgraph, say.
    """
    info = as_object_info(object_info)
    changed = copy.deepcopy(dict(workflow))
    prompt = convert(changed, info).prompt
    for (node_id, name), value in values.items():
        node = prompt.get(node_id)
        if node is None:
            raise WorkflowError(f"The workflow sends no node {shorten(node_id)}.")
        if node["inputs"].get(name) == value and type(node["inputs"].get(name)) is type(value):
            continue
        wanted = {**prompt, node_id: {**node, "inputs": {**node["inputs"], name: value}}}
        if not _put(changed, (node_id, name), value, wanted, info):
            raise WorkflowError(
                f"{node_label(prompt, node_id)}: {name} = {shorten(value)} cannot be saved in the "
                "UI workflow: other nodes would change with it; export API JSON instead."
            )
        prompt = wanted
    return changed


def _put(workflow: Raw, place: tuple[str, str], value: Any, wanted: Raw, info: ObjectInfo) -> bool:
    node_id, name = place
    plain = value["__value__"] if isinstance(value, dict) and "__value__" in value else value
    for container, key in _places(workflow, node_id, name, info):
        before = copy.copy(container)
        container[key] = plain
        shadows = _shadow(workflow, container, name, plain)
        if _alike(convert(workflow, info).prompt, wanted):
            return True
        for shadow, former in shadows:
            shadow[name] = former
        container.clear()
        if isinstance(container, dict):
            container.update(before)
        else:
            container.extend(before)
    return False


def _alike(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(
        one == other or (one != one and other != other)  # noqa: PLR0124 - NaN
    )


def _places(workflow: Raw, node_id: str, name: str, info: ObjectInfo) -> Places:
    """Yield where the value may be saved, the likeliest place first."""
    chain = _chain(workflow, node_id)
    if not chain:
        return
    graph, node = chain[-1]
    yield from _own_places(node, name, info)
    for _, host in reversed(chain[:-1]):
        yield from _every_place(host)
    for source in _primitives(graph, node):
        yield from _every_place(source)
    for around, host in reversed(chain[:-1]):
        for source in _primitives(around, host):
            yield from _every_place(source)


def _chain(workflow: Raw, node_id: str) -> list[tuple[Raw, Raw]]:
    """The graphs and nodes on the way to a node: instances of subgraphs first, itself last."""
    definitions = workflow.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {one.get("id"): one for one in _dicts(listed)}
    graph = workflow
    chain: list[tuple[Raw, Raw]] = []
    rest = node_id
    while True:
        # Ids may hold colons themselves, where a workflow was made of a prompt.
        nodes = {node_key(node.get("id")): node for node in _dicts(graph.get("nodes"))}
        if rest in nodes:
            return [*chain, (graph, nodes[rest])]
        first, colon, rest = rest.partition(":")
        host = nodes.get(first)
        definition = known.get(host.get("type")) if host is not None else None
        if not colon or host is None or definition is None:
            return []
        chain.append((graph, host))
        graph = definition


def _own_places(node: Raw, name: str, info: ObjectInfo) -> Places:
    values = node.get("widgets_values")
    if isinstance(values, dict):
        yield values, name
        return
    layout = layout_of(info, str(node.get("type")))
    parsed = parse_node(node, Graph("", ""))
    if not isinstance(values, list):
        values = []
        node["widgets_values"] = values
    if layout is not None and parsed is not None:
        state = configure(parsed, layout)
        saved = [name for name, widget in state.widgets.items() if widget.saved]
        if name in saved and saved.index(name) < len(values):
            yield values, saved.index(name)
    yield from _every_place(node)


def _every_place(node: Raw) -> Places:
    values = node.get("widgets_values")
    if isinstance(values, list):
        for place in range(len(values)):
            yield values, place
    elif isinstance(values, dict):
        for key in list(values):
            yield values, key
    properties = node.get("properties")
    quarantine = (
        properties.get("proxyWidgetErrorQuarantine") if isinstance(properties, dict) else None
    )
    for entry in _dicts(quarantine):
        if "hostValue" in entry:
            yield entry, "hostValue"


def _primitives(graph: Raw, node: Raw) -> Iterator[Raw]:
    """The primitives that are linked into a node, through reroutes too."""
    nodes = {node_key(one.get("id")): one for one in _dicts(graph.get("nodes"))}
    origins: dict[str | None, str | None] = {}
    links = graph.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict):
            origins[node_key(link.get("id"))] = node_key(link.get("origin_id"))
        elif isinstance(link, list) and len(link) > 1:
            origins[node_key(link[0])] = node_key(link[1])
    waiting, seen = [node], set()
    while waiting:
        for slot in _dicts(waiting.pop().get("inputs")):
            source = nodes.get(origins.get(node_key(slot.get("link"))))
            if source is None or id(source) in seen:
                continue
            seen.add(id(source))
            if source.get("type") == PRIMITIVE:
                yield source
            elif source.get("type") == "Reroute":
                waiting.append(source)


def _shadow(workflow: Raw, container: Any, name: str, value: Any) -> list[tuple[Raw, Any]]:
    """Keep the copy by name, which some front-ends write beside the list, in step with it."""
    definitions = workflow.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    done = []
    for graph in (workflow, *_dicts(listed)):
        for node in _dicts(graph.get("nodes")):
            named = node.get("widgets_values_named")
            if (
                node.get("widgets_values") is container
                and isinstance(named, dict)
                and name in named
            ):
                done.append((named, named[name]))
                named[name] = value
    return done


def _dicts(value: object) -> list[Raw]:
    items = list(value.values()) if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
