"""Problems: asked when somebody can find some, marked by id, said escaped."""

import dataclasses

import pytest

from comfynb.models import CanvasLayout
from comfynb.widgets.canvas.checking import Checking


@dataclasses.dataclass(frozen=True)
class Wrong:
    message: str
    node_id: str | None = None
    connection_id: str | None = None


def test_nothing_is_made_for_nobody_who_checks() -> None:
    checking = Checking(None)
    checking.run(lambda: pytest.fail("a copy of the graph was made"))
    assert (checking.found, checking.marked) == ((), frozenset())
    checking.line.close()


def test_the_first_problem_is_said_and_all_are_marked() -> None:
    found = [Wrong("<b>open", "a"), Wrong("loose", None, "e1"), Wrong("again", "a")]
    checking = Checking(lambda _: found)
    checking.run(CanvasLayout)
    assert checking.marked == {"a", "e1"}
    assert checking.about("a") == ["<b>open", "again"]
    assert "&lt;b&gt;open" in checking.line.value
    assert "and 2 more" in checking.line.value
    found.clear()
    checking.run(CanvasLayout)
    assert (checking.line.value, checking.marked) == ("", frozenset())
    checking.line.close()
