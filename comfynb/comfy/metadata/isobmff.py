"""Texts in MP4, MOV and M4A files: the ``meta`` boxes, in Apple's and in QuickTime's way."""

from collections.abc import Iterator

from comfynb.comfy.metadata.reading import Reader, as_text

__all__ = ["read_mp4"]

Box = tuple[bytes, int, int]
"""Kind, first byte of the content, first byte after it."""
_MOST_BOXES = 100_000
_NAMES = {b"\xa9cmt": "comment", b"\xa9nam": "title", b"desc": "description"}


def read_mp4(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of ``moov/udta/meta``, ``moov/meta`` and a top-level ``meta``."""
    for kind, start, end in _boxes(reader, 0, reader.size):
        if kind == b"moov":
            for inner, first, last in _boxes(reader, start, end):
                if inner == b"udta":
                    yield from _user_data(reader, first, last)
                elif inner == b"meta":
                    yield from _meta(reader, first, last)
        elif kind == b"meta":
            yield from _meta(reader, start, end)


def _boxes(reader: Reader, start: int, end: int) -> Iterator[Box]:
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        size, kind, head = reader.number(start, 4), reader.at(start + 4, 4), 8
        if size == 1:
            if start + 16 > end:
                return
            size, head = reader.number(start + 8, 8), 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def _user_data(reader: Reader, start: int, end: int) -> Iterator[tuple[str, str]]:
    for kind, first, last in _boxes(reader, start, end):
        if kind == b"meta":
            yield from _meta(reader, first, last)
        elif kind in _NAMES and last - first > 4:
            # QuickTime: two bytes of length, two of language, then the text.
            there = last - first - 4
            length = min(reader.number(first, 2), there)
            if there & 0xFFFF == length:
                # ffmpeg writes longer texts too; then only the box knows their length.
                length = there
            yield _NAMES[kind], as_text(reader.at(first + 4, length))


def _meta(reader: Reader, start: int, end: int) -> Iterator[tuple[str, str]]:
    # In MP4 four bytes of version come first, in QuickTime they do not.
    if start + 8 <= end and reader.at(start + 4, 4) not in {b"hdlr", b"keys", b"ilst"}:
        start += 4
    keys: dict[int, str] = {}
    for kind, first, last in _boxes(reader, start, end):
        if kind == b"keys":
            keys = dict(_keys(reader, first, last))
        elif kind == b"ilst":
            yield from _items(reader, first, last, keys)


def _keys(reader: Reader, start: int, end: int) -> Iterator[tuple[int, str]]:
    if start + 8 > end:
        return
    count, place = reader.number(start + 4, 4), start + 8
    for number in range(1, min(count, 10_000) + 1):
        if place + 8 > end:
            return
        size = reader.number(place, 4)
        if size < 8 or place + size > end:
            return
        yield number, as_text(reader.at(place + 8, size - 8))
        place += size


def _items(reader: Reader, start: int, end: int, keys: dict[int, str]) -> Iterator[tuple[str, str]]:
    for kind, first, last in _boxes(reader, start, end):
        name, text = keys.get(int.from_bytes(kind, "big")) or _NAMES.get(kind, ""), ""
        for inner, begin, stop in _boxes(reader, first, last):
            if inner == b"data" and stop - begin >= 8:
                text = as_text(reader.at(begin + 8, stop - begin - 8))
            elif inner == b"name" and stop - begin >= 4 and kind == b"----":
                name = as_text(reader.at(begin + 4, stop - begin - 4))
        if name and text:
            yield name, text
