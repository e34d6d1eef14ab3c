"""A form for a workflow's parameters, with a Run button and the started jobs beneath it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import ipywidgets

from comfynb.engine.views import Watchable
from comfynb.errors import ComfynbError, UsageError
from comfynb.models import ExposedParameter
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.fields.base import Check, Field, same
from comfynb.widgets.fields.choice import ChoiceField, Option
from comfynb.widgets.fields.file import Fetch, Upload
from comfynb.widgets.fields.make import Tools, make_field
from comfynb.widgets.live import Live, call
from comfynb.widgets.markup import one_line, user
from comfynb.widgets.preset_bar import PresetBar, PresetShelf
from comfynb.widgets.section import Section
from comfynb.widgets.tables import StaticTable, parameters_table

__all__ = ["FormView", "ParameterForm"]

ALL_AT_ONCE = 30
"""Up to this many parameters the form shows all; beyond it the rest waits in sections, unbuilt."""

FIRST = 16
"""Parameters that a long form shows before anybody opens a section."""

FOUND = 24
"""Fields that a search shows at most."""

KEPT_ROWS = 5
"""Started jobs that stay beneath the form."""


Notes = Mapping[str, Mapping[Option, str]]
"""By key, what to say beside some of a parameter's options: "not on PC2"."""


@dataclass(frozen=True, slots=True)
class FormView:
    """What a form is to show: parameters by key, and notes beside their options."""

    parameters: Mapping[str, ExposedParameter]
    notes: Notes = field(default_factory=dict)


