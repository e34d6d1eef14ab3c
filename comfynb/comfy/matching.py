"""Finds which node of one prompt is which node of another, also where ids were given anew."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from comfynb.comfy.compare import match_prompts
from comfynb.comfy.graph import is_link, links_of

__all__ = ["ids_are_kept", "match_nodes"]

_ENOUGH = 0.5
"""Two nodes of one class whose inputs and neighbours agree by less than this are two nodes."""
_ROUNDS = 3
_MOST_PAIRS = 250_000
"""Where more pairs of one class would have to be weighed, only ids and titles tell nodes apart."""

Prompt = Mapping[str, Any]
Nodes = Mapping[str, Mapping[str, Any]]


def match_nodes(before: Prompt, after: Prompt) -> dict[str, str]:
    """Give ``{id in before: id in after}`` for the nodes that both have.

    Where the two are the same graph, whatever the ids, that settles it. Else ids are trusted where
    they are kept: where nearly all ids that both prompts have mean the same class in both, and at
    least half of the smaller prompt's ids are such. Then a node is what has its id, and only what
    is left over is weighed. Where ids were given anew (a subgraph was unpacked, nodes were pasted),
    they tell nothing, and all pairs of one class are weighed by their title, their values and their
    neighbours, the best pairs first; a pair that agrees by less than half is no pair.
    """
    ours, theirs = _nodes(before), _nodes(after)
    found: dict[str, str] = {}
    if ids_are_kept(ours, theirs):
        found = {
            node_id: node_id
            for node_id, node in ours.items()
            if node_id in theirs and _class(node) == _class(theirs[node_id])
        }
        if all(_text(ours.get(key)) == _text(theirs.get(key)) for key in {*ours, *theirs}):
            return found
    # With their titles first, so that twins keep them.
    renaming = match_prompts(_titled(ours), _titled(theirs)) or match_prompts(ours, theirs)
    if renaming is not None:
        return renaming
    _weigh_the_rest(ours, theirs, found)
    return found


def ids_are_kept(before: Prompt, after: Prompt) -> bool:
    """Whether the ids of two prompts mean the same nodes."""
    common = before.keys() & after.keys()
    if not before or not after:
        return True
    alike = sum(_class(before[node_id]) == _class(after[node_id]) for node_id in common)
    if not (alike >= 0.9 * len(common) and 2 * alike >= min(len(before), len(after))):
        return False
    # The same ids and classes may still have changed places: nodes that all have become others
    # while the same nodes are there under other ids.
    untouched = sum(_content(before[node_id]) == _content(after[node_id]) for node_id in common)
    anywhere = Counter(_content(node) for node in before.values())
    anywhere &= Counter(_content(node) for node in after.values())
    return 2 * untouched >= sum(anywhere.values())


def _nodes(prompt: Prompt) -> dict[str, Mapping[str, Any]]:
    return {node_id: node for node_id, node in prompt.items() if isinstance(node, Mapping)}


def _titled(nodes: Nodes) -> dict[str, dict[str, Any]]:
    return {
        node_id: {**node, "class_type": [_class(node), _title(node)]}
        for node_id, node in nodes.items()
    }


def _class(node: object) -> object:
    return node.get("class_type") if isinstance(node, Mapping) else None


def _title(node: Mapping[str, Any]) -> object:
    meta = node.get("_meta")
    return meta.get("title") if isinstance(meta, Mapping) else None


def _inputs(node: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, Mapping) else {}


def _content(node: object) -> str:
    if not isinstance(node, Mapping):
        return ""
    plain = {name: _text(value) for name, value in _inputs(node).items() if not is_link(value)}
    return json.dumps([str(_class(node)), str(_title(node)), plain], sort_keys=True)


def _text(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except RecursionError:
        return "nested"


def _weigh_the_rest(ours: Nodes, theirs: Nodes, found: dict[str, str]) -> None:
    taken = set(found.values())
    left: dict[object, list[str]] = {}
    for node_id, node in theirs.items():
        if node_id not in taken:
            left.setdefault(_class(node), []).append(node_id)
    pairs = [
        (node_id, other)
        for node_id, node in ours.items()
        if node_id not in found
        for other in left.get(_class(node), ())
    ]
    if len(pairs) > _MOST_PAIRS:
        pairs = [(a, b) for a, b in pairs if a == b or _title(ours[a]) == _title(theirs[b])]
        pairs = pairs[:_MOST_PAIRS]
    if not pairs:
        return
    alike = {(a, b): _likeness(ours[a], theirs[b]) for a, b in pairs}
    our_users, their_users = _users(ours), _users(theirs)
    sure, guess = dict(found), dict(found)
    for _ in range(_ROUNDS):
        # Neighbours count as those that the round before took them for.
        scores = {
            (a, b): value
            + _neighbours(links_of(ours[a]), links_of(theirs[b]), guess)
            + _neighbours(our_users.get(a, ()), their_users.get(b, ()), guess)
            for (a, b), value in alike.items()
        }
        guess = {**sure, **_best(scores)}
    found.update({a: b for a, b in guess.items() if a not in sure})


def _likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """From 0 to 2: the share of equal plain inputs, and whether the titles are equal."""
    ours = {name: value for name, value in _inputs(one).items() if not is_link(value)}
    theirs = {name: value for name, value in _inputs(other).items() if not is_link(value)}
    names = ours.keys() | theirs.keys()
    equal = sum(
        name in ours and name in theirs and _text(ours[name]) == _text(theirs[name])
        for name in names
    )
    return (equal / len(names) if names else 1.0) + (_title(one) == _title(other))


Ends = Iterable[tuple[str, str, int]]


def _neighbours(ours: Ends, theirs: Ends, guess: Mapping[str, str]) -> float:
    """From 0 to 1: the share of links that lead the same way to nodes taken for the same."""
    one = {(name, guess.get(node_id, ""), slot) for name, node_id, slot in ours}
    other = {(name, node_id, slot) for name, node_id, slot in theirs}
    if not one and not other:
        return 1.0
    return len(one & other) / len(one | other)


def _users(nodes: Nodes) -> dict[str, list[tuple[str, str, int]]]:
    users: dict[str, list[tuple[str, str, int]]] = {}
    for node_id, node in nodes.items():
        for name, source, slot in links_of(node):
            users.setdefault(source, []).append((name, node_id, slot))
    return users


def _best(scores: Mapping[tuple[str, str], float]) -> dict[str, str]:
    """Take the best pairs first; 4 is full agreement."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for (a, b), score in sorted(scores.items(), key=lambda item: (-item[1], item[0])):
        if score < 4 * _ENOUGH:
            break
        if a not in found and b not in taken:
            found[a] = b
            taken.add(b)
    return found
