"""One field of a form: its input, what is allowed or wrong beneath it, and a way back."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import ipywidgets

from comfynb.errors import ComfynbError
from comfynb.models import ExposedParameter
from comfynb.widgets.composite import close_tree, html, icon_button, set_class
from comfynb.widgets.markup import clean, one_line, user
from comfynb.widgets.ranges import allowed

__all__ = ["Check", "Field", "same"]

Check: TypeAlias = Callable[[ExposedParameter, object], object]
"""Returns the value as it will be sent, or raises InvalidValue in one sentence."""


class Field:
    """The widgets for one parameter, and its value.

    ``value`` is the last value that was right, ``problem`` a sentence while what stands in the
    field is not. A value that nobody touched stays exactly as it was given, whatever a browser
    could make of it.
    """

    wide = False
    """Whether the field wants a whole line of the form."""

    def __init__(
        self,
        parameter: ExposedParameter,
        value: object,
        check: Check,
        changed: Callable[["Field"], None],
    ) -> None:
        self.parameter = parameter
        self.value = value
        self.problem = ""
        self._check = check
        self._changed = changed
        self._setting = False
        self._note = html("", "comfynb-note")
        self._reset = icon_button("undo", self._reset_tip())
        self._reset.add_class("comfynb-reset")
        self._reset.on_click(lambda _: self.reset())
        self._line = ipywidgets.HBox([*self._build(), self._reset])
        self.box = ipywidgets.VBox([self._line, self._note])
        self.box.add_class("comfynb-field")
        for name in self.classes():
            self.box.add_class(name)
        self._put(value)

    # What each kind of field says for itself

    def _build(self) -> Sequence[ipywidgets.Widget]:
        """Make the input widgets; their edits end in ``edited``."""
        raise NotImplementedError

    def _write(self, value: object) -> None:
        """Show ``value`` in the input widgets."""
        raise NotImplementedError

    def _read(self) -> object:
        """What stands in the input widgets; raises InvalidValue if it cannot be such a value."""
        raise NotImplementedError

    def classes(self) -> list[str]:
        """CSS classes of the whole field."""
        return ["comfynb-wide"] if self.wide else []

    def _hint(self) -> str:
        """HTML beneath the field while nothing is wrong."""
        parts = [self.parameter.node_title, allowed(self.parameter)]
        return " · ".join(user(part, 120) for part in parts if part)

    def _mark(self, wrong: bool) -> None:
        """Show that the input is wrong, or is right again."""
        set_class(self.box, "comfynb-invalid", wrong)

    # What all have in common

    @property
    def label(self) -> str:
        """The label as plain text for the widgets (they set it as text, not as markup)."""
        return one_line(self.parameter.display_name, 120)

    @property
    def right(self) -> bool:
        """Whether what stands in the field can be sent."""
        return not self.problem

    def edited(self, _: object = None) -> None:
        """An input widget changed: read it and judge it."""
        if self._setting:
            return
        try:
            self.value = self._check(self.parameter, self._read())
            self.problem = ""
        except ComfynbError as error:
            self.problem = str(error)
        self._after()

    def set(self, value: object) -> None:
        """Put another value into the field, as a preset does."""
        self._put(value)
        self._changed(self)

    def reset(self) -> None:
        """Back to the default."""
        self.set(self.parameter.default_value)

    def judge_again(self) -> None:
        """Check the same input again, because what is allowed has changed."""
        if self.problem:
            self.edited()
        else:
            self._put(self.value)
            self._changed(self)

    def close(self) -> None:
        """Close every widget of the field."""
        close_tree(self.box)

    def before_run(self) -> None:
        """Called when Run was clicked, before the values are taken."""

    def _put(self, value: object) -> None:
        self._setting = True
        try:
            self._write(value)
        finally:
            self._setting = False
        self.value = value
        try:
            self.value = self._check(self.parameter, value)
            self.problem = ""
        except ComfynbError as error:
            self.problem = str(error)
        self._show()

    def _after(self) -> None:
        self._show()
        self._changed(self)

    def _show(self) -> None:
        if self.problem:
            self._note.value = (
                f'<div class="comfynb-problem" role="alert">{user(self.problem, 400)}</div>'
            )
        else:
            self._note.value = self._hint()
        self._mark(bool(self.problem))
        self._reset.disabled = self.right and self._is_default()

    def _is_default(self) -> bool:
        default = self.parameter.default_value
        if same(self.value, default):
            return True
        try:
            # A workflow may have 1 where the input takes 1.0.
            return same(self.value, self._check(self.parameter, default))
        except ComfynbError:
            return False

    def _reset_tip(self) -> str:
        return f"Back to the default: {one_line(clean(self.parameter.default_value), 80)}"


def same(one: object, other: object) -> bool:
    """Whether two values are the same and of one kind: 1, 1.0 and True are three values."""
    return type(one) is type(other) and one == other
