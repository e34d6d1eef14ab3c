"""Ranges as people write them: ``"1..16"``, ``"0.2..0.9:0.1"``, ``"1..4, 8"``; ends included."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from comfynb.errors import InvalidValue

__all__ = ["MOST_VALUES", "parse_range"]

MOST_VALUES: Final = 1_000_000
"""Values that one range may have."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PART = re.compile(rf"\s*({_NUMBER})(?:\s*\.\.\s*({_NUMBER})(?:\s*:\s*({_NUMBER}))?)?\s*")
_LONGEST = 400


def parse_range(text: str) -> Sequence[int] | Sequence[float] | None:
    """The values of a range, or of several between commas; None where the text is no range.

    Both ends count, ``:`` is followed by the step (1, or -1 where the range runs down). All are
    whole numbers if all that is written is. Steps are added in decimal, so ``"0.1..0.3:0.1"`` is
    0.1, 0.2, 0.3 exactly.

    Raises:
        InvalidValue: a step that is 0 or leads away from the end, or far too many values.
    """
    if ".." not in text or len(text) > _LONGEST:
        return None
    matches = [_PART.fullmatch(part) for part in text.split(",")]
    parts = [match for match in matches if match is not None]
    if len(parts) < len(matches):
        return None
    whole = all(_is_whole(number) for part in parts for number in part.groups() if number)
    if whole and len(parts) == 1:
        return _whole_range(text, *parts[0].groups())
    values: list[Decimal] = []
    for part in parts:
        values += _decimals(text, *part.groups())
    return [int(value) for value in values] if whole else [float(value) for value in values]


def _is_whole(number: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", number) is not None


def _whole_range(text: str, first: str, last: str | None, step: str | None) -> range:
    start, end = int(first), int(last or first)
    by = int(step) if step else (1 if end >= start else -1)
    _check_step(text, by, end - start)
    found = range(start, end + (1 if by > 0 else -1), by)
    _check_count(text, len(found))
    return found


def _decimals(text: str, first: str, last: str | None, step: str | None) -> list[Decimal]:
    start = Decimal(first)
    if last is None:
        return [start]
    end = Decimal(last)
    by = Decimal(step) if step else Decimal(1 if end >= start else -1)
    _check_step(text, by, end - start)
    count = int((end - start) / by) + 1
    _check_count(text, count)
    return [start + by * place for place in range(count)]


def _check_step(text: str, by: int | Decimal, way: int | Decimal) -> None:
    if by == 0:
        raise InvalidValue(f"The range {text!r} has the step 0: it would never end.")
    if (by > 0) != (way >= 0) and way != 0:
        raise InvalidValue(f"The range {text!r} has a step that leads away from its end.")


def _check_count(text: str, count: int) -> None:
    if count > MOST_VALUES:
        raise InvalidValue(
            f"The range {text!r} has {count:,} values; more than {MOST_VALUES:,} are not swept."
        )
