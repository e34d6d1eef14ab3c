"""Compares two prompts: whether they are the same graph under other node ids, and what differs."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.graph import is_link
from comfynb.comfy.object_info import as_object_info
from comfynb.comfy.problems import node_label, shorten

__all__ = ["Difference", "diff_prompts", "match_prompts", "same_prompt"]

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
                values[name] = _plain(value)
        label = json.dumps([class_type, values], sort_keys=True, ensure_ascii=False)
        reduced[node_id] = _Node(label, tuple(sorted(links)))
    return reduced


def _plain(value: Any) -> Any:
    """Write whole floats as ints, as JavaScript does."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
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


@dataclass(frozen=True, slots=True)
class Difference:
    """One change from one prompt to another; ``input`` is empty for a whole node."""

    kind: str
    """``added``, ``removed``, ``class``, ``title`` or ``input``."""
    node_id: str
    title: str
    input: str = ""
    before: Any = None
    after: Any = None
    text: str = ""

    def __str__(self) -> str:
        return self.text


def diff_prompts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """List what changed between two versions of a prompt, node by node in the order of the ids."""
    found: list[Difference] = []
    for node_id in dict.fromkeys((*before, *after)):
        old, new = before.get(node_id), after.get(node_id)
        prompt = after if new is not None else before
        label, title = node_label(prompt, node_id), _title(new if new is not None else old)
        if old is None or new is None:
            kind = "added" if old is None else "removed"
            found.append(Difference(kind, node_id, title, text=f"{label} was {kind}."))
            continue
        if old.get("class_type") != new.get("class_type"):
            was, now = old.get("class_type"), new.get("class_type")
            text = f"{label}: class {shorten(was)} became {shorten(now)}."
            found.append(Difference("class", node_id, title, "", was, now, text))
        if _title(old) != title:
            text = f"{label}: its title was {shorten(_title(old))}."
            found.append(Difference("title", node_id, title, "", _title(old), title, text))
        ours, theirs = old.get("inputs") or {}, new.get("inputs") or {}
        for name in dict.fromkeys((*ours, *theirs)):
            was, now = ours.get(name), theirs.get(name)
            if name in ours and name in theirs and _key(was) == _key(now):
                continue
            text = (
                f"{label}: {name}: {_shown(before, name in ours, was)} → "
                f"{_shown(after, name in theirs, now)}."
            )
            found.append(Difference("input", node_id, title, name, was, now, text))
    return found


def _key(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _title(node: Any) -> str:
    meta = node.get("_meta") if isinstance(node, Mapping) else None
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) else str(node.get("class_type", ""))


def _shown(prompt: Mapping[str, Any], there: bool, value: Any) -> str:
    if not there:
        return "nothing"
    return f"link from {node_label(prompt, value[0])}" if is_link(value) else shorten(value)
