from typing import Any

import pytest

from comfynb.errors import InvalidValue, NotFound
from comfynb.widgets import ParameterForm


class Shelf:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, object]] = {"fast": {"steps": 4}}

    def names(self) -> list[str]:
        return sorted(self.kept)

    def load(self, name: str) -> dict[str, object]:
        if name not in self.kept:
            raise NotFound(f"There is no preset <{name}>.")
        return self.kept[name]

    def save(self, name: str, values: Any) -> None:
        if name == "bad":
            raise InvalidValue("Not that one.")
        self.kept[name] = dict(values)

    def delete(self, name: str) -> None:
        self.load(name)
        del self.kept[name]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def form(parameter: Any, check: Any, shelf: Shelf) -> ParameterForm:
    parameters = {"steps": parameter("steps", min_value=1), "cfg": parameter("cfg", default=7)}
    return ParameterForm(parameters, check=check, presets=shelf)


def test_choosing_one_puts_its_values_into_the_form(form: Any) -> None:
    bar = form._presets
    assert bar._choice.options == (("choose one", -1), ("fast", 0))
    assert bar._save.disabled
    assert bar._delete.disabled
    bar._choice.value = 0
    assert form.values == {"steps": 4, "cfg": 7}
    assert bar._name.value == "fast"
    assert bar._save.description == "Replace"


def test_saving_keeps_what_stands_in_the_form(form: Any, shelf: Shelf) -> None:
    form.field("steps")._text.value = "33"
    form._presets._name.value = " mine "
    form._presets._save.click()
    assert shelf.kept["mine"] == {"steps": 33, "cfg": 7}
    assert form._presets._choice.label == "mine"
    form._presets._delete.click()
    assert list(shelf.kept) == ["fast"]
    assert form._presets._choice.value == -1


def test_what_is_wrong_is_said_and_nothing_is_kept(form: Any, shelf: Shelf) -> None:
    form.field("steps")._text.value = "0"
    form._presets._name.value = "mine"
    form._presets._save.click()
    assert "Not saved: Steps: 0 is below 1." in form._presets._message.value
    form.field("steps")._text.value = "1"
    form._presets._name.value = "bad"
    form._presets._save.click()
    assert "Not that one." in form._presets._message.value
    assert list(shelf.kept) == ["fast"]


def test_one_that_is_gone_meanwhile_is_said_in_text(form: Any, shelf: Shelf) -> None:
    shelf.kept.clear()
    form._presets._choice.value = 0
    assert "no preset &lt;fast&gt;" in form._presets._message.value
