"""Fields for pictures and videos: a name, an upload button, and a thumbnail."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import ipywidgets

from comfynb.errors import ComfynbError
from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.composite import close_tree, html, set_class
from comfynb.widgets.fields.base import Check, Field
from comfynb.widgets.fields.filter_select import FilterSelect
from comfynb.widgets.fields.upload_button import UploadButton
from comfynb.widgets.live import call, current_loop, spawn
from comfynb.widgets.markup import clean, esc, one_line, user
from comfynb.widgets.thumbnails import CannotShow, Picture, data_uri, in_thread

__all__ = ["Fetch", "FileField", "Upload"]

Upload: TypeAlias = Callable[[str, bytes], Awaitable[str]]
"""Takes a file name and its bytes; returns the name under which a workflow finds it."""

Fetch: TypeAlias = Callable[[str], Awaitable[bytes | None]]
"""Returns a picture that a backend has under this name, or None."""

PAUSE = 0.3
"""Seconds without a keystroke before a thumbnail is looked for."""


class FileField(Field):
    """IMAGE_PATH and VIDEO_PATH: a name that the backend knows, or a file on this machine."""

    def __init__(
        self,
        parameter: ExposedParameter,
        value: object,
        check: Check,
        changed: Callable[[Field], None],
        *,
        options: Sequence[str] = (),
        upload: Upload | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._options = [clean(option) for option in options]
        self._upload = upload
        self._fetch = fetch
        self._busy = ""
        self._look: asyncio.TimerHandle | None = None
        self._shown: object = None
        self._thumbnail = html("", "comfynb-thumb")
        super().__init__(parameter, value, check, changed)

    def _build(self) -> Sequence[ipywidgets.Widget]:
        self._text: ipywidgets.Text | FilterSelect
        if self._options:
            self._text = FilterSelect(
                label=self.label, placeholder="type to filter", options=self._options
            )
            self._text.add_class("comfynb-grow")
        else:
            self._text = ipywidgets.Text(description=self.label, continuous_update=True)
        self._text.observe(self.edited, "value")
        if self._upload is None:
            return [self._text]
        limits = self.parameter.constraints
        kinds = (limits.file_extensions if limits is not None else None) or [
            "image/*" if self.parameter.param_type is ParamType.IMAGE_PATH else "video/*"
        ]
        self._button = UploadButton(
            self._received,
            self._refuse,
            accept=",".join(kinds),
            tooltip=f"Upload a file for {self.label}, or drop one here",
        )
        return [self._text, self._button]

    def _write(self, value: object) -> None:
        self._text.value = "" if value is None else clean(value)

    def _read(self) -> object:
        return self._text.value

    def _mark(self, wrong: bool) -> None:
        if isinstance(self._text, FilterSelect):
            self._text.invalid = wrong
        else:
            set_class(self.box, "comfynb-invalid", wrong)

    def _hint(self) -> str:
        return user(self._busy, 200) if self._busy else super()._hint()

    def _show(self) -> None:
        super()._show()
        self._look_soon()

    # Uploading

    def _received(self, name: str, data: bytes) -> None:
        assert self._upload is not None
        self._busy = f"Uploading {one_line(name, 80)} …"
        self._button.disabled = True
        self._show()
        call(
            partial(self._upload, name, data),
            lambda stored: self._uploaded(str(stored), data),
            self._refuse,
        )

    def _uploaded(self, stored: str, data: bytes) -> None:
        self._busy = ""
        self._button.disabled = False
        if isinstance(self._text, FilterSelect) and stored not in self._options:
            self._options = [stored, *self._options]
            self._text.options = self._options
        self._shown = stored
        self.set(stored)
        if self.parameter.param_type is ParamType.IMAGE_PATH:
            spawn(self._show_picture(stored, data))
        else:
            self._set_thumbnail(stored, f"► {len(data) / 1_000_000:.1f} MB")

    def _refuse(self, why: str) -> None:
        self._busy = ""
        self._button.disabled = False
        self.problem = f"{self.label}: the upload failed: {why}"
        self._after()

    # Thumbnails

    def _look_soon(self) -> None:
        loop = current_loop()
        if loop is None or self.value == self._shown:
            return
        if self._look is not None:
            self._look.cancel()
        self._look = loop.call_later(PAUSE, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if self.value == self._shown:
            return  # an upload was quicker
        self._shown = self.value
        self._fill_thumbnail("")
        is_image = self.parameter.param_type is ParamType.IMAGE_PATH
        if is_image and self.right and isinstance(self.value, str) and self.value:
            spawn(self._find_picture(self.value))

    async def _find_picture(self, name: str) -> None:
        path = await asyncio.to_thread(_local, name)
        if path is not None:
            await self._show_picture(name, path)
        elif self._fetch is not None:
            try:
                data = await self._fetch(name)
            except ComfynbError as error:
                self._set_thumbnail(name, str(error))
                return
            if data is not None:
                await self._show_picture(name, data)

    async def _show_picture(self, name: str, source: Path | bytes) -> None:
        try:
            picture = await in_thread(source)
        except CannotShow as why:
            self._set_thumbnail(name, str(why))
        else:
            self._set_thumbnail(name, picture)

    def _set_thumbnail(self, name: str, content: Picture | str) -> None:
        if self._thumbnail.comm is None or name != self._shown:
            return  # closed, or another file is meant by now
        if isinstance(content, str):
            self._fill_thumbnail(f'<span class="comfynb-note">{user(content, 200)}</span>')
            return
        size = f"{content.width} × {content.height}"
        self._fill_thumbnail(
            f'<img src="{data_uri(content)}" alt="{esc(one_line(name, 120))}, {size}">'
            f'<div class="comfynb-note">{size}</div>'
        )

    def _fill_thumbnail(self, value: str) -> None:
        self._thumbnail.value = value
        parts = (self._line, *([self._thumbnail] if value else []), self._note)
        if parts != self.box.children:
            self.box.children = parts

    def close(self) -> None:
        """Close every widget of the field."""
        if self._look is not None:
            self._look.cancel()
        close_tree(self._thumbnail)
        super().close()


def _local(name: str) -> Path | None:
    """The file on this machine that ``name`` means; None if it can only be one on a backend."""
    try:
        path = Path(name).expanduser()
        return path if path.is_absolute() or path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None  # too long, a zero byte, or the home of nobody
