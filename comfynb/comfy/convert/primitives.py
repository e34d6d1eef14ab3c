"""Lets primitives speak: their values go to every widget that they are linked to."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from comfynb.comfy.convert.doubts import doubt_about
from comfynb.comfy.convert.hosts import Hosts
from comfynb.comfy.convert.model import Graph, Node
from comfynb.comfy.convert.state import NO_VALUE, NodeState
from comfynb.comfy.convert.text import fill_placeholders
from comfynb.comfy.convert.virtual import PRIMITIVE
from comfynb.comfy.object_info import InputSpec

__all__ = ["let_primitives_speak", "rounded"]


def let_primitives_speak(
    graph: Graph,
    hosts: Hosts,
    state_of: Callable[[Node], NodeState],
    find: Callable[[str, str], object],
) -> None:
    """Push the value of every primitive of a graph; ``find`` resolves ``%node.widget%``."""
    for primitive in graph.nodes.values():
        if primitive.type == PRIMITIVE:
            targets = list(_targets(graph, primitive, hosts, state_of))
            if targets:
                _push(primitive, targets, find)


def _targets(
    graph: Graph, primitive: Node, hosts: Hosts, state_of: Callable[[Node], NodeState]
) -> Iterator[tuple[NodeState, str, InputSpec]]:
    for link in graph.links_from(primitive.id):
        target = graph.nodes.get(link.target)
        if target is None or hosts.of(target) is not None:
            continue
        state = state_of(target)
        entry = state.entry_of(link)
        widget = state.widgets.get(entry.name) if entry is not None else None
        if entry is not None and entry.widget and widget is not None and widget.spec is not None:
            yield state, widget.name, widget.spec


def _push(
    primitive: Node,
    targets: list[tuple[NodeState, str, InputSpec]],
    find: Callable[[str, str], object],
) -> None:
    values = primitive.values
    first_state, first_name, first_spec = targets[0]
    value = values[0] if isinstance(values, list) and values else NO_VALUE
    saved_type = primitive.output_types[0] if primitive.output_types else "*"
    if value is NO_VALUE or saved_type != first_spec.type:
        # It was saved for another kind of widget: a new one copies what it is linked to.
        value = first_state.values.get(first_name, NO_VALUE)
    if value is NO_VALUE:
        return
    if isinstance(value, str) and primitive.properties.get("Run widget replace on values"):
        value, _ = fill_placeholders(value, find)
    for state, name, spec in targets:
        state.values[name] = rounded(spec, value)
        doubt = doubt_about(spec, value)
        state.doubts = [entry for entry in state.doubts if entry[0] != name]
        if doubt:
            state.doubts.append((name, doubt))


def rounded(spec: InputSpec, value: Any) -> Any:
    """The value that a number widget makes of one that is pushed into it."""
    if isinstance(value, str) and spec.widget in {"INT", "FLOAT"}:
        value = _number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    if spec.widget == "INT":
        step = spec.step or 1
        if step == 1:
            return value if isinstance(value, int) else math.floor(value + 0.5)
        offset = math.fmod(spec.minimum or 0, step)
        return math.floor((value - offset) / step + 0.5) * step + offset
    if spec.widget == "FLOAT":
        step = spec.step if spec.step is not None else 0.5
        precision = max(0, -math.floor(math.log10(step))) if step > 0 else 0
        grain = spec.round or (10.0**-precision if precision else 0)
        if not grain:
            return value
        near = round(math.floor(value / grain + 0.5) * grain, precision)
        low = spec.minimum if spec.minimum is not None else 0
        high = spec.maximum if spec.maximum is not None else 2048
        return min(max(near, low), high)
    return value


def _number_in(text: str) -> Any:
    """The number that a text is, or the text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if text.strip().lstrip("+-").isdigit() else number
