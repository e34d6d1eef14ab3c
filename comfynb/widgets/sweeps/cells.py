"""Points of a sweep as cells on the page: only those in sight are sent, and only what changed."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from comfynb.engine.slices import Slice
from comfynb.engine.sweeps.views import PictureView, PointView
from comfynb.models import JobStatus
from comfynb.widgets.live import call, current_loop, spawn
from comfynb.widgets.markup import clean, one_line, sentence
from comfynb.widgets.sweeps.text import point_label, short_value
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import ENLARGED, CannotShow, Picture, Target, in_thread

__all__ = ["CELL", "Cell", "PointCells"]

STATIC = Path(__file__).parent.parent / "static"

CELL: Final = Target(pixels=240, limit=16_000)
"""A cell's picture: at most 16 kB, so that a screen full of them is one or two messages."""
GATHER: Final = 0.1
"""Seconds that pictures are gathered before they are sent: 10 Hz."""
MOST_IN_SIGHT: Final = 2000
"""Cells that a page may ask for at once."""

Key = tuple[str, str, str, int]
Rate = Callable[[Key, float | None], Awaitable[object] | None]
Cell = Sequence[int]
"""The numbers of the points in one cell: one as a rule, none where a table has a hole."""


class _Page(anywidget.AnyWidget):
    """What lies in the page; see sweep.js for what it sends."""

    _esm = STATIC / "sweep.js"
    _css = STATIC / "sweep.css"

    total = traitlets.Int(0).tag(sync=True)
    columns = traitlets.Int(0).tag(sync=True)
    """0: as many as fit; else a table with heads."""
    size = traitlets.Int(150).tag(sync=True)
    """Pixels of a picture."""
    head_width = traitlets.Int(110).tag(sync=True)
    row_heads = traitlets.List(traitlets.Unicode()).tag(sync=True)
    column_heads = traitlets.List(traitlets.Unicode()).tag(sync=True)
    corner = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)


