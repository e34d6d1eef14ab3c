"""Restores a node of a class that the server does not have, from what the file says alone."""

from typing import Any

from comfynb.comfy.convert.model import Node
from comfynb.comfy.convert.state import Entry, NodeState, connect, keep_undeclared
from comfynb.comfy.convert.widgets import CONTROL_MODES, Widget

__all__ = ["configure_unknown"]


def configure_unknown(node: Node) -> NodeState:
    """Restore a node of a class that the server does not have, from what the file says alone."""
    state = NodeState(node, None)
    names = [slot.widget for slot in node.inputs if slot.widget is not None]
    if isinstance(node.values, dict):
        keep_undeclared(state, node.values)
    elif node.named:
        for name, value in node.named.items():
            if isinstance(name, str):
                state.widgets[name] = Widget(name)
                state.values[name] = value
    elif node.values:
        _guess(state, names, node.values)
    for slot in node.inputs:
        state.inputs.append(Entry(slot.name, slot.type, widget=slot.widget is not None))
    connect(state)
    return state


def _guess(state: NodeState, names: list[str], values: list[Any]) -> None:
    """Deal saved values out to the names of the inputs that have widgets."""
    place = 0
    surplus = len(values) - len(names)
    for name in names:
        if place >= len(values):
            break
        state.widgets[name] = Widget(name)
        state.values[name] = values[place]
        place += 1
        follows_seed = isinstance(values[place - 1], int) and "seed" in name.lower()
        if surplus > 0 and follows_seed and place < len(values) and _is_mode(values[place]):
            place += 1
            surplus -= 1
    if names:
        state.guesses.append("the class is unknown here: values were assigned by position")
    if surplus > 0:
        plural = "s belong" if surplus > 1 else " belongs"
        state.unused.append(f"{surplus} saved value{plural} to no input that the file names")


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and value in CONTROL_MODES
