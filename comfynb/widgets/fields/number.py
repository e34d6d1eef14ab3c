"""Fields for numbers: exact integers of any size, floats, sliders, and a dice for seeds."""

import math
import random
import re
from collections.abc import Sequence

import ipywidgets

from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.composite import icon_button
from comfynb.widgets.fields.base import Field
from comfynb.widgets.markup import clean, clip, number, user
from comfynb.widgets.ranges import bounds, is_seed

__all__ = ["NumberField", "SeedField", "make", "parse_float", "parse_int"]

_INT = re.compile(r"[+-]?[0-9]{1,400}")
_FLOAT = re.compile(r"[+-]?([0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")

SLIDER_STEPS = 1000
"""A slider with more positions than this cannot be set exactly with a mouse."""

SEED_BITS = 50
"""Bits of a drawn seed. ComfyUI takes 64, but JavaScript numbers carry 53: a workflow saved by a
browser would come back with another seed."""


def parse_int(parameter: ExposedParameter, text: str) -> int:
    """The whole number that ``text`` is, exactly; raises InvalidValue."""
    if not _INT.fullmatch(text.strip()):
        raise InvalidValue(f"{parameter.display_name}: {_shown(text)} is not a whole number.")
    return int(text)


def parse_float(parameter: ExposedParameter, text: str) -> float | int:
    """The number that ``text`` is; a decimal comma is understood. Raises InvalidValue."""
    plain = text.strip()
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    if not _FLOAT.fullmatch(plain) or math.isinf(float(plain)):
        raise InvalidValue(f"{parameter.display_name}: {_shown(text)} is not a number.")
    return float(plain)


def _shown(text: str) -> str:
    plain = clean(text).strip()
    return f'"{clip(plain, 60)}"' if plain else "an empty field"


class NumberField(Field):
    """INT and FLOAT: a text box, since a browser's number box rounds beyond 2^53 and clamps what
    somebody is still typing; a slider beside it where the range is small.
    """

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._text = ipywidgets.Text(description=self.label, continuous_update=True)
        self._text.observe(self.edited, "value")
        self._slider = self._make_slider()
        if self._slider is None:
            return [self._text]
        self._slider.observe(self._slid, "value")
        self._text.layout.max_width = "150px"
        return [self._text, self._slider]

    def _make_slider(self) -> ipywidgets.FloatSlider | ipywidgets.IntSlider | None:
        low, high = bounds(self.parameter)
        if low is None or high is None or high <= low:
            return None
        limits = self.parameter.constraints
        whole = self.parameter.param_type is ParamType.INT
        step = (limits.step if limits is not None else None) or (1 if whole else (high - low) / 100)
        if (high - low) / step > SLIDER_STEPS:
            return None
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        slider = kind(
            min=int(low) if whole else low,
            max=int(high) if whole else high,
            step=int(step) if whole else step,
            readout=False,
        )
        slider.tooltip = self.label
        return slider

    def classes(self) -> list[str]:
        """A short box beside a slider has a label longer than itself."""
        return [*super().classes(), *(["comfynb-slid"] if self._slider is not None else [])]

    def _slid(self, change: dict[str, float]) -> None:
        if not self._setting:
            # 0.1 + 0.2 is no value that anybody meant: keep the digits that the step has.
            self._text.value = number(round(change["new"], 10))

    def _follow(self, value: object) -> None:
        """Move the slider to a value that lies in its range."""
        slider = self._slider
        if slider is None or isinstance(value, bool) or not isinstance(value, int | float):
            return
        if slider.min <= value <= slider.max and slider.value != value:
            before, self._setting = self._setting, True
            try:
                slider.value = value
            finally:
                self._setting = before

    def _write(self, value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        self._text.value = number(value) if is_number else clean("" if value is None else value)  # type: ignore[arg-type]
        self._follow(value)

    def _read(self) -> object:
        parse = parse_int if self.parameter.param_type is ParamType.INT else parse_float
        value = parse(self.parameter, self._text.value)
        self._follow(value)
        return value


class SeedField(NumberField):
    """A seed: a dice draws another one, and a switch does so at each run."""

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._dice = icon_button("dice", f"Draw another {self.label}")
        self._dice.on_click(lambda _: self.draw())
        self._each = icon_button("random", f"A new {self.label} each time", toggle=True)
        self._each.observe(lambda _: self._show(), "value")
        return [*super()._build(), self._dice, self._each]

    def _make_slider(self) -> None:
        return None

    def draw(self) -> None:
        """Put a random seed within the range into the field."""
        low, high = bounds(self.parameter)
        lowest = max(int(low or 0), 0) if high is None or high >= 0 else int(low or 0)
        highest = 2**SEED_BITS - 1 if high is None else min(int(high), lowest + 2**SEED_BITS - 1)
        self.set(random.SystemRandom().randint(lowest, max(lowest, highest)))

    def before_run(self) -> None:
        """Draw another seed if the switch says so."""
        if self._each.value:
            self.draw()

    def _hint(self) -> str:
        text = super()._hint()
        return f"{text} · {user('another one for each run')}" if self._each.value else text


def make(parameter: ExposedParameter) -> type[NumberField]:
    """The field class for an INT or FLOAT."""
    return SeedField if is_seed(parameter) else NumberField
