"""Choices of several backends as one list: one spelling of each, and who lacks what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.declared import declared_input
from comfynb.comfy.object_info import as_object_info
from comfynb.models import ExposedParameter, ParamConstraints

__all__ = ["Offer", "lacking", "merge_choices", "offers", "own_spelling", "respell", "with_offers"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One choice, as the first backend that has it spells it, and the names of those without it."""

    value: Any
    lacking: tuple[str, ...] = ()


def _key(value: object) -> tuple[str, object]:
    """What two spellings of one choice have in common.

    A server on Windows writes ``sdxl\\base.safetensors`` where others write a slash.
    """
    if isinstance(value, str):
        return ("str", value.replace("\\", "/"))
    return (type(value).__name__, value)


def own_spelling(value: object, choices: Iterable[object]) -> object:
    """``value`` as it stands in ``choices``, in spite of other path separators; None if not there.

    A choice is never None: ComfyUI offers texts and numbers.
    """
    known = choices if isinstance(choices, Sequence) else tuple(choices)
    # 1, 1.0 and True are one to Python's ==; to a server they are three choices.
    if value in known:
        for choice in known:
            if type(choice) is type(value) and choice == value:
                return choice
    if not isinstance(value, str) or not _separated(value):
        return None
    key = _key(value)
    # Thousands of files may be listed, and most names are shorter or longer.
    return next(
        (c for c in known if isinstance(c, str) and len(c) == len(value) and _key(c) == key), None
    )


def _separated(text: str) -> bool:
    """Whether it is a path in which machines may differ."""
    return "/" in text or "\\" in text


def merge_choices(lists: Mapping[str, Sequence[object]]) -> list[Offer]:
    """One list out of those of several backends (name to choices), in the order of the first.

    What only later ones have follows in their order.
    """
    values: dict[tuple[str, object], object] = {}
    havers: dict[tuple[str, object], set[str]] = {}
    for name, choices in lists.items():
        for choice in choices:
            if isinstance(choice, str | int | float):
                key = _key(choice)
                values.setdefault(key, choice)
                havers.setdefault(key, set()).add(name)
    return [
        Offer(value, tuple(name for name in lists if name not in havers[key]))
        for key, value in values.items()
    ]


def offers(
    prompt: Mapping[str, Any],
    parameters: Iterable[ExposedParameter],
    infos: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[Offer]]:
    """By parameter id, what the backends (name to ``/object_info``) offer for it.

    Parameters that are no choice on any of them are left out.
    """
    known = {name: as_object_info(info) for name, info in infos.items()}
    found: dict[str, list[Offer]] = {}
    for parameter in parameters:
        node = prompt.get(parameter.node_id)
        if not isinstance(node, Mapping):
            continue
        lists: dict[str, Sequence[object]] = {}
        for name, info in known.items():
            node_class = info.node(str(node.get("class_type")))
            spec = (
                declared_input(node_class, node.get("inputs") or {}, parameter.field_name)
                if node_class is not None
                else None
            )
            if spec is not None and spec.choices is not None:
                lists[name] = spec.choices
        if lists:
            found[parameter.id] = merge_choices(lists)
    return found


def with_offers(parameter: ExposedParameter, offered: Sequence[Offer] | None) -> ExposedParameter:
    """The parameter with these choices, its default spelled as there; itself if there are none."""
    if not offered:
        return parameter
    choices = [offer.value for offer in offered]
    limits = parameter.constraints or ParamConstraints()
    default = own_spelling(parameter.default_value, choices)
    return parameter.model_copy(
        update={
            "constraints": limits.model_copy(update={"choices": choices}),
            "default_value": parameter.default_value if default is None else default,
        }
    )


def lacking(offered: Iterable[Offer]) -> dict[Any, tuple[str, ...]]:
    """The choices that some backend lacks, with the names of those backends."""
    return {offer.value: offer.lacking for offer in offered if offer.lacking}


def respell(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt with each choice spelled as this backend spells it.

    Only path separators differ between backends. What is not in the backend's list stays as it is;
    nodes in which nothing changes are shared with ``prompt``.
    """
    info = as_object_info(object_info)
    spelled = dict(prompt)
    for node_id, node in prompt.items():
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        if not isinstance(inputs, Mapping):
            continue
        changed: dict[str, Any] = {}
        for name, value in inputs.items():
            if not isinstance(value, str) or not _separated(value):
                continue
            node_class = info.node(str(node.get("class_type")))
            spec = declared_input(node_class, inputs, name) if node_class is not None else None
            own = own_spelling(value, spec.choices) if spec is not None and spec.choices else None
            if own is not None and own != value:
                changed[name] = own
        if changed:
            spelled[node_id] = {**node, "inputs": {**inputs, **changed}}
    return spelled
