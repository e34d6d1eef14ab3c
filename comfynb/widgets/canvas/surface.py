"""The widgets that live in the page itself: the window onto the canvas, and the palette."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from comfynb.models import new_id
from comfynb.widgets.canvas.contract import PaletteItem
from comfynb.widgets.canvas.wire import painter_id
from comfynb.widgets.markup import clean, one_line

__all__ = ["Palette", "Surface"]

STATIC = Path(__file__).parent / "static"

Heard = Callable[[Mapping[str, Any]], None]


class Surface(anywidget.AnyWidget):
    """Lies over the drawing: focus, keys, the captured pointer; tells theme, size and pixel ratio.

    It sends {"event": "ready"} when a view is in the page (after a reload as well), "key", "drop"
    (an item of the palette), and "shown" for frames that it was told of by ``{"frame": n}``: in a
    message of its own, or where it is ``direct``, in the note of the frame itself, with its ``key``
    as ``"surface"``. It lets ipyevents see one mouse move at a time: the next one after a frame
    with ``"answer"``, which says that this frame was seen.
    """

    _esm = STATIC / "surface.js"
    _css = STATIC / "canvas.css"

    label = traitlets.Unicode().tag(sync=True)
    key = traitlets.Unicode().tag(sync=True)
    painter = traitlets.Unicode().tag(sync=True)
    """The id of the model that gets the frames."""
    direct = traitlets.Bool(default_value=False).tag(sync=True)
    """Whether the page listens there."""
    cursor = traitlets.Unicode("grab").tag(sync=True)
    dark = traitlets.Bool(default_value=False).tag(sync=True)
    ratio = traitlets.Float(1.0).tag(sync=True)
    width = traitlets.Int(0).tag(sync=True)
    """CSS pixels; 0 until somebody looks."""
    height = traitlets.Int(0).tag(sync=True)

    def __init__(self, label: str, heard: Heard) -> None:
        super().__init__(label=clean(label), key=new_id(), painter=painter_id())
        self.add_class("comfynb-layer")
        self.on_msg(lambda _widget, content, _buffers: heard(content))

    def focus(self) -> None:
        """Give it the keyboard."""
        self.send({"focus": True})


class Palette(anywidget.AnyWidget):
    """A search and a list of what can be added; ``heard`` gets "pick" with a key, and "close"."""

    _esm = STATIC / "palette.js"

    items: traitlets.List[dict[str, str]] = traitlets.List().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)

    def __init__(self, items: Sequence[PaletteItem], heard: Heard) -> None:
        super().__init__(items=[_shown(item) for item in items])
        self.add_class("comfynb-palette")
        self.on_msg(lambda _widget, content, _buffers: heard(content))

    def show_items(self, items: Sequence[PaletteItem]) -> None:
        """List these from now on."""
        self.items = [_shown(item) for item in items]

    def focus(self) -> None:
        """Put the keyboard into the search."""
        self.send({"focus": True})


def _shown(item: PaletteItem) -> dict[str, str]:
    return {
        "key": item.key,
        "title": one_line(item.title, 120),
        "group": one_line(item.group, 80),
        "hint": one_line(item.hint, 160),
        "keywords": one_line(item.keywords, 400),
        "kind": item.node_type.value,
    }
