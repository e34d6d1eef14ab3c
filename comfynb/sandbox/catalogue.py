"""The node classes that one server has, and what ``/object_info`` says about them."""

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.sandbox.node import Context, Node

__all__ = ["Catalogue", "InputSpec", "find_input", "is_link"]

InputSpec = tuple[Any, str, dict[str, Any]]
"""An input's type, its category (required, optional or hidden) and its options."""


class Catalogue:
    """The node classes of one server.

    ``choices`` overrules the options of combo inputs, by ``"Class.input"``.
    """

    def __init__(
        self,
        classes: Mapping[str, type[Node]],
        *,
        version: str,
        choices: Mapping[str, list[Any]] | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        unknown = without - classes.keys()
        if unknown:
            raise ValueError(f"there is no node class {', '.join(sorted(unknown))} to leave out")
        self._classes = {
            name: node
            for name, node in classes.items()
            if name not in without and (node.VERSIONS is None or version in node.VERSIONS)
        }
        self._own_checks = {name: _own_checks(node) for name, node in self._classes.items()}
        self._with_fingerprint = {
            name
            for name, node in self._classes.items()
            if node.fingerprint.__func__ is not Node.fingerprint.__func__  # type: ignore[attr-defined]
        }
        self._names: dict[str, frozenset[str]] = {}
        self._choices: dict[str, dict[str, list[Any]]] = {}
        for key, options in (choices or {}).items():
            name, separator, field = key.partition(".")
            if not separator or name not in self._classes:
                raise ValueError(f"{key!r} names no input; choices are given for 'Class.input'")
            self._choices.setdefault(name, {})[field] = list(options)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __getitem__(self, name: str) -> type[Node]:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def inputs(self, name: str, ctx: Context) -> dict[str, dict[str, Any]]:
        """Return a class's inputs by category, with the server's own choices in place."""
        inputs = self._classes[name].inputs(ctx)
        overrides = self._choices.get(name)
        if not overrides:
            return inputs
        inputs = copy.deepcopy(inputs)
        for field, options in overrides.items():
            category = next((c for c in inputs.values() if field in c), None)
            if category is None:
                raise ValueError(f"the node class {name} has no input {field!r} to give choices to")
            spec = list(category[field])
            if isinstance(spec[0], list):
                spec[0] = options
            else:
                spec[1] = {**spec[1], "options": options}
            category[field] = tuple(spec)
        return inputs

    def accepts(self, name: str, ctx: Context) -> frozenset[str]:
        """Return the names of a class's inputs, without the hidden ones.

        Unlike their options the names do not depend on what lies on the server, so the class is
        asked only once.
        """
        names = self._names.get(name)
        if names is None:
            inputs = self.inputs(name, ctx)
            names = frozenset((*inputs.get("required", {}), *inputs.get("optional", {})))
            self._names[name] = names
        return names

    def own_checks(self, name: str) -> frozenset[str] | None:
        """Return the inputs whose check a class has taken over, ``None`` for all of them.

        They are the parameters of its ``validate``; empty when it has none of its own.
        """
        return self._own_checks[name]

    def has_fingerprint(self, name: str) -> bool:
        """Say whether results of a class depend on more than its inputs."""
        return name in self._with_fingerprint

    def info(self, name: str, ctx: Context) -> dict[str, Any]:
        """Return what ``/object_info`` says about one class."""
        node = self._classes[name]
        inputs = self.inputs(name, ctx)
        return {
            "input": inputs,
            "input_order": {category: list(fields) for category, fields in inputs.items()},
            "output": [kind for kind, _ in node.OUTPUTS],
            "output_is_list": [False] * len(node.OUTPUTS),
            "output_name": [label for _, label in node.OUTPUTS],
            "name": name,
            "display_name": node.DISPLAY_NAME or name,
            "description": node.DESCRIPTION,
            "python_module": node.PYTHON_MODULE,
            "category": node.CATEGORY,
            "output_node": node.OUTPUT_NODE,
            **node.object_info(ctx),
        }


def find_input(inputs: Mapping[str, Mapping[str, Any]], name: str) -> InputSpec | None:
    """Look an input up in a class's inputs; ``None`` when the class has no such input."""
    for category in ("required", "optional", "hidden"):
        spec = inputs.get(category, {}).get(name)
        if spec is None:
            continue
        if isinstance(spec, str):  # hidden inputs are bare type names
            return spec, category, {}
        return spec[0], category, spec[1] if len(spec) > 1 else {}
    return None


def is_link(value: object) -> bool:
    """Say whether an input's value is a link, ``[node id, output index]``."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def _own_checks(node: type[Node]) -> frozenset[str] | None:
    if node.validate.__func__ is Node.validate.__func__:  # type: ignore[attr-defined]
        return frozenset()
    parameters = list(inspect.signature(node.validate).parameters.values())[1:]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters)
