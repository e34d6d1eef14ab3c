import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfynb.errors import BackendUnreachable
from comfynb.models import ParamType
from comfynb.widgets.fields import file as module
from comfynb.widgets.fields.file import FileField
from comfynb.widgets.fields.upload_button import LIMIT


def png(size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


def send(field: FileField, name: str, data: bytes, piece: int = 100) -> list[dict[str, Any]]:
    """What the browser's side of the button does; returns the kernel's answers."""
    button, answers = field._button, []
    button.send = lambda content: answers.append(content)
    offset = 0
    while True:
        content = {"kind": "piece", "number": 1, "name": name, "size": len(data), "offset": offset}
        button._message(button, content, [memoryview(data[offset : offset + piece])])
        if answers[-1]["kind"] == "done":
            return answers
        offset = answers[-1]["offset"]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


@pytest.fixture
def field(parameter: Any, check: Any) -> Callable[..., FileField]:
    def build(kind: ParamType = ParamType.IMAGE_PATH, value: str = "", **more: Any) -> FileField:
        one = parameter("image", kind, value, file_extensions=[".png"])
        return FileField(one, value, check, lambda _: None, **more)

    return build


async def thumbnail(field: FileField, part: str) -> None:
    changed = asyncio.Event()
    field._thumbnail.observe(lambda _: changed.set(), "value")
    while part not in field._thumbnail.value:
        changed.clear()
        await changed.wait()


async def test_an_upload_arrives_whole_and_its_returned_name_counts(field: Any) -> None:
    got: list[tuple[str, bytes]] = []

    async def upload(name: str, data: bytes) -> str:
        got.append((name, data))
        return "a (1).png"

    made = field(upload=upload)
    data = png((300, 200))
    answers = send(made, "C:\\photos\\a.png", data)
    assert [answer["kind"] for answer in answers[:-1]] == ["next"] * (len(answers) - 1)
    await thumbnail(made, "300 × 200")
    assert got == [("a.png", data)]
    assert made.value == "a (1).png"
    assert not made._button.disabled
    made.close()


async def test_an_upload_that_fails_says_why(field: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        raise BackendUnreachable("nobody answers at http://gpu1:8188")

    made = field(upload=upload)
    told = asyncio.Event()
    made._note.observe(lambda change: "failed" in change["new"] and told.set(), "value")
    send(made, "a.png", png())
    await told.wait()
    assert "nobody answers" in made.problem
    assert not made._button.disabled
    made.close()


async def test_a_disturbed_upload_is_refused(field: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        raise AssertionError("it must not come this far")

    made = field(upload=upload)
    made._button.send = lambda content: None

    def piece(offset: int, size: int, data: bytes, number: int = 1) -> None:
        content = {"kind": "piece", "number": number, "name": "a", "size": size, "offset": offset}
        made._button._message(made._button, content, [data])

    piece(5, 10, b"12345")
    assert "disturbed" in made.problem
    piece(0, 10, b"12345")
    piece(5, 10, b"12345", number=2)
    assert "disturbed" in made.problem
    piece(0, 3, b"12345")
    assert "changed" in made.problem
    piece(0, LIMIT + 1, b"12345")
    assert "too many" in made.problem
    made._button._message(made._button, {"kind": "other"}, [])
    made.close()


async def test_a_file_here_shows_its_thumbnail(field: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    made = field()
    made._text.value = str(tmp_path / "a.png")
    await thumbnail(made, "40 × 30")
    made._text.value = str(tmp_path / "none.png")
    await thumbnail(made, "gone")
    made.close()


@pytest.mark.parametrize("name", ["x\0y", "~nobody-of-that-name/x", "x" * 10_000, "a.png"])
def test_what_cannot_be_a_file_here_is_none(name: str) -> None:
    assert module._local(name) is None


async def test_a_picture_on_the_backend_is_fetched(field: Any) -> None:
    async def fetch(name: str) -> bytes | None:
        if name == "away.png":
            raise BackendUnreachable("gpu1 <does> not answer")
        return png((64, 32)) if name == "there.png" else None

    made = field(value="there.png", fetch=fetch)
    await thumbnail(made, "64 × 32")
    assert made._thumbnail in made.box.children
    made._text.value = "away.png"
    await thumbnail(made, "gpu1 &lt;does&gt; not answer")
    made.close()


async def test_known_files_can_be_filtered_and_a_new_one_joins_them(field: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        return name

    made = field(options=["a.png", "b.png"], value="a.png", upload=upload)
    assert made._text.options == ["a.png", "b.png"]
    send(made, "c.png", png())
    await thumbnail(made, "40 × 30")
    assert made._text.options == ["c.png", "a.png", "b.png"]
    assert made.value == "c.png"
    made.close()


async def test_a_video_tells_its_size(field: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        return name

    made = field(kind=ParamType.VIDEO_PATH, upload=upload)
    assert made._button.accept == ".png"
    send(made, "a.mp4", b"v" * 1_500_000, piece=500_000)
    await thumbnail(made, "1.5 MB")
    made.close()


@pytest.mark.usefixtures("nothing_left")
async def test_close_leaves_nothing(field: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        return name

    field(upload=upload, options=["a"]).close()
    field().close()


async def test_hostile_names_are_text(field: Any, hostile: str, tags: Any) -> None:
    async def upload(name: str, data: bytes) -> str:
        return name

    made = field(upload=upload)
    send(made, hostile, png())
    await thumbnail(made, "40 × 30")
    found = tags(made._thumbnail.value)
    assert [tag for tag, _ in found.tags] == ["img", "div", "/div"]
    assert not [name for name in found.attributes if name.startswith("on")]
    made._thumbnail.value.encode()
    made.close()
