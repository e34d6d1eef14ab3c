from typing import Any

import pytest

from comfynb.models import ParamType
from comfynb.widgets.ranges import allowed, bounds, is_seed


def test_integer_bounds_are_exact(parameter: Any) -> None:
    assert bounds(parameter(min_value=0, max_value=2**64 - 1)) == (0, 2**64 - 1)
    assert bounds(parameter(min_value=0.5, max_value=9.5)) == (1, 9)
    assert bounds(parameter(min_value=float("-inf"), max_value=float("inf"))) == (None, None)
    assert bounds(parameter()) == (None, None)


@pytest.mark.parametrize(
    ("kind", "limits", "text"),
    [
        (ParamType.INT, {"min_value": 1, "max_value": 100}, "1 to 100"),
        (ParamType.INT, {"min_value": 1, "max_value": 100, "step": 1}, "1 to 100"),
        (ParamType.INT, {"min_value": 64, "step": 8}, "at least 64, steps of 8"),
        (ParamType.INT, {"max_value": 2**63 - 1}, "at most 2^63 − 1"),
        (
            ParamType.FLOAT,
            {"min_value": 0.0, "max_value": 1.0, "step": 0.01},
            "0 to 1, steps of 0.01",
        ),
        (ParamType.INT, {"min_value": -(2**63 - 1), "max_value": 2**63 - 1}, ""),
        (ParamType.INT, {"min_value": -(2**63), "max_value": 9}, "at most 9"),
        (
            ParamType.FLOAT,
            {"min_value": -(2**63 - 1), "max_value": 2**63 - 1, "step": 0.1},
            "steps of 0.1",
        ),
        (ParamType.CHOICE, {"choices": ["a"]}, "1 choice"),
        (ParamType.CHOICE, {"choices": ["a", "b"]}, "2 choices"),
        (ParamType.IMAGE_PATH, {"file_extensions": [".png", ".jpg"]}, ".png, .jpg"),
        (ParamType.BOOL, {}, ""),
    ],
)
def test_allowed_in_words(
    parameter: Any, kind: ParamType, limits: dict[str, Any], text: str
) -> None:
    assert allowed(parameter(kind=kind, default="a", **limits)) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("seed", True),
        ("noise_seed", True),
        ("seed_value", True),
        ("steps", False),
        ("seedling", False),
    ],
)
def test_seeds_are_known_by_name(parameter: Any, name: str, expected: bool) -> None:
    assert is_seed(parameter(name)) is expected
    assert not is_seed(parameter(name, ParamType.STRING, "x"))
