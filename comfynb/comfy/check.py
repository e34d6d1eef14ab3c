"""Checks a prompt against a server's node classes as the server itself would, before it is sent."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.declared import declared_inputs
from comfynb.comfy.graph import find_cycle, is_link, links_of
from comfynb.comfy.object_info import (
    DYNAMIC_COMBO,
    MATCH_TYPE,
    InputSpec,
    NodeClass,
    ObjectInfo,
    as_object_info,
)
from comfynb.comfy.problems import (
    Problem,
    cycle_problem,
    list_choices,
    node_label,
    node_title,
    shorten,
    suggest,
)

__all__ = ["check_prompt", "missing_classes", "missing_files", "output_nodes", "reachable"]


def missing_classes(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> list[str]:
    """Node classes that the prompt needs and the server lacks, sorted."""
    wanted = {node.get("class_type") for node in prompt.values() if isinstance(node, Mapping)}
    return sorted(name for name in wanted if isinstance(name, str) and name not in object_info)


def output_nodes(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> list[str]:
    """Ids of the nodes that the server would run for their own sake, in the prompt's order."""
    info = as_object_info(object_info)
    found = []
    for node_id, node in prompt.items():
        class_type = node.get("class_type") if isinstance(node, Mapping) else None
        node_class = info.node(class_type) if isinstance(class_type, str) else None
        if node_class is not None and node_class.is_output:
            found.append(node_id)
    return found


