from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.fields.number import (
    SEED_BITS,
    NumberField,
    SeedField,
    make,
    parse_float,
    parse_int,
)

SEED = ExposedParameter(
    id="seed",
    node_id="3",
    node_title="KSampler",
    field_name="seed",
    display_name="Seed",
    param_type=ParamType.INT,
    default_value=0,
    constraints={"min_value": 0, "max_value": 2**64 - 1},
)


@pytest.fixture
def field(check: Any) -> Callable[..., NumberField]:
    def build(parameter: ExposedParameter, value: object = None) -> NumberField:
        start = parameter.default_value if value is None else value
        return make(parameter)(parameter, start, check, lambda _: None)

    return build


@given(st.integers(-(2**70), 2**70))
def test_whole_numbers_are_read_exactly(value: int) -> None:
    assert parse_int(SEED, str(value)) == value
    assert parse_int(SEED, f"  {value} ") == value


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "1_000", "one", "--1", "١٢", "1 2"])
def test_what_is_no_whole_number_is_named(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^Seed: .* is not a whole number\.$"):
        parse_int(SEED, text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_exactly(value: float) -> None:
    assert parse_float(SEED, repr(value)) == value


@pytest.mark.parametrize(
    ("text", "value"), [("7,5", 7.5), (".5", 0.5), ("1e-4", 1e-4), ("5.", 5.0)]
)
def test_numbers_as_people_write_them(text: str, value: float) -> None:
    assert parse_float(SEED, text) == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e999", "1,5.2", "1,000,000", "0x1p3", "x"])
def test_what_is_no_number_is_named(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"^Seed: .* is not a number\.$"):
        parse_float(SEED, text)


def test_a_64_bit_seed_goes_through_unchanged(field: Any) -> None:
    made = field(SEED, 2**64 - 1)
    assert made._text.value == "18446744073709551615"
    assert made.value == 2**64 - 1
    made._text.value = "18446744073709551614"
    assert made.value == 2**64 - 2
    made._text.value = "18446744073709551616"
    assert "above" in made.problem
    assert made.value == 2**64 - 2  # the last one that was right


def test_what_is_wrong_is_shown_while_typing_and_gone_when_mended(
    field: Any, parameter: Any
) -> None:
    made = field(parameter(min_value=1, max_value=100))
    made._text.value = "0"
    assert "below 1" in made._note.value
    assert "comfynb-invalid" in made.box._dom_classes
    made._text.value = "2"
    assert "1 to 100" in made._note.value
    assert "comfynb-invalid" not in made.box._dom_classes


def test_reset_is_offered_when_there_is_something_to_reset(field: Any, parameter: Any) -> None:
    made = field(parameter(default=20, min_value=1, max_value=100))
    assert made._reset.disabled
    made._text.value = "abc"
    assert not made._reset.disabled
    made._reset.click()
    assert (made.value, made._text.value, made.problem) == (20, "20", "")
    assert made._reset.disabled


def test_slider_and_box_follow_each_other(field: Any, parameter: Any) -> None:
    made = field(
        parameter("denoise", ParamType.FLOAT, 1.0, min_value=0.0, max_value=1.0, step=0.01)
    )
    made._slider.value = 0.3
    assert made._text.value == "0.3"
    assert made.value == 0.3
    made._text.value = "0.555"  # between two steps: the slider may not round what was typed
    assert made.value == 0.555
    assert made._text.value == "0.555"
    made._text.value = "3"
    assert made.problem
    assert made._text.value == "3"


@pytest.mark.parametrize(
    ("limits", "has"),
    [
        ({"min_value": 1, "max_value": 100}, True),
        ({"min_value": 1, "max_value": 10_000}, False),
        ({"min_value": 5, "max_value": 5}, False),
        ({"min_value": 0}, False),
        ({}, False),
    ],
)
def test_a_slider_only_where_it_can_be_set(
    field: Any, parameter: Any, limits: dict[str, int], has: bool
) -> None:
    assert (field(parameter(**limits))._slider is not None) is has


def test_the_dice_stays_in_range_and_within_what_browsers_carry(field: Any) -> None:
    made = field(SEED)
    drawn = set()
    for _ in range(50):
        made._dice.click()
        drawn.add(made.value)
        assert made.problem == ""
    assert len(drawn) > 40
    assert max(drawn) < 2**SEED_BITS


@pytest.mark.parametrize(("low", "high"), [(5, 5), (-10, -5), (-3, 3), (2**60, 2**61)])
def test_the_dice_knows_every_range(field: Any, parameter: Any, low: int, high: int) -> None:
    made = field(parameter("seed", default=low, min_value=low, max_value=high))
    for _ in range(20):
        made.draw()
        assert low <= made.value <= high


def test_each_run_may_draw_another(field: Any) -> None:
    made = field(SEED, 7)
    assert isinstance(made, SeedField)
    made.before_run()
    assert made.value == 7
    made._each.value = True
    assert "each run" in made._note.value
    made.before_run()
    assert made.value != 7


def test_a_value_of_the_wrong_kind_is_shown_as_it_is(field: Any, parameter: Any) -> None:
    made = field(parameter(default=20), "fixed")  # the known slipped slot of some templates
    assert made._text.value == "fixed"
    assert made.problem
    assert not made._reset.disabled
