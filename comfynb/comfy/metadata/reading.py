"""A view of a binary stream that cannot read past its end, nor more than it was allowed to."""

import io
from typing import BinaryIO

__all__ = ["MOST_TEXT", "Reader", "TruncatedError", "as_text"]

MOST_TEXT = 64 * 1024 * 1024
"""No text longer than this is read, in bytes: the largest real workflow is a hundred times less."""


class TruncatedError(ValueError):
    """The file ends before what it announces, or announces more than is sensible."""


class Reader:
    """Reads exact counts from a seekable stream and knows its size."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        self._left = 4 * MOST_TEXT

    def at(self, place: int, count: int) -> bytes:
        """Read ``count`` bytes at ``place``; :class:`TruncatedError` if they are not all there."""
        if count < 0 or place < 0 or place + count > self.size:
            raise TruncatedError(f"{count} bytes at {place} of {self.size}")
        if count > MOST_TEXT or count > self._left:
            raise TruncatedError(f"{count} bytes of text are more than comfynb reads")
        self._left -= count
        self._stream.seek(place)
        data = self._stream.read(count)
        if len(data) != count:
            raise TruncatedError(f"{len(data)} of {count} bytes at {place}")
        return data

    def number(self, place: int, count: int, *, little: bool = False) -> int:
        """Read an unsigned number of ``count`` bytes."""
        return int.from_bytes(self.at(place, count), "little" if little else "big")


def as_text(data: bytes) -> str:
    """Read bytes as UTF-8, or as Latin-1 where they are not, without trailing zeros."""
    data = data.rstrip(b"\0")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
