"""What ``wf.parameters``, ``wf.nodes`` and ``wf.choices`` are: tables that complete with Tab."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from comfynb.comfy.choices import Offer
from comfynb.comfy.exposing import nodes_called, settable_inputs
from comfynb.comfy.keys import ParameterKeys
from comfynb.comfy.naming import one_line
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.problems import node_title, shorten, suggest
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter
from comfynb.widgets import StaticTable, parameters_table

__all__ = ["Choices", "Input", "Node", "Nodes", "Parameters"]


class _Shown:
    """Shows itself as a table."""

    def _table(self) -> StaticTable:
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = self._table()
        return {"text/plain": shown.plain(), "text/html": shown._repr_html_()}


class Parameters(_Shown, Mapping[str, ExposedParameter]):
    """What can be set, by the name that ``wf.run`` takes; always as it is now."""

    def __init__(
        self,
        keys: Callable[[], ParameterKeys],
        notes: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._keys = keys
        self._notes = notes

    def __getitem__(self, key: str) -> ExposedParameter:
        return self._keys()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _table(self) -> StaticTable:
        return parameters_table(self._keys(), notes=self._notes())


class Choices(_Shown, Mapping[Any, tuple[str, ...]]):
    """What may be chosen for one parameter: each choice, and the backends that lack it."""

    def __init__(self, name: str, offered: list[Offer]) -> None:
        self._name = name
        self._offers = {offer.value: offer for offer in offered}

    def __getitem__(self, choice: Any) -> tuple[str, ...]:
        if choice not in self._offers:
            raise NotFound(
                f"No backend offers {shorten(choice)} for {self._name}"
                f"{suggest(choice, self._offers)}."
            )
        return self._offers[choice].lacking

    def __contains__(self, choice: object) -> bool:
        return choice in self._offers

    def __iter__(self) -> Iterator[Any]:
        return iter(self._offers)

    def __len__(self) -> int:
        return len(self._offers)

    def _ipython_key_completions_(self) -> list[str]:
        return [str(choice) for choice in self]

    def _table(self) -> StaticTable:
        return StaticTable(
            ["Choice", "Not on"],
            [(str(one.value), ", ".join(one.lacking)) for one in self._offers.values()],
            empty=f"no backend offers a choice for {self._name}",
        )


class Input:
    """One input of one node: hand it to ``wf.expose``."""

    def __init__(self, node: "Node", name: str, value: object, kind: str) -> None:
        self.node = node
        self.name = name
        self.value = value
        """The value that the workflow has there."""
        self.type = kind
        """ComfyUI's name of its type: ``"INT"``, ``"COMBO"``..."""

    @property
    def place(self) -> str:
        """Where it is, unmistakably: ``"3.seed"``."""
        return f"{self.node.id}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self.node.title}.{self.name}: {self.type} = {shorten(self.value)}>"


class Node(_Shown):
    """One node of a workflow; its inputs are attributes: ``wf.nodes["KSampler"].seed``."""

    def __init__(self, node_id: str, prompt: Mapping[str, Any], object_info: ObjectInfo) -> None:
        node = prompt[node_id]
        self.id = node_id
        self.title = one_line(node_title(prompt, node_id)) or node_id
        self.node_class = str(node.get("class_type"))
        values = node.get("inputs") or {}
        self._inputs = {
            name: Input(self, name, values.get(name, spec.default), spec.type)
            for name, spec in settable_inputs(prompt, node_id, object_info).items()
        }

    def __getitem__(self, name: str) -> Input:
        if name not in self._inputs:
            names = ", ".join(self._inputs) or "nothing"
            raise NotFound(
                f"{self.title} has no input {shorten(name)} that can be set"
                f"{suggest(name, self._inputs)}; it has {names}."
            )
        return self._inputs[name]

    def __getattr__(self, name: str) -> Input:
        if name.startswith("_") or name not in self._inputs:
            raise AttributeError(f"{self.title} has no input {name!r} that can be set.")
        return self._inputs[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._inputs if name.isidentifier())]

    def __iter__(self) -> Iterator[Input]:
        return iter(self._inputs.values())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._inputs)

    def _table(self) -> StaticTable:
        return StaticTable(
            ["Input", "Type", "Value"],
            [(one.name, one.type, shorten(one.value)) for one in self],
            empty=f"{self.title} has no input that can be set",
        )


class Nodes(_Shown, Mapping[str, Node]):
    """The nodes of a workflow by title; by id, ``wf.nodes["3"]``, where several have one title.

    ``wf.nodes["KSampler.seed"]`` is one input at once.
    """

    def __init__(
        self, prompt: Callable[[], Mapping[str, Any]], object_info: Callable[[], ObjectInfo]
    ) -> None:
        self._prompt = prompt
        self._object_info = object_info

    def __getitem__(self, name: str) -> Any:
        prompt = self._prompt()
        found = nodes_called(prompt, name)
        if len(found) == 1:
            return Node(found[0], prompt, self._object_info())
        if found:
            raise UsageError(f"{shorten(name)} means {len(found)} nodes: use {_either(found)}.")
        title, dot, field = name.partition(".")
        while dot:
            if len(nodes_called(prompt, title)) == 1:
                return self[title][field]
            more, dot, field = field.partition(".")
            title = f"{title}.{more}"
        raise NotFound(f"There is no node called {shorten(name)}{suggest(name, list(self))}.")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and len(nodes_called(self._prompt(), name)) == 1

    def __iter__(self) -> Iterator[str]:
        """A name for each node: its title, or its id where others have the same title."""
        prompt = self._prompt()
        titles = [one_line(node_title(prompt, node_id)) for node_id in prompt]
        for node_id, title in zip(prompt, titles, strict=True):
            yield title if title and titles.count(title) == 1 else node_id

    def __len__(self) -> int:
        return len(self._prompt())

    def _ipython_key_completions_(self) -> list[str]:
        prompt, info = self._prompt(), self._object_info()
        inputs = [
            f"{name}.{field}"
            for name, node_id in zip(self, prompt, strict=True)
            for field in settable_inputs(prompt, node_id, info)
        ]
        return [*self, *inputs]

    def _table(self) -> StaticTable:
        prompt, info = self._prompt(), self._object_info()
        return StaticTable(
            ["Node", "Id", "Class", "What can be set"],
            [
                (
                    one_line(node_title(prompt, node_id)) or node_id,
                    node_id,
                    str(node.get("class_type")),
                    ", ".join(settable_inputs(prompt, node_id, info)),
                )
                for node_id, node in prompt.items()
            ],
            empty="no nodes",
        )


def _either(ids: list[str]) -> str:
    return " or ".join(shorten(one) for one in ids[:5]) + (" ..." if len(ids) > 5 else "")
