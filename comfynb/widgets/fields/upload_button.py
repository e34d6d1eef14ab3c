"""A button that brings a file of any size from the browser to the kernel, piece by piece."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["UploadButton"]

LIMIT = 1_000_000_000
"""Bytes of the largest file: it is held in the kernel's memory until it is sent on."""


class UploadButton(anywidget.AnyWidget):
    """Calls ``received(name, data)`` for each file somebody chose or dropped.

    ipywidgets' FileUpload puts the whole file into one message, and the notebook server breaks the
    connection where a message is too large. What arrives out of order, too long, or without an end
    is refused through ``refused(reason)``.
    """

    _esm = Path(__file__).parent.parent / "static" / "upload_button.js"

    description = traitlets.Unicode("Upload…").tag(sync=True)
    tooltip = traitlets.Unicode("Choose a file to upload").tag(sync=True)
    accept = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(
        self,
        received: Callable[[str, bytes], None],
        refused: Callable[[str], None],
        **traits: object,
    ) -> None:
        super().__init__(**traits)
        self._received = received
        self._refused = refused
        self._data = bytearray()
        self._number: object = None
        self.on_msg(self._message)

    def _message(
        self, _: object, content: dict[str, Any], buffers: Sequence[bytes | memoryview]
    ) -> None:
        if content.get("kind") != "piece" or len(buffers) != 1:
            return
        number, offset, size = content.get("number"), content.get("offset"), content.get("size")
        if offset == 0:
            self._number, self._data = number, bytearray()
        if number != self._number or offset != len(self._data) or not isinstance(size, int):
            self._end(number, "the upload was disturbed; try again")
            return
        if size > LIMIT:
            self._end(number, f"{size // 1_000_000} MB are too many: {LIMIT // 1_000_000} at most")
            return
        piece = buffers[0]
        if (len(piece) == 0 and size > 0) or len(self._data) + len(piece) > size:
            self._end(number, "the file changed while it was sent; try again")
            return
        self._data += piece
        if len(self._data) < size:
            self.send({"kind": "next", "number": number, "offset": len(self._data)})
            return
        data = bytes(self._data)
        self._end(number, "")
        # Only the last part: a browser may send a path, and on the kernel's side it means nothing.
        name = str(content.get("name", "")).replace("\\", "/").rpartition("/")[2]
        self._received(name, data)

    def _end(self, number: object, why: str) -> None:
        self._number, self._data = None, bytearray()
        self.send({"kind": "done", "number": number})
        if why:
            self._refused(why)
