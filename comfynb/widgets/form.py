"""A form for a workflow's parameters, with a Run button and the started jobs beneath it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import ipywidgets

from comfynb.errors import ComfynbError
from comfynb.models import ExposedParameter
from comfynb.widgets.composite import Composite, close_tree, html
from comfynb.widgets.fields.base import Check, Field
from comfynb.widgets.fields.choice import ChoiceField, Option
from comfynb.widgets.fields.file import Fetch, Upload
from comfynb.widgets.fields.make import Tools, make_field
from comfynb.widgets.live import call
from comfynb.widgets.markup import one_line, user
from comfynb.widgets.tables import StaticTable, parameters_table

__all__ = ["ParameterForm"]

ALL_AT_ONCE = 30
"""Up to this many parameters the form shows all; beyond it the rest waits in sections, unbuilt."""

FIRST = 16
"""Parameters that a long form shows before anybody opens a section."""

FOUND = 24
"""Fields that a search shows at most."""

KEPT_ROWS = 5
"""Started jobs that stay beneath the form."""


class ParameterForm(Composite):
    """The right input for each parameter; values are judged as one types.

    ``parameters`` by key, or a sequence, whose keys are the parameters' ids. ``values`` are by key;
    what is missing has its default. ``check(parameter, value)`` returns the value as it will be
    sent or raises InvalidValue; the button is disabled while any value is wrong. ``on_run(values)``
    gets every value by key; what it returns (or what its awaitable returns) is shown beneath the
    button if it is a widget, a job's row say. ``choices`` are options by key, instead of those in
    the constraints; ``upload(name, data)`` stores a file and returns the name that a workflow knows
    it by; ``fetch(name)`` returns a picture that is already there, for its thumbnail.
    """

    def __init__(
        self,
        parameters: Mapping[str, ExposedParameter] | Sequence[ExposedParameter],
        values: Mapping[str, object] | None = None,
        on_run: Callable[[dict[str, object]], object] | None = None,
        *,
        check: Check,
        choices: Mapping[str, Sequence[Option]] | None = None,
        upload: Upload | None = None,
        fetch: Fetch | None = None,
        title: str = "",
    ) -> None:
        if not isinstance(parameters, Mapping):
            parameters = {parameter.id: parameter for parameter in parameters}
        self._parameters = dict(sorted(parameters.items(), key=lambda item: item[1].order))
        self._on_run = on_run
        given = values or {}
        self._tools = Tools(check, upload, fetch)
        self._choices = dict(choices or {})
        self._values: dict[str, object] = {}
        self._problems: dict[str, str] = {}
        self._fields: dict[str, Field] = {}
        self._sending = False
        for key, parameter in self._parameters.items():
            self._judge(key, given.get(key, parameter.default_value))
        self._make_frame(title)
        super().__init__([self._head, self._grid, self._sections_box, self._foot, self.rows])
        self.add_class("comfynb-form")
        self._lay_out()
        self._refresh()

    # Values

    @property
    def values(self) -> dict[str, object]:
        """Every value by key; where one is wrong, the last one that was right."""
        return dict(self._values)

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by key; empty when the form can run."""
        return dict(self._problems)

    @property
    def parameters(self) -> dict[str, ExposedParameter]:
        """The parameters by key, in the form's order."""
        return dict(self._parameters)

    def set_values(self, values: Mapping[str, object]) -> None:
        """Put values into the form, as a preset does; parameters not named stay as they are."""
        for key in self._parameters:
            if key not in values:
                continue
            if key in self._fields:
                self._fields[key].set(values[key])
            else:
                self._judge(key, values[key])
        self._refresh()

    def reset(self) -> None:
        """Every parameter back to its default."""
        self.set_values({key: one.default_value for key, one in self._parameters.items()})

    def set_choices(self, choices: Mapping[str, Sequence[Option]]) -> None:
        """Offer other options (a backend came or went); values stay and are judged again."""
        self._choices.update(choices)
        for key, options in choices.items():
            field = self._fields.get(key)
            if isinstance(field, ChoiceField):
                field.set_options(options)

    def field(self, key: str) -> Field:
        """The field of one parameter, built if it was not yet."""
        if key not in self._fields:
            self._fields[key] = make_field(
                self._parameters[key],
                self._values[key],
                self._tools,
                partial(self._changed, key),
                options=self._choices.get(key),
            )
        return self._fields[key]

    def _judge(self, key: str, value: object) -> None:
        """Take a value for a parameter that has no field yet."""
        self._values[key] = value
        try:
            self._values[key] = self._tools.check(self._parameters[key], value)
            self._problems.pop(key, None)
        except ComfynbError as error:
            self._problems[key] = str(error)

    def _changed(self, key: str, field: Field) -> None:
        self._values[key] = field.value
        if field.right:
            self._problems.pop(key, None)
        else:
            self._problems[key] = field.problem
        self._refresh()

    # Appearance

    def _make_frame(self, title: str) -> None:
        self._search = ipywidgets.Text(
            placeholder="find a parameter", description="Find", continuous_update=True
        )
        self._search.observe(lambda _: self._lay_out(), "value")
        many = len(self._parameters) > ALL_AT_ONCE
        heading = f'<span class="comfynb-form-title">{user(title, 120)}</span>' if title else ""
        self._title = html(heading)
        head = ([self._title] if title else []) + ([self._search] if many else [])
        self._head = ipywidgets.HBox(head)
        self._head.add_class("comfynb-form-head")
        self._grid = ipywidgets.Box()
        self._grid.add_class("comfynb-fields")
        self._sections = self._make_sections() if many else []
        self._sections_box = ipywidgets.VBox([one.widget for one in self._sections])
        self._run = ipywidgets.Button(
            description="Run", icon="play", button_style="primary", tooltip="Run with these values"
        )
        self._run.on_click(self._clicked)
        self._reset = ipywidgets.Button(
            description="Reset all", tooltip="Every parameter back to its default"
        )
        self._reset.on_click(lambda _: self.reset())
        self._message = html()
        self._foot = ipywidgets.HBox([self._run, self._reset, self._message])
        self._foot.add_class("comfynb-run")
        self.rows = ipywidgets.VBox()
        """The started jobs, newest first."""

    def _make_sections(self) -> "list[_Section]":
        groups: dict[str, list[str]] = {}
        for key, parameter in list(self._parameters.items())[FIRST:]:
            groups.setdefault(parameter.node_title, []).append(key)
        return [_Section(title, keys, self.field) for title, keys in groups.items()]

    def _lay_out(self) -> None:
        words = self._search.value.casefold().split()
        if words:
            found = [key for key, one in self._parameters.items() if _matches(one, words)]
            keys = found[:FOUND]
        else:
            keys = list(self._parameters)[: FIRST if self._sections else None]
        if words:
            # A field is shown in one place at a time.
            self._sections_box.children = ()
        else:
            self._sections_box.children = tuple(one.widget for one in self._sections)
            for section in self._sections:
                if any(key in self._problems for key in section.keys):
                    section.open()
        self._grid.children = tuple(self.field(key).box for key in keys)

    def _refresh(self) -> None:
        """Bring the button and the line beside it in step with the values."""
        wrong = [self._parameters[key].display_name for key in self._problems]
        self._run.disabled = bool(wrong) or self._sending
        self._run.description = "Sending…" if self._sending else "Run"
        if wrong:
            names = ", ".join(one_line(name, 40) for name in wrong[:5])
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            self._tell(f"Not ready to run: look at {names}{more}.")
        else:
            self._tell("")

    def _tell(self, trouble: str) -> None:
        self._message.value = (
            f'<div class="comfynb-problem" role="status">{user(trouble, 1000)}</div>'
            if trouble
            else ""
        )

    # Running

    def _clicked(self, _: object) -> None:
        if self._sending:
            return
        for field in self._fields.values():
            field.before_run()
        if self._problems:
            return
        self._sending = self._on_run is not None
        self._refresh()
        if self._on_run is not None:
            call(partial(self._on_run, self.values), self._started, self._not_started)

    def _started(self, result: object) -> None:
        self._sending = False
        self._refresh()
        if isinstance(result, ipywidgets.Widget):
            rows = (result, *(one for one in self.rows.children if one is not result))
            self.rows.children = rows[:KEPT_ROWS]

    def _not_started(self, why: str) -> None:
        self._sending = False
        self._refresh()
        self._tell(why)

    def _static(self) -> StaticTable:
        return parameters_table(self._parameters, self._values)

    def plain(self) -> str:
        """Parameters and values as text."""
        return self._static().plain()

    def body(self) -> str:
        """Parameters and values as static HTML, and the jobs beneath."""
        rows = [one.body() for one in self.rows.children if isinstance(one, Composite)]
        return self._static().body() + "".join(rows)

    def close(self) -> None:
        """Close the form with every field; jobs go on."""
        if getattr(self, "comm", None) is not None:
            for field in self._fields.values():
                field.close()
            for section in self._sections:
                section.close()
        super().close()


def _matches(parameter: ExposedParameter, words: list[str]) -> bool:
    text = f"{parameter.display_name} {parameter.node_title} {parameter.field_name}".casefold()
    return all(word in text for word in words)


class _Section:
    """A group of fields that is built when somebody opens it."""

    def __init__(self, title: str, keys: list[str], field: Callable[[str], Field]) -> None:
        self.keys = keys
        self._title = title
        self._field = field
        self._button = ipywidgets.ToggleButton(
            description=f"{one_line(title, 80)} ({len(keys)})", icon="caret-right"
        )
        self._button.observe(lambda change: self._show(change["new"]), "value")
        self._grid = ipywidgets.Box()
        self._grid.add_class("comfynb-fields")
        self.widget = ipywidgets.VBox([self._button])
        self.widget.add_class("comfynb-section")

    def open(self) -> None:
        self._button.value = True

    def _show(self, on: bool) -> None:
        self._button.icon = "caret-down" if on else "caret-right"
        if on:
            self._grid.children = tuple(self._field(key).box for key in self.keys)
        self.widget.children = (self._button, self._grid) if on else (self._button,)

    def close(self) -> None:
        """Close all of it, whether on show or not."""
        close_tree(self._grid)
        close_tree(self.widget)