class PointCells:
    """Feeds a page with points. ``captioned`` are the parameters named under each picture."""

    def __init__(
        self,
        axes: Sequence[str],
        captioned: Sequence[str],
        *,
        label: str,
        rate: Rate | None = None,
        size: int = 150,
    ) -> None:
        self._axes = tuple(axes)
        self._captioned = tuple(captioned)
        self._rate = rate
        self._points: Sequence[PointView] = ()
        self._cells: Sequence[Cell] = ()
        self._in_sight: dict[str, set[int]] = {}
        self._sent: dict[int, tuple[object, ...]] = {}
        self._pictures: dict[int, Path] = {}
        self._loading: set[int] = set()
        self._outbox: list[tuple[dict[str, Any], bytes | None]] = []
        self._flushing = False
        self._open: tuple[int, int] | None = None
        self._open_path: Path | None = None
        self._trouble = ""
        self.widget = _Page(label=clean(label), size=size)
        self.widget.on_msg(lambda _widget, content, _buffers: self._heard(content))

    # What is shown ------------------------------------------------------------------------------

    def arrange(
        self,
        cells: Sequence[Cell],
        *,
        columns: int = 0,
        row_heads: Sequence[str] = (),
        column_heads: Sequence[str] = (),
        corner: str = "",
    ) -> None:
        """Which points stand where: row by row, ``columns`` in each; 0 for as many as fit."""
        self._cells = cells
        self._sent.clear()
        self._pictures.clear()
        with self.widget.hold_sync():
            self.widget.columns = columns
            self.widget.row_heads = [one_line(text, 120) for text in row_heads]
            self.widget.column_heads = [one_line(text, 60) for text in column_heads]
            self.widget.corner = one_line(corner, 60)
            longest = max(map(len, [self.widget.corner, *self.widget.row_heads]), default=0)
            self.widget.head_width = min(max(8 * longest + 16, 80), 220)
            self.widget.total = len(cells)
        self.widget.send({"anew": True})

    def grow(self, cells: Sequence[Cell]) -> None:
        """More cells at the end; those that were there stay as they are."""
        self._cells = cells
        self.widget.total = len(cells)

    def show(self, points: Sequence[PointView]) -> None:
        """Show these points as they are now: what changed in sight is sent."""
        self._points = points
        self._send(self._visible())
        if self._open is not None:
            self._view()

    def hint(self, text: str) -> None:
        """A line above the cells."""
        self.widget.hint = one_line(text, 300)

    def _visible(self) -> set[int]:
        return set().union(*self._in_sight.values()) if self._in_sight else set()

    # From the page ------------------------------------------------------------------------------

    def _heard(self, content: Mapping[str, Any]) -> None:
        view = str(content.get("view", ""))
        match content.get("event"):
            case "see":
                places = _places(content.get("places"), len(self._cells))
                self._in_sight[view] = set(places)
                for lacking in _places(content.get("lacking"), len(self._cells)):
                    self._sent.pop(lacking, None)
                    self._pictures.pop(lacking, None)
                if current_loop() is None:
                    self._send(places)
                else:
                    spawn(self._send_in_turn(places))
            case "gone":
                self._in_sight.pop(view, None)
            case "open":
                place, picture = content.get("place"), content.get("picture", 0)
                if isinstance(place, int) and 0 <= place < len(self._cells):
                    self._open = (place, picture if isinstance(picture, int) else 0)
                    self._open_path = None
                    self._trouble = ""
                    self._view(fresh=True)
            case "close":
                self._open = None
            case "rate":
                self._rated(content)

    def _rated(self, content: Mapping[str, Any]) -> None:
        place, number, stars = (content.get(key) for key in ("place", "picture", "stars"))
        if self._rate is None or not isinstance(place, int) or not 0 <= place < len(self._cells):
            return
        pictures = self._pictures_in(place)
        if not isinstance(number, int) or not 0 <= number < len(pictures):
            return
        if stars is not None and not (isinstance(stars, int | float) and 0 <= stars <= 5):
            return
        key = pictures[number][1].key
        rate = self._rate
        call(lambda: rate(key, stars), lambda _: None, self._not_rated)

    def _not_rated(self, why: str) -> None:
        self._trouble = why
        self._view()

    # Cells ---------------------------------------------------------------------------------------

    def _pictures_in(self, place: int) -> list[tuple[PointView, PictureView]]:
        return [
            (self._points[number], picture)
            for number in self._cells[place]
            if number < len(self._points)
            for picture in self._points[number].pictures
        ]

    async def _send_in_turn(self, places: Iterable[int]) -> None:
        """A few in each turn of the loop: somebody scrolls."""
        work = Slice()
        for place in sorted(places):
            await work.rest()
            self._send([place])

    def _send(self, places: Iterable[int]) -> None:
        for place in sorted(places):
            if place >= len(self._cells):
                continue
            points = tuple(
                self._points[number] for number in self._cells[place] if number < len(self._points)
            )
            known = self._sent.get(place)
            if known is not None and len(known) == len(points) and all(
                one is other for one, other in zip(known, points, strict=True)
            ):  # fmt: skip
                continue
            self._sent[place] = points
            pictures = self._pictures_in(place)
            path = pictures[0][1].path if pictures else None
            cell = self._cell(place, points)
            if path is not None and self._pictures.get(place) == path:
                cell["image"] = -1
            self._put(cell, None)
            if path is not None and self._pictures.get(place) != path:
                self._pictures[place] = path
                if place not in self._loading and current_loop() is not None:
                    self._loading.add(place)
                    spawn(self._load(place))

    def _cell(self, place: int, points: Sequence[PointView]) -> dict[str, Any]:
        if not points:
            return {
                "place": place, "empty": True, "css": "", "sign": "", "caption": "", "note": "",
                "label": "no point here", "rating": None, "image": -2,
            }  # fmt: skip
        status = _worst(points)
        seen = look(status)
        first = points[0]
        caption = point_label(first, self._captioned, 30) if self._captioned else ""
        if len(points) > 1:
            caption = f"{caption}, {len(points) - 1} more".removeprefix(", ")
        note = [seen.word] if status is not JobStatus.COMPLETED else []
        if first.score is not None:
            note.append(f"{first.score:.4g}")
        if first.linked:
            note.append("computed before")
        elif status is JobStatus.COMPLETED and first.backend:
            note.append(one_line(first.backend, 40))
        words = " ".join([f"point {first.index}:", point_label(first, self._axes, 60)])
        told = f"{words}; {seen.word}" + (f" on {first.backend}" if first.backend else "")
        wrong = next((point.error for point in points if point.error), None)
        return {
            "place": place,
            "empty": False,
            "css": seen.css_class,
            "sign": seen.sign,
            "caption": one_line(caption, 120),
            "note": " · ".join(note),
            "label": one_line(told, 300),
            "rating": first.rating,
            "why": one_line(sentence(wrong)[0], 120) if wrong else "",
            "image": -2,
        }

    async def _load(self, place: int) -> None:
        try:
            path = self._pictures.get(place)
            if path is None:
                return
            try:
                picture = await in_thread(path, CELL)
            except CannotShow as why:
                self._picture(place, path, None, str(why))
            else:
                self._picture(place, path, picture, "")
        finally:
            self._loading.discard(place)
        if self._pictures.get(place) not in {None, path}:  # it changed meanwhile
            self._loading.add(place)
            spawn(self._load(place))

    def _picture(self, place: int, path: Path, picture: Picture | None, why: str) -> None:
        points = self._sent.get(place)
        if self._pictures.get(place) != path or points is None:
            return
        cell = self._cell(place, [one for one in points if isinstance(one, PointView)])
        if picture is None:
            cell["why"] = why
            self._put(cell, None)
        else:
            cell["type"] = picture.media_type
            self._put(cell, picture.data)

    def _put(self, cell: dict[str, Any], data: bytes | None) -> None:
        self._outbox.append((cell, data))
        loop = current_loop()
        if loop is None:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            loop.call_later(GATHER, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        outbox, self._outbox = self._outbox, []
        if not outbox or self.widget.comm is None:
            return
        # The last word on each cell counts, but not where it would take its picture away again.
        cells: dict[int, tuple[dict[str, Any], bytes | None]] = {}
        for cell, data in outbox:
            before = cells.get(cell["place"])
            if data is None and cell["image"] == -1 and before is not None:
                cells[cell["place"]] = ({**cell, "type": before[0].get("type")}, before[1])
            else:
                cells[cell["place"]] = (cell, data)
        told: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for cell, data in cells.values():
            one = dict(cell)
            if data is not None:
                one["image"] = len(buffers)
                buffers.append(data)
            told.append(one)
        self.widget.send({"cells": told}, buffers=buffers)

    # The viewer ----------------------------------------------------------------------------------

    def _view(self, *, fresh: bool = False) -> None:
        if self._open is None:
            return
        place, number = self._open
        pictures = self._pictures_in(place)
        points = [self._points[one] for one in self._cells[place] if one < len(self._points)]
        if not points:
            return
        number = min(max(number, 0), max(len(pictures) - 1, 0))
        point, picture = pictures[number] if pictures else (points[0], None)
        path = picture.path if picture is not None else None
        told = {
            "place": place,
            "picture": self._open[1],
            "pictures": len(pictures),
            "rating": picture.rating if picture is not None else None,
            "label": one_line(point_label(point, self._axes, 60), 300),
            "facts": self._facts(point, picture),
            "why": self._trouble or ("" if path is not None else look(point.status).word),
            "fresh": fresh or path != self._open_path,
        }
        self.widget.send({"viewer": told})
        if path is not None and path != self._open_path and current_loop() is not None:
            spawn(self._enlarge(self._open, path, told))
        self._open_path = path

    async def _enlarge(self, opened: tuple[int, int], path: Path, told: dict[str, Any]) -> None:
        try:
            picture = await in_thread(path, ENLARGED)
        except CannotShow as why:
            if self._open == opened:
                self.widget.send({"viewer": {**told, "why": str(why)}})
            return
        if self._open == opened and self.widget.comm is not None:
            self.widget.send(
                {"viewer": {**told, "type": picture.media_type, "fresh": False}},
                buffers=[picture.data],
            )

    def _facts(self, point: PointView, picture: PictureView | None) -> list[list[str]]:
        facts = [[name, short_value(value, 300)] for name, value in point.values.items()]
        facts.append(["point", str(point.index)])
        status = look(point.status).word + (", computed before" if point.linked else "")
        facts.append(["status", status])
        if point.backend:
            facts.append(["backend", one_line(point.backend, 80)])
        if point.seconds is not None:
            facts.append(["seconds", f"{point.seconds:.2f}"])
        if point.score is not None:
            facts.append(["score", f"{point.score:.6g}"])
        if point.error:
            facts.append(["error", one_line(sentence(point.error)[0], 400)])
        if picture is not None:
            if picture.width and picture.height:
                facts.append(["size", f"{picture.width} × {picture.height}"])
            facts.append(["file", one_line(picture.path or picture.filename, 300)])
        if self._trouble:
            facts.append(["not stored", one_line(self._trouble, 300)])
        return [[one_line(name, 60), value] for name, value in facts]

    def close(self) -> None:
        """Show nothing any more."""
        self._in_sight.clear()
        self._open = None
        self.widget.close()


def _places(given: Any, total: int) -> list[int]:
    if not isinstance(given, list):
        return []
    return [one for one in given[:MOST_IN_SIGHT] if isinstance(one, int) and 0 <= one < total]


_RANK = (
    JobStatus.RUNNING,
    JobStatus.FAILED,
    JobStatus.LOST,
    JobStatus.PAUSED,
    JobStatus.PENDING,
    JobStatus.CANCELLED,
    JobStatus.SKIPPED,
    JobStatus.COMPLETED,
)


def _worst(points: Sequence[PointView]) -> JobStatus:
    """What a cell with several points shows: what somebody should look at first."""
    return min((point.status for point in points), key=_RANK.index)
