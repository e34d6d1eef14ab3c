"""Writing pictures as PNG files that carry the prompt and the workflow they came from."""

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from comfynb.sandbox.nodes.arrays import Array, to_pillow
from comfynb.sandbox.nodes.naming import expand_prefix, save_place

__all__ = ["metadata", "save_batch"]


def metadata(prompt: Mapping[str, Any], extra_pnginfo: Mapping[str, Any] | None) -> PngInfo:
    """Return the text chunks ``prompt`` and, say, ``workflow``, each one JSON."""
    info = PngInfo()
    info.add_text("prompt", json.dumps(prompt))
    for key, value in (extra_pnginfo or {}).items():
        info.add_text(key, json.dumps(value))
    return info


def save_batch(
    pixels: Array,
    base: Path,
    prefix: str,
    *,
    prompt: Mapping[str, Any],
    extra_pnginfo: Mapping[str, Any] | None,
    compress_level: int,
) -> list[tuple[str, str]]:
    """Save each picture of ``[B, H, W, C]`` below ``base``; returns (file name, subfolder).

    Names are ``prefix_00001_.png`` and on. Raises OutsideFolderError when ``prefix`` leaves
    ``base``, OSError when a file cannot be written.
    """
    height, width = pixels.shape[1:3]
    now = dt.datetime.now().astimezone()
    expanded = expand_prefix(prefix, width=width, height=height, now=now, prompt=prompt)
    place = save_place(base, expanded)
    info = metadata(prompt, extra_pnginfo)
    saved = []
    for index, picture in enumerate(pixels):
        name = place.name(index)
        to_pillow(picture).save(place.folder / name, pnginfo=info, compress_level=compress_level)
        saved.append((name, place.subfolder))
    return saved
