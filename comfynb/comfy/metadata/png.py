"""Texts in PNG files: tEXt, zTXt and iTXt chunks, and EXIF."""

import zlib
from collections.abc import Iterator

from comfynb.comfy.metadata.exif import read_exif
from comfynb.comfy.metadata.reading import MOST_TEXT, Reader, TruncatedError, as_text

__all__ = ["read_png"]

_TEXTS = {b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf"}


def read_png(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts; chunks may stand before or after the pixels."""
    place = 8
    while place + 12 <= reader.size:
        length, kind = reader.number(place, 4), reader.at(place + 4, 4)
        if kind in _TEXTS:
            data = reader.at(place + 8, length)
            if kind == b"eXIf":
                yield from read_exif(data)
            elif (found := _text(kind, data)) is not None:
                yield found
        if kind == b"IEND":
            return
        place += 12 + length


def _text(kind: bytes, data: bytes) -> tuple[str, str] | None:
    key, separator, rest = data.partition(b"\0")
    if not separator:
        return None
    name = key.decode("latin-1")
    # Animated PNGs of ComfyUI carry their texts in chunks of its own.
    if kind in {b"tEXt", b"comf"}:
        return name, as_text(rest)
    if kind == b"zTXt":
        return name, as_text(_inflate(rest[1:]))
    if len(rest) < 2:
        return None
    packed = rest[0] == 1
    _language, separator, tail = rest[2:].partition(b"\0")
    _translated, second, body = tail.partition(b"\0")
    if not separator or not second:
        return None
    return name, as_text(_inflate(body) if packed else body)


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MOST_TEXT)
    except zlib.error as error:
        raise TruncatedError(f"a packed text is damaged ({error})") from None
    if unpacker.unconsumed_tail:
        raise TruncatedError("a packed text unpacks to more than comfynb reads")
    return text
