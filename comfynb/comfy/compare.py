"""Compares two prompts: whether they are the same graph under other node ids."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.graph import is_link
from comfynb.comfy.object_info import as_object_info

__all__ = ["match_prompts", "plain", "same_prompt"]

Renaming = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Node:
    """A node for comparing: its class, its plain inputs as one text, its links."""

    label: str
    links: tuple[tuple[str, int, str], ...]
    """``(input, output number, source id)``, sorted by input."""


def same_prompt(
    one: Mapping[str, Any], other: Mapping[str, Any], object_info: Mapping[str, Any] | None = None
) -> bool:
    """Whether two prompts are the same graph: equal classes, values and links, under any ids.

    With ``object_info`` only inputs that a node's class declares count (``a.b`` is declared by
    ``a``). Titles never count. ``1`` and ``1.0`` are equal, ``1`` and ``true`` are not.
    """
    return match_prompts(one, other, object_info) is not None


def match_prompts(
    one: Mapping[str, Any], other: Mapping[str, Any], object_info: Mapping[str, Any] | None = None
) -> Renaming | None:
    """Find which node of ``other`` each node of ``one`` is, or None if they differ."""
    ours, theirs = _reduce(one, object_info), _reduce(other, object_info)
    if len(ours) != len(theirs):
        return None
    return _match(
        ours,
        theirs,
        {node_id: node.label for node_id, node in ours.items()},
        {node_id: node.label for node_id, node in theirs.items()},
    )


def _reduce(prompt: Mapping[str, Any], object_info: Mapping[str, Any] | None) -> dict[str, _Node]:
    info = as_object_info(object_info) if object_info is not None else None
    reduced: dict[str, _Node] = {}
    for node_id, node in prompt.items():
        class_type = node.get("class_type")
        node_class = info.node(class_type) if info and isinstance(class_type, str) else None
        values: dict[str, Any] = {}
        links: list[tuple[str, int, str]] = []
        for name, value in (node.get("inputs") or {}).items():
            if node_class is not None and not (
                name in node_class.inputs or name.split(".", 1)[0] in node_class.inputs
            ):
                continue
            if is_link(value) and value[0] in prompt:
                links.append((name, int(value[1]), value[0]))
            else:
                values[name] = plain(value)
        label = json.dumps([class_type, values], sort_keys=True, ensure_ascii=False)
        reduced[node_id] = _Node(label, tuple(sorted(links)))
    return reduced


def plain(value: Any) -> Any:
    """Write whole floats as ints, as JavaScript does, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def _match(
    ours: dict[str, _Node],
    theirs: dict[str, _Node],
    our_colours: dict[str, str],
    their_colours: dict[str, str],
) -> Renaming | None:
    our_colours, their_colours = _refine(ours, our_colours), _refine(theirs, their_colours)
    if Counter(our_colours.values()) != Counter(their_colours.values()):
        return None
    places: dict[str, list[str]] = {}
    for node_id, colour in their_colours.items():
        places.setdefault(colour, []).append(node_id)
    twins = next((n for n, colour in our_colours.items() if len(places[colour]) > 1), None)
    if twins is None:
        renaming = {node_id: places[colour][0] for node_id, colour in our_colours.items()}
        return renaming if _verify(ours, theirs, renaming) else None
    # Colours cannot tell these apart: mark one pair as one another's and look again.
    for candidate in places[our_colours[twins]]:
        found = _match(
            ours,
            theirs,
            {**our_colours, twins: "chosen " + our_colours[twins]},
            {**their_colours, candidate: "chosen " + our_colours[twins]},
        )
        if found is not None:
            return found
    return None


def _refine(nodes: dict[str, _Node], colours: dict[str, str]) -> dict[str, str]:
    """Colour each node by what it is, what feeds it and what it feeds, until nothing changes."""
    users: dict[str, list[tuple[str, int, str]]] = {node_id: [] for node_id in nodes}
    for node_id, node in nodes.items():
        for name, slot, source in node.links:
            users[source].append((name, slot, node_id))
    count = len(set(colours.values()))
    while True:
        new = {}
        for node_id, node in nodes.items():
            feeds = [(name, slot, colours[source]) for name, slot, source in node.links]
            used = sorted((name, slot, colours[user]) for name, slot, user in users[node_id])
            text = repr((colours[node_id], feeds, used)).encode("utf-8", "surrogatepass")
            new[node_id] = hashlib.sha256(text).hexdigest()
        colours = new
        now = len(set(colours.values()))
        if now == count:
            return colours
        count = now


def _verify(ours: dict[str, _Node], theirs: dict[str, _Node], renaming: Renaming) -> bool:
    return all(
        node.label == theirs[renaming[node_id]].label
        and tuple((name, slot, renaming[source]) for name, slot, source in node.links)
        == theirs[renaming[node_id]].links
        for node_id, node in ours.items()
    )
