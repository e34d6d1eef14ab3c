from typing import Any

import pytest

from comfynb.models import ParamType
from comfynb.widgets.fields.choice import ChoiceField, LongChoiceField, make


@pytest.fixture
def field(parameter: Any, check: Any) -> Any:
    def build(options: list[Any], value: Any) -> ChoiceField:
        one = parameter("model", ParamType.CHOICE, "b", choices=["b"])
        # Past the model's own checks, which refuse some hostile texts already.
        limits = one.constraints.model_copy(update={"choices": options})
        one = one.model_copy(update={"constraints": limits})
        return make(one, value, check, lambda _: None, options)

    return build


MANY = [f"sdxl/model_{i:03}.safetensors" for i in range(300)]


def test_few_options_are_a_list_and_many_are_filtered(field: Any) -> None:
    assert type(field(["a", "b"], "a")) is ChoiceField
    assert type(field(MANY, MANY[0])) is LongChoiceField


def test_choosing(field: Any) -> None:
    made = field(["a", "b"], "a")
    made._choice.index = 1
    assert made.value == "b"
    long = field(MANY, MANY[0])
    long._filter.value = MANY[5]
    assert long.value == MANY[5]


@pytest.mark.parametrize("options", [["a", "b"], MANY], ids=["few", "many"])
def test_a_value_that_is_missing_is_shown_and_not_replaced(field: Any, options: list[str]) -> None:
    made = field(options, "gone.safetensors")
    assert made.problem
    assert made.value == "gone.safetensors"
    made.set(options[1])
    assert made.problem == ""
    assert made.value == options[1]


def test_half_a_name_is_no_choice_yet(field: Any) -> None:
    made = field(MANY, MANY[0])
    made._filter.value = "model_0"
    assert '"model_0" is none of the 300 choices' in made.problem
    assert made._filter.invalid
    made._filter.value = MANY[1]
    assert not made._filter.invalid


def test_numbers_and_switches_keep_their_type(field: Any) -> None:
    made = field([1, "1", True, 1.0], "1")
    assert (made.value, type(made.value)) == ("1", str)
    for index, expected in enumerate([1, "1", True, 1.0]):
        made._choice.index = index
        assert type(made.value) is type(expected)
        assert made.value == expected
    made.set(True)
    assert made._choice.index == 2


def test_other_options_keep_the_value_and_judge_it_again(parameter: Any) -> None:
    there = ["a", "b"]

    def check(_: object, value: Any) -> Any:
        from comfynb.errors import InvalidValue

        if value not in there:
            raise InvalidValue(f"{value} is not there")
        return value

    one = parameter("model", ParamType.CHOICE, "a", choices=there)
    made = make(one, "b", check, lambda _: None, there)
    there[:] = ["a", "c"]
    made.set_options(there)
    assert made.value == "b"
    assert made.problem == "b is not there"
    there[:] = ["a", "b"]
    made.set_options(there)
    assert made.problem == ""


def test_no_options_at_all(field: Any) -> None:
    made = field([], "x")
    assert made.problem
    assert made.value == "x"


def test_hostile_options_are_labels(field: Any, hostile: str) -> None:
    made = field([hostile, "b"], hostile)
    assert made.value == hostile
    for label, _ in made._choice.options:
        label.encode()
    long = field([hostile, *MANY], hostile)
    assert long.value == hostile
    long._filter.value = MANY[3]
    long._filter.value = long._filter.options[0]
    assert long.value == hostile


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(field: Any) -> None:
    field(["a"], "a").close()
    field(MANY, MANY[0]).close()
