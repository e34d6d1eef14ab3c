"""Where the files that backends make are kept on this machine, and what they are."""

import mimetypes
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from PIL import Image

from comfynb.comfy import FileRef, safe_name

__all__ = ["OutputFolder", "describe", "media_type_of"]

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
    except (OSError, ValueError, Image.DecompressionBombError):
        # A file that calls itself a picture and is none is kept as it came, without a size.
        return None, None


class OutputFolder:
    """``<root>/<date>/<workflow>-<job>/<file>``: readable, and the same after a restart."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"OutputFolder({str(self.root)!r})"

    def folder_for(self, job_id: str, name: str, created_at: datetime) -> Path:
        """The folder of one job; it need not exist yet."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "job"
        return self.root / created_at.strftime("%Y-%m-%d") / f"{slug}-{safe_name(job_id)[:8]}"

    def destinations(self, folder: Path, files: Iterable[FileRef]) -> list[tuple[FileRef, Path]]:
        """One path for each file; names that would collide are numbered, always the same way."""
        taken: set[str] = set()
        result: list[tuple[FileRef, Path]] = []
        for file in files:
            wanted = Path(safe_name(file.filename))
            name = wanted.name
            number = 1
            while name.casefold() in taken:
                number += 1
                name = f"{wanted.stem} ({number}){wanted.suffix}"
            taken.add(name.casefold())
            result.append((file, folder / name))
        return result
