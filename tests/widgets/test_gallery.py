import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

from comfynb.widgets import gallery as module
from comfynb.widgets.gallery import STATIC_PICTURES, Gallery


async def until(condition: Callable[[], bool], widget: ipywidgets.Widget, name: str) -> None:
    """Wait until a trait of ``widget`` has made ``condition`` true."""
    changed = asyncio.Event()
    widget.observe(lambda _: changed.set(), name)
    while not condition():
        changed.clear()
        await changed.wait()


def button(tile: Any) -> ipywidgets.Button:
    return tile.widget.children[1]


async def test_thumbnails_come_from_threads(image_view: Any) -> None:
    shown = Gallery([image_view("a.png")])
    tile = shown._tiles[0]
    assert "<img" not in tile.html.value
    await until(lambda: "<img" in tile.html.value, tile.html, "value")
    assert "data:image/webp;base64," in tile.html.value
    assert len(tile.html.value) < 60_000
    shown.close()


async def test_only_a_page_is_made_at_first(image_view: Any) -> None:
    images = [image_view(f"{i}.png", (8, 8)) for i in range(30)]
    shown = Gallery(images, page=12)
    assert len(shown._tiles) == 12
    assert "12 more of 18" in shown._more.description
    shown._more.click()
    shown._more.click()
    assert len(shown._tiles) == 30
    assert shown._more not in shown.children
    shown.close()


async def test_pictures_that_stay_keep_their_thumbnail(image_view: Any) -> None:
    one, two = image_view("1.png"), image_view("2.png")
    shown = Gallery([one])
    before = shown._tiles[0]
    shown.show([one, two])
    assert shown._tiles[0] is before
    shown.show([two])
    assert before.widget.comm is None
    assert len(shown._box.children) == 1


async def test_enlarge_step_and_close(image_view: Any) -> None:
    shown = Gallery([image_view("1.png", (2000, 100)), image_view("2.png", (40, 30))])
    button(shown._tiles[0]).click()
    viewer = shown._viewer
    assert viewer is not None
    await until(lambda: len(viewer.widget.children) == 2, viewer.widget, "children")
    assert isinstance(viewer.widget.children[1], ipywidgets.Image)
    assert "2000 × 100" in viewer._caption.value
    viewer._step(1)
    await until(lambda: "40 × 30" in viewer._caption.value, viewer._caption, "value")
    viewer._step(1)
    await until(lambda: "2000 × 100" in viewer._caption.value, viewer._caption, "value")
    viewer._close()
    assert shown._viewer is None
    assert viewer.widget.comm is None


async def test_a_video_is_sent_only_when_asked_and_only_if_small(
    image_view: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"v" * 100)
    view = image_view("a.mp4.png", filename="a.mp4", path=path, media_type="video/mp4")
    shown = Gallery([view])
    assert "video" in shown._tiles[0].html.value
    shown.enlarge(view)
    viewer = shown._viewer
    await until(lambda: len(viewer.widget.children) == 2, viewer.widget, "children")
    assert viewer.widget.children[1].value == b"v" * 100
    viewer._close()
    monkeypatch.setattr(module, "WHOLE_LIMIT", 50)
    shown.enlarge(view)
    viewer = shown._viewer
    await until(lambda: "open the file" in viewer._caption.value, viewer._caption, "value")


@pytest.mark.usefixtures("nothing_left")
async def test_close_closes_the_viewer_too(image_view: Any) -> None:
    shown = Gallery([image_view("1.png"), image_view("2.png")], page=1)
    shown.enlarge(shown.images[0])
    viewer = shown._viewer
    await until(lambda: len(viewer.widget.children) == 2, viewer.widget, "children")
    shown.close()


async def test_damaged_missing_and_absent_pictures_say_so(image_view: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    images = [
        image_view("x.png", filename="bad", path=tmp_path / "bad.png"),
        image_view("y.png", filename="gone", path=tmp_path / "gone.png"),
        image_view("z.png", filename="later", path=None),
    ]
    shown = Gallery(images)
    for tile, why in zip(
        shown._tiles, ["not a picture", "gone", "not on this machine"], strict=True
    ):
        await until(lambda t=tile, w=why: w in t.html.value, tile.html, "value")


def test_a_script_gets_the_thumbnails_in_its_static_form(image_view: Any) -> None:
    images = [image_view(f"{i}.png", (8, 8)) for i in range(STATIC_PICTURES + 3)]
    shown = Gallery(images)
    assert shown.static_html().count("<img") == STATIC_PICTURES
    assert "3 more" in shown.static_html()
    assert "(3 more)" in shown.plain()


def test_foreign_names_are_text(image_view: Any, hostile: str, tags: Any) -> None:
    view = image_view("ok.png", filename=hostile, node_title=hostile)
    found = tags(Gallery([view]).body())
    assert found.tags == tags(Gallery([image_view("ok.png")]).body()).tags
    assert len(Gallery([view]).plain().splitlines()) == 1
    assert button(Gallery([view])._tiles[0]).description.encode()
