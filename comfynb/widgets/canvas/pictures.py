"""Thumbnails on the canvas: made small in threads, and kept in the browser on hidden canvases.

Drawing an encoded picture makes the browser decode it at every frame. So each is decoded once, onto
a slot of a canvas that nobody sees, and frames copy from there.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import ipycanvas

from comfynb.widgets.canvas.wire import Frame, Stamp, new_canvas
from comfynb.widgets.composite import close_tree
from comfynb.widgets.live import current_loop, spawn
from comfynb.widgets.thumbnails import CannotShow, Picture, Target, in_thread, shrink, shrink_file

__all__ = ["Pictures"]

SLOT = 256
"""Pixels of a slot's side."""

COLUMNS, ROWS = 8, 4
SMALL = Target(pixels=SLOT, limit=24_000)


def _size(picture: Picture) -> tuple[int, int]:
    """The size of the small copy itself, from its first bytes."""
    from PIL import Image

    with Image.open(io.BytesIO(picture.data)) as copy:
        return copy.size


class Pictures:
    """One picture for each key; ``arrived`` is called when there is a new one to draw."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._sheets: list[ipycanvas.Canvas] = []
        self._slots: dict[str, int] = {}
        self._shown: dict[str, Picture] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._source: dict[str, object] = {}
        self._busy: set[str] = set()
        self._job = 0
        """Counts what was forgotten: pictures that are made meanwhile come too late."""
        self._closed = False

    @property
    def keys(self) -> frozenset[str]:
        """Those that have a picture."""
        return frozenset(self._shown)

    @property
    def shown(self) -> Mapping[str, Picture]:
        """The small copies by key."""
        return self._shown

    def show(self, key: str, source: Path | bytes) -> None:
        """Show an encoded picture or a file for ``key``; nothing happens if it is shown already.

        While one is being made small, newer ones wait, and only the newest of them is made.
        """
        if self._source.get(key) is source or self._source.get(key) == source:
            return
        self._source[key] = source
        if current_loop() is None:
            self._make_now(key, source)
        elif key not in self._busy:
            self._busy.add(key)
            spawn(self._make(key))

    def _make_now(self, key: str, source: Path | bytes) -> None:
        try:
            made = shrink_file(source, SMALL) if isinstance(source, Path) else shrink(source, SMALL)
        except CannotShow:
            return
        self._put(key, made)

    async def _make(self, key: str) -> None:
        try:
            source = self._source.get(key)
            while source is not None and not self._closed:
                assert isinstance(source, Path | bytes)
                shown = self._job
                try:
                    made = await in_thread(source, SMALL)
                except CannotShow:
                    made = None  # a video, say; there is nothing to see here
                if made is not None and shown == self._job and not self._closed:
                    self._put(key, made)
                made_of, source = source, self._source.get(key)
                if source is made_of:
                    return
        finally:
            self._busy.discard(key)

    def _put(self, key: str, picture: Picture) -> None:
        self._shown[key] = picture
        self._sizes[key] = _size(picture)
        if key not in self._slots:
            taken = set(self._slots.values())
            self._slots[key] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        self._sheet(self._slots[key])
        self._send([key])
        self._arrived()

    def _sheet(self, slot: int) -> ipycanvas.Canvas:
        number = slot // (COLUMNS * ROWS)
        while len(self._sheets) <= number:
            sheet = new_canvas(COLUMNS * SLOT, ROWS * SLOT)
            sheet.on_client_ready(self.send_all)
            self._sheets.append(sheet)
        return self._sheets[number]

    @staticmethod
    def _corner(slot: int) -> tuple[int, int]:
        inside = slot % (COLUMNS * ROWS)
        return inside % COLUMNS * SLOT, inside // COLUMNS * SLOT

    def stamps(self) -> dict[str, Stamp]:
        """Where each picture is to be copied from."""
        return {
            key: (self._sheet(slot), *self._corner(slot), *self._sizes[key])
            for key, slot in self._slots.items()
        }

    def send_all(self) -> None:
        """Put every picture onto its sheet anew: a page that was loaded has empty canvases."""
        self._send(list(self._shown))

    def _send(self, keys: list[str]) -> None:
        frame = Frame({}, 1.0)
        for key in keys:
            sheet, corner = self._sheet(self._slots[key]), self._corner(self._slots[key])
            frame.picture(sheet, self._shown[key].data, *corner, SLOT, SLOT)
        frame.send()

    def forget(self) -> None:
        """Show none any more; the sheets stay for the next ones."""
        self._job += 1
        for known in (self._slots, self._shown, self._sizes, self._source):
            known.clear()

    def close(self) -> None:
        """Close the sheets."""
        self._closed = True
        self.forget()
        for sheet in self._sheets:
            close_tree(sheet)
