"""The page's side of a plot: plotly.js, sent once for each page, and the messages to draw with it.

plotly's own ``FigureWidget`` sends five megabytes for each figure, has no way to append points,
shows old data after a reload, and knows neither the theme nor the reader's time zone. This draws
with the same plotly.js, taken from the installed plotly.
"""

import asyncio
import gzip
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from comfynb.widgets.live import current_loop, spawn
from comfynb.widgets.markup import clean
from comfynb.widgets.metrics.figure import Figure, Points

__all__ = ["PlotPage"]

STATIC = Path(__file__).parent / "static"
UNANSWERED: Final = 2
"""Updates that a page may be behind; then it gets none until it has drawn them."""


class _Page(anywidget.AnyWidget):
    """What lies in the page; see metrics.js for what it sends."""

    _esm = STATIC / "metrics.js"
    _css = STATIC / "metrics.css"

    label = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(300).tag(sync=True)
    """Pixels, kept free until the plot is drawn."""


class PlotPage:
    """Draws one figure on every page that shows it, and hears what is done with it there.

    ``on_zoom`` gets UTC seconds since 1970 (two of them), ``on_live`` nothing, ``on_job`` the ids
    of the jobs whose bar was clicked, ``on_see`` nothing, when it comes into sight. All are called
    on the event loop's thread.
    """

    def __init__(
        self,
        label: str,
        *,
        on_zoom: Callable[[float, float], None] | None = None,
        on_live: Callable[[], None] | None = None,
        on_job: Callable[[Sequence[str]], None] | None = None,
        on_see: Callable[[], None] | None = None,
    ) -> None:
        self._on_zoom = on_zoom
        self._on_live = on_live
        self._on_job = on_job
        self._on_see = on_see
        self._figure: Figure | None = None
        self._sequence = 0
        self._drawn: dict[str, int] = {}
        """The pages on which it is in sight, and the last update that each has drawn."""
        self.widget = _Page(label=clean(label))
        self.widget.on_msg(lambda _widget, content, _buffers: self._heard(content))

    # To the page --------------------------------------------------------------------------------

    @property
    def wanted(self) -> bool:
        """Whether somebody sees it and keeps up with the updates."""
        return any(self._sequence - drawn < UNANSWERED for drawn in self._drawn.values())

    def draw(self, figure: Figure, *, height: int | None = None) -> None:
        """Show ``figure`` in place of what is there; what was zoomed or hidden by hand stays."""
        self._figure = figure
        self.widget.height = int(height or figure.layout["height"])
        self._send_figure()

    def _send_figure(self) -> None:
        assert self._figure is not None
        self._sequence += 1
        self.widget.send(
            {
                "kind": "figure",
                "sequence": self._sequence,
                "data": self._figure.data,
                "layout": self._figure.layout,
                "lines": len(self._figure.points),
            },
            buffers=[buffer for points in self._figure.points for buffer in _bytes(points)],
        )

    def extend(
        self,
        figure: Figure,
        since: float,
        tails: Mapping[int, Points],
        changed: Sequence[int],
    ) -> None:
        """Replace what lines have after ``since`` (UTC milliseconds), slide to the range of
        ``figure``, and replace the traces ``changed``; ``figure`` is all of it as it is now."""
        self._figure = figure
        self._sequence += 1
        places = list(tails)
        self.widget.send(
            {
                "kind": "extend",
                "sequence": self._sequence,
                "since": since,
                "places": places,
                "range": figure.layout["xaxis"]["range"],
                "traces": {str(place): figure.data[place] for place in changed},
            },
            buffers=[buffer for place in places for buffer in _bytes(tails[place])],
        )

    # From the page ------------------------------------------------------------------------------

    def _heard(self, content: Mapping[str, Any]) -> None:
        view = str(content.get("view", ""))[:40]
        match content.get("event"):
            case "library":
                if current_loop() is not None:
                    spawn(self._send_library())
                else:
                    self.widget.send({"kind": "library"}, buffers=[_library()])
            case "hello":
                self._drawn[view] = self._sequence
                if self._figure is not None:
                    self._send_figure()
            case "see":
                self._drawn[view] = self._sequence
                if self._on_see is not None:
                    self._on_see()
            case "gone":
                self._drawn.pop(view, None)
            case "drawn":
                sequence = content.get("sequence")
                if view in self._drawn and isinstance(sequence, int):
                    self._drawn[view] = sequence
            case "zoom":
                found = _range(content.get("range"))
                if self._on_zoom is not None and found is not None:
                    self._on_zoom(*found)
            case "live":
                if self._on_live is not None:
                    self._on_live()
            case "job":
                ids = content.get("ids")
                if self._on_job is not None and isinstance(ids, list) and ids:
                    self._on_job([one for one in ids if isinstance(one, str)])

    async def _send_library(self) -> None:
        packed = await asyncio.to_thread(_library)
        if self.widget.comm is not None:
            self.widget.send({"kind": "library"}, buffers=[packed])


@cache
def _library() -> bytes:
    """plotly.js, gzipped: a third of its size."""
    source = resources.files("plotly") / "package_data" / "plotly.min.js"
    return gzip.compress(source.read_bytes(), compresslevel=6)


def _bytes(points: Points) -> tuple[bytes, bytes]:
    return array("d", points[0]).tobytes(), array("f", points[1]).tobytes()


def _range(found: object) -> tuple[float, float] | None:
    """Two ascending times in milliseconds, as seconds; what a page sends may be anything."""
    if not isinstance(found, list) or len(found) != 2:
        return None
    start, end = found
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < 1e14:
            return None
    return (start / 1000, end / 1000) if start < end else None
