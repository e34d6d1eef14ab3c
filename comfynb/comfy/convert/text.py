"""Texts that the front-end changes when it sends them: dynamic prompts and ``%Node.widget%``."""

import random
import re
from collections.abc import Callable

__all__ = [
    "SAVING_CLASSES",
    "dynamic_choices",
    "fill_placeholders",
    "is_random",
    "resolve_dynamic_prompt",
    "settle_text",
    "split_groups",
]

_COMMENTS = re.compile(r"/\*[\s\S]*?\*/|//.*")
_ESCAPED = re.compile(r"\\([{}|])")
_PLACEHOLDER = re.compile(r"%([^%]+)%")
_NOT_IN_FILE_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DEEPEST = 50
SAVING_CLASSES = frozenset(
    {
        "CLIPSave",
        "LoraSave",
        "ModelSave",
        "Save3DAdvanced",
        "SaveAnimatedPNG",
        "SaveAnimatedWEBP",
        "SaveAudio",
        "SaveAudioAdvanced",
        "SaveAudioMP3",
        "SaveAudioOpus",
        "SaveGLB",
        "SaveGaussianSplat",
        "SaveImage",
        "SaveImageAdvanced",
        "SaveLatent",
        "SavePointCloud",
        "SaveSVGNode",
        "SaveVideo",
        "SaveWEBM",
        "VAESave",
    }
)
"""Node classes whose ``filename_prefix`` the front-end fills in."""


def resolve_dynamic_prompt(text: str, seed: int) -> str:
    """Replace each ``{a|b}`` by one of its choices, picked by ``seed``; drop comments.

    The same text and seed give the same result on every machine. Groups may be nested; ``\\{``,
    ``\\|`` and ``\\}`` stand for the characters themselves; ``//`` and ``/* */`` start comments.
    """
    generator = random.Random(seed)  # noqa: S311 - a prompt, not a secret
    # Of all generators, Python promises the same numbers for ever only for random().
    return _resolve(text, lambda choices: choices[int(generator.random() * len(choices))], 0)


def settle_text(text: str) -> str:
    """The text as the front-end sends it, if nothing in it is left to chance; else unchanged."""
    if not _COMMENTS.search(text) and not any(mark in text for mark in "{\\"):
        return text
    return text if is_random(text) else _resolve(text, lambda choices: choices[0], 0)


def is_random(text: str) -> bool:
    """Whether a ``{a|b}`` with two or more choices is in the text."""
    if "{" not in text:
        return False
    found = False

    def pick(choices: list[str]) -> str:
        nonlocal found
        found = found or len(choices) > 1
        # All choices, so that a group inside any of them is seen.
        return "".join(choices)

    _resolve(text, pick, 0)
    return found


def dynamic_choices(text: str) -> list[list[str]]:
    """The choices of each outermost ``{a|b}`` in the text, in order: an axis for a sweep each.

    Choices are given as written, so a group nested in one is still in it.
    """
    found: list[list[str]] = []

    def pick(choices: list[str]) -> str:
        if len(choices) > 1:
            found.append(choices)
        return ""

    _resolve(text, pick, 0)
    return found


def split_groups(text: str) -> list[str | list[str]]:
    """The text's parts in order, comments gone: a text, or the choices of an outermost ``{a|b}``.

    Escapes stay as written, and groups nested in a choice stay in it.
    """
    text = _COMMENTS.sub("", text)
    parts: list[str | list[str]] = []
    start = place = 0
    while place < len(text):
        if text[place] == "\\":
            place += 2
        elif text[place] == "{":
            parts.append(text[start:place])
            choices, place = _choices_at(text, place + 1)
            parts.append(choices)
            start = place
        else:
            place += 1
    parts.append(text[start:])
    return [part for part in parts if part]


def _resolve(text: str, pick: Callable[[list[str]], str], depth: int) -> str:
    if depth > _DEEPEST:
        return text
    text = _COMMENTS.sub("", text)
    result: list[str] = []
    place = 0
    while place < len(text):
        char = text[place]
        place += 1
        if char == "\\":
            result.append(text[place - 1 : place + 1])
            place += 1
        elif char == "{":
            choices, place = _choices_at(text, place)
            result.append(_resolve(pick(choices), pick, depth + 1))
        else:
            result.append(char)
    return _ESCAPED.sub(r"\1", "".join(result))


def _choices_at(text: str, place: int) -> tuple[list[str], int]:
    """Split the group that begins before ``place``; an unclosed one ends with the text."""
    choices: list[str] = []
    current: list[str] = []
    depth = 0
    while place < len(text):
        char = text[place]
        place += 1
        if char == "\\":
            current.append(text[place - 1 : place + 1])
            place += 1
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                break
            depth -= 1
        elif char == "|" and depth == 0:
            choices.append("".join(current))
            current = []
            continue
        current.append(char)
    choices.append("".join(current))
    return choices, place


def fill_placeholders(text: str, find: Callable[[str, str], object]) -> tuple[str, bool]:
    """Replace ``%Node.widget%`` by the widget's value, made fit for a file name.

    ``find(node, widget)`` gives the value, or None where there is no such widget. The second
    result tells whether a ``%date:...%`` was left: it means the moment of sending.
    """
    dated = False

    def replace(match: re.Match[str]) -> str:
        nonlocal dated
        parts = match[1].split(".")
        if len(parts) != 2:
            dated = dated or parts[0].startswith("date:")
            return match[0]
        value = find(parts[0], parts[1])
        return match[0] if value is None else _NOT_IN_FILE_NAMES.sub("_", _as_text(value))

    return _PLACEHOLDER.sub(replace, text), dated


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
