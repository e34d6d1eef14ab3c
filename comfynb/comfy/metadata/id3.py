"""Texts in MP3 files: ID3v2 frames."""

from collections.abc import Iterator

from comfynb.comfy.metadata.reading import Reader, as_text

__all__ = ["read_mp3"]

_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def read_mp3(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield the descriptions and texts of TXXX and COMM frames."""
    version, size = reader.number(3, 1), _syncsafe(reader.at(6, 4))
    if version not in {3, 4}:
        return
    place, end = 10, min(10 + size, reader.size)
    while place + 10 <= end:
        kind = reader.at(place, 4)
        raw = reader.at(place + 4, 4)
        length = _syncsafe(raw) if version == 4 else int.from_bytes(raw, "big")
        if not kind.strip(b"\0") or place + 10 + length > end:
            return
        if kind in {b"TXXX", b"COMM"} and length > 1:
            yield _frame(kind, reader.at(place + 10, length))
        place += 10 + length


def _frame(kind: bytes, data: bytes) -> tuple[str, str]:
    encoding = _ENCODINGS[data[0]] if data[0] < len(_ENCODINGS) else "latin-1"
    body = data[4:] if kind == b"COMM" else data[1:]
    if encoding.startswith("utf-16"):
        end = next((i for i in range(0, len(body) - 1, 2) if body[i : i + 2] == b"\0\0"), len(body))
        key, text = body[:end], body[end + 2 :]
        name, value = key.decode(encoding, "replace"), text.decode(encoding, "replace")
    else:
        key, _, text = body.partition(b"\0")
        name, value = as_text(key), as_text(text)
    return (name or "comment"), value.rstrip("\0")


def _syncsafe(data: bytes) -> int:
    number = 0
    for byte in data:
        number = number << 7 | byte & 0x7F
    return number
