"""Fields for texts and switches: one line, many lines, yes or no."""

from collections.abc import Sequence

import ipywidgets

from comfynb.widgets.fields.base import Field
from comfynb.widgets.markup import clean

__all__ = ["BoolField", "MultilineField", "StringField"]


class StringField(Field):
    """One line of text."""

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._text = ipywidgets.Text(description=self.label, continuous_update=True)
        self._text.observe(self.edited, "value")
        return [self._text]

    def _write(self, value: object) -> None:
        self._text.value = "" if value is None else clean(value)

    def _read(self) -> object:
        return self._text.value


class MultilineField(StringField):
    """Text of any length in a box that grows with it."""

    wide = True

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._text = ipywidgets.Textarea(description=self.label, continuous_update=True)
        self._text.observe(self.edited, "value")
        return [self._text]

    def edited(self, change: object = None) -> None:
        """Grow with the text, then judge it."""
        self._grow()
        super().edited(change)

    def _write(self, value: object) -> None:
        super()._write(value)
        self._grow()

    def _grow(self) -> None:
        # The style sheet lets the box follow its content by itself; browsers that cannot do that
        # take the number of rows.
        text: str = self._text.value
        rows = sum(1 + len(line) // 100 for line in text.split("\n"))
        rows = min(max(rows, 3), 20)
        if self._text.rows != rows:
            self._text.rows = rows


class BoolField(Field):
    """Yes or no."""

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._box = ipywidgets.Checkbox(description=self.label, indent=False)
        self._box.observe(self.edited, "value")
        return [self._box]

    def _write(self, value: object) -> None:
        self._box.value = value is True

    def _read(self) -> object:
        return bool(self._box.value)
