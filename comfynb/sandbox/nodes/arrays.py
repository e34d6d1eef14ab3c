"""Float32 picture arrays: their way to and from 8 bits, batch and channel counts, fused sums."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = [
    "Array",
    "fused",
    "repeat_to_batch",
    "same_channels",
    "to_pillow",
    "to_uint8",
    "unit_floats",
    "with_opaque_channels",
    "wrap_uint8",
]

Array: TypeAlias = npt.NDArray[np.float32]
"""An IMAGE ``[B, H, W, C]`` or a MASK ``[B, H, W]``, values nominally in 0..1."""

Operand: TypeAlias = npt.NDArray[np.floating[Any]] | np.float32


def to_uint8(pixels: Array) -> npt.NDArray[np.uint8]:
    """Return ``pixels`` as bytes the way pictures are saved: clipped to 0..255, then cut off."""
    scaled: Array = np.float32(255.0) * pixels
    return np.clip(scaled, 0, 255).astype(np.uint8)


def wrap_uint8(levels: Array) -> npt.NDArray[np.uint8]:
    """Return float levels (0..255) as bytes the way a bare cast does: cut off, modulo 256."""
    return levels.astype(np.int32).astype(np.uint8)


def unit_floats(levels: npt.NDArray[np.uint8]) -> Array:
    """Return 8-bit levels as floats in 0..1."""
    return levels.astype(np.float32) / np.float32(255.0)


def to_pillow(pixels: Array) -> Image.Image:
    """Return one picture ``[H, W, C]`` (C 3 or 4) as Pillow has it."""
    return Image.fromarray(to_uint8(pixels))


def fused(a: Operand, b: Operand, c: Operand) -> Array:
    """Return ``a * b + c`` of float32 operands, rounded once (a fused multiply-add).

    The product of two float32 numbers is exact in float64, so one rounding remains.
    """
    total: npt.NDArray[np.float64] = np.multiply(a, b, dtype=np.float64)
    total += c
    return total.astype(np.float32)


def repeat_to_batch(batch: Array, size: int) -> Array:
    """Return ``size`` entries of ``batch``: the first ones, or all of them again and again."""
    if len(batch) == size:
        return batch
    return batch[np.arange(size) % len(batch)]


def same_channels(destination: Array, source: Array) -> tuple[Array, Array]:
    """Give ``source`` the channels of ``destination``.

    Surplus ones are dropped; missing ones are added full of ones, which makes an alpha opaque.
    """
    missing = destination.shape[-1] - source.shape[-1]
    if missing < 0:
        source = source[..., :missing]
    elif missing > 0:
        source = with_opaque_channels(source, missing)
    return destination, source


def with_opaque_channels(pixels: Array, count: int) -> Array:
    """Return ``pixels`` with ``count`` more channels full of ones."""
    ones = np.ones((*pixels.shape[:-1], count), np.float32)
    return np.concatenate([pixels, ones], axis=-1)
