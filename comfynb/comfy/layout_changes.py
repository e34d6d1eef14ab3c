"""What of a UI workflow is for the eye: where nodes lie, in which subgraphs, and what moved."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PlacedNode", "layout_changes", "placed_nodes"]

_MOST_NODES = 50_000
_DEEPEST = 20
_NOTES = frozenset({"Note", "MarkdownNote"})
_LOOKS = ("size", "color", "bgcolor", "flags", "shape")


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A saved node under its id in the prompt; ``path``: titles of the subgraphs around it."""

    type: str
    title: str
    mode: int
    path: tuple[str, ...]


def placed_nodes(workflow: Mapping[str, Any]) -> dict[str, PlacedNode]:
    """Every node of a UI workflow by the id that it has in the prompt, ``"12:5"`` say."""
    definitions = _definitions(workflow)
    found: dict[str, PlacedNode] = {}
    waiting: list[tuple[Mapping[str, Any], str, tuple[str, ...]]] = [(workflow, "", ())]
    while waiting and len(found) < _MOST_NODES:
        graph, prefix, path = waiting.pop()
        for node in _dicts(graph.get("nodes")):
            type_ = node.get("type")
            if not isinstance(type_, str):
                continue
            definition = definitions.get(type_)
            title = _title(node, definition)
            mode = node.get("mode")
            node_id = f"{prefix}{node.get('id')}"
            found.setdefault(
                node_id, PlacedNode(type_, title, mode if isinstance(mode, int) else 0, path)
            )
            if definition is not None and len(path) < _DEEPEST:
                waiting.append((definition, f"{node_id}:", (*path, title)))
    return found


def layout_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say in sentences what changed for the eye alone; node ids of one graph must mean the same."""
    moved = looks = notes = 0
    old_graphs, new_graphs = dict(_graphs(before)), dict(_graphs(after))
    groups = False
    for key in old_graphs.keys() & new_graphs.keys():
        old, new = old_graphs[key], new_graphs[key]
        ours = {str(node.get("id")): node for node in _dicts(old.get("nodes"))}
        for node in _dicts(new.get("nodes")):
            was = ours.get(str(node.get("id")))
            if was is None or was.get("type") != node.get("type"):
                continue
            moved += _key(was.get("pos")) != _key(node.get("pos"))
            looks += any(_key(was.get(name)) != _key(node.get(name)) for name in _LOOKS)
            if node.get("type") in _NOTES:
                notes += _key(was.get("widgets_values")) != _key(node.get("widgets_values"))
        groups = groups or _key(old.get("groups")) != _key(new.get("groups"))
        notes += abs(_count_notes(old) - _count_notes(new))
    sentences = []
    for count, done in ((moved, "moved"), (looks, "looks different")):
        if count:
            verb = done if count == 1 else done.replace("looks", "look")
            sentences.append(f"{count} node{'' if count == 1 else 's'} {verb}")
    if groups:
        sentences.append("the groups on the canvas changed")
    if notes:
        sentences.append(f"{notes} note{'' if notes == 1 else 's'} changed")
    return [f"Layout only: {', '.join(sentences)}."] if sentences else []


def _graphs(workflow: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "", workflow
    yield from _definitions(workflow).items()


def _definitions(workflow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    definitions = workflow.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    return {one["id"]: one for one in _dicts(listed) if isinstance(one.get("id"), str)}


def _title(node: Mapping[str, Any], definition: Mapping[str, Any] | None) -> str:
    for title in (node.get("title"), definition.get("name") if definition else None):
        if isinstance(title, str) and title:
            return title
    return "Subgraph" if definition is not None else str(node.get("type"))


def _count_notes(graph: Mapping[str, Any]) -> int:
    return sum(node.get("type") in _NOTES for node in _dicts(graph.get("nodes")))


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    items = value.values() if isinstance(value, Mapping) else value
    return (
        [item for item in items if isinstance(item, Mapping)]
        if isinstance(items, list | type({}.values()))
        else []
    )
