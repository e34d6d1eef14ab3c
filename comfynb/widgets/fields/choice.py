"""Fields for one of several options: a drop-down list, or a box to filter where they are many."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets

from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter
from comfynb.widgets.fields.base import Check, Field, same
from comfynb.widgets.fields.filter_select import FilterSelect
from comfynb.widgets.markup import clean, clip, user

__all__ = ["ChoiceField", "LongChoiceField", "Option", "make"]

Option = str | int | float | bool

MANY = 20
"""Options up to which a drop-down list is easier than a box to filter."""


class ChoiceField(Field):
    """Few options: a drop-down list.

    A value that is none of them (a model that this backend lacks) is shown and marked, not replaced
    by some other.
    """

    def __init__(
        self,
        parameter: ExposedParameter,
        value: object,
        check: Check,
        changed: Callable[[Field], None],
        options: Sequence[Option],
        *,
        notes: Mapping[Option, str] | None = None,
    ) -> None:
        self._options: list[object] = list(options)
        self._notes = dict(notes or {})
        self._strange: list[object] = []
        super().__init__(parameter, value, check, changed)

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._choice = ipywidgets.Dropdown(description=self.label, options=[])
        self._choice.observe(self.edited, "index")
        return [self._choice]

    def _write(self, value: object) -> None:
        place = _place(self._options, value)
        self._strange = [] if place is not None else [value]
        labels = [self._noted(option) for option in self._options]
        labels += [f"{_label(value)} (not available)" for value in self._strange]
        pairs = [(label, index) for index, label in enumerate(labels)]
        if tuple(pairs) != tuple(self._choice.options):
            self._choice.options = pairs
        self._choice.index = len(labels) - 1 if place is None else place

    def _read(self) -> object:
        index = self._choice.index
        if index is None:
            raise InvalidValue(f"{self.parameter.display_name}: nothing is chosen.")
        return [*self._options, *self._strange][index]

    def _note_on(self, option: object) -> str:
        """What is to be said about an option; options are told apart as JSON tells them."""
        return next((note for one, note in self._notes.items() if same(one, option)), "")

    def _noted(self, option: object) -> str:
        note = self._note_on(option)
        return f"{_label(option)} ({note})" if note else _label(option)

    def _hint(self) -> str:
        note = self._note_on(self.value)
        return " · ".join(part for part in (super()._hint(), user(note) if note else "") if part)

    def set_options(
        self, options: Sequence[Option], notes: Mapping[Option, str] | None = None
    ) -> None:
        """Offer other options; the value stays, and is judged again."""
        self._options = list(options)
        self._notes = dict(notes or {})
        self.judge_again()


class LongChoiceField(ChoiceField):
    """Many options: type a part of the name."""

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._filter = FilterSelect(label=self.label, placeholder="type to filter")
        self._filter.add_class("comfynb-grow")
        self._filter.observe(self.edited, "value")
        return [self._filter]

    def _write(self, value: object) -> None:
        labels = [_label(option) for option in self._options]
        notes = {_label(option): clean(note) for option, note in self._notes.items()}
        if notes != self._filter.notes:
            self._filter.notes = notes
        if labels != self._filter.options:
            self._filter.options = labels
        self._filter.value = _label(value)
        self._strange = [] if _place(self._options, value) is not None else [value]

    def _read(self) -> object:
        text = self._filter.value
        for option in [*self._options, *self._strange]:
            if _label(option) == text:
                return option
        raise InvalidValue(
            f"{self.parameter.display_name}: {_quoted(text)} is none of the "
            f"{len(self._options)} choices; choose one from the list."
        )

    def _mark(self, wrong: bool) -> None:
        self._filter.invalid = wrong


def _place(options: Sequence[object], value: object) -> int | None:
    for index, option in enumerate(options):
        if same(option, value):
            return index
    return None


def _label(option: object) -> str:
    if option is None:
        return ""
    if isinstance(option, bool):
        return "true" if option else "false"
    return clean(option)


def _quoted(text: str) -> str:
    return f'"{clip(text, 80)}"'


def make(
    parameter: ExposedParameter,
    value: object,
    check: Check,
    changed: Callable[[Field], None],
    options: Sequence[Option],
    *,
    notes: Mapping[Option, str] | None = None,
) -> ChoiceField:
    """The right one of the two."""
    kind = LongChoiceField if len(options) > MANY else ChoiceField
    return kind(parameter, value, check, changed, options, notes=notes)
