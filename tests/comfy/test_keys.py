"""Short names for parameters are identifiers, unique, and found in other spellings too."""

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.keys import RESERVED, parameter_keys
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter, ParamType


def parameter(node_id: str, title: str, field: str, label: str = "") -> ExposedParameter:
    return ExposedParameter(
        id=f"{node_id}/{field}",
        node_id=node_id,
        node_title=title,
        field_name=field,
        display_name=label or f"{title}: {field}",
        param_type=ParamType.INT,
        default_value=0,
    )


BASE_SEED = parameter("3", "Base", "seed", "Base: Seed")
REFINER_SEED = parameter("4", "Refiner", "seed", "Refiner: Seed")
STEPS = parameter("3", "Base", "steps", "Steps")
KEYS = parameter_keys([BASE_SEED, REFINER_SEED, STEPS])


def test_a_field_of_its_own_is_its_key_and_twins_get_their_titles() -> None:
    assert list(KEYS) == ["base_seed", "refiner_seed", "steps"]


@pytest.mark.parametrize("name", ["base_seed", "Base: Seed", "Base.seed", "3.seed", BASE_SEED.id])
def test_a_parameter_is_found_by_any_of_its_names(name: str) -> None:
    assert KEYS.find(name) is BASE_SEED


def test_an_ambiguous_name_lists_the_alternatives() -> None:
    with pytest.raises(UsageError, match="base_seed or refiner_seed"):
        KEYS.find("seed")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(NotFound, match='did you mean "steps"'):
        KEYS.find("stpes")
    with pytest.raises(NotFound, match="there are none"):
        parameter_keys([]).find("x")


def test_a_field_that_says_nothing_gives_way_to_the_label() -> None:
    keys = parameter_keys([parameter("1", "A", "value", "Turbo mode")])
    assert list(keys) == ["turbo_mode"]
    assert keys.find("value").node_id == "1"


def test_keywords_and_digits_make_identifiers() -> None:
    keys = parameter_keys([parameter("1", "A", "class"), parameter("2", "B", "2nd")])
    assert list(keys) == ["class_", "n2nd"]


names = st.text("ab-é_1 .", min_size=1, max_size=5).filter(str.strip)
titles = st.text("ab é:", max_size=6) | st.sampled_from(["KSampler", "Base", "💡", "base"])


@given(st.lists(st.tuples(st.sampled_from("1234"), titles, names),
                max_size=8, unique_by=lambda t: (t[0], t[2])))  # fmt: skip
def test_keys_are_unique_identifiers(triples: list[tuple[str, str, str]]) -> None:
    parameters = [parameter(*triple, label="L") for triple in triples]
    keys = parameter_keys(parameters)
    assert list(keys.values()) == parameters
    assert all(key.isidentifier() and not keyword.iskeyword(key) for key in keys)
    assert all(keys.find(key) is value for key, value in keys.items())
    assert all(keys.find(value.id) is value or value.id in keys for value in parameters)


def test_a_parameter_never_takes_the_name_of_a_keyword_of_run() -> None:
    fields = sorted(RESERVED)
    keys = parameter_keys([parameter(str(place), "Node", one) for place, one in enumerate(fields)])
    assert not set(keys) & RESERVED
    assert [keys.find(one).field_name for one in fields] == fields
