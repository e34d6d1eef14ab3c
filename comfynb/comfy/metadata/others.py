"""Texts in safetensors (also ``.latent``), glTF binary and SVG files."""

import json
import re
from collections.abc import Iterator
from typing import Any

from comfynb.comfy.metadata.reading import MOST_TEXT, Reader, TruncatedError

__all__ = ["read_glb", "read_safetensors", "read_svg"]

_METADATA = re.compile(r"<metadata>\s*<!\[CDATA\[(.*?)\]\]>\s*</metadata>", re.DOTALL)


def read_safetensors(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield the header's ``__metadata__``."""
    header = _json(reader.at(8, reader.number(0, 8, little=True)))
    yield from _texts(header.get("__metadata__"))


def read_glb(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield what stands in ``asset.extras`` of the JSON chunk."""
    if reader.at(16, 4) != b"JSON":
        return
    document = _json(reader.at(20, reader.number(12, 4, little=True)))
    asset = document.get("asset")
    if isinstance(asset, dict):
        yield from _texts(asset.get("extras"))


def read_svg(reader: Reader) -> Iterator[tuple[str, str]]:
    """Yield what stands as JSON in a ``<metadata>`` element."""
    text = reader.at(0, min(reader.size, MOST_TEXT)).decode("utf-8", "replace")
    found = _METADATA.search(text)
    if found is not None:
        yield from _texts(_json(found[1].encode()))


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise TruncatedError("the header is no JSON") from None
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, text in value.items():
            yield key, text if isinstance(text, str) else json.dumps(text)
