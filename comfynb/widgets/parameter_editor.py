"""Choosing what a form shows: tick, rename, group, reorder and hide the inputs of a workflow."""

from collections.abc import Callable, Sequence

import ipywidgets

from comfynb.models import ExposedParameter
from comfynb.widgets.composite import Composite, close_tree, html, icon_button
from comfynb.widgets.live import call
from comfynb.widgets.markup import clean, one_line, user
from comfynb.widgets.section import Section
from comfynb.widgets.tables import parameters_table

__all__ = ["ParameterEditor"]

FOUND = 40
"""Inputs that a search shows at most."""


class ParameterEditor(Composite):
    """A row for each exposed parameter, and under it every input that could be one.

    ``candidates`` are all that could be exposed; ``exposed`` the ids of those that are, in order.
    Each change is handed over at once, as the whole list: ``on_change(parameters)`` raises
    InvalidValue or UsageError if that cannot be, and the editor shows its sentence until it can.
    """

    def __init__(
        self,
        candidates: Sequence[ExposedParameter],
        exposed: Sequence[str],
        on_change: Callable[[list[ExposedParameter]], object],
        *,
        title: str = "",
    ) -> None:
        self._known = {parameter.id: parameter for parameter in candidates}
        self._order = [one for one in exposed if one in self._known]
        self._on_change = on_change
        self._rows: dict[str, _Row] = {}
        self._ticks: dict[str, ipywidgets.Checkbox] = {}
        self._setting = False
        heading = f'<span class="comfynb-form-title">{user(title, 120)}</span>' if title else ""
        self._title = html(heading)
        self._list = ipywidgets.VBox()
        self._list.add_class("comfynb-rows")
        self._list.add_class("comfynb-editor-rows")
        self._message = html("", "comfynb-note")
        self._search = ipywidgets.Text(
            placeholder="find an input", description="Add", continuous_update=True
        )
        self._search.observe(lambda _: self._show_rest(), "value")
        self._found = ipywidgets.Box()
        self._found.add_class("comfynb-fields")
        nodes: dict[str, list[str]] = {}
        for parameter in candidates:
            nodes.setdefault(parameter.node_id, []).append(parameter.id)
        titles = [self._known[ids[0]].node_title for ids in nodes.values()]
        self._sections = [
            Section(title if titles.count(title) == 1 else f"{title} · {node}", ids, self._tick)
            for title, (node, ids) in zip(titles, nodes.items(), strict=True)
        ]
        self._rest = ipywidgets.VBox()
        head = [self._title] if title else []
        super().__init__([*head, self._list, self._message, self._search, self._rest])
        self.add_class("comfynb-form")
        self.add_class("comfynb-editor")
        self._show_rows()
        self._show_rest()

    @property
    def parameters(self) -> list[ExposedParameter]:
        """The exposed parameters as they are in the editor, in order."""
        return [
            self._known[one].model_copy(update={"order": order})
            for order, one in enumerate(self._order)
        ]

    # What rows and ticks call

    def rename(self, parameter_id: str, name: str) -> None:
        """Another display name."""
        self._edit(parameter_id, display_name=name)

    def regroup(self, parameter_id: str, group: str) -> None:
        """Another heading; empty for none."""
        self._edit(parameter_id, group=group.strip())

    def move(self, parameter_id: str, by: int) -> None:
        """So many places down; negative is up."""
        at = self._order.index(parameter_id)
        to = min(max(at + by, 0), len(self._order) - 1)
        if to != at:
            self._order.insert(to, self._order.pop(at))
            self._show_rows()
            self._hand_over()

    def expose(self, parameter_id: str, on: bool) -> None:
        """Make it settable, as the last one, or hide it."""
        if on is (parameter_id in self._order):
            return
        if on:
            self._order.append(parameter_id)
        else:
            self._order.remove(parameter_id)
        self._show_rows()
        tick = self._ticks.get(parameter_id)
        if tick is not None and tick.value is not on:
            tick.value = on
        self._hand_over()

    def _edit(self, parameter_id: str, **changes: str) -> None:
        before = self._known[parameter_id]
        after = before.model_copy(update=changes)
        if after != before:
            self._known[parameter_id] = after
            self._offer_groups()
            self._hand_over()

    def _hand_over(self) -> None:
        given = self.parameters
        call(lambda: self._on_change(given), lambda _: self._tell(""), self._tell)

    def _tell(self, trouble: str) -> None:
        self._message.value = (
            f'<div class="comfynb-problem" role="alert">{user(trouble, 400)}</div>'
            if trouble
            else f"{len(self._order)} of {len(self._known)} inputs are shown in the form"
        )

    # What it shows

    def _show_rows(self) -> None:
        for parameter_id in [one for one in self._rows if one not in self._order]:
            close_tree(self._rows.pop(parameter_id).widget)
        for parameter_id in self._order:
            if parameter_id not in self._rows:
                self._rows[parameter_id] = _Row(self, self._known[parameter_id])
        self._list.children = tuple(self._rows[one].widget for one in self._order)
        for at, one in enumerate(self._order):
            self._rows[one].place(first=at == 0, last=at == len(self._order) - 1)
        self._offer_groups()
        self._tell("")

    def _offer_groups(self) -> None:
        groups = dict.fromkeys(self._known[one].group for one in self._order)
        names = tuple(clean(group) for group in groups if group)
        for row in self._rows.values():
            row.offer_groups(names)

    def _show_rest(self) -> None:
        words = self._search.value.casefold().split()
        if not words:
            self._found.children = ()
            self._rest.children = tuple(section.widget for section in self._sections)
            for section in self._sections:
                section.refill()
            return
        found = [one for one, parameter in self._known.items() if _matches(parameter, words)]
        for section in self._sections:
            section.empty()
        self._found.children = tuple(map(self._tick, found[:FOUND]))
        self._rest.children = (self._found,)

    def _tick(self, parameter_id: str) -> ipywidgets.Widget:
        if parameter_id not in self._ticks:
            parameter = self._known[parameter_id]
            tick = ipywidgets.Checkbox(
                value=parameter_id in self._order,
                description=one_line(f"{parameter.display_name} ({_where(parameter)})", 120),
                indent=False,
            )
            tick.observe(lambda change: self.expose(parameter_id, change["new"]), "value")
            self._ticks[parameter_id] = tick
        return self._ticks[parameter_id]

    def plain(self) -> str:
        """The exposed parameters as text."""
        return parameters_table(self.parameters).plain()

    def body(self) -> str:
        """The exposed parameters as static HTML."""
        return parameters_table(self.parameters).body()

    def close(self) -> None:
        """Close the editor with everything in it; the parameters stay as they are."""
        if getattr(self, "comm", None) is not None:
            for section in self._sections:
                section.close(keep_boxes=True)
            for tick in self._ticks.values():
                close_tree(tick)
            for row in self._rows.values():
                close_tree(row.widget)
            close_tree(self._found)
        super().close()


