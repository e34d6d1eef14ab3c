"""Masks: from colours and channels, grown and shrunk."""

import numpy as np

from comfynb.sandbox.nodes.arrays import Array

__all__ = ["CHANNELS", "channel_mask", "colour_mask", "grow"]

CHANNELS = ("red", "green", "blue", "alpha")


def colour_mask(pixels: Array, colour: int) -> Array:
    """Return 1 where a pixel of ``[B, H, W, C]`` has the 8-bit ``colour`` 0xRRGGBB, else 0."""
    clipped = np.clip(pixels[..., :3], np.float32(0), np.float32(1))
    levels = np.rint(clipped * np.float32(255.0)).astype(np.int64)
    packed = (levels[..., 0] << 16) + (levels[..., 1] << 8) + levels[..., 2]
    hits: Array = (packed == colour).astype(np.float32)
    return hits


def channel_mask(pixels: Array, channel: str) -> Array:
    """Return one channel of ``[B, H, W, C]``; raises IndexError where there is no alpha."""
    index = CHANNELS.index(channel)
    count = pixels.shape[-1]
    if index >= count:
        raise IndexError(f"index {index} is out of bounds for dimension 3 with size {count}")
    return pixels[..., index]


def grow(mask: Array, expand: int, *, tapered_corners: bool) -> Array:
    """Grow ``mask`` ``[B, H, W]`` by ``expand`` pixels, or shrink it by ``-expand``.

    Each step takes the greatest (or smallest) value among a pixel and its neighbours: four of them
    with ``tapered_corners``, eight without.
    """
    extreme = np.maximum if expand > 0 else np.minimum
    for _ in range(abs(expand)):
        padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)), mode="edge")
        across = extreme(padded[:, :, :-2], padded[:, :, 2:])
        if tapered_corners:
            sides = extreme(across[:, 1:-1], extreme(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]))
            grown = extreme(mask, sides)
        else:
            across = extreme(across, padded[:, :, 1:-1])
            grown = extreme(across[:, 1:-1], extreme(across[:, :-2], across[:, 2:]))
        if np.array_equal(grown, mask):
            break  # nothing is left that could grow
        mask = grown
    return mask
