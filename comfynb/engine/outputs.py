"""Where the files that backends make are kept on this machine, and what they are."""

import mimetypes
import os
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from PIL import Image

from comfynb.comfy import FileRef, safe_name

__all__ = ["OutputFolder", "describe", "media_type_of"]

PREFIX: Final = 12
"""Hexadecimal digits of a prompt's id before each file name."""
_MEDIA_TYPES = {
    ".webp": "image/webp",
    ".webm": "video/webm",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".glb": "model/gltf-binary",
    ".latent": "application/octet-stream",
}


def media_type_of(filename: str) -> str:
    """The media type that a file name promises; "application/octet-stream" when it says nothing."""
    suffix = Path(filename).suffix.lower()
    return (
        _MEDIA_TYPES.get(suffix)
        or mimetypes.guess_type(f"x{suffix}")[0]
        or "application/octet-stream"
    )


def describe(path: Path) -> tuple[int | None, int | None]:
    """(width, height) in pixels of a picture, read from its header; (None, None) otherwise."""
    if not media_type_of(path.name).startswith("image/"):
        return None, None
    try:
        with Image.open(path) as picture:
            return picture.size
    except Exception:  # noqa: BLE001 - a damaged header may raise anything, and ends no job
        # A file that calls itself a picture and is none is kept as it came, without a size.
        return None, None


class OutputFolder:
    """``<root>/<date>/<workflow>/<prompt>-<file>``: readable, and the same after a restart.

    A sweep's pictures lie side by side. The prompt's id keeps apart what two backends, or two nodes
    of a graph, call by the same name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"OutputFolder({str(self.root)!r})"

    def folder_for(self, name: str, created_at: datetime) -> Path:
        """The folder of that workflow's files of that day; it need not exist yet."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "job"
        return self.root / created_at.strftime("%Y-%m-%d") / slug

    def destinations(
        self, folder: Path, prompt_id: str, files: Iterable[FileRef]
    ) -> list[tuple[FileRef, Path]]:
        """One path for each file; names that would collide are numbered, always the same way."""
        taken: set[str] = set()
        result: list[tuple[FileRef, Path]] = []
        prefix = prompt_id.replace("-", "")[:PREFIX]
        for file in files:
            wanted = f"{prefix}-{safe_name(file.filename)}"
            name = wanted
            number = 1
            while name.casefold() in taken:
                number += 1
                stem, suffix = os.path.splitext(wanted)  # noqa: PTH122 - no path: a mere name
                name = f"{stem} ({number}){suffix}"
            taken.add(name.casefold())
            result.append((file, folder / name))
        return result