class _Row:
    """One exposed parameter: what it is called, its heading, its place, and a way out."""

    def __init__(self, editor: ParameterEditor, parameter: ExposedParameter) -> None:
        name = one_line(parameter.display_name, 60)
        id_ = parameter.id
        self._up = icon_button("arrow-up", f"{name}: up")
        self._up.on_click(lambda _: editor.move(id_, -1))
        self._down = icon_button("arrow-down", f"{name}: down")
        self._down.on_click(lambda _: editor.move(id_, 1))
        self._name = ipywidgets.Text(
            value=clean(parameter.display_name), continuous_update=False, description="Name"
        )
        self._name.observe(lambda change: editor.rename(id_, change["new"]), "value")
        self._group = ipywidgets.Combobox(
            value=clean(parameter.group),
            continuous_update=False,
            description="Group",
            placeholder="no group",
            ensure_option=False,
        )
        self._group.observe(lambda change: editor.regroup(id_, change["new"]), "value")
        self._where = html(user(_where(parameter), 120), "comfynb-note")
        self._hide = icon_button("times", f"Hide {name}")
        self._hide.on_click(lambda _: editor.expose(id_, on=False))
        parts = [self._up, self._down, self._name, self._group, self._where, self._hide]
        self.widget = ipywidgets.HBox(parts)
        self.widget.add_class("comfynb-editor-row")

    def place(self, *, first: bool, last: bool) -> None:
        """Where it stands: the first cannot go up, the last not down."""
        self._up.disabled = first
        self._down.disabled = last

    def offer_groups(self, names: tuple[str, ...]) -> None:
        """The headings that there are already."""
        if self._group.options != names:
            self._group.options = names


def _where(parameter: ExposedParameter) -> str:
    return f"{parameter.node_title} · {parameter.field_name}"


def _matches(parameter: ExposedParameter, words: list[str]) -> bool:
    names = (parameter.display_name, parameter.node_title, parameter.field_name)
    text = " ".join(names).casefold()
    return all(word in text for word in words)
