"""A ComfyUI server's refusal of a prompt, told in sentences that name node, input and cure."""

from collections.abc import Mapping, Sequence
from typing import Any

from comfynb.comfy.graph import find_cycle
from comfynb.comfy.problems import (
    Problem,
    cycle_problem,
    list_choices,
    node_label,
    node_title,
    shorten,
    suggest,
)

__all__ = ["explain_refusal", "refusal_problems"]


def explain_refusal(
    prompt: Mapping[str, Any],
    answer: object,
    object_info: Mapping[str, Any] | None = None,
) -> list[str]:
    """Explain what a server objected to: one sentence for each refused input.

    ``answer`` is the JSON of a 400 answer to ``POST /prompt``, or of a 200 answer whose
    ``node_errors`` is not empty. ``object_info`` (raw or wrapped) supplies the allowed choices
    where the server left them out (it does for lists of more than 20). An answer
    without any error gives an empty list; whatever is not understood is passed on in the server's
    own words.
    """
    return [problem.message for problem in refusal_problems(prompt, answer, object_info)]


def refusal_problems(
    prompt: Mapping[str, Any],
    answer: object,
    object_info: Mapping[str, Any] | None = None,
) -> list[Problem]:
    """Like :func:`explain_refusal`, as :class:`Problem` records."""
    if not isinstance(answer, Mapping):
        return []
    problems: list[Problem] = []
    node_errors = answer.get("node_errors")
    if isinstance(node_errors, Mapping):
        for node_id, entry in node_errors.items():
            if isinstance(entry, Mapping):
                problems += _node_problems(prompt, str(node_id), entry, object_info)
    if not problems and isinstance(answer.get("error"), Mapping):
        # Older servers refuse a circle without a word about it.
        cycle = find_cycle(prompt) if answer["error"].get("type") in _SUMMARY_KINDS else []
        if cycle:
            return [cycle_problem(prompt, cycle)]
    general = _general_problem(prompt, answer.get("error"))
    # The general error repeats the node errors' details, so it counts only without them.
    if general is not None and (not problems or general.kind not in _SUMMARY_KINDS):
        problems.insert(0, general)
    return problems


_SUMMARY_KINDS = {"prompt_outputs_failed_validation"}


def _general_problem(prompt: Mapping[str, Any], error: object) -> Problem | None:
    if isinstance(error, str) and error:
        return Problem("error", f"The server refused the prompt: {shorten(error, 300)[1:-1]}.")
    if not isinstance(error, Mapping):
        return None
    kind = _text(error.get("type")) or "error"
    message, details = _text(error.get("message")), _text(error.get("details"))
    extra = error.get("extra_info")
    extra = extra if isinstance(extra, Mapping) else {}
    if kind == "missing_node_type" or (kind == "invalid_prompt" and "does not exist" in message):
        return _missing_class(prompt, kind, message, details, extra)
    if kind == "prompt_no_outputs":
        return Problem(
            kind,
            "The prompt has no output node, so the server has nothing to run: "
            "add a node that saves or previews something (SaveImage, say).",
        )
    if kind == "invalid_prompt_id":
        return Problem(kind, "The server wants the prompt id as a lower-case UUID with hyphens.")
    if kind == "no_prompt":
        return Problem(kind, "The server found no prompt in the request.")
    return Problem(kind, f"The server refused the prompt: {_said(message, details, kind)}")


def _missing_class(
    prompt: Mapping[str, Any], kind: str, message: str, details: str, extra: Mapping[str, Any]
) -> Problem:
    node_id = extra.get("node_id")
    if node_id is None and "#" in details:
        # Older servers say it only in words: "Node ID '#12'".
        node_id = details.split("#", 1)[1].strip("'\" ")
    node_id = None if node_id is None else str(node_id)
    node_class = _text(extra.get("class_type"))
    if node_id is not None and not node_class:
        node = prompt.get(node_id)
        node_class = _text(node.get("class_type")) if isinstance(node, Mapping) else ""
    if not node_class:
        return Problem(kind, _said(message, details, kind))
    return Problem(
        "missing_node_type",
        f"{node_label(prompt, node_id, node_class)}: the server does not know the node class "
        f"{shorten(node_class)}; install the custom node that provides it, "
        "or choose a backend that has it.",
        node_id=node_id,
        node_class=node_class,
        title=node_title(prompt, node_id) if node_id is not None else "",
    )


def _node_problems(
    prompt: Mapping[str, Any],
    node_id: str,
    entry: Mapping[str, Any],
    object_info: Mapping[str, Any] | None,
) -> list[Problem]:
    errors, node_class = entry.get("errors"), _text(entry.get("class_type"))
    return [
        _node_problem(prompt, node_id, node_class, error, object_info)
        for error in (errors if isinstance(errors, Sequence) else ())
        if isinstance(error, Mapping)
    ]