def reachable(prompt: Mapping[str, Any], starts: list[str]) -> list[str]:
    """The given nodes and all that they depend on, each once, in the prompt's order."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        node_id = waiting.pop()
        if node_id in seen or node_id not in prompt:
            continue
        seen.add(node_id)
        waiting.extend(source for _, source, _ in links_of(prompt[node_id]))
    return [node_id for node_id in prompt if node_id in seen]


def check_prompt(
    prompt: Mapping[str, Any], object_info: Mapping[str, Any], *, beyond_unknown: bool = False
) -> list[Problem]:
    """List what the server would refuse: an empty list means that it will take the prompt.

    Mirrors the server's validation: unknown classes anywhere; then, for the output nodes and what
    they depend on, missing inputs, links to nothing or of another type, values of the wrong type,
    out of range or not in the list; circles; nothing to run. Files in a server's input folder are
    not judged (see :func:`missing_files`): they may still be uploaded. What a node checks by itself
    cannot be known here.

    Where classes are unknown the server says no more than that, and so does this list; with
    ``beyond_unknown`` the other nodes are judged all the same.
    """
    info = as_object_info(object_info)
    problems = list(_unknown(prompt, info))
    if problems and not beyond_unknown:
        return problems
    starts = output_nodes(prompt, info)
    if problems:
        # What cannot be known to put something out may well do so.
        starts = [key for key, node in prompt.items() if isinstance(node, Mapping)]
    if not starts:
        return [
            Problem(
                "prompt_no_outputs",
                "The prompt has no output node, so the server has nothing to run: "
                "add a node that saves or previews something (SaveImage, say).",
            )
        ]
    running = reachable(prompt, starts)
    for node_id in running:
        if isinstance(prompt[node_id].get("class_type"), str):
            problems.extend(_check_node(prompt, node_id, info))
    cycle = find_cycle({node_id: prompt[node_id] for node_id in running})
    if cycle:
        problems.append(cycle_problem(prompt, cycle))
    return problems


def missing_files(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> list[Problem]:
    """List input files that the server does not list; they must be uploaded before the prompt runs.

    Names with a subfolder or with ``[output]`` are left out: servers do not list those.
    """
    info = as_object_info(object_info)
    problems = []
    for node_id in reachable(prompt, output_nodes(prompt, info)):
        node = prompt[node_id]
        node_class = info.node(node["class_type"])
        inputs = node.get("inputs") or {}
        for name, spec in declared_inputs(node_class, inputs).items() if node_class else ():
            value = inputs.get(name)
            if spec.upload is None or not spec.choices or not isinstance(value, str):
                continue
            if value in spec.choices or "/" in value or value.endswith("]"):
                continue
            problems.append(
                _problem(
                    _At(prompt, node_id, spec),
                    "file_missing",
                    value,
                    f"= {shorten(value)} is not in the server's input folder: upload it"
                    f"{suggest(value, spec.choices)}.",
                    "an uploaded file",
                )
            )
    return problems


def _unknown(prompt: Mapping[str, Any], info: ObjectInfo) -> Iterator[Problem]:
    for node_id, node in prompt.items():
        class_type = node.get("class_type") if isinstance(node, Mapping) else None
        if not isinstance(class_type, str):
            yield Problem(
                "invalid_prompt",
                f"Node {node_id} of the prompt has no class_type: it is not in API format.",
                node_id=node_id,
            )
        elif info.node(class_type) is None:
            yield Problem(
                "missing_node_type",
                f"{node_label(prompt, node_id)}: the server does not know the node class "
                f"{shorten(class_type)}; install the custom node that provides it, "
                f"or choose a backend that has it{suggest(class_type, info)}.",
                node_id=node_id,
                node_class=class_type,
                title=node_title(prompt, node_id),
            )


def _check_node(prompt: Mapping[str, Any], node_id: str, info: ObjectInfo) -> Iterator[Problem]:
    node = prompt[node_id]
    node_class = info.node(node["class_type"])
    if node_class is None:
        return
    inputs = node.get("inputs")
    inputs = inputs if isinstance(inputs, Mapping) else {}
    for name, spec in declared_inputs(node_class, inputs).items():
        if name not in inputs:
            if spec.required:
                wanted = f"a value or link of type {spec.socket}"
                yield _problem(
                    _At(prompt, node_id, spec),
                    "required_input_missing",
                    None,
                    f"is missing; it needs {wanted}.",
                    wanted,
                )
        elif isinstance(inputs[name], list):
            yield from _check_link(prompt, node_id, spec, inputs[name], info)
        else:
            yield from _check_value(prompt, node_id, spec, inputs[name], node_class)


@dataclass(frozen=True, slots=True)
class _At:
    """One input of one node of a prompt."""

    prompt: Mapping[str, Any]
    node_id: str
    spec: InputSpec


def _problem(at: _At, kind: str, value: Any, text: str, allowed: str) -> Problem:
    node_class = at.prompt[at.node_id]["class_type"]
    return Problem(
        kind,
        f"{node_label(at.prompt, at.node_id)}: input {shorten(at.spec.name)} {text}",
        node_id=at.node_id,
        node_class=node_class,
        title=node_title(at.prompt, at.node_id),
        input=at.spec.name,
        value=value,
        allowed=allowed,
    )


def _check_link(
    prompt: Mapping[str, Any], node_id: str, spec: InputSpec, link: list[Any], info: ObjectInfo
) -> Iterator[Problem]:
    if not is_link(link):
        yield _problem(
            _At(prompt, node_id, spec),
            "bad_linked_input",
            link,
            f"holds {shorten(link)}, which is no link (a link is "
            '["node id", output number], a list of values {"__value__": [...]}).',
            "a link",
        )
        return
    source = prompt.get(link[0])
    if source is None:
        yield _problem(
            _At(prompt, node_id, spec),
            "bad_linked_input",
            link,
            f"is linked to node {shorten(link[0])}, which is not in the prompt.",
            "a link to a node of the prompt",
        )
        return
    source_class = info.node(str(source.get("class_type")))
    if source_class is None:
        return
    outputs = source_class.outputs
    slot = int(link[1])
    if not 0 <= slot < len(outputs):
        yield _problem(
            _At(prompt, node_id, spec),
            "bad_linked_input",
            link,
            f"is linked to output {slot} of {node_label(prompt, link[0])}, "
            f"which has {len(outputs) or 'none'}.",
            "a link to an output that exists",
        )
        return
    received = outputs[slot].type
    if not accepts(received, spec.socket):
        yield _problem(
            _At(prompt, node_id, spec),
            "return_type_mismatch",
            link,
            f"takes {spec.socket}, but {node_label(prompt, link[0])} gives {received}.",
            spec.socket,
        )


def accepts(received: str, wanted: str) -> bool:
    """Whether the server takes an output of one type for an input of the other."""
    if received in {wanted, MATCH_TYPE}:
        return True
    ours = {part.strip() for part in received.split(",")}
    theirs = {part.strip() for part in wanted.split(",")}
    return "*" in ours or "*" in theirs or bool(ours & theirs)


def _check_value(
    prompt: Mapping[str, Any], node_id: str, spec: InputSpec, value: Any, node_class: NodeClass
) -> Iterator[Problem]:
    if isinstance(value, Mapping) and isinstance(value.get("__value__"), list):
        value = value["__value__"]
    kind = spec.type
    if kind in {"INT", "FLOAT"}:
        number = _as_number(kind, value)
        if number is None:
            yield _problem(
                _At(prompt, node_id, spec),
                "invalid_input_type",
                value,
                f"= {shorten(value)} cannot be read as {kind}.",
                kind,
            )
            return
        low, high = spec.minimum, spec.maximum
        if low is not None and number < low:
            yield _out_of_range(prompt, node_id, spec, value, "value_smaller_than_min")
        elif high is not None and number > high:
            yield _out_of_range(prompt, node_id, spec, value, "value_bigger_than_max")
    elif kind in {"COMBO", DYNAMIC_COMBO}:
        yield from _check_choice(prompt, node_id, spec, value, node_class)


def _as_number(kind: str, value: Any) -> int | float | None:
    """Read a value as the server does: ``int(value)`` or ``float(value)``."""
    try:
        number = int(value) if kind == "INT" else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isinstance(number, float) and math.isnan(number) else number


def _out_of_range(
    prompt: Mapping[str, Any], node_id: str, spec: InputSpec, value: Any, kind: str
) -> Problem:
    allowed = range_words(spec.minimum, spec.maximum)
    side = "below" if kind == "value_smaller_than_min" else "above"
    text = f"= {shorten(value)} is {side} what is allowed: {allowed}."
    return _problem(_At(prompt, node_id, spec), kind, value, text, allowed)


def range_words(low: float | None, high: float | None) -> str:
    """Word a range: ``1 to 100``, ``at least 1``, ``at most 100``."""
    if low is not None and high is not None:
        return f"{shorten(low)} to {shorten(high)}"
    if low is not None:
        return f"at least {shorten(low)}"
    return f"at most {shorten(high)}" if high is not None else "any number"


def _check_choice(
    prompt: Mapping[str, Any], node_id: str, spec: InputSpec, value: Any, node_class: NodeClass
) -> Iterator[Problem]:
    # These lists are filled in the browser, or by files that may yet be uploaded.
    if spec.upload is not None or spec.remote or node_class.name == "CustomCombo":
        return
    choices = spec.choices or ()
    chosen = value if spec.multiselect and isinstance(value, list) else [value]
    for one in chosen:
        if one in choices:
            continue
        allowed = list_choices(choices)
        yield _problem(
            _At(prompt, node_id, spec),
            "value_not_in_list",
            one,
            f"= {shorten(one)} is not allowed: it takes {allowed}{suggest(one, choices)}.",
            allowed,
        )
