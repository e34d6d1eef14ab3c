"""One saved node as the front-end would have it after loading: its widgets' values, its inputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfynb.comfy.convert.doubts import doubt_about
from comfynb.comfy.convert.dynamic import Autogrow, autogrow_of, group_rows, sub_inputs
from comfynb.comfy.convert.layout import Layout, Socket, initial_widgets
from comfynb.comfy.convert.model import Link, Node
from comfynb.comfy.convert.widgets import CONTROL_MODES, Widget, has_widget, widgets_of
from comfynb.comfy.object_info import (
    AUTOGROW,
    DYNAMIC_COMBO,
    DYNAMIC_GROUP,
    MATCH_TYPE,
    InputSpec,
)

__all__ = ["NO_VALUE", "Entry", "NodeState", "configure", "connect", "keep_undeclared"]


class _NoValue:
    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE: Any = _NoValue()
"""Stands where the front-end has no value at all, so that the prompt gets no such input."""


@dataclass(slots=True)
class Entry:
    """An input of a configured node; ``widget`` tells that a widget stands behind it."""

    name: str
    type: str
    link: Link | None = None
    widget: bool = False


@dataclass(slots=True)
class NodeState:
    """A node's widgets and inputs. ``remarks`` are sentences about what had to be guessed."""

    node: Node
    layout: Layout | None
    widgets: dict[str, Widget] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    inputs: list[Entry] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)
    """``(input name, what looks wrong)``."""
    unused: list[str] = field(default_factory=list)
    lost_links: list[str] = field(default_factory=list)
    by_link: dict[str, Entry] = field(default_factory=dict)

    def entry(self, name: str) -> Entry | None:
        """The input of that name."""
        return next((entry for entry in self.inputs if entry.name == name), None)

    def entry_of(self, link: Link) -> Entry | None:
        """The input that a link ends in."""
        return self.by_link.get(link.key)


class _Saved:
    """The saved values of one node, handed out by place or by name."""

    def __init__(
        self, positional: list[Any] | None, named: Mapping[str, Any] | None, *, by_name: bool
    ) -> None:
        self.positional = positional or []
        self.named = named or {}
        self.by_name = by_name
        self.place = 0

    def take(self, widget: Widget) -> Any:
        if self.by_name:
            return self.named.get(widget.name, NO_VALUE)
        if not widget.saved:
            return NO_VALUE
        place = self.place
        self.place += 1
        return self.positional[place] if place < len(self.positional) else NO_VALUE

    def rest(self) -> list[Any]:
        """Saved values that no widget took."""
        return self.positional[self.place :]


def configure(node: Node, layout: Layout) -> NodeState:
    """Restore a node of a known class."""
    state = NodeState(node, layout)
    rows = _linked_rows(node)
    if isinstance(node.values, dict):
        _restore(state, layout, _Saved(None, node.values, by_name=True), rows)
        keep_undeclared(state, node.values)
    else:
        saved = _Saved(_migrated(node.values or [], layout), None, by_name=False)
        _restore(state, layout, saved, rows)
        _keep_rest(state, saved.rest())
        if node.named and state.doubts and _covers(node.named, state):
            # The list has slipped, but the file also says which value belongs to which name.
            second = NodeState(node, layout)
            _restore(second, layout, _Saved(None, node.named, by_name=True), rows)
            if len(second.doubts) < len(state.doubts):
                slipped = ", ".join(name for name, _ in state.doubts)
                second.guesses.append(f"widgets_values has slipped ({slipped}): read by name")
                state = second
        elif node.named:
            _compare(state, node.named)
    connect(state)
    return state


def _linked_rows(node: Node) -> set[str]:
    links = node.graph.links
    return {slot.name for slot in node.inputs if slot.link is not None and slot.link in links}


def _covers(named: Mapping[str, Any], state: NodeState) -> bool:
    return all(name in named for name, widget in state.widgets.items() if widget.sent)


def _migrated(values: list[Any], layout: Layout) -> list[Any]:
    """Leave out what an old file saved for widgets that are gone or are no longer saved.

    The front-end does so only where the counts fit one another exactly.
    """
    if layout.regroups:
        return values
    widgets = [*initial_widgets(layout.sockets), *initial_widgets(layout.widgets)]
    saved = sum(widget.saved for widget in widgets)
    if not any(layout.forced) and len(values) == saved:
        return values
    compact = [
        value for place, value in enumerate(values) if place >= len(widgets) or widgets[place].saved
    ]
    if len(compact) == len(layout.forced):
        aligned = compact
    elif len(values) == len(layout.forced):
        aligned = values
    else:
        return values
    return [value for place, value in enumerate(aligned) if not layout.forced[place]]


def _restore(state: NodeState, layout: Layout, saved: _Saved, linked: set[str]) -> None:
    sockets: list[Entry] = []
    later: list[InputSpec] = []
    for socket in layout.sockets:
        if isinstance(socket, Socket):
            sockets.append(Entry(socket.name, socket.type))
        elif isinstance(socket, Widget):
            _take(state, socket, saved, linked, sockets)
        else:
            later += _grow(state, socket, saved, linked, sockets)
    entries: list[Entry] = []
    for widget in layout.widgets:
        _take(state, widget, saved, linked, entries)
    # Rows that grew because the last one is linked have their widgets after all others.
    _add_all(state, later, saved, linked, sockets)
    state.inputs = sockets + entries
    if layout.node_class.name == "CustomCombo":
        _restore_options(state, saved)


