from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.models import ParamType
from comfynb.widgets.tables import ROWS, Cell, StaticTable, parameters_table, table


def test_more_rows_than_a_page_are_counted() -> None:
    shown = table(["a"], [[i] for i in range(ROWS + 5)])
    assert "5 more" in shown.body()
    assert shown.plain().endswith("(5 more)")
    assert len(shown) == ROWS + 5
    assert shown.body().count("<tr>") == ROWS + 1


def test_total_may_be_larger_than_what_was_given() -> None:
    assert "98 more" in StaticTable(["a"], [[1], [2]], total=100).plain()


def test_an_empty_table_says_so() -> None:
    assert table(["a"], [], empty="no jobs yet").plain() == "no jobs yet"
    assert "no jobs yet" in table(["a"], [], empty="no jobs yet")._repr_html_()


def test_foreign_text_is_text(hostile: str, tags: Any) -> None:
    harmless = tags(table(["name"], [["x"]]).body())
    found = tags(table(["name"], [[hostile]]).body())
    assert found.tags == harmless.tags
    assert len(table(["name"], [[hostile]]).plain().splitlines()) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_no_text_changes_the_structure(tags: Any, text: str) -> None:
    body = table([text], [[text], [Cell(text, "ready")]]).body()
    assert tags(body).tags == tags(table(["x"], [["x"], [Cell("x", "ready")]]).body()).tags
    body.encode()


def test_values_read_well() -> None:
    plain = table(["v"], [[True], [None], [0.5], [2**64 - 1], [["a", "b"]]]).plain()
    assert plain.splitlines()[2:] == ["yes", "", "0.5", "18446744073709551615", "a, b"]


def test_numbers_stand_right(tags: Any) -> None:
    found = tags(table(["n", "t"], [[1, "a"], [2, "b"]]).body())
    assert found.tags.count(("td", ("class",))) == 2
    assert found.tags.count(("td", ())) == 2


@pytest.mark.parametrize("keyed", [True, False])
def test_parameters(parameter: Any, keyed: bool) -> None:
    seed = parameter("seed", default=2**64 - 1, min_value=0, max_value=2**64 - 1, order=1)
    prompt = parameter("text", ParamType.MULTILINE_STRING, "a\nb", order=0)
    given_parameters = {"seed": seed, "prompt": prompt} if keyed else [seed, prompt]
    values = {("prompt" if keyed else "text"): "one\ntwo"}
    lines = parameters_table(given_parameters, values).plain().splitlines()
    assert lines[0].startswith("Key") is keyed
    assert '"one two"' in lines[2]  # ordered, current value, on one line
    assert "18446744073709551615" in lines[3]
    assert "0 to 2^64 − 1" in lines[3]
