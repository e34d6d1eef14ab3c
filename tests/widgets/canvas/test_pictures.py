"""Pictures that are made small in threads: the newest counts, and none comes after its job."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfynb.widgets.canvas import pictures as module
from comfynb.widgets.canvas.pictures import Pictures
from comfynb.widgets.thumbnails import CannotShow, Target, shrink


def encoded(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, "PNG")
    return stream.getvalue()


class Making:
    """Pictures whose making ends when the test says so; ``asked`` is what was to be made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: asyncio.Queue[bytes | Path] = asyncio.Queue()
        self.go: asyncio.Queue[None] = asyncio.Queue()
        self.arrived = asyncio.Event()
        monkeypatch.setattr(module, "in_thread", self.make)
        self.pictures = Pictures(self.arrived.set)

    async def make(self, source: bytes | Path, target: Target) -> Any:
        await self.asked.put(source)
        await self.go.get()
        if isinstance(source, Path):
            raise CannotShow("a video")
        return shrink(source, target)

    async def next(self) -> bytes | Path:
        return await asyncio.wait_for(self.asked.get(), 10)


@pytest.fixture
async def making(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Making]:
    made = Making(monkeypatch)
    yield made
    made.pictures.close()


async def test_previews_that_come_faster_than_they_are_made_are_shown_all_the_same(
    making: Making,
) -> None:
    red, green, blue = map(encoded, ("red", "green", "blue"))
    making.pictures.show("n", red)
    assert await making.next() == red
    making.pictures.show("n", green)
    making.pictures.show("n", blue)
    making.go.put_nowait(None)
    await asyncio.wait_for(making.arrived.wait(), 10)
    first = making.pictures.shown["n"].data
    assert await making.next() == blue, "one that nobody will see was made"
    making.arrived.clear()
    making.go.put_nowait(None)
    await asyncio.wait_for(making.arrived.wait(), 10)
    assert making.pictures.shown["n"].data != first
    assert making.asked.empty()


async def test_a_picture_of_a_job_that_is_shown_no_more_comes_too_late(making: Making) -> None:
    making.pictures.show("n", encoded("red"))
    await making.next()
    making.pictures.forget()
    other = encoded("green")
    making.pictures.show("n", other)
    making.go.put_nowait(None)
    assert await making.next() == other
    assert making.pictures.keys == frozenset()
    making.go.put_nowait(None)
    await asyncio.wait_for(making.arrived.wait(), 10)
    assert making.pictures.keys == {"n"}


async def test_what_cannot_be_shown_hinders_nothing_after_it(making: Making) -> None:
    making.pictures.show("n", Path("film.mp4"))
    await making.next()
    red = encoded("red")
    making.pictures.show("n", red)
    making.go.put_nowait(None)
    assert await making.next() == red
    making.go.put_nowait(None)
    await asyncio.wait_for(making.arrived.wait(), 10)
    assert making.pictures.keys == {"n"}
    assert making.pictures.stamps()["n"][1:] == (0, 0, 8, 6)
