"""What a prompt computes, node by node: signatures by which equal work in two prompts shows.

A node's signature is made of its class, its own values and the signatures of what it is linked
to. Two nodes with equal signatures have equal outputs, so a server that has just run the one need
not run the other. Titles and node ids don't matter, as they don't to the server.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Readable", "Reader", "Reading", "Shape"]

MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".engine")
"""How files end that hold weights; nothing else is read from values."""


class Readable(Protocol):
    """What is needed of a task."""

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The API prompt."""

    @property
    def version(self) -> str:
        """The workflow version's id; empty where there is none."""

    @property
    def files(self) -> Mapping[tuple[str, str], Any]:
        """Files that take the place of values, by (node id, input name)."""


class Shape:
    """The nodes and links that all prompts of one workflow version have in common.

    Nodes are numbered in the order of flow; a set of nodes is a bit mask of those numbers.
    """

    def __init__(self, key: Hashable, prompt: Mapping[str, Any]) -> None:
        self.key = key
        self.base = prompt
        links = {node_id: _links(node, prompt) for node_id, node in prompt.items()}
        self.order: tuple[str, ...] = _flow(links)
        self.number = {node_id: number for number, node_id in enumerate(self.order)}
        self.links = tuple(links[node_id] for node_id in self.order)
        self.classes = tuple(str(prompt[node_id].get("class_type")) for node_id in self.order)
        self.sources: tuple[tuple[int, ...], ...] = tuple(
            # A source that comes later is part of a circle, which no server accepts.
            tuple(self.number[source] for _, source, _ in each if self.number[source] < number)
            for number, each in enumerate(self.links)
        )
        below = [1 << number for number in range(len(self.order))]
        for number in reversed(range(len(self.order))):
            for source in self.sources[number]:
                below[source] |= below[number]
        self.below: tuple[int, ...] = tuple(below)
        """For each node, the mask of what runs again when it does: itself and all behind it."""
        self.own: tuple[int, ...] = tuple(own_value(prompt[node_id]) for node_id in self.order)
        self.loads = tuple(_names_model(prompt[node_id]) for node_id in self.order)
        """Whether a node names a file of weights."""
        self.sigs = self._sign(self.own)

    def __repr__(self) -> str:
        return f"Shape({len(self.order)} nodes)"

    def _sign(self, own: Sequence[int]) -> tuple[int, ...]:
        sigs: list[int] = []
        for number, value in enumerate(own):
            sigs.append(hash((value, *(sigs[source] for source in self.sources[number]))))
        return tuple(sigs)

    def read(self, task: Readable) -> "Reading | None":
        """The signatures of another prompt of this shape; None if it is linked otherwise."""
        prompt, files = task.prompt, task.files
        base = self.base
        if prompt is base and not files:
            return Reading(self, self.own, self.sigs)
        if len(prompt) != len(base):
            return None
        given: dict[str, list[object]] = {}
        for (node_id, name), file in files.items():
            given.setdefault(node_id, []).append((name, str(file)))
        own = list(self.own)
        changed = 0
        sigs = list(self.sigs)
        for number, node_id in enumerate(self.order):
            node = prompt.get(node_id)
            if node is None:
                return None
            # Nodes that no value touches are shared between the prompts of a workflow.
            if node is not base[node_id] or node_id in given:
                if _links(node, prompt) != self.links[number]:
                    return None
                own[number] = own_value(node, given.get(node_id))
            again = own[number] != self.own[number]
            for source in self.sources[number]:
                again = again or bool(changed >> source & 1)
            if again:
                changed |= 1 << number
                sigs[number] = hash((own[number], *(sigs[s] for s in self.sources[number])))
        return Reading(self, tuple(own), tuple(sigs))


class Reading:
    """One prompt as the scheduler sees it."""

    __slots__ = ("own", "shape", "sigs")

    def __init__(self, shape: Shape, own: tuple[int, ...], sigs: tuple[int, ...]) -> None:
        self.shape = shape
        self.own = own
        self.sigs = sigs

    def __repr__(self) -> str:
        return f"Reading({self.shape!r})"


class Reader:
    """Reads prompts; those of one workflow version are compared with the first of them."""

    def __init__(self) -> None:
        self._shapes: dict[Hashable, Shape] = {}

    def read(self, task: Readable) -> Reading:
        """The signatures of a task's prompt."""
        shape = self._shapes.get(task.version) if task.version else None
        reading = shape.read(task) if shape is not None else None
        if reading is not None:
            return reading
        # The links are part of the key where they are not those of the version.
        key: Hashable = task.version
        if shape is not None or not task.version:
            key = _structure(task.prompt)
            shape = self._shapes.get(key)
        if shape is None:
            shape = Shape(key, task.prompt)
            self._shapes[key] = shape
        reading = shape.read(task)
        assert reading is not None, "a prompt has the shape that was made of it"
        return reading


def own_value(node: object, files: list[object] | None = None) -> int:
    """A hash of what a node says by itself: its class and its values, without its links."""
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    values: list[object] = []
    if isinstance(inputs, Mapping):
        for name in sorted(map(str, inputs)):
            value = inputs.get(name)
            if _is_link(value):
                values.append((name, value[1]))  # type: ignore[index]
            elif isinstance(value, str | int | float | bool | None):
                values.append((name, type(value).__name__, value))
            else:
                values.append((name, json.dumps(value, sort_keys=True, default=str)))
    class_type = node.get("class_type") if isinstance(node, Mapping) else None
    return hash((str(class_type), *values, *(files or ())))


def _names_model(node: object) -> bool:
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return isinstance(inputs, Mapping) and any(
        isinstance(value, str) and value.lower().endswith(MODEL_FILES) for value in inputs.values()
    )


def _is_link(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
        and not isinstance(value[1], bool)
    )


def _links(node: object, prompt: Mapping[str, Any]) -> tuple[tuple[str, str, float], ...]:
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    if not isinstance(inputs, Mapping):
        return ()
    return tuple(
        (str(name), inputs[name][0], inputs[name][1])
        for name in sorted(inputs, key=str)
        if _is_link(inputs[name]) and inputs[name][0] in prompt
    )


def _structure(prompt: Mapping[str, Any]) -> Hashable:
    return tuple(
        (node_id, str(node.get("class_type")), _links(node, prompt))
        for node_id, node in prompt.items()
    )


def _flow(links: Mapping[str, tuple[tuple[str, str, float], ...]]) -> tuple[str, ...]:
    """Node ids so that sources come first; nodes of a circle come last, as they were given."""
    missing = {node_id: {source for _, source, _ in each} for node_id, each in links.items()}
    readers: dict[str, list[str]] = {node_id: [] for node_id in links}
    for node_id, sources in missing.items():
        for source in sources:
            readers[source].append(node_id)
    ready = [node_id for node_id, sources in missing.items() if not sources]
    order: list[str] = []
    for node_id in ready:  # grows while it is walked
        order.append(node_id)
        for reader in readers[node_id]:
            missing[reader].discard(node_id)
            if not missing[reader]:
                ready.append(reader)
    if len(order) < len(links):
        done = set(order)
        order.extend(node_id for node_id in links if node_id not in done)
    return tuple(order)
