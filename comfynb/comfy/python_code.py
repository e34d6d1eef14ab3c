"""Writes a prompt as Python code that builds exactly it again, readable enough to be edited."""

import json
import keyword
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.graph import is_link, links_of
from comfynb.comfy.problems import node_title

__all__ = ["to_python"]

_WIDTH = 96
_LONGEST_NAME = 30
_DEEPEST = 20
"""Values nested deeper than this are written as JSON: Python's own parser has a limit."""
_MOST_DIGITS = 4000
_TAKEN = frozenset({"PromptBuilder", "graph", "json", "prompt", "float", "True", "False", "None"})


def to_python(prompt: Mapping[str, Any], *, name: str = "") -> str:
    """Give Python source that leaves an equal prompt in the variable ``prompt``.

    Nodes are written in the order in which they feed one another, each under a name made of its
    title. Every foreign text is a literal; comments hold printable characters of one line only.
    """
    names = _names(prompt)
    written: set[str] = set()
    blocks = []
    for node_id in _in_order(prompt):
        blocks.append(_node(prompt, node_id, names, written))
        written.add(node_id)
    body = "\n".join(blocks)
    title = _comment(name) or "A workflow"
    head = [
        f"# {title}, as Python code; load it with wb.workflows.load(prompt).",
        *(["import json", ""] if "json.loads(" in body else []),
        "from comfynb.comfy import PromptBuilder",
        "",
        "graph = PromptBuilder()",
    ]
    tail = ["prompt = graph.prompt"]
    wanted = list(prompt)
    if list(_in_order(prompt)) != wanted:
        # The order of keys means nothing to a server, but it does to who compares texts.
        order = ", ".join(map(_quoted, wanted))
        tail = _wrapped(f"prompt = {{id: graph.prompt[id] for id in [{order}]}}", wanted)
    return "\n".join([*head, *([body] if body else []), *tail, ""])


def _wrapped(line: str, wanted: list[str]) -> list[str]:
    if len(line) <= _WIDTH:
        return [line]
    ids = "".join(f"    {_quoted(node_id)},\n" for node_id in wanted)
    return [f"order = [\n{ids}]", "prompt = {id: graph.prompt[id] for id in order}"]


def _in_order(prompt: Mapping[str, Any]) -> Iterator[str]:
    """Sources first; where links go in circles, the prompt's own order decides."""
    done: set[str] = set()
    for start in prompt:
        stack = [(start, iter(_sources(prompt, start)))]
        opened = {start}
        while stack:
            node_id, rest = stack[-1]
            following = next((s for s in rest if s not in done and s not in opened), None)
            if following is not None:
                opened.add(following)
                stack.append((following, iter(_sources(prompt, following))))
                continue
            stack.pop()
            if node_id not in done:
                done.add(node_id)
                yield node_id


def _sources(prompt: Mapping[str, Any], node_id: str) -> list[str]:
    return [source for _, source, _ in links_of(prompt[node_id]) if source in prompt]


def _names(prompt: Mapping[str, Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    for node_id in prompt:
        base = _slug(node_title(prompt, node_id)) or "node"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names[node_id] = name
    return names


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST_NAME].strip("_")
    if word[:1].isdigit():
        word = f"n{word}"
    return f"{word}_" if keyword.iskeyword(word) or keyword.issoftkeyword(word) else word


def _node(
    prompt: Mapping[str, Any], node_id: str, names: Mapping[str, str], written: set[str]
) -> str:
    node = prompt[node_id]
    options = [f"id={_literal(node_id)}"]
    more = {key: value for key, value in node.items() if key not in {"class_type", "inputs"}}
    meta = more.get("_meta")
    if isinstance(meta, dict) and set(meta) == {"title"} and isinstance(meta["title"], str):
        del more["_meta"]
        options.append(f"title={_literal(meta['title'])}")
    if more:
        options.append(f"more={_literal(more)}")
    inputs = [
        f"{_literal(name)}: {_value(value, names, written)}"
        for name, value in node.get("inputs", {}).items()
    ]
    start, class_type = f"{names[node_id]} = graph.add(", _literal(node["class_type"])
    text = f"{start}{class_type}, {{{', '.join(inputs)}}}, {', '.join(options)})"
    if len(text) > _WIDTH:
        lines = "".join(f"        {one},\n" for one in inputs)
        shown = f"{{\n{lines}    }}" if inputs else "{}"
        rest = "".join(f"    {one},\n" for one in options)
        text = f"{start}\n    {class_type},\n    {shown},\n{rest})"
    if "inputs" not in node:
        # Prompts may lack the key, which an empty mapping is not.
        text += f'\ndel graph.prompt[{_literal(node_id)}]["inputs"]'
    return text


def _value(value: Any, names: Mapping[str, str], written: set[str]) -> str:
    if is_link(value) and value[0] in written and isinstance(value[1], int) and value[1] >= 0:
        return f"{names[value[0]]}[{value[1]}]"
    return _literal(value)


def _literal(value: Any) -> str:
    if _depth(value) > _DEEPEST:
        return f"json.loads({json.dumps(value)!r})"
    return _written(value)


def _written(value: Any) -> str:
    match value:
        case str():
            return _quoted(value)
        case bool() | None:
            return repr(value)
        case int():
            digits = value.bit_length() * 0.302
            return hex(value) if digits > _MOST_DIGITS else repr(value)
        case float():
            return repr(value) if math.isfinite(value) else f'float("{value}")'
        case list() | tuple():
            return f"[{', '.join(map(_written, value))}]"
        case Mapping():
            pairs = (f"{_written(key)}: {_written(inner)}" for key, inner in value.items())
            return f"{{{', '.join(pairs)}}}"
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _quoted(text: str) -> str:
    """As ``repr`` writes it, between double quotes where nothing has to be escaped for them."""
    written = repr(text)
    plain = written[0] == "'" and '"' not in written and "\\'" not in written
    return f'"{written[1:-1]}"' if plain else written


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested, without recursion."""
    deepest, level = 0, [value]
    while level:
        level = [
            inner
            for one in level
            if isinstance(one, list | tuple | Mapping)
            for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
        deepest += 1
        if deepest > _DEEPEST + 1:
            break
    return deepest


def _comment(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80]
