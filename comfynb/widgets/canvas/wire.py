"""Drawings on their way to the browser: one message for a frame, in ipycanvas's own commands.

This is the module that knows ipycanvas from inside. Its drawing methods are not used, for three
reasons. Each costs several trait validations where a frame has 30 styles. ``hold_canvas`` keeps
state in a global manager and has no ``finally``, so an error inside would silence every canvas of
the kernel for good; here a frame is put together first and sent whole or not at all, and nothing
awaits in between. And the manager remembers which canvas it drew on last, which is wrong after a
page reload, so each frame says so itself.

The browser executes one frame after the other, and waits for ever if one of them throws or shows
a picture that cannot be decoded. So pictures are always our own encodings, and every number is
finite.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ipycanvas
import numpy as np
import numpy.typing as npt
from ipycanvas.canvas import COMMANDS
from ipycanvas.utils import commands_to_buffer

from comfynb.widgets.canvas.colours import Colours
from comfynb.widgets.canvas.primitives import (
    Clipped,
    Images,
    Lines,
    Polygons,
    Primitive,
    Rects,
    Texts,
)

__all__ = ["FONT", "NOTE", "Frame", "Stamp", "new_canvas", "painter_id"]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'

NOTE = "comfynb"
"""The key of what a message says beside its commands; ipycanvas does not look at it."""

_SET = COMMANDS["set"]
_ATTRIBUTES = ipycanvas.Canvas.ATTRS

Stamp = tuple[Any, float, float, float, float]
"""Where a picture is: a canvas that holds it, and x, y, width, height there, in its pixels."""


def new_canvas(width: int, height: int) -> ipycanvas.Canvas:
    """A canvas, also after ``Widget.close_all()``, which closes what all canvases share."""
    manager = ipycanvas.canvas._CANVAS_MANAGER  # noqa: SLF001 - see the module's docstring
    if manager.comm is None:
        manager.open()
    return ipycanvas.Canvas(width=width, height=height)


def painter_id() -> str:
    """The model in the page that gets every frame, of whatever canvas."""
    return str(ipycanvas.canvas._CANVAS_MANAGER.model_id)  # noqa: SLF001 - see the docstring


class Frame:
    """One message: everything drawn on some canvases, which share a size and a pixel ratio."""

    def __init__(
        self, colours: Colours, ratio: float, stamps: Mapping[str, Stamp] | None = None
    ) -> None:
        self._colours = colours
        self._ratio = ratio
        self._stamps = stamps or {}
        self._commands: list[list[Any]] = []
        self._buffers: list[memoryview] = []
        self._style: dict[str, Any] = {}

    def canvas(self, canvas: ipycanvas.Canvas) -> "Frame":
        """Draw on this canvas from now on, which is wiped first."""
        self._switch(canvas)
        self._commands.append([COMMANDS["clear"], [], 0])
        self._commands.append([COMMANDS["setLineDash"], [[]], 0])  # the last frame's may be left
        return self

    def _switch(self, canvas: ipycanvas.Canvas) -> None:
        self._commands.append([COMMANDS["switchCanvas"], [f"IPY_MODEL_{canvas.model_id}"], 0])
        self._style = {}

    def picture(  # noqa: PLR0917 - a place and a size
        self,
        canvas: ipycanvas.Canvas,
        encoded: bytes,
        x: float,
        y: float,
        width: float,
        height: float,
    ) -> "Frame":
        """Put an encoded picture (which must be sound) onto a canvas, in its own size.

        The slot of ``width`` and ``height`` is wiped before.
        """
        self._switch(canvas)
        self._commands.append([COMMANDS["clearRect"], [x, y, width, height], 0])
        self._commands.append([COMMANDS["putImageData"], [x, y], 1])
        self._buffers.append(memoryview(encoded))
        return self

    def draw(self, drawing: Sequence[Primitive]) -> "Frame":
        """Add a drawing."""
        for part in drawing:
            match part:
                case Rects():
                    self._rects(part)
                case Polygons():
                    self._polygons(part)
                case Lines():
                    self._dash(part.dash)
                    self._stroke(part.stroke, part.width, part.alpha)
                    self._points("strokeLineSegments", part.points)
                case Texts():
                    self._texts(part)
                case Images():
                    self._images(part)
                case Clipped():
                    self._clipped(part)
        return self

    # Styles, each sent only when it changes

    def _set(self, name: str, value: Any) -> None:
        if self._style.get(name) != value:
            self._style[name] = value
            self._commands.append([_SET, [_ATTRIBUTES[name], value], 0])

    def _fill(self, colour: str, alpha: float) -> None:
        self._set("fill_style", self._colours[colour])
        self._set("global_alpha", alpha)

    def _stroke(self, colour: str, width: float, alpha: float) -> None:
        self._set("stroke_style", self._colours[colour])
        self._set("line_width", width * self._ratio)
        self._set("line_join", "round")
        self._set("line_cap", "round")
        self._set("global_alpha", alpha)

    def _dash(self, dash: tuple[float, ...]) -> None:
        if self._style.get("dash", ()) != dash:
            self._style["dash"] = dash
            lengths = [length * self._ratio for length in dash]
            self._commands.append([COMMANDS["setLineDash"], [lengths], 0])

    # Shapes

    @staticmethod
    def _array(values: npt.NDArray[Any], into: list[memoryview]) -> dict[str, Any]:
        # As ipycanvas.utils.array_to_binary says it, which takes longer to name the type.
        flat = np.ascontiguousarray(values, dtype=np.float32).ravel()
        into.append(flat.data)
        return {"shape": flat.shape, "dtype": "float32", "idx": len(into) - 1}

    def _points(self, command: str, points: npt.NDArray[Any]) -> None:
        if len(points):
            buffers: list[memoryview] = []
            array = self._array(points * self._ratio, buffers)
            number, each = points.shape[:2]
            self._commands.append([COMMANDS[command], [number, array, each], len(buffers)])
            self._buffers += buffers

    def _rects(self, part: Rects) -> None:
        if len(part.boxes):
            self._fill(part.fill, part.alpha)
            buffers: list[memoryview] = []
            columns = (part.boxes * self._ratio).T
            arrays = [self._array(column, buffers) for column in columns]
            self._commands.append([COMMANDS["fillRects"], arrays, len(buffers)])
            self._buffers += buffers

    def _polygons(self, part: Polygons) -> None:
        if part.fill is not None:
            self._fill(part.fill, part.alpha)
            self._points("fillPolygons", part.points)
        if part.stroke is not None:
            self._dash(part.dash)
            self._stroke(part.stroke, part.width, part.alpha)
            self._points("strokePolygons", part.points)

    def _texts(self, part: Texts) -> None:
        if not part.items:
            return
        ratio = self._ratio
        self._fill(part.fill, 1.0)
        self._set("font", f"{part.weight} {round(part.size * ratio, 1)}px {FONT}")
        self._set("text_align", part.align)
        self._set("text_baseline", "middle")
        squeeze = [] if part.most is None else [round(part.most * ratio, 1)]
        command = COMMANDS["fillText"]
        self._commands += [
            [command, [text, round(x * ratio, 1), round(y * ratio, 1), *squeeze], 0]
            for text, x, y in part.items
        ]

    def _images(self, part: Images) -> None:
        self._set("global_alpha", 1.0)
        for key, x, y, width, height in part.items:
            stamp = self._stamps.get(key)
            if stamp is None:
                continue  # not decoded yet; its arrival brings the next frame
            canvas, left, top, wide, high = stamp
            scale = min(width / wide, height / high) * self._ratio
            at_x = x * self._ratio + (width * self._ratio - wide * scale) / 2
            at_y = y * self._ratio + (height * self._ratio - high * scale) / 2
            self._clip(at_x, at_y, wide * scale, high * scale)
            place = [at_x - left * scale, at_y - top * scale]
            size = [canvas.width * scale, canvas.height * scale]
            self._commands.append(
                [COMMANDS["drawImage"], [f"IPY_MODEL_{canvas.model_id}", *place, *size], 0]
            )
            self._commands.append([COMMANDS["restore"], [], 0])

    def _clip(self, x: float, y: float, width: float, height: float) -> None:
        self._commands.append([COMMANDS["save"], [], 0])
        self._commands.append([COMMANDS["beginPath"], [], 0])
        self._commands.append([COMMANDS["rect"], [x, y, width, height], 0])
        self._commands.append([COMMANDS["clip"], [], 0])

    def _clipped(self, part: Clipped) -> None:
        self._clip(*(value * self._ratio for value in part.box))
        kept = dict(self._style)
        self.draw(part.inside)
        self._commands.append([COMMANDS["restore"], [], 0])
        self._style = kept

    # Sending

    def send(self, park: ipycanvas.Canvas | None = None, note: object = None) -> None:
        """Send it, as one message; nothing is sent for a frame without anything in it.

        ``note`` is for whoever listens in the page. The browser shows the canvas that was drawn on
        last once more with the next message, so a frame ends on ``park``, which nobody sees.
        """
        manager = ipycanvas.canvas._CANVAS_MANAGER  # noqa: SLF001 - see the module's docstring
        if not self._commands or manager.comm is None:
            return  # after Widget.close_all() there is nobody left to draw for
        if park is not None:
            self._switch(park)
        content, commands = commands_to_buffer(self._commands)
        if note is not None:
            content[NOTE] = note
        manager.send(content, buffers=[commands, *self._buffers])
        # Whoever draws next with ipycanvas's own methods has to say on which canvas.
        manager._current_canvas = None  # noqa: SLF001
