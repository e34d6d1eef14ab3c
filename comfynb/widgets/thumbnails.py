"""Small copies of pictures for a page: decoded and scaled in threads, and small enough."""

import asyncio
import base64
import io
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "ENLARGED",
    "THUMBNAIL",
    "CannotShow",
    "Picture",
    "Target",
    "data_uri",
    "in_thread",
    "shrink",
    "shrink_file",
]


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
"""What is decoded, whatever a file is called: Pillow knows more (it would start Ghostscript for
PostScript), and pictures come from servers and workflows of other people."""

_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Target:
    """How large a copy may be: pixels on the longer side, and bytes."""

    pixels: int
    limit: int


THUMBNAIL = Target(pixels=320, limit=40_000)
"""A thumbnail: at most 40 kB, 54 kB as a data URI in a saved notebook."""

ENLARGED = Target(pixels=1600, limit=1_500_000)
"""A picture that somebody wants to look at; it is only sent when they ask."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded copy, with the size in pixels that the original has."""

    data: bytes
    media_type: str
    width: int
    height: int
    animated: bool = False


class CannotShow(Exception):
    """The bytes are no picture that can be shown here; the message says why in a few words."""


def data_uri(picture: Picture) -> str:
    """The copy as a ``data:`` URI: characters that need no escaping."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def shrink(data: bytes, target: Target = THUMBNAIL) -> Picture:
    """A copy of an encoded picture, small enough for ``target``. Slow: call it in a thread.

    Raises CannotShow.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as opened:
            size = opened.size
            animated = bool(getattr(opened, "is_animated", False))
            opened.draft("RGB", (target.pixels, target.pixels))  # JPEG: decode small at once
            image = _eight_bit(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError:
        raise CannotShow("not a picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise CannotShow("too many pixels to show") from None
    # What Pillow raises for damaged files depends on the format.
    except _DAMAGED:
        raise CannotShow("a damaged picture") from None
    turned = (image.width > image.height) != (size[0] > size[1])
    width, height = size[::-1] if turned else size
    encoded = _encode(image, target)
    return Picture(encoded, "image/webp", width, height, animated)


@cache
def _formats() -> list[str]:
    """Those of ``FORMATS`` that this build of Pillow knows."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _eight_bit(image: "Image.Image") -> "Image.Image":
    """RGB or RGBA; 16-bit and float greys are scaled to their own range rather than cut off."""
    if image.mode in {"RGB", "RGBA"}:
        image.load()
        return image
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        wide = image.convert("F")
        low, high = wide.getextrema()
        span = 65535.0 if image.mode.startswith("I") else float(high) - float(low) or 1.0  # type: ignore[arg-type]
        start = 0.0 if image.mode.startswith("I") else float(low)  # type: ignore[arg-type]
        return wide.point(lambda value: (value - start) * (255.0 / span)).convert("RGB")
    return image.convert("RGBA" if "transparency" in image.info or "A" in image.mode else "RGB")


def _encode(image: "Image.Image", target: Target) -> bytes:
    """WebP within the limit: less quality first, then fewer pixels."""
    pixels = target.pixels
    while True:
        copy = image.copy()
        copy.thumbnail((pixels, pixels))
        for quality in (85, 70, 50):
            out = io.BytesIO()
            copy.save(out, "WEBP", quality=quality, method=3)
            if out.tell() <= target.limit:
                return out.getvalue()
        pixels = max(pixels * 2 // 3, 8)
        if pixels == 8:
            return out.getvalue()


def shrink_file(path: Path, target: Target = THUMBNAIL) -> Picture:
    """Like ``shrink``, for a file; remembered until the file changes. Raises CannotShow."""
    try:
        state = path.stat()
        return _shrink_file(path, state.st_mtime_ns, state.st_size, target)
    except FileNotFoundError:
        raise CannotShow("the file is gone") from None
    except OSError as error:
        raise CannotShow(f"cannot be read: {error.strerror}") from None


@lru_cache(maxsize=256)
def _shrink_file(path: Path, _changed: int, _size: int, target: Target) -> Picture:
    return shrink(path.read_bytes(), target)


@cache
def _pool() -> ThreadPoolExecutor:
    # Two: decoding is bound by the processor, and the notebook's kernel needs one as well.
    return ThreadPoolExecutor(2, thread_name_prefix="comfynb-pictures")


async def in_thread(source: Path | bytes, target: Target = THUMBNAIL) -> Picture:
    """The small copy, made off the event loop. Raises CannotShow."""
    loop = asyncio.get_running_loop()
    if isinstance(source, Path):
        return await loop.run_in_executor(_pool(), shrink_file, source, target)
    return await loop.run_in_executor(_pool(), shrink, source, target)
