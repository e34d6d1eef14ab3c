"""What is wrong with a prompt, as data and as one sentence: the words of checks and refusals."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Problem",
    "cycle_problem",
    "list_choices",
    "node_label",
    "node_title",
    "shorten",
    "suggest",
]

_LONGEST_VALUE = 80
_MOST_CHOICES = 8


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a prompt from running.

    ``kind`` is the server's own error type where it has one (``value_not_in_list``,
    ``required_input_missing``, ``return_type_mismatch``, ``missing_node_type``,
    ``dependency_cycle``, ``prompt_no_outputs`` ...). ``allowed`` says in words what would be
    accepted, or is empty. ``message`` is the whole sentence.
    """

    kind: str
    message: str
    node_id: str | None = None
    node_class: str = ""
    title: str = ""
    input: str = ""
    value: Any = None
    allowed: str = ""

    def __str__(self) -> str:
        return self.message


def shorten(value: object, limit: int = _LONGEST_VALUE) -> str:
    """Show a value as JSON in at most ``limit`` characters, control characters escaped."""
    if isinstance(value, str):
        value = value if len(value) <= limit else value[: limit - 1] + "…"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= limit + 2 else text[: limit - 1] + "…"


def suggest(value: object, choices: Iterable[object]) -> str:
    """Say which choice is near to ``value``: `` (did you mean "a"?)``, or nothing."""
    words = [choice for choice in choices if isinstance(choice, str)]
    if not isinstance(value, str) or not value or not words:
        return ""
    # The directory and the extension say little about what was meant.
    stems = {_stem(word): word for word in reversed(words)}
    near = difflib.get_close_matches(_stem(value[:200]), stems, n=1, cutoff=0.6)
    return f" (did you mean {shorten(stems[near[0]])}?)" if near else ""


def _stem(name: str) -> str:
    tail = name.replace("\\", "/").casefold().rsplit("/", 1)[-1]
    stem, dot, extension = tail.rpartition(".")
    return stem if dot and stem and len(extension) <= 12 else tail


def list_choices(choices: Sequence[object]) -> str:
    """Name the first choices and count the rest."""
    if not choices:
        return "nothing: the list is empty on this server"
    shown = ", ".join(shorten(choice) for choice in choices[:_MOST_CHOICES])
    rest = len(choices) - _MOST_CHOICES
    return f"one of {shown}" + (f" and {rest} more" if rest > 0 else "")


def node_title(prompt: Mapping[str, Any], node_id: str) -> str:
    """The title a person gave the node, or its class, or an empty text."""
    node = prompt.get(node_id)
    if not isinstance(node, Mapping):
        return ""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    if isinstance(title, str) and title.strip():
        return title
    node_class = node.get("class_type")
    return node_class if isinstance(node_class, str) else ""


def node_label(prompt: Mapping[str, Any], node_id: str | None, node_class: str = "") -> str:
    """Name a node for a message: ``"Sampler A" (KSampler, node 3)``."""
    if node_id is None:
        return "The prompt"
    node = prompt.get(node_id)
    found = node.get("class_type") if isinstance(node, Mapping) else None
    node_class = found if isinstance(found, str) else node_class
    title = node_title(prompt, node_id) or node_class
    if not title:
        return f"Node {shorten(node_id)[1:-1]}"
    inner = f"{shorten(node_class)[1:-1]}, " if node_class and node_class != title else ""
    return f"{shorten(title)} ({inner}node {shorten(node_id)[1:-1]})"


def cycle_problem(prompt: Mapping[str, Any], cycle: Sequence[str]) -> Problem:
    """Word a circle of links found by :func:`comfynb.comfy.graph.find_cycle`."""
    shown = [node_label(prompt, node_id) for node_id in cycle[:_MOST_CHOICES]]
    if len(cycle) > _MOST_CHOICES:
        shown.append("…")
    return Problem(
        "dependency_cycle",
        f"These nodes wait for one another in a circle: {' → '.join([*shown, shown[0]])}; "
        "remove one of the links.",
        node_id=cycle[0],
        title=node_title(prompt, cycle[0]),
    )
