import asyncio
from typing import Any

import pytest

from comfynb.errors import NotFound
from comfynb.widgets.deploy import ScriptPreview, ScriptState
from comfynb.widgets.live import _tasks

TARGETS = {"runpod": "RunPod", "docker": "Dockerfile", "odd": "Odd"}


def script(target: str, text: str = "echo hello\n", **more: Any) -> ScriptState:
    return ScriptState(target, {"start.sh": text}, "start.sh", ("HF_TOKEN",), (text,), **more)


def make(target: str) -> ScriptState:
    if target == "odd":
        raise NotFound("There is no such target.")
    return script(target)


def preview(shown: ScriptState) -> Any:
    return ScriptPreview(shown, targets=TARGETS, make=make, save=lambda _, folder: folder)


def test_the_text_is_exactly_the_files() -> None:
    text = "a\tb\r\nc 'é' <b>\n\n"
    widget = preview(script("runpod", text))
    assert (widget._text.name, widget._text.text) == ("start.sh", text)
    assert "comfynb-hidden" in widget._file._dom_classes
    assert widget.plain() == "<Script runpod: start.sh, wants HF_TOKEN>"


def test_a_target_that_fails_leaves_what_was_there() -> None:
    widget = preview(script("runpod"))
    widget._target.value = "docker"
    assert widget.script.target == "docker"
    widget._target.value = "odd"
    assert "There is no such target." in widget._message.value
    assert widget._target.value == "docker"
    assert widget.script.target == "docker"


async def test_a_script_that_is_made_later_is_shown_then() -> None:
    gate = asyncio.Event()

    async def later(target: str) -> ScriptState:
        await gate.wait()
        return script(target, "later\n")

    widget: Any = ScriptPreview(
        script("runpod"), targets=TARGETS, make=later, save=lambda _, folder: folder
    )
    widget._target.value = "docker"
    gate.set()
    await asyncio.gather(*_tasks)
    assert widget._text.text == "later\n"


def test_a_folder_has_to_be_named() -> None:
    widget = preview(script("runpod"))
    widget._folder.value = " "
    widget._write.click()
    assert "Say which folder" in widget._message.value


def test_hostile_text_stays_text(tags: Any, hostile: str) -> None:
    nasty, harmless = (preview(script("runpod", text)) for text in (hostile, "x"))
    assert tags(nasty.static_html()).tags == tags(harmless.static_html()).tags
    assert tags(nasty._notes.value).tags == tags(harmless._notes.value).tags


@pytest.mark.usefixtures("nothing_left")
def test_it_closes_whole() -> None:
    preview(script("runpod")).close()
