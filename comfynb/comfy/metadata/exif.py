"""Texts in EXIF data: ComfyUI writes ``prompt:{...}`` and ``workflow:{...}`` into its tags."""

import struct
from collections.abc import Iterator

from comfynb.comfy.metadata.reading import as_text

__all__ = ["read_exif", "split_tag"]

_EXIF_POINTER = 0x8769
_USER_COMMENT = 0x9286
_TYPES_OF_TEXT = {2, 7, 129}
_MOST_ENTRIES = 512


def read_exif(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of one EXIF block; damaged parts are passed over."""
    data = data.removeprefix(b"Exif\0\0")
    if data[:2] not in {b"II", b"MM"} or len(data) < 8:
        return
    order = "<" if data[:2] == b"II" else ">"
    waiting: list[int] = [struct.unpack_from(order + "I", data, 4)[0]]
    seen: set[int] = set()
    while waiting:
        start = waiting.pop()
        if start in seen or start + 2 > len(data) or len(seen) > 8:
            continue
        seen.add(start)
        (count,) = struct.unpack_from(order + "H", data, start)
        for number in range(min(count, _MOST_ENTRIES)):
            place = start + 2 + 12 * number
            if place + 12 > len(data):
                break
            tag, kind, length, value = struct.unpack_from(order + "HHII", data, place)
            if tag == _EXIF_POINTER:
                waiting.append(value)
            elif kind in _TYPES_OF_TEXT:
                begin = value if length > 4 else place + 8
                raw = data[begin : begin + length]
                yield split_tag(_comment(raw) if tag == _USER_COMMENT else as_text(raw))


def _comment(raw: bytes) -> str:
    """A user comment begins with eight bytes that name its encoding."""
    code, body = raw[:8], raw[8:]
    if code.startswith(b"UNICODE"):
        # Which half comes first is not said; JSON and prose are mostly ASCII.
        little = body[1:2] == b"\0"
        return body.decode("utf-16-le" if little else "utf-16-be", "replace").rstrip("\0")
    if code.startswith((b"ASCII", b"\0\0\0\0")):
        return as_text(body)
    return as_text(raw)


def split_tag(text: str) -> tuple[str, str]:
    """Split ``prompt:{...}``; a text without such a key is a comment."""
    key, separator, rest = text.partition(":")
    if separator and key.replace("_", "").isalnum() and len(key) < 40:
        return key, rest
    return "comment", text
