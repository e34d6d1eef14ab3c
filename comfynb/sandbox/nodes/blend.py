"""Laying one picture over another: blend modes and masked compositing."""

import numpy as np

from comfynb.sandbox.nodes.arrays import Array, repeat_to_batch, same_channels
from comfynb.sandbox.nodes.resample import resample, upscale

__all__ = ["BLEND_MODES", "blend", "composite"]

BLEND_MODES = ("normal", "multiply", "screen", "overlay", "soft_light", "difference")


def blend(lower: Array, upper: Array, factor: float, mode: str) -> Array:
    """Mix ``upper`` into ``lower``, ``factor`` 0..1 of it, by one of `BLEND_MODES`.

    ``upper`` is resized (bicubic, centre crop) when the shapes differ; the result is clipped to
    0..1. Raises ValueError for an unknown mode.
    """
    lower, upper = same_channels(lower, upper)
    if lower.shape != upper.shape:
        upper = upscale(upper, lower.shape[2], lower.shape[1], "bicubic", "center")
    mixed = _mix(lower, upper, mode)
    return np.clip(lower * (1 - factor) + mixed * factor, np.float32(0), np.float32(1))


def _mix(lower: Array, upper: Array, mode: str) -> Array:
    if mode == "normal":
        return upper
    if mode == "multiply":
        return lower * upper
    if mode == "screen":
        return 1 - (1 - lower) * (1 - upper)
    if mode == "overlay":
        return np.where(lower <= 0.5, 2 * lower * upper, 1 - 2 * (1 - lower) * (1 - upper))
    if mode == "soft_light":
        darker = lower - (1 - 2 * upper) * lower * (1 - lower)
        lighter = lower + (2 * upper - 1) * (_dodge(lower) - lower)
        return np.where(upper <= 0.5, darker, lighter)
    if mode == "difference":
        return lower - upper
    raise ValueError(f"{mode!r} is no blend mode; there are {', '.join(BLEND_MODES)}")


def _dodge(values: Array) -> Array:
    """Return the upper curve of soft light (W3C Compositing, ``D``)."""
    polynomial = ((16 * values - 12) * values + 4) * values
    # overshoot from a bicubic resize may lie below 0, where the polynomial is taken
    return np.where(values <= 0.25, polynomial, np.sqrt(np.maximum(values, np.float32(0))))


def composite(
    destination: Array,
    source: Array,
    x: int,
    y: int,
    *,
    mask: Array | None = None,
    resize_source: bool = False,
) -> Array:
    """Lay ``source`` over ``destination`` with its upper left corner at ``x``, ``y``.

    ``mask`` ``[B, H, W]`` says how much of ``source`` shows (1 = all) and is stretched over it;
    ``resize_source`` stretches ``source`` over ``destination`` first. What lies outside is cut
    off. Both are repeated to the batch of ``destination``.
    """
    destination, source = same_channels(destination, source)
    result = destination.copy()
    height, width = destination.shape[1:3]
    if resize_source:
        source = resample(source, width, height, "bilinear")
    source = repeat_to_batch(source, len(destination))
    source_height, source_width = source.shape[1:3]
    if mask is None:
        opacity = np.ones((1, source_height, source_width, 1), np.float32)
    else:
        opacity = resample(mask[..., None], source_width, source_height, "bilinear")
    opacity = repeat_to_batch(opacity, len(source))

    left, right = max(0, x), min(width, x + source_width)
    top, bottom = max(0, y), min(height, y + source_height)
    if left < right and top < bottom:
        rows, columns = slice(top - y, bottom - y), slice(left - x, right - x)
        share = opacity[:, rows, columns]
        covered = result[:, top:bottom, left:right]
        result[:, top:bottom, left:right] = share * source[:, rows, columns] + (1 - share) * covered
    return result
