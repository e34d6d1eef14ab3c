"""The inputs that a node of a prompt may have, dynamic ones included."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.convert.dynamic import autogrow_of, group_rows, sub_inputs
from comfynb.comfy.object_info import (
    AUTOGROW,
    DYNAMIC_COMBO,
    DYNAMIC_GROUP,
    InputSpec,
    NodeClass,
)

__all__ = ["declared_input", "declared_inputs"]


def declared_inputs(node_class: NodeClass, inputs: Mapping[str, Any]) -> dict[str, InputSpec]:
    """The declared inputs by full name, given what the node was given.

    A dynamic combo brings the inputs of its choice (``mode.width``), an autogrow group one row more
    than is used (``images.image0``), a dynamic group the rows that are there (``group.0.width``).
    """
    found: dict[str, InputSpec] = {}
    for spec in node_class.inputs.values():
        for inner in _expanded(spec, inputs):
            found[inner.name] = inner
    return found


def declared_input(node_class: NodeClass, inputs: Mapping[str, Any], name: str) -> InputSpec | None:
    """One declared input by its full name."""
    spec = node_class.inputs.get(name)
    if spec is not None and spec.type not in {AUTOGROW, DYNAMIC_GROUP}:
        return spec
    return declared_inputs(node_class, inputs).get(name) if "." in name else None


def _expanded(spec: InputSpec, inputs: Mapping[str, Any]) -> Iterator[InputSpec]:
    if spec.type == AUTOGROW:
        group = autogrow_of(spec)
        rows = (group.row_of(name) for name in inputs)
        used = max((row for row in rows if row is not None), default=-1)
        for number in range(min(max(group.at_least, used + 1), group.at_most)):
            for inner in group.row(number):
                yield from _expanded(inner, inputs)
        return
    if spec.type == DYNAMIC_GROUP:
        prefix = f"{spec.name}."
        numbers = (
            name.removeprefix(prefix).split(".", 1)[0] for name in inputs if name.startswith(prefix)
        )
        count = max((int(n) + 1 for n in numbers if n.isdigit() and len(n) < 4), default=0)
        for inner in group_rows(spec, spec.name, count):
            yield from _expanded(inner, inputs)
        return
    yield spec
    if spec.type == DYNAMIC_COMBO:
        for inner in sub_inputs(spec, spec.name, inputs.get(spec.name)):
            yield from _expanded(inner, inputs)
