"""Events that overtake one another on their way from the page."""

from typing import Any

import pytest

from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.hand import Hand, Mode
from comfynb.widgets.canvas.pointing import LATE, Pointing
from comfynb.widgets.canvas.scene import Scene


@pytest.fixture
def hand(scene: Scene) -> Hand:
    return Hand(scene, Camera())


@pytest.fixture
def pointing(hand: Hand) -> Pointing:
    return Pointing(hand)


def mouse(pointing: Pointing, kind: str, x: float, y: float, at: float, **more: Any) -> None:
    given = {"event": kind, "relativeX": x, "relativeY": y, "button": 0, "buttons": 1}
    pointing.mouse({**given, "timeStamp": at, **more})


def test_moves_from_before_a_press_that_come_after_it_are_no_release(
    pointing: Pointing, hand: Hand
) -> None:
    mouse(pointing, "mousedown", 90, 10, 100.0)
    mouse(pointing, "mousemove", 87, 10, 90.0, buttons=0)
    mouse(pointing, "mousemove", 130, 10, 130.0)
    assert hand.places
    mouse(pointing, "mouseup", 130, 10, 140.0)
    assert hand.scene.document.nodes["a"].position[0] > 0


def test_a_click_that_a_key_overtook_is_dropped_but_not_another_windows(
    pointing: Pointing, hand: Hand
) -> None:
    pointing.key({"key": "a", "ctrl": True, "time": 500.0})
    mouse(pointing, "mousedown", 400, 300, 480.0)
    mouse(pointing, "mouseup", 400, 300, 481.0)
    assert len(hand.scene.selected) == 4
    pointing.key({"key": "a", "ctrl": True, "time": 500.0 + 10 * LATE})
    mouse(pointing, "mousedown", 400, 300, 30.0)
    mouse(pointing, "mouseup", 400, 300, 31.0)
    assert hand.scene.selected == set()


def test_what_raises_lets_go_first(
    pointing: Pointing, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    mouse(pointing, "mousedown", 90, 10, 100.0)
    mouse(pointing, "mousemove", 130, 10, 130.0)
    assert hand.mode is Mode.DRAG
    monkeypatch.setattr(hand.scene, "moved_by", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mouse(pointing, "mousemove", 150, 10, 140.0)
    assert hand.mode is Mode.IDLE
    assert hand.places == {}


@pytest.mark.parametrize("event", [{}, {"event": "nonsense"}, {"event": "wheel"}])
def test_what_a_page_leaves_out_is_nothing(pointing: Pointing, event: dict[str, Any]) -> None:
    pointing.mouse(event)
    pointing.key(event)
