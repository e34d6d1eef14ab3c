"""Naming patterns of OUTPUT nodes: ``{date}/{node}_{index:04}_{name}``, checked and filled in."""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from comfynb.comfy import safe_name
from comfynb.errors import InvalidValue

__all__ = ["PLACEHOLDERS", "check_pattern", "fill_pattern", "numbered"]

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "backend": "the backend that made the file",
    "date": "the day on which the job was made, 2026-11-21; {date:%d.%m.%Y} writes it otherwise",
    "graph": "the graph's name",
    "height": "the picture's height in pixels",
    "index": "the file's place among those of the node, from 1; {index:04} writes 0001",
    "job": "the first 8 characters of the job's id",
    "name": "the name that the file had, without its suffix",
    "node": "the OUTPUT node's name",
    "seed": "the seed that the file was made with",
    "time": "when the job was made, 15-04-05; {time:%H%M} writes it otherwise",
    "width": "the picture's width in pixels",
    "workflow": "the workflow that made the file",
}
"""What a pattern may name, and what it stands for."""

NOTHING: Final = "none"
"""What is written for a value that a file does not have, e.g. the seed of a loaded picture."""
MAX_PATTERN: Final = 500
"""Characters of a pattern."""
MAX_FOLDERS: Final = 8
"""Folders within the output folder, one in the other."""
LONGEST: Final = 200
"""Bytes of a file name, well below what file systems take."""

_NUMBERS: Final = frozenset({"height", "index", "seed", "width"})
_TIMES: Final = {"date": "%Y-%m-%d", "time": "%H-%M-%S"}
_NUMBER_SPEC: Final = re.compile(r"0?[0-9]{0,2}d?")
_TIME_SPEC: Final = re.compile(r"(?:%[aAbBdfHIjmMpSUwWyY]|[-A-Za-z0-9_. ]){0,40}")
_TEXT_SPEC: Final = re.compile(r"(?:\.[0-9]{1,3})?")
_RESERVED: Final = frozenset('<>:"|?*\\')


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some text, then a placeholder (or none at the end)."""

    text: str
    name: str | None
    spec: str


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that could not name files.

    Raises:
        InvalidValue: one sentence that says what is wrong; an unknown placeholder lists all.
    """
    _segments(pattern)


def fill_pattern(pattern: str, values: Mapping[str, Any], suffix: str) -> tuple[list[str], str]:
    """The folders and the file name that a pattern gives, each safe on every system.

    ``values`` are by placeholder: numbers, text, and one aware time as "date" and "time"; what is
    missing or None is written as "none". ``suffix`` is the file's own, ".png", and is kept.

    Raises:
        InvalidValue: as :func:`check_pattern`.
    """
    *folders, last = ["".join(_written(each, values) for each in s) for s in _segments(pattern)]
    if suffix and last.casefold().endswith(suffix.casefold()):
        last = last[: -len(suffix)]
    name = _cut(_plain(last, "file"), suffix)
    return [_cut(_plain(folder, "folder"), "") for folder in folders], name


def numbered(name: str, number: int) -> str:
    """The ``number``-th name like ``name``: itself for 1, then "name (2).png"."""
    if number == 1:
        return name
    stem, suffix = _split(name)
    return _cut(stem, f" ({number}){suffix}")


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot and stem else (name, "")


def _plain(text: str, default: str) -> str:
    name = safe_name(text.replace("/", "_"), default)
    return f"_{name}" if name.startswith(("-", "~")) else name


def _cut(stem: str, suffix: str) -> str:
    room = LONGEST - len(suffix.encode())
    short = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") or "file"
    return short + suffix


def _segments(pattern: str) -> list[list[_Piece]]:
    if not isinstance(pattern, str):
        raise InvalidValue(f"A naming pattern is text, not {type(pattern).__name__}.")
    if len(pattern) > MAX_PATTERN:
        raise InvalidValue(f"A naming pattern has at most {MAX_PATTERN} characters.")
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise InvalidValue(
            f"The naming pattern {pattern!r:.80} cannot be read ({error}); a brace itself is "
            "written twice, {{."
        ) from None
    segments: list[list[_Piece]] = [[]]
    for text, name, spec, conversion in parsed:
        if name is not None:
            _check_placeholder(pattern, name, spec or "", conversion)
        *before, rest = text.split("/")
        for literal in before:
            segments[-1].append(_Piece(literal, None, ""))
            segments.append([])
        segments[-1].append(_Piece(rest, name, spec or ""))
    _check_segments(pattern, segments)
    return segments


def _check_placeholder(pattern: str, name: str, spec: str, conversion: str | None) -> None:
    if name not in PLACEHOLDERS:
        raise InvalidValue(
            f"The naming pattern {pattern!r:.80} has an unknown placeholder {{{name:.40}}}; "
            f"there are {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}."
        )
    if conversion is not None:
        raise InvalidValue(f"{{{name}!{conversion}}}: a placeholder takes no !.")
    if name in _NUMBERS:
        allowed, example = _NUMBER_SPEC, f"{{{name}:04}}"
    elif name in _TIMES:
        allowed, example = _TIME_SPEC, f"{{{name}:{_TIMES[name]}}}"
    else:
        allowed, example = _TEXT_SPEC, f"{{{name}:.20}}"
    if not allowed.fullmatch(spec):
        raise InvalidValue(f"{{{name}:{spec:.40}}} cannot be written so; write, say, {example}.")


def _check_segments(pattern: str, segments: list[list[_Piece]]) -> None:
    shown = f"The naming pattern {pattern!r:.80}"
    if len(segments) - 1 > MAX_FOLDERS:
        raise InvalidValue(f"{shown} has more than {MAX_FOLDERS} folders.")
    for number, segment in enumerate(segments):
        literal = "".join(piece.text for piece in segment)
        wrong = sorted(set(literal) & _RESERVED)
        if wrong or not all(character.isprintable() for character in literal):
            what = wrong[0] if wrong else "a control character"
            raise InvalidValue(f"{shown} has {what}, which not every system takes in names.")
        if any(piece.name for piece in segment):
            continue
        if not literal.strip() and number == 0 and len(segments) > 1:
            raise InvalidValue(f"{shown} begins with /: it is taken within the output folder.")
        if not literal.strip(". "):
            where = "names no file" if number == len(segments) - 1 else "has a folder without name"
            raise InvalidValue(f"{shown} {where}: end it with, say, {{index}}_{{name}}.")


def _written(piece: _Piece, values: Mapping[str, Any]) -> str:
    if piece.name is None:
        return piece.text
    return piece.text + _value(piece.name, piece.spec, values.get(piece.name))


def _value(name: str, spec: str, value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if name in _TIMES:
        moment: datetime = value
        written = moment.strftime(spec or _TIMES[name])
    elif name in _NUMBERS:
        # A seed may come as text from a workflow of a foreign node.
        written = format(value, spec) if isinstance(value, int) else str(value)
    else:
        written = format(str(value), spec)
    return written.replace("/", "_").replace("\\", "_")
