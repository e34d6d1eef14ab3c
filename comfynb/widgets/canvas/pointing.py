"""The page's mouse and key events, as they come over the wire, told to the hand in order."""

from collections.abc import Mapping
from typing import Any

from comfynb.widgets.canvas.hand import Hand, Keys

__all__ = ["Pointing"]

LATE = 2000.0
"""Milliseconds by which events may overtake one another."""


class Pointing:
    """Events become what ``hand`` understands; those that come too late are dropped."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._pressed_at = 0.0

    def _is_late(self, when: float) -> bool:
        """Whether an event is older than a press or key that was heard already; ms of the page.

        Moves are held back by the throttle, presses are not: one from before a press may come after
        it, and would say that no button is down. Keys come by another way than the mouse, and may
        overtake a click. Another window of the same editor has a clock of its own.
        """
        return 0.0 < self._pressed_at - when < LATE

    def mouse(self, event: Mapping[str, Any]) -> None:
        """One of ipyevents' mouse events. What raises lets go of everything first."""
        hand = self._hand
        kind = event.get("event")
        x, y = float(event.get("relativeX", 0)), float(event.get("relativeY", 0))
        when = float(event.get("timeStamp") or 0.0)
        if kind != "mouseup" and self._is_late(when):
            return
        if kind in {"mousedown", "mouseup"}:
            self._pressed_at = when
        try:
            match kind:
                case "mousemove":
                    hand.move(x, y, int(event.get("buttons", 0)))
                case "mousedown":
                    hand.down(x, y, int(event.get("button", 0)), _keys(event))
                case "mouseup":
                    hand.up(x, y)
                case "dblclick":
                    hand.double(x, y)
                case "wheel":
                    lines = event.get("deltaMode") == 1
                    hand.wheel(x, y, float(event.get("deltaY", 0)), lines=lines)
                case "mouseleave":
                    hand.leave()
                case _:
                    pass
        except Exception:
            hand.let_go()
            raise

    def key(self, message: Mapping[str, Any]) -> None:
        """One of the surface's keys."""
        self._pressed_at = float(message.get("time") or 0.0)
        keys = Keys(bool(message.get("shift")), bool(message.get("ctrl")))
        self._hand.key(str(message.get("key", "")), keys)


def _keys(event: Mapping[str, Any]) -> Keys:
    ctrl = bool(event.get("ctrlKey") or event.get("metaKey"))
    return Keys(bool(event.get("shiftKey")), ctrl, bool(event.get("altKey")))