def _node_problem(
    prompt: Mapping[str, Any],
    node_id: str,
    node_class: str,
    error: Mapping[str, Any],
    object_info: Mapping[str, Any] | None,
) -> Problem:
    kind = _text(error.get("type")) or "error"
    extra = error.get("extra_info")
    extra = extra if isinstance(extra, Mapping) else {}
    input_name = _text(extra.get("input_name"))
    label = node_label(prompt, node_id, node_class)
    value = extra.get("received_value")
    config = extra.get("input_config")
    if not _is_config(config):
        config = _declared(object_info, node_class, input_name)
    options = _options(config)
    details, message = _text(error.get("details")), _text(error.get("message"))
    where = f"{label}: input {shorten(input_name)}" if input_name else label
    allowed = ""
    match kind:
        case "required_input_missing":
            wanted = _type_name(config)
            allowed = f"a value or link of type {wanted}" if wanted else ""
            text = f"{where} is missing" + (f"; it needs {allowed}." if allowed else ".")
        case "value_smaller_than_min" | "value_bigger_than_max":
            low, high = options.get("min"), options.get("max")
            allowed = f"{shorten(low)} to {shorten(high)}"
            side = "below" if kind == "value_smaller_than_min" else "above"
            text = f"{where} = {shorten(value)} is {side} what is allowed: {allowed}."
        case "value_not_in_list":
            choices = _choices(config)
            if choices is None:
                text = f"{where} = {shorten(value)} is not among the server's choices."
            else:
                allowed = list_choices(choices)
                hint = suggest(value, choices)
                text = f"{where} = {shorten(value)} is not allowed: it takes {allowed}{hint}."
        case "invalid_input_type":
            allowed = _type_name(config)
            text = f"{where} = {shorten(value)} cannot be read as {allowed or 'what it takes'}."
        case "return_type_mismatch":
            allowed = _type_name(config)
            received = shorten(extra.get("received_type"))
            source = _linked(prompt, extra)
            text = f"{where} takes {allowed or 'another type'}, but {source} gives {received}."
        case "bad_linked_input":
            text = (
                f"{where} holds {shorten(value)}, which is no link "
                '(a link is ["node id", output number]).'
            )
        case "dependency_cycle":
            text = f"{label} waits for its own result: the links form a circle; remove one."
        case "custom_validation_failed":
            said = details or message
            text = f"{where} = {shorten(value)} was refused by the node itself: {_sentence(said)}"
        case "exception_during_inner_validation" if extra.get("exception_type") == "KeyError":
            lost = _text(extra.get("exception_message")).strip("'")
            text = (
                f"{label} depends on node {lost}, which is not in the prompt: "
                "link another node, or convert the workflow again."
            )
        case _:
            text = f"{where}: {_said(message, details, kind)}"
    return Problem(
        kind,
        text,
        node_id=node_id,
        node_class=node_class,
        title=node_title(prompt, node_id),
        input=input_name,
        value=value,
        allowed=allowed,
    )


def _linked(prompt: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    link = extra.get("linked_node")
    if isinstance(link, Sequence) and not isinstance(link, str) and link:
        return node_label(prompt, str(link[0]))
    return "the linked node"


def _is_config(config: object) -> bool:
    return isinstance(config, Sequence) and not isinstance(config, str) and bool(config)


def _declared(object_info: Mapping[str, Any] | None, node_class: str, name: str) -> Any:
    declared: Any = (object_info or {}).get(node_class)
    groups = declared.get("input") if isinstance(declared, Mapping) else None
    for group in groups.values() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping) and name in group:
            return group[name]
    return None


def _options(config: Any) -> Mapping[str, Any]:
    if _is_config(config) and len(config) > 1 and isinstance(config[1], Mapping):
        return config[1]
    return {}


def _choices(config: Any) -> Sequence[object] | None:
    if not _is_config(config):
        return None
    if isinstance(config[0], Sequence) and not isinstance(config[0], str):
        return config[0]
    options = _options(config).get("options")
    return options if isinstance(options, Sequence) and not isinstance(options, str) else None


def _type_name(config: Any) -> str:
    if not _is_config(config):
        return ""
    return config[0] if isinstance(config[0], str) else "COMBO"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _said(message: str, details: str, kind: str) -> str:
    parts = dict.fromkeys(part.strip().rstrip(".") for part in (message, details) if part)
    return _sentence(": ".join(parts) or kind)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    text = text if len(text) <= 400 else text[:399] + "…"
    return text if text.endswith((".", "!", "?", "…")) else text + "."
