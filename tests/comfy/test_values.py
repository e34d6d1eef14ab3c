"""Values that people give are understood where they are sensible and refused in words otherwise."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.values import check_value
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, ParamConstraints, ParamType

BIGGEST_SEED = 2**64 - 1


def parameter(type_: ParamType, name: str = "Seed", **limits: Any) -> ExposedParameter:
    return ExposedParameter(
        id="p",
        node_id="3",
        node_title="KSampler",
        field_name="seed",
        display_name=name,
        param_type=type_,
        default_value=None,
        constraints=ParamConstraints(**limits) if limits else None,
    )


SEED = parameter(ParamType.INT, min_value=0, max_value=BIGGEST_SEED)
CFG = parameter(ParamType.FLOAT, "CFG", min_value=0.0, max_value=100.0)
MODEL = parameter(
    ParamType.CHOICE, "Checkpoint", choices=["xl\\base.safetensors", "SD15.ckpt", "sd15.CKPT", "z"]
)


@given(st.integers(0, BIGGEST_SEED))
def test_seeds_are_exact(seed: int) -> None:
    assert check_value(SEED, seed) == seed
    assert check_value(SEED, str(seed)) == seed
    assert type(check_value(SEED, np.uint64(seed))) is int


def test_the_limit_itself_is_compared_as_an_int() -> None:
    assert check_value(SEED, BIGGEST_SEED) == BIGGEST_SEED
    with pytest.raises(InvalidValue, match="0 to 18446744073709551615"):
        check_value(SEED, BIGGEST_SEED + 1)


@pytest.mark.parametrize(
    ("value", "sent"), [(3.0, 3), ("3", 3), (" 7 ", 7), ("3.0", 3), (np.int32(4), 4)]
)
def test_ints_in_sensible_forms(value: Any, sent: int) -> None:
    result = check_value(SEED, value)
    assert result == sent
    assert type(result) is int


@pytest.mark.parametrize(
    "value",
    [True, False, 3.5, "three", "", None, [3], -1, math.nan, math.inf, "inf", "9" * 5000, {}],
)
def test_ints_refused(value: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^Seed cannot be .*whole number"):
        check_value(SEED, value)


@pytest.mark.parametrize("value", [True, "x", math.nan, math.inf, -0.1, 100.5, None, 10**400])
def test_floats_refused(value: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^CFG cannot be .*0\.0 to 100\.0"):
        check_value(CFG, value)


def test_floats_in_sensible_forms() -> None:
    assert check_value(CFG, "7.5") == 7.5
    assert check_value(CFG, 8) == 8.0
    assert check_value(CFG, np.float32(0.5)) == 0.5


def test_bools() -> None:
    switch = parameter(ParamType.BOOL, "Tiling")
    assert check_value(switch, True) is True
    assert check_value(switch, "false") is False
    assert check_value(switch, np.bool_(True)) is True
    assert check_value(switch, 0) is False
    for value in ("yes", "", None, 2, 0.5, []):
        with pytest.raises(InvalidValue, match=r"Tiling cannot be .* True or False"):
            check_value(switch, value)


def test_choices_understand_slashes_and_case_and_suggest() -> None:
    assert check_value(MODEL, "xl/base.safetensors") == "xl\\base.safetensors"
    assert check_value(MODEL, "XL/Base.safetensors") == "xl\\base.safetensors"
    assert check_value(MODEL, "sd15.CKPT") == "sd15.CKPT"
    with pytest.raises(InvalidValue, match="did you mean"):
        check_value(MODEL, "sD15.ckpt")  # two choices differ by case only
    with pytest.raises(InvalidValue, match=r'did you mean "xl\\\\base.safetensors"'):
        check_value(MODEL, "bse.safetensors")
    with pytest.raises(InvalidValue, match="Checkpoint cannot be null"):
        check_value(MODEL, None)


def test_number_choices_keep_their_type() -> None:
    seconds = parameter(ParamType.CHOICE, "Duration", choices=[5, 8, True, "auto"])
    assert check_value(seconds, "8") == 8
    assert check_value(seconds, 5) == 5
    assert check_value(seconds, True) is True
    with pytest.raises(InvalidValue, match="one of 5, 8"):
        check_value(seconds, 1)


def test_texts() -> None:
    text = parameter(ParamType.MULTILINE_STRING, "Prompt")
    assert check_value(text, "a\ncat 🐈") == "a\ncat 🐈"
    assert check_value(text, 7) == "7"
    for value in (None, True, ["a"], b"a", "half \ud83d"):
        with pytest.raises(InvalidValue, match="Prompt cannot be"):
            check_value(text, value)


def test_files() -> None:
    image = parameter(
        ParamType.IMAGE_PATH, "Image", choices=["in/a.png"], file_extensions=[".png", ".webp"]
    )
    assert check_value(image, "in\\a.png") == "in/a.png"
    assert check_value(image, Path("b.WEBP")) == "b.WEBP"
    assert check_value(image, "x/y.png [output]") == "x/y.png [output]"
    for value in ("a.mp4", "", "  ", None, 3, "a\0.png"):
        with pytest.raises(InvalidValue, match="Image cannot be"):
            check_value(image, value)


@given(
    st.sampled_from(list(ParamType)),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.integers()),
)
def test_anything_is_taken_or_refused_in_words(type_: ParamType, value: Any) -> None:
    one = parameter(type_, "Name", min_value=-5, max_value=2**63, choices=["a", 1, 2.5])
    try:
        sent = check_value(one, value)
    except InvalidValue:
        with pytest.raises(InvalidValue, match=r"^Name cannot be .*it takes"):
            check_value(one, value)
    else:
        assert check_value(one, sent) == sent
