"""Dynamic prompts of a whole prompt: where choices are left open, and choosing them by a seed."""

import copy
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

from comfynb.comfy.convert.text import (
    SAVING_CLASSES,
    is_random,
    resolve_dynamic_prompt,
    split_groups,
)
from comfynb.comfy.declared import declared_inputs
from comfynb.comfy.naming import Place
from comfynb.comfy.object_info import as_object_info

__all__ = [
    "DynamicTexts",
    "dynamic_inputs",
    "file_names",
    "fill_date",
    "is_dated",
    "is_open",
    "open_choices",
    "resolve_at",
    "resolve_dynamic_prompts",
]

_DEEPEST = 50
_DATE = re.compile(r"%date:([^%]*)%")
_DATE_PART = re.compile(r"yyy?y?|dd?|MM?|hh?|mm?|ss?")


def dynamic_inputs(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> list[Place]:
    """The inputs whose class declares them as dynamic prompts, where they hold a text."""
    info = as_object_info(object_info)
    found: list[Place] = []
    for node_id, node in prompt.items():
        node_class = info.node(str(node.get("class_type"))) if isinstance(node, Mapping) else None
        if node_class is None:
            continue
        inputs = node.get("inputs") or {}
        for name, spec in declared_inputs(node_class, inputs).items():
            if spec.dynamic_prompts and isinstance(inputs.get(name), str):
                found.append((node_id, name))
    return found


def open_choices(prompt: Mapping[str, Any], object_info: Mapping[str, Any]) -> list[Place]:
    """The inputs whose text leaves a ``{a|b}`` open, as ``(node id, input)`` in the prompt's order.

    Only inputs that their class declares as dynamic prompts count, as in the front-end.
    """
    return [
        (node_id, name)
        for node_id, name in dynamic_inputs(prompt, object_info)
        if is_random(prompt[node_id]["inputs"][name])
    ]


def is_open(text: object) -> bool:
    """Whether a value is a text in which a choice is left to chance."""
    return isinstance(text, str) and is_random(text)


def resolve_dynamic_prompts(
    prompt: Mapping[str, Any], object_info: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Give a new prompt in which every open choice is made by ``seed``.

    Each input draws from a generator of its own, so that one text does not change what another
    becomes. The same prompt and seed give the same result everywhere: recording the seed is enough.
    """
    return resolve_at(copy.deepcopy(dict(prompt)), open_choices(prompt, object_info), seed)


def resolve_at(prompt: Mapping[str, Any], places: Iterable[Place], seed: int) -> dict[str, Any]:
    """Resolve the texts at these places as the front-end does when it sends them.

    Besides choosing, that drops comments and the backslashes of escapes. Other nodes are shared.
    """
    resolved = dict(prompt)
    for node_id, name in places:
        node = resolved[node_id]
        text = node["inputs"].get(name)
        if isinstance(text, str):
            settled = resolve_dynamic_prompt(text, _own_seed(seed, node_id, name))
            resolved[node_id] = {**node, "inputs": {**node["inputs"], name: settled}}
    return resolved


def _own_seed(seed: int, node_id: str, name: str) -> int:
    digest = hashlib.sha256(f"{seed}\n{node_id}\n{name}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big")


class DynamicTexts(Sequence[str]):
    """Every text that a dynamic prompt can become: an axis for a sweep.

    Made one by one when they are asked for, so a prompt with a billion of them costs nothing; the
    last group changes fastest. ``total`` is how many there are, also beyond what ``len`` can say.
    Escapes are kept, so that each text is a prompt again, with nothing left to chance.
    """

    def __init__(self, text: str) -> None:
        self._parts = _parse(text, 0)
        self.total = _count(self._parts)
        self.groups = [part for part in split_groups(text) if isinstance(part, list)]
        """The choices of each outermost group, as written."""

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self.total))]
        if not -self.total <= place < self.total:
            raise IndexError(f"There are {self.total} texts; {place} is none of them.")
        return _text_at(self._parts, place % self.total)

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"<{self.total} texts: {shown}{', …' if self.total > 3 else ''}>"


_Part = str | list["_Parts"]
_Parts = list[_Part]


def _parse(text: str, depth: int) -> _Parts:
    if depth > _DEEPEST:
        return [text]
    return [
        part if isinstance(part, str) else [_parse(choice, depth + 1) for choice in part]
        for part in split_groups(text)
    ]


def _count(parts: _Parts) -> int:
    return math.prod(
        1 if isinstance(part, str) else sum(_count(choice) for choice in part) for part in parts
    )


def _text_at(parts: _Parts, place: int) -> str:
    found: list[str] = []
    for part in reversed(parts):
        if isinstance(part, str):
            found.append(part)
            continue
        place, rest = divmod(place, sum(_count(choice) for choice in part))
        for choice in part:
            size = _count(choice)
            if rest < size:
                found.append(_text_at(choice, rest))
                break
            rest -= size
    return "".join(reversed(found))


def is_dated(text: object) -> bool:
    """Whether a file name has a ``%date:...%`` in it, which means the moment of sending."""
    return isinstance(text, str) and _DATE.search(text) is not None


def fill_date(text: str, moment: datetime) -> str:
    """Replace each ``%date:yyyy-MM-dd%`` by the moment, in the time zone that it has.

    As in the front-end: ``yyyy`` or ``yy``, ``M``, ``d``, ``h`` (0 to 23), ``m``, ``s``; a letter
    twice is padded with a zero, and all else stays.
    """
    numbers = {
        "d": moment.day,
        "M": moment.month,
        "h": moment.hour,
        "m": moment.minute,
        "s": moment.second,
    }

    def part(match: re.Match[str]) -> str:
        mark = match[0]
        if mark[0] == "y":
            return mark if len(mark) == 3 else f"{moment.year:04}"[-len(mark) :]
        return f"{numbers[mark[0]]:0{len(mark)}}"

    return _DATE.sub(lambda match: _DATE_PART.sub(part, match[1]), text)


def file_names(prompt: Mapping[str, Any]) -> list[Place]:
    """The inputs in which the front-end fills in ``%date:...%``: file names of saving nodes."""
    return [
        (node_id, "filename_prefix")
        for node_id, node in prompt.items()
        if isinstance(node, Mapping) and node.get("class_type") in SAVING_CLASSES
    ]
