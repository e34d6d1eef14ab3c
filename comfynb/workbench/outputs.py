"""``job.files``: what a job or one of its nodes made, as paths, pictures and a gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from PIL import Image

from comfynb.engine.views import ImageView
from comfynb.errors import NotFound
from comfynb.widgets import Gallery, mimebundle

__all__ = ["Outputs"]


class Outputs(Sequence[ImageView]):
    """Files that a job made, in order; shows itself as a gallery."""

    def __init__(self, files: Sequence[ImageView]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> ImageView: ...
    @overload
    def __getitem__(self, index: slice) -> "Outputs": ...
    def __getitem__(self, index: int | slice) -> "ImageView | Outputs":
        found = self._files[index]
        return Outputs(found) if isinstance(found, tuple) else found

    @property
    def paths(self) -> list[Path]:
        """Where the files lie on this machine."""
        return [file.path for file in self._files if file.path is not None]

    def open(self, index: int = 0) -> Image.Image:
        """One of the pictures, as a Pillow image; its file is read when its pixels are."""
        path = self._files[index].path
        if path is None:
            raise NotFound(f"{self._files[index].filename} was not downloaded.")
        return Image.open(path)

    def __repr__(self) -> str:
        return "\n".join(str(path) for path in self.paths) or "no files yet"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        gallery = Gallery(self._files)
        return mimebundle(gallery, repr(self), gallery.static_html())
