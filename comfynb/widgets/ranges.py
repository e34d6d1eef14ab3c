"""What a parameter allows: exact limits, and the same in words."""

import math

from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.markup import number

__all__ = ["SAFE_INTEGER", "allowed", "bounds", "is_seed"]

SAFE_INTEGER = 2**53 - 1
"""The largest integer that JavaScript's numbers, and JSON in a browser, carry exactly."""

EXTREME = 2**63 - 1
"""The largest number of 64 bits with a sign."""


def bounds(parameter: ExposedParameter) -> tuple[float | None, float | None]:
    """Lowest and highest value, whole ones for an INT; None where there is no limit."""
    limits = parameter.constraints
    if limits is None:
        return None, None
    low, high = limits.min_value, limits.max_value
    if low is not None and math.isinf(low):
        low = None
    if high is not None and math.isinf(high):
        high = None
    if parameter.param_type is ParamType.INT:
        low = None if low is None else math.ceil(low)
        high = None if high is None else math.floor(high)
    return low, high


def is_seed(parameter: ExposedParameter) -> bool:
    """Whether this is a random seed, which deserves a dice."""
    if parameter.param_type is not ParamType.INT:
        return False
    name = parameter.field_name.lower().rpartition(".")[2]
    return name == "seed" or name.endswith("_seed") or name.startswith("seed_")


def allowed(parameter: ExposedParameter) -> str:
    """What is allowed, in a few words: ``1 to 100``, ``12 choices``, ``.png``; may be empty."""
    limits = parameter.constraints
    if limits is None:
        return ""
    kind = parameter.param_type
    if kind is ParamType.CHOICE and limits.choices is not None:
        return "1 choice" if len(limits.choices) == 1 else f"{len(limits.choices)} choices"
    if kind in {ParamType.IMAGE_PATH, ParamType.VIDEO_PATH}:
        return ", ".join(limits.file_extensions or [])
    if kind not in {ParamType.INT, ParamType.FLOAT}:
        return ""
    low, high = bounds(parameter)
    if low is not None and low <= -EXTREME:
        # What a 64-bit number can hold at all is no limit that anybody set.
        low = None
        high = None if high is not None and high >= EXTREME else high
    parts = []
    if low is not None and high is not None:
        parts.append(f"{number(low)} to {_large(high)}")
    elif low is not None:
        parts.append(f"at least {number(low)}")
    elif high is not None:
        parts.append(f"at most {_large(high)}")
    if limits.step and not (kind is ParamType.INT and limits.step == 1):
        parts.append(f"steps of {number(limits.step)}")
    return ", ".join(parts)


def _large(value: float) -> str:
    for power in (31, 32, 63, 64):
        if value == 2**power - 1:
            return f"2^{power} − 1"
    return number(value)
