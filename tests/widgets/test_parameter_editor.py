from typing import Any

import pytest

from comfynb.errors import UsageError
from comfynb.models import ExposedParameter
from comfynb.widgets import ParameterEditor


@pytest.fixture
def candidates(parameter: Any) -> list[ExposedParameter]:
    return [
        parameter("seed", node_id="3"),
        parameter("steps", node_id="3"),
        parameter("cfg", node_id="3"),
        parameter("width", node_id="5", node_title="Empty Latent Image"),
    ]


@pytest.fixture
def given() -> list[list[str]]:
    return []


@pytest.fixture
def editor(candidates: Any, given: Any) -> ParameterEditor:
    def take(parameters: list[ExposedParameter]) -> None:
        names = [one.display_name for one in parameters]
        if len(set(names)) < len(names):
            raise UsageError("Two are called <alike>.")
        given.append([f"{one.display_name}@{one.group}" for one in parameters])

    return ParameterEditor(candidates, ["steps", "seed"], take, title="portrait")


def row(editor: ParameterEditor, name: str) -> Any:
    return editor._rows[name]


def test_rows_are_the_exposed_ones_in_order(editor: Any, given: Any) -> None:
    assert [one.id for one in editor.parameters] == ["steps", "seed"]
    assert editor._list.children == (row(editor, "steps").widget, row(editor, "seed").widget)
    assert row(editor, "steps")._up.disabled
    assert row(editor, "seed")._down.disabled
    assert "2 of 4 inputs" in editor._message.value
    assert given == []


def test_each_change_is_handed_over(editor: Any, given: Any) -> None:
    row(editor, "steps")._name.value = "How long"
    row(editor, "steps")._group.value = "Sampling"
    row(editor, "steps")._down.click()
    row(editor, "seed")._hide.click()
    assert given == [
        ["How long@", "Seed@"],
        ["How long@Sampling", "Seed@"],
        ["Seed@", "How long@Sampling"],
        ["How long@Sampling"],
    ]
    assert row(editor, "steps")._group.options == ("Sampling",)
    assert [one.order for one in editor.parameters] == [0]


def test_inputs_are_ticked_in_sections_that_are_built_when_opened(editor: Any, given: Any) -> None:
    assert editor._ticks == {}
    editor._sections[1].open()
    assert list(editor._ticks) == ["width"]
    editor._ticks["width"].value = True
    assert given[-1] == ["Steps@", "Seed@", "Width@"]
    row(editor, "width")._hide.click()
    assert editor._ticks["width"].value is False
    assert given[-1] == ["Steps@", "Seed@"]


def test_an_input_is_found_by_typing(editor: Any) -> None:
    editor._sections[0].open()
    editor._search.value = "ksampler cfg"
    assert editor._found.children == (editor._ticks["cfg"],)
    editor._search.value = ""
    assert editor._sections[0]._grid.children == tuple(
        editor._ticks[name] for name in ("seed", "steps", "cfg")
    )


def test_what_cannot_be_is_said_until_it_is_mended(editor: Any, given: Any) -> None:
    row(editor, "steps")._name.value = "Seed"
    assert "Two are called &lt;alike&gt;." in editor._message.value
    assert given == []
    row(editor, "steps")._name.value = "Steps of it"
    assert "Two are" not in editor._message.value
    assert given == [["Steps of it@", "Seed@"]]


def test_it_is_read_without_a_kernel(editor: Any) -> None:
    assert "Steps" in editor.plain()
    assert "Steps" in editor.static_html()
    assert "Width" not in editor.plain()


def test_hostile_names_are_text(parameter: Any, hostile: str, tags: Any) -> None:
    def made(text: str) -> ParameterEditor:
        names = {"display_name": text, "node_title": text, "group": text}
        one = parameter().model_copy(update=names)
        editor = ParameterEditor([one], ["steps"], lambda _: None, title=text)
        editor._sections[0].open()
        return editor

    evil, harmless = made(hostile), made("x")
    for html, plain in [
        (evil._title.value, harmless._title.value),
        (evil._rows["steps"]._where.value, harmless._rows["steps"]._where.value),
        (evil.body(), harmless.body()),
    ]:
        assert tags(html).tags == tags(plain).tags
    for text in (evil._ticks["steps"].description, evil._rows["steps"]._name.value):
        text.encode()
    assert not evil._ticks["steps"].description_allow_html


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(candidates: Any) -> None:
    editor = ParameterEditor(candidates, ["seed"], lambda _: None, title="x")
    editor._sections[1].open()
    editor.expose("width", on=True)
    editor.expose("seed", on=False)
    editor._search.value = "cfg"
    editor.close()
