"""Inputs that come and go: autogrow groups, dynamic combos, dynamic groups."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from comfynb.comfy.object_info import InputSpec

__all__ = ["Autogrow", "autogrow_of", "group_rows", "sub_inputs", "whole"]


@dataclass(frozen=True, slots=True)
class Autogrow:
    """A group of inputs that grows as they are linked: ``group.name0``, ``group.name1`` ..."""

    name: str
    inputs: tuple[InputSpec, ...]
    prefix: str
    names: tuple[str, ...] | None
    at_least: int
    at_most: int

    @property
    def at_first(self) -> int:
        """How many rows a new node has."""
        return min(max(1, self.at_least + 1), self.at_most)

    def row(self, number: int) -> list[InputSpec]:
        """The inputs of one row under their full names."""
        return [
            replace(
                one,
                name=f"{self.name}.{self._base(one, number)}",
                required=number < self.at_least and one.required,
            )
            for one in self.inputs
        ]

    def row_of(self, name: str) -> int | None:
        """The row that an input's full name belongs to."""
        base = name.removeprefix(f"{self.name}.")
        if base == name:
            return None
        if self.names is not None:
            return self.names.index(base) if base in self.names else None
        digits = base[len(base.rstrip("0123456789")) :]
        return int(digits) if digits and len(digits) < 6 else None

    def _base(self, one: InputSpec, number: int) -> str:
        if self.names is not None:
            return self.names[number]
        return f"{self.prefix if len(self.inputs) == 1 else one.name}{number}"


def autogrow_of(spec: InputSpec) -> Autogrow:
    """Read an autogrow group's template."""
    template = spec.options.get("template")
    template = template if isinstance(template, Mapping) else {}
    names, prefix = template.get("names"), template.get("prefix")
    given = tuple(map(str, names)) if isinstance(names, list) else None
    return Autogrow(
        spec.name,
        spec.template_inputs,
        prefix if isinstance(prefix, str) else "",
        given,
        whole(template.get("min"), 1),
        len(given) if given is not None else min(whole(template.get("max"), 100), 1000),
    )


def sub_inputs(spec: InputSpec, name: str, choice: object) -> list[InputSpec]:
    """The inputs that a dynamic combo's choice brings, under their full names."""
    for option in spec.dynamic_options:
        if option.key == choice:
            return [replace(inner, name=f"{name}.{inner.name}") for inner in option.inputs]
    return []


def group_rows(spec: InputSpec, name: str, count: object) -> list[InputSpec]:
    """The inputs of a dynamic group with ``count`` rows, under their full names."""
    rows = min(whole(count, 0), whole(spec.options.get("max"), 20))
    return [
        replace(inner, name=f"{name}.{row}.{inner.name}")
        for row in range(rows)
        for inner in spec.template_inputs
    ]


def whole(value: object, otherwise: int) -> int:
    """The value if it is a whole number, else the other one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
