"""Checks the value that a person gave to a parameter, and brings it into the form that is sent."""

import math
import numbers
import os
import re
from typing import Any

from comfynb.comfy.check import range_words
from comfynb.comfy.problems import list_choices, shorten, suggest
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, ParamConstraints, ParamType

__all__ = ["check_value"]

_ANNOTATION = re.compile(r" ?\[(input|output|temp)\]$")
_NO_LIMITS = ParamConstraints()


def check_value(parameter: ExposedParameter, value: Any) -> Any:
    """Check a value against a parameter and return it as it is to be sent.

    Sensible forms are understood: ``3.0`` and ``"3"`` for an int, either slash in a model's path,
    another case in a choice's name, ``"true"`` for a bool. Everything else raises
    :class:`~comfynb.errors.InvalidValue` with the parameter's name, the value, what is allowed, and
    the nearest choice. Ints are compared as ints, so 64-bit seeds are exact.
    """
    limits = parameter.constraints or _NO_LIMITS
    match parameter.param_type:
        case ParamType.INT:
            number = _as_int(value)
            if number is None:
                raise _refused(parameter, value, f"a whole number{_in_range(limits)}")
            return _within(parameter, number, limits)
        case ParamType.FLOAT:
            real = _as_float(value)
            if real is None:
                raise _refused(parameter, value, f"a number{_in_range(limits)}")
            return _within(parameter, real, limits)
        case ParamType.BOOL:
            truth = _as_bool(value)
            if truth is None:
                raise _refused(parameter, value, "True or False")
            return truth
        case ParamType.CHOICE:
            return _as_choice(parameter, value, limits)
        case ParamType.IMAGE_PATH | ParamType.VIDEO_PATH:
            return _as_file(parameter, value, limits)
    return _as_text(parameter, value)


def _refused(parameter: ExposedParameter, value: Any, allowed: str, hint: str = "") -> InvalidValue:
    return InvalidValue(
        f"{parameter.display_name} cannot be {_shown(value)}: it takes {allowed}{hint}."
    )


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | bool):
        return shorten(value) if not isinstance(value, bool) else str(value)
    return f"a Python {type(value).__name__}"


def _in_range(limits: ParamConstraints) -> str:
    if limits.min_value is None and limits.max_value is None:
        return ""
    return f", {range_words(limits.min_value, limits.max_value)}"


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        real = _as_float(value)
        return int(real) if real is not None and real.is_integer() else None
    if isinstance(value, str) and len(value) < 64:
        try:
            return int(value.strip())
        except ValueError:
            real_text = _as_float(value)
            return None if real_text is None or not real_text.is_integer() else int(real_text)
    return None


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, numbers.Real) or (isinstance(value, str) and len(value) < 64):
            real = float(value)
            return real if math.isfinite(real) else None
    except (ValueError, OverflowError):
        return None
    return None


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    # Among others numpy's own True and False, which are no bools.
    if type(value).__name__ in {"bool", "bool_"} or (
        isinstance(value, numbers.Integral) and value in {0, 1}
    ):
        return bool(value)
    return None


def _within(parameter: ExposedParameter, number: float, limits: ParamConstraints) -> int | float:
    low, high = limits.min_value, limits.max_value
    if (low is not None and number < low) or (high is not None and number > high):
        kind = "a whole number" if parameter.param_type is ParamType.INT else "a number"
        raise _refused(parameter, number, f"{kind}{_in_range(limits)}")
    return number


def _as_text(parameter: ExposedParameter, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | numbers.Real):
        raise _refused(parameter, value, "a text")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(
            parameter, "a text with half a character in it", "text that can be sent as UTF-8"
        ) from None
    return text


def _as_choice(parameter: ExposedParameter, value: Any, limits: ParamConstraints) -> Any:
    choices = limits.choices
    if choices is None:
        return value if isinstance(value, bool) else _as_text(parameter, value)
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return choice
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        wanted = _folded(str(value))
        same = [choice for choice in choices if _slashed(str(choice)) == _slashed(str(value))]
        same = same or [choice for choice in choices if _folded(str(choice)) == wanted]
        if len(same) == 1:
            return same[0]
    raise _refused(parameter, value, list_choices(choices), suggest(value, choices))


def _slashed(text: str) -> str:
    return text.strip().replace("\\", "/")


def _folded(text: str) -> str:
    return _slashed(text).casefold()


def _as_file(parameter: ExposedParameter, value: Any, limits: ParamConstraints) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _refused(parameter, value, "the name or path of a file")
    text = _as_text(parameter, value)
    for choice in limits.choices or ():
        if isinstance(choice, str) and _slashed(choice) == _slashed(text):
            return choice
    name = _ANNOTATION.sub("", text)
    allowed = limits.file_extensions
    if allowed and not name.lower().endswith(tuple(allowed)):
        raise _refused(parameter, value, f"a file that ends in {', '.join(allowed)}")
    return text
