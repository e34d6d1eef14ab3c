"""Links of an API prompt: what feeds what, and circles."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

__all__ = ["find_cycle", "is_link", "links_of"]


def is_link(value: object) -> TypeGuard[list[Any]]:
    """Tell whether an input value is ``[node id, output number]``, as the server reads it."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
        and not isinstance(value[1], bool)
        and math.isfinite(value[1])
    )


def links_of(node: object) -> Iterator[tuple[str, str, int]]:
    """Yield ``(input name, source node id, output number)`` for each link of a prompt's node."""
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    if isinstance(inputs, Mapping):
        for name, value in inputs.items():
            if is_link(value):
                yield str(name), value[0], int(value[1])


def find_cycle(prompt: Mapping[str, Any]) -> list[str]:
    """Find one circle of links: its node ids in order of flow, or an empty list."""
    done: set[str] = set()
    for start in prompt:
        path: list[str] = []
        on_path: set[str] = set()
        # An explicit stack: long chains must not meet Python's recursion limit.
        stack: list[tuple[str, Iterator[tuple[str, str, int]]]] = []
        if start not in done:
            stack.append((start, links_of(prompt[start])))
            path.append(start)
            on_path.add(start)
        while stack:
            node_id, rest = stack[-1]
            for _, source, _ in rest:
                if source in on_path:
                    return path[path.index(source) :][::-1]
                if source in prompt and source not in done:
                    stack.append((source, links_of(prompt[source])))
                    path.append(source)
                    on_path.add(source)
                    break
            else:
                stack.pop()
                path.pop()
                on_path.discard(node_id)
                done.add(node_id)
    return []
