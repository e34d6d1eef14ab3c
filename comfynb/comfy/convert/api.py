"""The entry points of conversion: what is a workflow, and what comes of it."""

import copy
from collections.abc import Mapping
from typing import Any

from comfynb.comfy.convert.engine import Converter
from comfynb.comfy.convert.report import Conversion, ConversionReport
from comfynb.comfy.object_info import as_object_info
from comfynb.errors import NotAWorkflow

__all__ = [
    "convert",
    "describe",
    "is_api_prompt",
    "is_ui_workflow",
    "promoted_inputs",
    "promotions",
    "to_api_prompt",
]


def is_ui_workflow(data: object) -> bool:
    """Whether the value looks like a workflow as the front-end saves it."""
    return isinstance(data, Mapping) and isinstance(data.get("nodes"), list | Mapping)


def is_api_prompt(data: object) -> bool:
    """Whether the value looks like a prompt: ``{id: {"class_type": ..., "inputs": {...}}}``."""
    if not isinstance(data, Mapping) or not data or is_ui_workflow(data):
        return False
    return all(
        isinstance(key, str)
        and isinstance(node, Mapping)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs", {}), Mapping)
        for key, node in data.items()
    )


def convert(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Conversion:
    """Convert a UI workflow to a prompt in API format, and report what was done to it.

    ``object_info`` is the server's answer to ``GET /object_info`` (raw, or an
    :class:`~comfynb.comfy.object_info.ObjectInfo`, which keeps what was parsed for the next call).
    Pure and deterministic; neither argument is changed. A value that already is a prompt is
    returned as it is. Raises :class:`~comfynb.errors.NotAWorkflow` for anything else, and
    :class:`~comfynb.errors.WorkflowError` if its subgraphs expand beyond all measure.
    """
    if is_ui_workflow(workflow):
        return Converter(workflow, as_object_info(object_info)).run()
    if is_api_prompt(workflow):
        return Conversion(copy.deepcopy(dict(workflow)), ConversionReport())
    raise NotAWorkflow(
        f"This is not a ComfyUI workflow but {describe(workflow)}: give a workflow saved by "
        "ComfyUI, or a prompt in API format."
    )


def to_api_prompt(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a UI workflow to the prompt that the front-end would send; see :func:`convert`."""
    return convert(workflow, object_info).prompt


def promoted_inputs(
    workflow: Mapping[str, Any], object_info: Mapping[str, Any], node_id: str, name: str
) -> list[tuple[str, str]]:
    """Which inputs of the prompt a subgraph instance's own input stands for.

    ``node_id`` is the instance's id in the prompt's terms (``"5"``, ``"5:7"``). Gives
    ``(node id, input)`` pairs, the first first; empty for an unknown instance or input.
    """
    if not is_ui_workflow(workflow):
        return []
    return Converter(workflow, as_object_info(object_info)).promoted(node_id, name)


def promotions(
    workflow: Mapping[str, Any], object_info: Mapping[str, Any]
) -> dict[tuple[str, str], str]:
    """Which inputs of the prompt the author shows on subgraph instances at the root.

    Gives ``{(node id, input): label}``; the label is empty where the author gave none. Inner nodes'
    inputs that are not among them can only be seen by opening the subgraph.
    """
    if not is_ui_workflow(workflow):
        return {}
    return Converter(workflow, as_object_info(object_info)).promotions()


def describe(value: object) -> str:
    """Say what a JSON value is: ``a list of 3 numbers``, ``a mapping with the keys "a", "b"``."""
    match value:
        case None:
            return "null"
        case bool():
            return "a lone true or false"
        case int() | float():
            return "a lone number"
        case str():
            return "a text" if value.strip() else "an empty text"
        case list() | tuple():
            return _describe_list(value)
        case Mapping():
            return _describe_mapping(value)
    return f"a Python {type(value).__name__}"


def _describe_list(value: list[Any] | tuple[Any, ...]) -> str:
    if not value:
        return "an empty list"
    kinds = {_plural(item) for item in value}
    what = kinds.pop() if len(kinds) == 1 else "things of several kinds"
    return f"a list of {len(value)} {what}" if len(value) > 1 else f"a list of one of the {what}"


def _plural(value: object) -> str:
    if isinstance(value, bool):
        return "booleans"
    if isinstance(value, int | float):
        return "numbers"
    if isinstance(value, str):
        return "texts"
    if isinstance(value, list | tuple):
        return "lists"
    return "mappings" if isinstance(value, Mapping) else "nulls"


def _describe_mapping(value: Mapping[Any, Any]) -> str:
    if not value:
        return "an empty mapping"
    keys = [repr(str(key)[:40]) for key in list(value)[:4]]
    more = ", …" if len(value) > 4 else ""
    return f"a mapping with the keys {', '.join(keys)}{more}"
