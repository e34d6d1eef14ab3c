"""Texts in WebM and Matroska files: the tags of a segment."""

from collections.abc import Iterator

from comfynb.comfy.metadata.reading import Reader, as_text

__all__ = ["read_webm"]

_SEGMENT, _TAGS, _TAG, _SIMPLE = 0x18538067, 0x1254C367, 0x7373, 0x67C8
_NAME, _STRING = 0x45A3, 0x4487
_CLUSTER = 0x1F43B675
_MOST_ELEMENTS = 200_000
Element = tuple[int, int, int]
"""Id, first byte of the content, first byte after it."""


def read_webm(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield tag names and texts."""
    for kind, start, end in _elements(reader, 0, reader.size):
        if kind == _SEGMENT:
            for inner, first, last in _elements(reader, start, end):
                if inner == _TAGS:
                    yield from _tags(reader, first, last)


def _tags(reader: Reader, start: int, end: int) -> Iterator[tuple[str, str]]:
    for kind, first, last in _elements(reader, start, end):
        if kind != _TAG:
            continue
        for inner, begin, stop in _elements(reader, first, last):
            if inner != _SIMPLE:
                continue
            name = text = ""
            for leaf, low, high in _elements(reader, begin, stop):
                if leaf == _NAME:
                    name = as_text(reader.at(low, high - low))
                elif leaf == _STRING:
                    text = as_text(reader.at(low, high - low))
            if name and text:
                yield name, text


def _elements(reader: Reader, start: int, end: int) -> Iterator[Element]:
    for _ in range(_MOST_ELEMENTS):
        if start >= end:
            return
        first = reader.number(start, 1)
        width = 9 - first.bit_length()
        if not 1 <= width <= 4 or start + width >= end:
            return
        kind = reader.number(start, width)
        start += width
        lead = reader.number(start, 1)
        size_width = 9 - lead.bit_length()
        if not 1 <= size_width <= 8 or start + size_width > end:
            return
        size = reader.number(start, size_width) & ((1 << (7 * size_width)) - 1)
        start += size_width
        if size == (1 << (7 * size_width)) - 1:
            # Of unknown size, as a live recording writes it: clusters hold nothing to read.
            if kind == _CLUSTER:
                return
            size = end - start
        if start + size > end:
            size = end - start
        yield kind, start, start + size
        start += size
