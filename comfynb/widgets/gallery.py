"""Pictures as a strip or a grid of thumbnails with captions; a click enlarges one."""

import asyncio
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import ipywidgets

from comfynb.engine.views import ImageView
from comfynb.widgets.composite import Composite, close_tree, html
from comfynb.widgets.live import current_loop, spawn
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.thumbnails import (
    ENLARGED,
    THUMBNAIL,
    CannotShow,
    Picture,
    data_uri,
    in_thread,
    shrink_file,
)

__all__ = ["Gallery"]

WHOLE_LIMIT = 24_000_000
"""Videos and animations up to this many bytes are sent whole when somebody opens them."""

STATIC_PICTURES = 12
"""Thumbnails kept in a saved notebook: with 54 kB each at most, two thirds of a megabyte."""


class Gallery(Composite):
    """Thumbnails of output files, ``page`` at a time; click one (or Tab and Enter) to enlarge it.

    Files are read, scaled and encoded in threads; a page shows at once and fills as they come.
    """

    def __init__(
        self,
        images: Sequence[ImageView] = (),
        *,
        arrangement: Literal["strip", "grid"] = "grid",
        page: int = 24,
    ) -> None:
        self._arrangement = arrangement
        self._page = page
        self._shown = page
        self._images: tuple[ImageView, ...] = ()
        self._tiles: list[_Tile] = []
        self._viewer: _Viewer | None = None
        self._box = ipywidgets.Box()
        self._box.add_class(f"comfynb-{arrangement}")
        self._more = ipywidgets.Button(description="Show more")
        self._more.on_click(self._show_more)
        super().__init__([self._box])
        self.show(images)

    @property
    def images(self) -> tuple[ImageView, ...]:
        """What is shown, further pages included."""
        return self._images

    def show(self, images: Sequence[ImageView]) -> None:
        """Show these; thumbnails that stay are not made again."""
        images = tuple(images)
        if images == self._images:
            return
        self._images = images
        self._arrange()

    def _show_more(self, _: object) -> None:
        self._shown += self._page
        self._arrange()

    def _arrange(self) -> None:
        wanted = self._images[: self._shown]
        known = {tile.image: tile for tile in self._tiles}
        tiles = [
            known.pop(image)
            if image in known
            else _Tile(image, partial(_open, weakref.ref(self), image))
            for image in wanted
        ]
        self._tiles = tiles
        self._box.children = tuple(tile.widget for tile in tiles)
        for tile in known.values():
            close_tree(tile.widget)
        left = len(self._images) - len(wanted)
        self._more.description = f"Show {min(left, self._page)} more of {left}"
        self._layout(more=left > 0)

    def _layout(self, *, more: bool | None = None) -> None:
        shown_before = self._more in self.children
        children: list[ipywidgets.Widget] = [self._box]
        if shown_before if more is None else more:
            children.append(self._more)
        if self._viewer is not None:
            children.append(self._viewer.widget)
        self.show_children(children)

    def enlarge(self, image: ImageView) -> None:
        """Open the viewer on ``image``."""
        if self._viewer is None:
            self._viewer = _Viewer(weakref.ref(self))
            self._layout()
        self._viewer.show(image)

    def _step(self, image: ImageView, by: int) -> None:
        if image in self._images:
            place = (self._images.index(image) + by) % len(self._images)
            self.enlarge(self._images[place])

    def _close_viewer(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            self._layout()
            close_tree(viewer.widget)

    def plain(self) -> str:
        """One line for each picture."""
        lines = [_line(image) for image in self._images[:STATIC_PICTURES]]
        left = len(self._images) - len(lines)
        return "\n".join([*lines, *([f"({left} more)"] if left else [])]) or "no pictures yet"

    def body(self) -> str:
        """The thumbnails as static HTML."""
        if not self._images:
            return '<div class="comfynb-soft">no pictures yet</div>'
        known = {tile.image: tile for tile in self._tiles}
        figures = []
        for image in self._images[:STATIC_PICTURES]:
            tile = known.get(image)
            if tile is not None:
                tile.finish_without_loop()
            inner = tile.html.value if tile is not None else _blank(image, "")
            figures.append(f'<div class="comfynb-tile">{inner}</div>')
        left = len(self._images) - len(figures)
        more = f'<div class="comfynb-soft">{left} more</div>' if left else ""
        return f'<div class="comfynb-{self._arrangement}">{"".join(figures)}</div>{more}'


def _open(gallery: "weakref.ref[Gallery]", image: ImageView) -> None:
    target = gallery()
    if target is not None:
        target.enlarge(image)


class _Tile:
    """One thumbnail: the picture, its caption, and an invisible button over both."""

    def __init__(self, image: ImageView, on_open: partial[None]) -> None:
        self.image = image
        self.html = html(_blank(image, "…" if image.path else "not on this machine yet"))
        self._done = image.path is None
        button = ipywidgets.Button(
            description=f"Enlarge {one_line(image.filename, 80)}",
            tooltip=f"Enlarge {one_line(image.filename, 80)}",
        )
        button.add_class("comfynb-open")
        button.on_click(lambda _: on_open())
        self.widget = ipywidgets.VBox([self.html, button])
        self.widget.add_class("comfynb-tile")
        if image.path is None:
            return
        if image.media_type.startswith("image/"):
            if current_loop() is not None:
                spawn(self._load(image.path))
        else:
            self._done = True
            kind = "video" if image.media_type.startswith("video/") else image.media_type
            self.html.value = _blank(image, f"► {kind}")

    async def _load(self, path: Path) -> None:
        try:
            self._set(_figure(self.image, await in_thread(path)))
        except CannotShow as why:
            self._set(_blank(self.image, str(why)))

    def _set(self, value: str) -> None:
        self._done = True
        if self.html.comm is not None:  # it may have been closed meanwhile
            self.html.value = value

    def finish_without_loop(self) -> None:
        """Make the thumbnail now if this is a plain script, where nothing runs later."""
        if self._done or self.image.path is None or current_loop() is not None:
            return
        try:
            self._set(_figure(self.image, shrink_file(self.image.path, THUMBNAIL)))
        except CannotShow as why:
            self._set(_blank(self.image, str(why)))


class _Viewer:
    """One picture, large, with buttons to go on, go back and close."""

    def __init__(self, gallery: "weakref.ref[Gallery]") -> None:
        self._gallery = gallery
        self._image: ImageView | None = None
        self._caption = html()
        previous = ipywidgets.Button(description="‹ Previous", tooltip="Previous picture")
        following = ipywidgets.Button(description="Next ›", tooltip="Next picture")
        close = ipywidgets.Button(description="Close", tooltip="Close this view")
        for button in (previous, following, close):
            button.layout.width = "auto"
        previous.on_click(lambda _: self._step(-1))
        following.on_click(lambda _: self._step(1))
        close.on_click(lambda _: self._close())
        self._bar = ipywidgets.HBox([previous, following, close, self._caption])
        self.widget = ipywidgets.VBox([self._bar])
        self.widget.add_class("comfynb-viewer")

    def show(self, image: ImageView) -> None:
        self._image = image
        self._caption.value = f"{_caption(image)} <span class='comfynb-soft'>…</span>"
        if image.path is None:
            self._fill(None, "not on this machine yet")
        elif current_loop() is not None:
            spawn(self._load(image, image.path))
        else:
            self._fill(None, "can only be enlarged in a notebook")

    async def _load(self, image: ImageView, path: Path) -> None:
        try:
            picture, whole = await _large(image, path)
        except CannotShow as why:
            if image == self._image:
                self._fill(None, str(why))
            return
        if image != self._image or self.widget.comm is None:
            return  # somebody went on meanwhile
        if whole is not None and image.media_type.startswith("video/"):
            kind = image.media_type.partition("/")[2]
            self._fill(ipywidgets.Video(value=whole, format=kind, autoplay=True, loop=True), "")
        elif whole is not None:
            kind = image.media_type.partition("/")[2]
            self._fill(ipywidgets.Image(value=whole, format=kind), "")
        elif picture is not None:
            size = f"{picture.width} × {picture.height}"
            self._fill(ipywidgets.Image(value=picture.data, format="webp"), size)

    def _fill(self, content: ipywidgets.Widget | None, note: str) -> None:
        assert self._image is not None
        old = self.widget.children[1:]
        self.widget.children = (self._bar, *([] if content is None else [content]))
        for one in old:
            close_tree(one)
        where = f" <code>{user(self._image.path, 300)}</code>" if self._image.path else ""
        self._caption.value = (
            f"{_caption(self._image)} <span class='comfynb-soft'>{esc(note)}{where}</span>"
        )

    def _step(self, by: int) -> None:
        gallery = self._gallery()
        if gallery is not None and self._image is not None:
            gallery._step(self._image, by)  # noqa: SLF001 - the viewer is part of its gallery

    def _close(self) -> None:
        gallery = self._gallery()
        if gallery is not None:
            gallery._close_viewer()  # noqa: SLF001


async def _large(image: ImageView, path: Path) -> tuple[Picture | None, bytes | None]:
    """What the viewer shows: a scaled picture, or all bytes of something that moves."""
    if image.media_type.startswith("image/"):
        picture = await in_thread(path, ENLARGED)
        if not picture.animated:
            return picture, None
    elif not image.media_type.startswith("video/"):
        raise CannotShow(f"{image.media_type} cannot be shown here")
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
        if size > WHOLE_LIMIT:
            raise CannotShow(f"{size // 1_000_000} MB are too many for a notebook: open the file")
        return None, await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise CannotShow(f"cannot be read: {error.strerror}") from None


def _caption(image: ImageView) -> str:
    return f"<b>{user(image.filename, 80)}</b> · {user(image.node_title, 60)}"


def _line(image: ImageView) -> str:
    size = f" {image.width} × {image.height}" if image.width and image.height else ""
    where = f" {one_line(image.path, 200)}" if image.path else ""
    return f"{one_line(image.filename, 80)} ({one_line(image.node_title, 60)}){size}{where}"


def _figure(image: ImageView, picture: Picture) -> str:
    label = f"{image.filename}, {image.node_title}, {picture.width} × {picture.height}"
    moving = " ►" if picture.animated else ""
    return (
        f'<img src="{data_uri(picture)}" alt="{esc(one_line(label, 200))}">'
        f'<div class="comfynb-caption comfynb-cut" title="{esc(one_line(label, 200))}">'
        f"{user(image.filename, 80)}{moving}</div>"
    )


def _blank(image: ImageView, why: str) -> str:
    return (
        f'<div class="comfynb-blank">{esc(why)}</div>'
        f'<div class="comfynb-caption comfynb-cut" title="{esc(one_line(image.filename, 200))}">'
        f"{user(image.filename, 80)}</div>"
    )
