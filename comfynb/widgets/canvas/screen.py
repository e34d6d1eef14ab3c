"""The stacked canvases in the page and when they are drawn: frames, flow control, theme, size."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipyevents
import ipywidgets

from comfynb.widgets.canvas.colours import Colours, palette
from comfynb.widgets.canvas.hand import Dirty
from comfynb.widgets.canvas.primitives import Primitive
from comfynb.widgets.canvas.surface import Surface
from comfynb.widgets.canvas.wire import Frame, Stamp, new_canvas
from comfynb.widgets.composite import close_tree
from comfynb.widgets.live import current_loop

__all__ = ["LAYERS", "Screen"]

LAYERS = (Dirty.SCENE, Dirty.JOB, Dirty.HAND)

INTERVAL = 1 / 60
"""Seconds between two frames at least."""

IN_FLIGHT = 1
"""Frames that may be on their way to the screen: more would queue up behind a slow browser, and
each would put the picture one frame further behind the hand."""

PATIENCE = 2.0
"""Seconds after which a frame counts as shown: the page may be hidden, or gone.

Not less: on a machine that needs longer for a frame, frames would pile up again."""

MOUSE = ["mousedown", "mouseup", "dblclick", "wheel", "mouseleave"]

Painter = Callable[[Dirty], Mapping[Dirty, Sequence[Primitive]]]


class Screen:
    """Three canvases on top of one another, and the surface over them.

    Canvases of their own rather than a MultiCanvas: that one copies all its layers together in the
    browser for each change of one of them; here a drag touches the uppermost only.

    ``paint(dirty)`` gives the drawings of those layers, ``pointer(event)`` gets mouse events,
    ``heard(message)`` the surface's other messages, ``resized()`` says that the size or the theme
    is another one. An exception in any of them comes to ``failed`` and ends nothing.
    """

    def __init__(
        self,
        *,
        label: str,
        height: int,
        paint: Painter,
        stamps: Callable[[], Mapping[str, Stamp]],
        pointer: Callable[[Mapping[str, Any]], None],
        heard: Callable[[Mapping[str, Any]], None],
        resized: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._paint, self._stamps, self._pointer = paint, stamps, pointer
        self._heard, self._resized, self._failed = heard, resized, failed
        self._dirty = Dirty.NONE
        self._timer: asyncio.TimerHandle | None = None
        self._number = 0
        self._sent: dict[int, float] = {}
        self._last = float("-inf")
        self.shown = 0
        """The number of the last frame that was seen on screen."""
        self.layers = [new_canvas(800, height) for _ in LAYERS]
        self._park = new_canvas(1, 1)
        self.surface = Surface(label, self._message)
        self.stage = ipywidgets.Box([*self.layers, self.surface])
        self.stage.layout.height = f"{height}px"
        self.stage.add_class("comfynb-stage")
        self._size = (800, height)
        self._set_size()
        self.surface.observe(self._page_changed, ["width", "height", "ratio", "dark"])
        # Moves come one at a time and at most 50 times a second, pressing and releasing at once.
        self._moves = ipyevents.Event(
            source=self.surface,
            watched_events=["mousemove"],
            wait=20,
            throttle_or_debounce="throttle",
        )
        self._moves.on_dom_event(self._moved)
        self._asked, self._answered = False, 0
        self._buttons = ipyevents.Event(source=self.surface, watched_events=MOUSE)
        self._buttons.on_dom_event(lambda event: self.guarded(lambda: self._pointer(event)))
        for layer in self.layers:
            layer.on_client_ready(self.refresh)

    # The page

    @property
    def size(self) -> tuple[float, float]:
        """CSS pixels."""
        return self._size

    @property
    def ratio(self) -> float:
        """Device pixels for one CSS pixel, 1 to 3."""
        return float(self.surface.ratio)

    @property
    def colours(self) -> Colours:
        """Those of the page's theme."""
        return palette(dark=self.surface.dark)

    def _set_size(self) -> None:
        width, height = self._size
        for layer in self.layers:
            with layer.hold_sync():
                layer.width = round(width * self.ratio)
                layer.height = round(height * self.ratio)
            layer.layout.width, layer.layout.height = f"{width}px", f"{height}px"

    def _page_changed(self, _: object) -> None:
        # The four come together; one look at all of them is enough.
        if self.surface.width > 0 and self.surface.height > 0:
            self._size = (self.surface.width, self.surface.height)
        self._set_size()
        self.guarded(self._resized)
        self.refresh()

    def _message(self, message: Mapping[str, Any]) -> None:
        match message.get("event"):
            case "shown":
                number = int(message.get("frame", 0))
                self.shown = max(self.shown, number)
                for sent in [one for one in self._sent if one <= number]:
                    del self._sent[sent]
                if self._dirty:
                    self._schedule(0.0)
            case "ready":
                self._sent.clear()
                self.guarded(lambda: self._heard(message))
                self.refresh()
            case _:
                self.guarded(lambda: self._heard(message))

    def _moved(self, event: Mapping[str, Any]) -> None:
        """The pointer moved: the page waits for an answer before it tells of the next move.

        The answer is the next frame, or the number of the last one where nothing is to be drawn.
        Since moves come one at a time, this one says that the answer to the last one was seen.
        """
        self._sent = {n: at for n, at in self._sent.items() if n > self._answered}
        if self._timer is not None:  # it may be waiting for what was seen now
            self._timer.cancel()
            self._timer = None
        self._asked = True
        self.guarded(lambda: self._pointer(event))
        self.request(self._dirty)
        if self._asked and self._timer is None:  # nothing to draw, or it could not be drawn
            self.surface.send(self._note())

    def _note(self) -> dict[str, Any]:
        """Which frame was sent, and whether the pointer's last move is in it."""
        answer, self._asked = self._asked, False
        if answer:
            self._answered = self._number
        return {"surface": self.surface.key, "frame": self._number, "answer": answer}

    def guarded(self, work: Callable[[], object]) -> None:
        """Do it; an exception is told and goes no further, so that the editor lives on."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever an embedder's callback raises
            self._failed(error)

    # Frames

    def refresh(self) -> None:
        """Draw everything anew."""
        self.request(Dirty.ALL)

    def request(self, dirty: Dirty) -> None:
        """Draw these layers, now if the last frame is long enough ago and on screen."""
        if not dirty:
            return
        self._dirty |= dirty
        if self._timer is not None:
            return
        now = time.monotonic()
        self._sent = {n: at for n, at in self._sent.items() if now - at < PATIENCE}
        wait = self._last + INTERVAL - now
        if len(self._sent) >= IN_FLIGHT:
            wait = max(wait, min(self._sent.values()) + PATIENCE - now)
        if wait <= 0 or current_loop() is None:
            self.guarded(self.draw)
        else:
            self._schedule(wait)

    def _schedule(self, wait: float) -> None:
        loop = current_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if loop is None:
            self.guarded(self.draw)
        else:
            self._timer = loop.call_later(max(wait, 0.0), self._due)

    def _due(self) -> None:
        self._timer = None
        if self.surface.comm is not None:
            self.guarded(self.draw)

    def draw(self) -> None:
        """Send one frame with what is dirty."""
        dirty, self._dirty = self._dirty, Dirty.NONE
        if not dirty or self.surface.comm is None:
            return
        self._last = time.monotonic()
        drawings = self._paint(dirty)
        frame = Frame(self.colours, self.ratio, self._stamps())
        for layer, flag in zip(self.layers, LAYERS, strict=True):
            if flag in drawings:
                frame.canvas(layer).draw(drawings[flag])
        self._number += 1
        self._sent[self._number] = self._last
        note = self._note()
        if self.surface.direct:
            frame.send(self._park, note)
        else:
            frame.send(self._park)
            self.surface.send(note)

    def close(self) -> None:
        """Close every canvas, and stop hearing."""
        if self._timer is not None:
            self._timer.cancel()
        self._moves.close()
        self._buttons.close()
        close_tree(self._park)
        close_tree(self.stage)
