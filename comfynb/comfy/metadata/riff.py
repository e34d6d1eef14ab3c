"""Texts in WebP and JPEG files: their EXIF blocks."""

from collections.abc import Iterator

from comfynb.comfy.metadata.exif import read_exif
from comfynb.comfy.metadata.reading import Reader

__all__ = ["read_jpeg", "read_webp"]


def read_webp(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of every EXIF chunk."""
    place = 12
    while place + 8 <= reader.size:
        kind, length = reader.at(place, 4), reader.number(place + 4, 4, little=True)
        if kind == b"EXIF":
            yield from read_exif(reader.at(place + 8, length))
        place += 8 + length + (length & 1)


def read_jpeg(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of the segments before the picture: EXIF and comments."""
    place = 2
    while place + 4 <= reader.size:
        marker = reader.at(place, 2)
        if marker[0] != 0xFF or marker[1] in {0xD9, 0xDA}:
            return
        length = reader.number(place + 2, 2)
        if length < 2:
            return
        if marker[1] == 0xE1:
            yield from read_exif(reader.at(place + 4, length - 2))
        elif marker[1] == 0xFE:
            yield "comment", reader.at(place + 4, length - 2).decode("utf-8", "replace")
        place += 2 + length
