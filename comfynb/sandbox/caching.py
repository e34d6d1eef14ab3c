"""The cache of node outputs, with ComfyUI's keys: equal inputs upstream mean equal results."""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.sandbox.catalogue import is_link
from comfynb.sandbox.node import Node
from comfynb.sandbox.settings import CacheMode

__all__ = ["CacheEntry", "OutputCache", "node_keys"]

Prompt = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What one execution of a node left: its outputs, and its ``ui`` with the node ids it had."""

    outputs: tuple[Any, ...]
    ui: dict[str, Any] | None
    meta: dict[str, Any] | None


def node_keys(
    prompt: Prompt,
    classes: Callable[[str], type[Node]],
    fingerprint: Callable[[str], object],
) -> dict[str, Hashable]:
    """Return the cache key of every node of a prompt.

    A key holds, for the node and for each of its ancestors, the class, the fingerprint and the
    sorted inputs; a link is given by the position of the ancestor among the ancestors, never by
    its id. The id itself counts only for classes that say so.
    """
    own = {node_id: _own_part(node_id, node, classes) for node_id, node in prompt.items()}
    prints = {node_id: _hashable(fingerprint(node_id)) for node_id in prompt}
    keys: dict[str, Hashable] = {}
    for node_id in prompt:
        order = _ancestors(prompt, node_id)
        keys[node_id] = tuple(
            _part(prompt, own, prints, member, order) for member in (node_id, *order)
        )
    return keys


def _own_part(
    node_id: str, node: Mapping[str, Any], classes: Callable[[str], type[Node]]
) -> tuple[Hashable, ...]:
    kind = classes(node["class_type"])
    wants_id = kind.NOT_IDEMPOTENT or "UNIQUE_ID" in kind.INPUTS.get("hidden", {}).values()
    return (node["class_type"], node_id) if wants_id else (node["class_type"],)


def _part(
    prompt: Prompt,
    own: Mapping[str, tuple[Hashable, ...]],
    prints: Mapping[str, Hashable],
    node_id: str,
    order: Mapping[str, int],
) -> Hashable:
    if node_id not in prompt:
        return object()  # a node that does not exist is never cached
    inputs = prompt[node_id].get("inputs", {})
    values = tuple(
        (key, "ANCESTOR", order[inputs[key][0]], inputs[key][1])
        if is_link(inputs[key])
        else (key, _hashable(inputs[key]))
        for key in sorted(inputs)
    )
    return (*own[node_id], prints[node_id], values)


def _ancestors(prompt: Prompt, node_id: str) -> dict[str, int]:
    """Return the position of each ancestor, depth first along the sorted inputs."""
    order: dict[str, int] = {}
    stack = [_sources(prompt, node_id)]
    while stack:
        ancestor = next(stack[-1], None)
        if ancestor is None:
            stack.pop()
        elif ancestor not in order:
            order[ancestor] = len(order)
            stack.append(_sources(prompt, ancestor))
    return order


def _sources(prompt: Prompt, node_id: str) -> Any:
    inputs = prompt.get(node_id, {}).get("inputs", {})
    return (inputs[key][0] for key in sorted(inputs) if is_link(inputs[key]))


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, float) and math.isnan(value):
        return object()  # equals nothing but itself, as NaN should
    if isinstance(value, str | int | float | bytes | None):
        return value
    return object()


class OutputCache:
    """Results by key. What is kept from prompt to prompt is the `CacheMode`'s choice."""

    def __init__(self, mode: CacheMode) -> None:
        self._mode = mode
        self._entries: OrderedDict[Hashable, CacheEntry] = OrderedDict()
        self._keys: dict[str, Hashable] = {}

    def begin(self, keys: dict[str, Hashable]) -> None:
        """Turn to a new prompt, dropping what the mode does not keep for it."""
        self._keys = keys
        if self._mode.kind == "classic":
            wanted = set(keys.values())
            for key in [key for key in self._entries if key not in wanted]:
                del self._entries[key]
        elif self._mode.kind == "none":
            self._entries.clear()

    def get(self, node_id: str) -> CacheEntry | None:
        """Return the entry of a node of the current prompt."""
        key = self._keys.get(node_id)
        entry = self._entries.get(key)
        if entry is not None and self._mode.kind == "lru":
            self._entries.move_to_end(key)
        return entry

    def put(self, node_id: str, entry: CacheEntry) -> None:
        """Keep what a node of the current prompt has given."""
        key = self._keys[node_id]
        self._entries[key] = entry
        if self._mode.kind == "lru":
            self._entries.move_to_end(key)
            wanted = set(self._keys.values())
            # the current prompt's own results are never dropped under it
            for old in list(self._entries):
                if len(self._entries) <= max(self._mode.size, len(wanted)):
                    break
                if old not in wanted:
                    del self._entries[old]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._keys = {}
