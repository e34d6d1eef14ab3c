"""Texts in FLAC, Ogg and Opus files: the Vorbis comment."""

from collections.abc import Iterator

from comfynb.comfy.metadata.reading import MOST_TEXT, Reader, TruncatedError, as_text

__all__ = ["read_flac", "read_ogg"]

_COMMENT_BLOCK = 4
_HEADS = (b"\x03vorbis", b"OpusTags")


def read_flac(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of the metadata blocks."""
    place = 4
    while place + 4 <= reader.size:
        kind, length = reader.number(place, 1), reader.number(place + 1, 3)
        if kind & 0x7F == _COMMENT_BLOCK:
            yield from _comments(reader.at(place + 4, length))
        if kind & 0x80:
            return
        place += 4 + length


def read_ogg(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield keys and texts of the comment packet, which may go over many pages."""
    packet = bytearray()
    place = 0
    while place + 27 <= reader.size:
        if reader.at(place, 4) != b"OggS":
            return
        segments = reader.number(place + 26, 1)
        lengths = reader.at(place + 27, segments)
        place += 27 + segments
        for length in lengths:
            packet += reader.at(place, length)
            place += length
            if len(packet) > MOST_TEXT:
                raise TruncatedError("the comment is longer than comfynb reads")
            if length == 255:
                continue
            for head in _HEADS:
                if packet.startswith(head):
                    yield from _comments(bytes(packet[len(head) :]))
                    return
            packet.clear()


def _comments(data: bytes) -> Iterator[tuple[str, str]]:
    place = 0

    def number() -> int:
        nonlocal place
        if place + 4 > len(data):
            raise TruncatedError("the comment ends too early")
        place += 4
        return int.from_bytes(data[place - 4 : place], "little")

    vendor = number()
    place += vendor
    for _ in range(number()):
        length = number()
        if place + length > len(data):
            raise TruncatedError("a comment is longer than its block")
        key, separator, text = data[place : place + length].partition(b"=")
        place += length
        if separator:
            yield as_text(key), as_text(text)
