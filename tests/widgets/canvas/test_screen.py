"""Frames and their flow: one in flight, one move at a time, and an answer for each of them."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ipycanvas
import numpy as np
import pytest

from comfynb.widgets.canvas.hand import Dirty
from comfynb.widgets.canvas.primitives import Primitive, Rects
from comfynb.widgets.canvas.screen import IN_FLIGHT, Screen
from comfynb.widgets.canvas.wire import NOTE


class Stage:
    """A screen whose drawings, messages and errors are kept; ``on_move`` is what a move does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.painted: list[Dirty] = []
        self.errors: list[BaseException] = []
        self.announced: list[tuple[int, bool]] = []
        self.on_move: Any = lambda _: self.screen.request(Dirty.HAND)
        self.screen = Screen(
            label="a graph",
            height=300,
            paint=self.paint,
            stamps=dict,
            pointer=lambda event: self.on_move(event),
            heard=lambda _: None,
            resized=lambda: None,
            failed=self.errors.append,
        )
        monkeypatch.setattr(
            self.screen.surface,
            "send",
            lambda content: self.announced.append((content["frame"], content["answer"])),
        )

    def paint(self, dirty: Dirty) -> dict[Dirty, list[Primitive]]:
        self.painted.append(dirty)
        return {Dirty.HAND: [Rects(np.array([[0.0, 0.0, 5.0, 5.0]]), "brand")]}

    def move(self) -> None:
        """The page tells of a move, long after the last frame."""
        self.screen._last = float("-inf")
        for handler in self.screen._moves._dom_handlers.callbacks:
            handler({"event": "mousemove"})

    def told(self) -> list[tuple[int, bool]]:
        """What was announced since."""
        told, self.announced[:] = list(self.announced), []
        return told


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    made.screen.close()


async def test_frames_wait_for_a_slow_page(stage: Stage) -> None:
    screen = stage.screen
    for _ in range(10):
        screen.draw()
        screen.request(Dirty.HAND)
    sent = screen._number
    screen._sent = dict.fromkeys(range(sent, sent - IN_FLIGHT, -1), float("inf"))
    screen.request(Dirty.HAND)
    assert screen._number == sent
    drawn = asyncio.Event()
    draw = screen.draw
    screen.draw = lambda: (draw(), drawn.set())
    screen._message({"event": "shown", "frame": sent})
    await asyncio.wait_for(drawn.wait(), 10)
    assert screen._number == sent + 1


async def test_a_move_says_that_the_answer_to_the_last_one_was_seen(stage: Stage) -> None:
    for number in (1, 2, 3):  # nobody says "shown" in between
        stage.move()
        assert stage.told() == [(number, True)]
    assert stage.painted == [Dirty.HAND] * 3


async def test_a_move_that_changes_nothing_is_answered_with_the_last_frame(stage: Stage) -> None:
    stage.move()
    stage.told()
    stage.on_move = lambda _: None
    stage.move()
    assert stage.told() == [(1, True)]


async def test_a_frame_that_no_move_asked_for_is_no_answer_and_is_waited_for(stage: Stage) -> None:
    screen = stage.screen
    screen.request(Dirty.JOB)
    assert stage.told() == [(1, False)]
    stage.move()
    assert stage.told() == []  # the first frame is still on its way
    assert screen._timer is not None
    answered = asyncio.Event()
    draw = screen.draw
    screen.draw = lambda: (draw(), answered.set())
    screen._message({"event": "shown", "frame": 1})
    await asyncio.wait_for(answered.wait(), 10)
    assert stage.told() == [(2, True)]


async def test_a_move_ends_the_wait_for_what_it_says_was_seen(stage: Stage) -> None:
    stage.move()
    stage.screen.request(Dirty.JOB)  # waits for the answer to be seen
    assert stage.told() == [(1, True)]
    assert stage.screen._timer is not None
    stage.move()
    assert stage.told() == [(2, True)]
    assert stage.painted[-1] == Dirty.JOB | Dirty.HAND
    assert stage.screen._timer is None


async def test_what_breaks_is_answered_too(stage: Stage) -> None:
    stage.on_move = lambda _: 1 / 0
    stage.move()
    assert stage.told() == [(0, True)]
    assert [type(one) for one in stage.errors] == [ZeroDivisionError]


async def test_what_cannot_be_drawn_is_answered_too(stage: Stage) -> None:
    def broken(_: Dirty) -> dict[Dirty, list[Primitive]]:
        raise ValueError("no such colour")

    stage.screen._paint = broken
    stage.move()
    assert stage.told() == [(0, True)]
    assert [type(one) for one in stage.errors] == [ValueError]


async def test_where_the_page_listens_to_the_frames_themselves_there_is_one_message(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = ipycanvas.canvas._CANVAS_MANAGER
    notes: list[Any] = []
    monkeypatch.setattr(manager, "send", lambda content, buffers: notes.append(content.get(NOTE)))
    surface = stage.screen.surface
    assert surface.painter == manager.model_id
    stage.move()
    assert (notes, stage.told()) == ([None], [(1, True)])
    surface.direct = True
    stage.move()
    assert notes[1:] == [{"surface": surface.key, "frame": 2, "answer": True}]
    assert stage.told() == []
    stage.on_move = lambda _: None
    stage.move()  # without a frame there is nothing that the answer could go with
    assert (len(notes), stage.told()) == (2, [(2, True)])
