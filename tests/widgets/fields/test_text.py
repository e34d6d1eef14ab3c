from typing import Any

import pytest

from comfynb.models import ParamType
from comfynb.widgets.fields.text import BoolField, MultilineField, StringField


def test_a_text_nobody_touched_stays_as_it_was(parameter: Any, check: Any, hostile: str) -> None:
    one = parameter("text", ParamType.STRING, "")
    for kind in (StringField, MultilineField):
        made = kind(one, hostile, check, lambda _: None)
        assert made.value == hostile  # though the browser is shown only what it can take
        made._text.value.encode()


def test_a_long_prompt_grows_its_box_up_to_a_limit(parameter: Any, check: Any) -> None:
    one = parameter("text", ParamType.MULTILINE_STRING, "")
    made = MultilineField(one, "", check, lambda _: None)
    assert made._text.rows == 3
    made._text.value = "a\nb\nc\nd\ne"
    assert made._text.rows == 5
    made._text.value = "x" * 10_000
    assert made._text.rows == 20
    assert made.value == "x" * 10_000


def test_yes_and_no(parameter: Any, check: Any) -> None:
    one = parameter("tiling", ParamType.BOOL, False)
    made = BoolField(one, False, check, lambda _: None)
    made._box.value = True
    assert made.value is True
    made.reset()
    assert made._box.value is False


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(parameter: Any, check: Any) -> None:
    StringField(parameter("t", ParamType.STRING, "x"), "x", check, lambda _: None).close()
    BoolField(parameter("t", ParamType.BOOL, True), True, check, lambda _: None).close()
