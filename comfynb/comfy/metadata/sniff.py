"""Tells media files apart by their first bytes and picks the reader."""

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from comfynb.comfy.metadata.id3 import read_mp3
from comfynb.comfy.metadata.isobmff import read_mp4
from comfynb.comfy.metadata.matroska import read_webm
from comfynb.comfy.metadata.others import read_glb, read_safetensors, read_svg
from comfynb.comfy.metadata.png import read_png
from comfynb.comfy.metadata.reading import MOST_TEXT, Reader, TruncatedError
from comfynb.comfy.metadata.riff import read_jpeg, read_webp
from comfynb.comfy.metadata.vorbis import read_flac, read_ogg

__all__ = ["media_kind", "read_texts"]

_READERS: dict[str, Callable[[Reader], Iterator[tuple[str, str]]]] = {
    "PNG picture": read_png,
    "WebP picture": read_webp,
    "JPEG picture": read_jpeg,
    "MP4 video": read_mp4,
    "WebM video": read_webm,
    "FLAC recording": read_flac,
    "Ogg recording": read_ogg,
    "MP3 recording": read_mp3,
    "glTF model": read_glb,
    "SVG picture": read_svg,
    "safetensors file": read_safetensors,
}


def media_kind(head: bytes) -> str | None:
    """Name the kind of media file that begins with these bytes (give 64), or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP picture"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG picture"
    if head[4:8] == b"ftyp":
        return "MP4 video"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "WebM video"
    if head.startswith(b"fLaC"):
        return "FLAC recording"
    if head.startswith(b"OggS"):
        return "Ogg recording"
    if head.startswith(b"ID3"):
        return "MP3 recording"
    if head.startswith(b"glTF"):
        return "glTF model"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF picture"
    if head.lstrip().startswith(b"<svg") or (b"<?xml" in head and b"<svg" in head):
        return "SVG picture"
    if len(head) > 9 and head[8:9] == b"{" and 0 < struct.unpack_from("<Q", head)[0] < MOST_TEXT:
        return "safetensors file"
    return None


def read_texts(stream: BinaryIO, kind: str) -> dict[str, str]:
    """Read the texts of a media file of that kind, keys in lower case; the first of a key wins.

    What comes before damage is kept. Memory is bounded by the texts, not by the file.
    """
    found: dict[str, str] = {}
    read = _READERS.get(kind)
    if read is None:
        return found
    try:
        for key, text in read(Reader(stream)):
            found.setdefault(key.strip().lower(), text)
    except (TruncatedError, struct.error):
        # A picture cut off in the middle may still have told its workflow before.
        return found
    return found