class ParameterForm(Composite):
    """The right input for each parameter; values are judged as one types.

    Parameters that have a group stand under its heading, the others above. What is not on show is
    not built: groups beyond the first ones are closed until somebody opens them.

    ``parameters`` by key, or a sequence, whose keys are the parameters' ids. ``values`` are by key;
    what is missing has its default. ``check(parameter, value)`` returns the value as it will be
    sent or raises InvalidValue; the button is disabled while any value is wrong. ``on_run(values)``
    gets every value by key; what it returns (or what its awaitable returns) is shown beneath the
    button if it is a widget, a job's row say. ``choices`` are options by key, instead of those in
    the constraints, and ``notes`` stand beside options; ``upload(name, data)`` stores a file and
    returns the name that a workflow knows it by; ``fetch(name)`` returns a picture that is already
    there, for its thumbnail. ``presets`` adds a line to save, load and delete them. ``source``
    tells when the parameters became others: the form follows, and values that were typed stay.
    """

    def __init__(
        self,
        parameters: Mapping[str, ExposedParameter] | Sequence[ExposedParameter],
        values: Mapping[str, object] | None = None,
        on_run: Callable[[dict[str, object]], object] | None = None,
        *,
        check: Check,
        choices: Mapping[str, Sequence[Option]] | None = None,
        notes: Notes | None = None,
        upload: Upload | None = None,
        fetch: Fetch | None = None,
        presets: PresetShelf | None = None,
        source: Watchable[FormView] | None = None,
        title: str = "",
    ) -> None:
        self._parameters = _ordered(parameters)
        self._on_run = on_run
        given = values or {}
        self._tools = Tools(check, upload, fetch)
        self._choices = dict(choices or {})
        self._notes = dict(notes or {})
        self._values: dict[str, object] = {}
        self._problems: dict[str, str] = {}
        self._fields: dict[str, Field] = {}
        self._sending = False
        for key, parameter in self._parameters.items():
            self._judge(key, given.get(key, parameter.default_value))
        self._presets = (
            PresetBar(presets, self._preset_values, self.set_values) if presets else None
        )
        self._make_frame(title)
        bar = [self._presets.widget] if self._presets is not None else []
        parts = [self._head, *bar, self._grid, self._sections_box, self._foot, self.rows]
        super().__init__(parts)
        self.add_class("comfynb-form")
        self._open_first_sections()
        self._lay_out()
        self._refresh()
        self._live = Live(source, self._follow) if source is not None else None

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

    def set_choices(
        self, choices: Mapping[str, Sequence[Option]], notes: Notes | None = None
    ) -> None:
        """Offer other options (a backend came or went); values stay and are judged again."""
        self._choices.update(choices)
        self._notes.update(notes or {})
        for key, options in choices.items():
            built = self._fields.get(key)
            if isinstance(built, ChoiceField):
                built.set_options(options, self._notes.get(key))

    def set_parameters(
        self,
        parameters: Mapping[str, ExposedParameter] | Sequence[ExposedParameter],
        notes: Notes | None = None,
    ) -> None:
        """Show other parameters; what was typed for those that stay is kept."""
        shown = _ordered(parameters)
        before = {one.id: (key, one) for key, one in self._parameters.items()}
        fields, values, old_notes = self._fields, self._values, self._notes
        problems = self._problems
        self._parameters, self._fields, self._values = shown, {}, {}
        self._notes, self._choices, self._problems = dict(notes or {}), {}, {}
        for key, one in shown.items():
            old_key, old = before.get(one.id, ("", one))
            value = values.get(old_key, one.default_value)
            if same(value, old.default_value) and old_key not in problems:
                value = one.default_value
            self._values[key] = value
            alike = old_key == key and _looks(old) == _looks(one)
            if alike and old_notes.get(key) == self._notes.get(key) and old_key in fields:
                self._fields[key] = fields.pop(old_key)
                if old_key in problems:
                    self._problems[key] = problems[old_key]
            else:
                self._judge(key, value)
        self._rebuild()
        for gone in fields.values():
            gone.close()

    def _follow(self, view: FormView) -> None:
        if dict(view.parameters) != self._parameters or dict(view.notes) != self._notes:
            self.set_parameters(view.parameters, view.notes)

    def _preset_values(self) -> dict[str, object]:
        """The values to save; raises what is wrong with them in one sentence."""
        if self._problems:
            raise UsageError(f"Not saved: {next(iter(self._problems.values()))}")
        return self.values

    def field(self, key: str) -> Field:
        """The field of one parameter, built if it was not yet."""
        if key not in self._fields:
            self._fields[key] = make_field(
                self._parameters[key],
                self._values[key],
                self._tools,
                partial(self._changed, key),
                options=self._choices.get(key),
                notes=self._notes.get(key),
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

    def _changed(self, key: str, edited: Field) -> None:
        if self._fields.get(key, edited) is not edited:
            return
        self._values[key] = edited.value
        if edited.right:
            self._problems.pop(key, None)
        else:
            self._problems[key] = edited.problem
        self._refresh()

    # Appearance

    def _make_frame(self, title: str) -> None:
        self._search = ipywidgets.Text(
            placeholder="find a parameter", description="Find", continuous_update=True
        )
        self._search.observe(lambda _: self._lay_out(), "value")
        heading = f'<span class="comfynb-form-title">{user(title, 120)}</span>' if title else ""
        self._title = html(heading)
        self._head = ipywidgets.HBox()
        self._head.add_class("comfynb-form-head")
        self._has_title = bool(title)
        self._grid = ipywidgets.Box()
        self._grid.add_class("comfynb-fields")
        self._sections_box = ipywidgets.VBox()
        self._make_sections()
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

    def _make_sections(self) -> None:
        """Sort the parameters: those that are always on show, and those under a heading."""
        many = len(self._parameters) > ALL_AT_ONCE
        loose = [key for key, one in self._parameters.items() if not one.group]
        self._first = loose if len(loose) <= ALL_AT_ONCE else loose[:FIRST]
        groups: dict[tuple[int, str], list[str]] = {}
        for key, parameter in self._parameters.items():
            if parameter.group:
                groups.setdefault((0, parameter.group), []).append(key)
        for key in loose[len(self._first) :]:
            groups.setdefault((1, self._parameters[key].node_title), []).append(key)
        self._sections = [Section(title, keys, self._box) for (_, title), keys in groups.items()]
        self._sections_box.children = tuple(one.widget for one in self._sections)
        parts = [*([self._title] if self._has_title else []), *([self._search] if many else [])]
        self._head.children = tuple(parts)

    def _open_first_sections(self) -> None:
        """Open groups from the top as long as the form stays quick to open."""
        room = ALL_AT_ONCE - len(self._first)
        for section in self._sections:
            room -= len(section.keys)
            if room < 0 or not self._parameters[section.keys[0]].group:
                return
            section.open()

    def _rebuild(self) -> None:
        """Make the headings anew; those that were open stay so."""
        was_open = {section.title for section in self._sections if section.is_open}
        known = {section.title for section in self._sections}
        for section in self._sections:
            section.close(keep_boxes=True)
        self._grid.children = ()
        self._make_sections()
        for section in self._sections:
            is_new = section.title not in known and bool(self._parameters[section.keys[0]].group)
            if section.title in was_open or (known and is_new):
                section.open()  # what was just put under a new heading does not vanish
        if not known:
            self._open_first_sections()
        self._lay_out()
        self._refresh()

    def _box(self, key: str) -> ipywidgets.Widget:
        return self.field(key).box

    def _lay_out(self) -> None:
        words = self._search.value.casefold().split()
        if words:
            found = [key for key, one in self._parameters.items() if _matches(one, words)]
            # A field is shown in one place at a time.
            self._sections_box.children = ()
            self._grid.children = tuple(map(self._box, found[:FOUND]))
            return
        self._sections_box.children = tuple(one.widget for one in self._sections)
        for section in self._sections:
            if any(key in self._problems for key in section.keys):
                section.open()
        self._grid.children = tuple(map(self._box, self._first))

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
        for built in self._fields.values():
            built.before_run()
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
            if self._live is not None:
                self._live.stop()
            for built in self._fields.values():
                built.close()
            for section in self._sections:
                section.close()
            if self._presets is not None:
                self._presets.close()
        super().close()


def _ordered(
    parameters: Mapping[str, ExposedParameter] | Sequence[ExposedParameter],
) -> dict[str, ExposedParameter]:
    if not isinstance(parameters, Mapping):
        parameters = {parameter.id: parameter for parameter in parameters}
    return dict(sorted(parameters.items(), key=lambda item: item[1].order))


def _looks(parameter: ExposedParameter) -> ExposedParameter:
    """What a field shows of it; where it stands is the form's business."""
    return parameter.model_copy(update={"order": 0, "group": ""})


def _matches(parameter: ExposedParameter, words: list[str]) -> bool:
    names = (
        parameter.display_name,
        parameter.group,
        parameter.node_title,
        parameter.field_name,
    )
    text = " ".join(names).casefold()
    return all(word in text for word in words)
