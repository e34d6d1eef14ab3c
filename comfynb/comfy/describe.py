"""Describes one input of one node as a parameter: its type, its limits, its default."""

import math
import uuid
from collections.abc import Mapping
from typing import Any

from comfynb.comfy.declared import declared_inputs
from comfynb.comfy.naming import one_line
from comfynb.comfy.object_info import DYNAMIC_COMBO, InputSpec, ObjectInfo
from comfynb.comfy.problems import node_title
from comfynb.errors import UsageError
from comfynb.models import ExposedParameter, ParamConstraints, ParamType

__all__ = ["describe_input", "parameter_id", "simple_inputs", "type_of"]

_NAMESPACE = uuid.UUID("6a0f3c1e-5b0d-5a53-9f0e-3d1c5a1b7c11")
_EXTENSIONS = {
    "image": [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tiff"],
    "video": [".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif"],
    "audio": [".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a"],
}


def parameter_id(node_id: str, field: str) -> str:
    """The id that a parameter of this input always has."""
    return str(uuid.uuid5(_NAMESPACE, f"{node_id}\n{field}"))


def simple_inputs(
    prompt: Mapping[str, Any], node_id: str, info: ObjectInfo
) -> list[tuple[str, InputSpec]]:
    """The inputs of a node that hold a value which a person can set."""
    node = prompt[node_id]
    node_class = info.node(str(node.get("class_type"))) if isinstance(node, Mapping) else None
    if node_class is None or not node_id or one_line(node_id) != node_id:
        return []
    inputs = node.get("inputs") or {}
    return [
        (name, spec)
        for name, spec in declared_inputs(node_class, inputs).items()
        if name in inputs
        and type_of(spec) is not None
        and spec.type != DYNAMIC_COMBO
        and _is_plain(inputs[name])
        and name
        and one_line(name) == name
    ]


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() or value == value.encode("utf-8", "replace").decode()
    return isinstance(value, int | float)


def type_of(spec: InputSpec) -> ParamType | None:
    """The type that a parameter of this input has; None where no person could type a value in."""
    if spec.force_input:
        return None
    if spec.upload == "image":
        return ParamType.IMAGE_PATH
    if spec.upload in {"video", "audio"}:
        # There is no type of its own for recordings; the extensions tell them apart.
        return ParamType.VIDEO_PATH
    match spec.widget:
        case "INT":
            return ParamType.INT
        case "FLOAT":
            return ParamType.FLOAT
        case "BOOLEAN":
            return ParamType.BOOL
        case "STRING":
            return ParamType.MULTILINE_STRING if spec.multiline else ParamType.STRING
        case "COMBO":
            return None if spec.options.get("multi_select") else ParamType.CHOICE
        case kind if kind == DYNAMIC_COMBO:
            return ParamType.CHOICE
    return None


def describe_input(
    prompt: Mapping[str, Any], node_id: str, spec: InputSpec, label: str, order: int
) -> ExposedParameter:
    """Make the parameter for one input; its default is what the prompt has there.

    Raises :class:`~comfynb.errors.UsageError` for an input that cannot be typed in.
    """
    type_ = type_of(spec)
    if type_ is None:
        raise UsageError(f"Input {spec.name} of type {spec.type} cannot be a parameter.")
    inputs = prompt[node_id].get("inputs") or {}
    return ExposedParameter(
        id=parameter_id(node_id, spec.name),
        node_id=node_id,
        node_title=one_line(node_title(prompt, node_id)) or node_id,
        field_name=spec.name,
        display_name=label,
        param_type=type_,
        default_value=inputs.get(spec.name, spec.default),
        constraints=_constraints(spec, type_),
        order=order,
    )


def _constraints(spec: InputSpec, type_: ParamType) -> ParamConstraints | None:
    if type_ in {ParamType.INT, ParamType.FLOAT}:
        low, high = _finite(spec.minimum), _finite(spec.maximum)
        if low is not None and high is not None and low > high:
            low = high = None
        step = _finite(spec.step)
        step = step if step is not None and step >= 0 else None
        if low is None and high is None and step is None:
            return None
        return ParamConstraints(min_value=low, max_value=high, step=step)
    if spec.choices is None and spec.upload is None:
        return None
    choices = [choice for choice in spec.choices or () if isinstance(choice, str | int | float)]
    extensions = _EXTENSIONS.get(spec.upload or "")
    if not choices and not extensions:
        return None
    return ParamConstraints(choices=choices or None, file_extensions=extensions)


def _finite(number: float | None) -> int | float | None:
    return number if number is not None and math.isfinite(number) else None