def _take(
    state: NodeState, widget: Widget, saved: _Saved, linked: set[str], entries: list[Entry]
) -> None:
    value = saved.take(widget)
    spec = widget.spec
    if value is NO_VALUE:
        value = NO_VALUE if widget.default is None else widget.default
    elif spec is not None:
        if value is None and spec.choices:
            value = spec.choices[0]
        doubt = doubt_about(spec, value) if widget.sent else ""
        if doubt:
            state.doubts.append((widget.name, doubt))
    elif widget.control and not saved.by_name and not _is_mode(value):
        state.doubts.append((widget.name, "no control mode stands in its place"))
    state.widgets[widget.name] = widget
    state.values[widget.name] = value
    if spec is None:
        return
    if not spec.socketless and spec.type != DYNAMIC_GROUP:
        entries.append(Entry(widget.name, spec.type, widget=True))
    if spec.type == DYNAMIC_COMBO:
        _add_all(state, sub_inputs(spec, widget.name, value), saved, linked, entries)
    elif spec.type == DYNAMIC_GROUP:
        _add_all(state, group_rows(spec, widget.name, value), saved, linked, entries)


def _is_mode(value: object) -> bool:
    """Whether a value is what a control widget saves; very old ones saved true or false."""
    return (
        value is None
        or isinstance(value, bool)
        or (isinstance(value, str) and value in CONTROL_MODES)
    )


def _add_all(
    state: NodeState,
    specs: Iterable[InputSpec],
    saved: _Saved,
    linked: set[str],
    entries: list[Entry],
) -> None:
    for spec in specs:
        if spec.type == AUTOGROW:
            more = _grow(state, autogrow_of(spec), saved, linked, entries)
            _add_all(state, more, saved, linked, entries)
            continue
        given = spec
        if spec.type == MATCH_TYPE:
            given = replace(spec, type=spec.socket)
        if has_widget(given):
            for widget in widgets_of(given):
                _take(state, widget, saved, linked, entries)
        else:
            entries.append(Entry(given.name, given.type))


def _grow(
    state: NodeState, group: Autogrow, saved: _Saved, linked: set[str], entries: list[Entry]
) -> list[InputSpec]:
    """Add the rows of a new node; give those that it has grown: one more than are linked."""
    known = [row for row in map(group.row_of, linked) if row is not None]
    wanted = min(max(known, default=-1) + 2, group.at_most)
    for number in range(group.at_first):
        _add_all(state, group.row(number), saved, linked, entries)
    return [spec for number in range(group.at_first, wanted) for spec in group.row(number)]


def _restore_options(state: NodeState, saved: _Saved) -> None:
    """Give a CustomCombo its options; a new empty one appears after each that is filled."""
    number = 1
    while True:
        name = f"option{number}"
        if not state.values.get(name) or number > 1000:
            break
        number += 1
        extra = Widget(f"option{number}", default="")
        value = saved.take(extra)
        state.widgets[extra.name] = extra
        state.values[extra.name] = "" if value is NO_VALUE else value
    options = [state.values[name] for name in state.values if name.startswith("option")]
    choice = state.values.get("choice")
    state.values["index"] = options.index(choice) if choice in options else -1


def keep_undeclared(state: NodeState, values: Mapping[str, Any]) -> None:
    """Keep plain values that the class does not declare.

    Extensions that save a mapping (VideoHelperSuite) pass on inputs that depend on a format chosen.
    """
    for name, value in values.items():
        if name not in state.widgets and isinstance(value, str | int | float | bool):
            state.widgets[name] = Widget(name)
            state.values[name] = value


def _keep_rest(state: NodeState, rest: list[Any]) -> None:
    """Say what was saved for widgets that only a node pack's own code makes.

    rgthree's lora loader is one: its rows are sent as ``lora_1``, ``lora_2`` ...
    """
    lost = 0
    for value in rest:
        if isinstance(value, dict) and "lora" in value and "strength" in value:
            number = sum(name.startswith("lora_") for name in state.values) + 1
            state.widgets[f"lora_{number}"] = Widget(f"lora_{number}")
            state.values[f"lora_{number}"] = value
        elif value not in (None, "", [], {}):
            lost += 1
    if lost:
        state.unused.append(
            f"{lost} saved value{'s belong' if lost > 1 else ' belongs'} to no widget of the class"
        )


def _compare(state: NodeState, named: Mapping[str, Any]) -> None:
    """Say where the list and the names disagree; the front-end goes by the list."""
    other = [
        name
        for name, widget in state.widgets.items()
        if widget.sent and name in named and named[name] != state.values[name]
    ]
    if other:
        state.guesses.append(
            f"widgets_values and widgets_values_named disagree about {', '.join(other)}: "
            "the list was taken, as the front-end does"
        )


def connect(state: NodeState) -> None:
    """Attach the links, by input name first: slot numbers in old files count other slots."""
    node = state.node
    graph = node.graph
    by_name = {entry.name: entry for entry in state.inputs}
    taken: set[str] = set()
    for slot in node.inputs:
        link = graph.links.get(slot.link) if slot.link is not None else None
        if link is not None and link.target != node.id:
            state.lost_links.append(slot.name)
            link = None
        entry = by_name.get(slot.name)
        if entry is None:
            if slot.widget is not None and slot.widget not in state.widgets:
                # An input made of a widget that the class no longer has goes with it.
                if link is not None:
                    state.lost_links.append(slot.name)
                    taken.add(link.key)
                continue
            entry = Entry(slot.name, slot.type, widget=slot.widget is not None)
            state.inputs.append(entry)
            by_name[slot.name] = entry
        if link is not None and entry.link is None:
            entry.link = link
            state.by_link[link.key] = entry
            taken.add(link.key)
    for link in graph.arrivals.get(node.id, ()):
        if link.key in taken:
            continue
        place = link.target_slot
        if place < len(state.inputs) and state.inputs[place].link is None:
            state.inputs[place].link = link
            state.by_link[link.key] = state.inputs[place]
