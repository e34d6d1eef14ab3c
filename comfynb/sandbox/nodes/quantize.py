"""Reducing the number of colours, with and without dithering."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from comfynb.sandbox.nodes.arrays import Array, unit_floats, wrap_uint8

__all__ = ["DITHERS", "bayer_matrix", "quantize"]

DITHERS = ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16")


def quantize(pixels: Array, colours: int, dither: str) -> Array:
    """Reduce each RGB picture of ``[B, H, W, 3]`` to a palette of its own of ``colours`` entries.

    The palette is Pillow's median cut. ``dither`` is one of `DITHERS`; raises ValueError else.
    """
    if dither not in DITHERS:
        raise ValueError(f"{dither!r} is no dither; there are {', '.join(DITHERS)}")
    reduced = []
    for levels in wrap_uint8(pixels * np.float32(255)):
        image = Image.fromarray(levels)
        palette = image.quantize(colors=colours)
        method = Image.Dither.NONE
        if dither == "floyd-steinberg":
            method = Image.Dither.FLOYDSTEINBERG
        elif dither.startswith("bayer-"):
            count = len(palette.getpalette() or ()) // 3
            image = _ordered(levels, int(dither.removeprefix("bayer-")), 2 * 256 / count)
        result = image.quantize(palette=palette, dither=method)
        reduced.append(unit_floats(np.asarray(result.convert("RGB"))))
    return np.stack(reduced)


def _ordered(levels: npt.NDArray[np.uint8], order: int, spread: float) -> Image.Image:
    """Add the Bayer pattern of ``order`` pixels, scaled to ``spread`` levels, to a picture."""
    height, width = levels.shape[:2]
    pattern = spread * bayer_matrix(order) + np.float32(0.5)
    repeats = (-(-height // order), -(-width // order))
    tiled = np.tile(pattern, repeats)[:height, :width, None]
    shifted = np.clip(levels.astype(np.float32) + tiled, np.float32(0), np.float32(255))
    return Image.fromarray(wrap_uint8(shifted))


def bayer_matrix(order: int) -> Array:
    """Return the threshold matrix ``[order, order]`` around 0, ``order`` a power of two."""
    matrix = np.zeros((1, 1), np.float32)
    while len(matrix) < order:
        cells = np.float32(4 * len(matrix) ** 2)
        scaled = matrix * cells
        quarters = [[scaled - 1.5, scaled + 0.5], [scaled + 1.5, scaled - 0.5]]
        matrix = np.block(quarters).astype(np.float32) / cells
    return matrix
