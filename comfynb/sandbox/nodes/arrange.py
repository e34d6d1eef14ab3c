"""Putting pictures side by side, into batches, and into a wider frame."""

import numpy as np

from comfynb.sandbox.nodes.arrays import Array, with_opaque_channels
from comfynb.sandbox.nodes.resample import upscale

__all__ = ["DIRECTIONS", "SPACING_COLOURS", "join_batches", "pad_for_outpaint", "stitch"]

DIRECTIONS = ("right", "down", "left", "up")
SPACING_COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}


def join_batches(first: Array, second: Array) -> Array:
    """Return both batches as one; ``second`` is resized (bilinear, centre crop) where it differs.

    A picture without alpha gets an opaque one when the other has one.
    """
    first, second = _with_equal_channels(first, second)
    if first.shape[1:] != second.shape[1:]:
        second = upscale(second, first.shape[2], first.shape[1], "bilinear", "center")
    return np.concatenate([first, second])


def stitch(
    first: Array,
    second: Array,
    direction: str,
    *,
    match_size: bool,
    spacing: int = 0,
    colour: str = "white",
) -> Array:
    """Put ``second`` beside ``first``, on the side that ``direction`` names.

    The shorter batch repeats its last picture. ``match_size`` resizes ``second`` (lanczos) to the
    common edge; otherwise the smaller one is centred, with white or black beside it (black for
    the other colours, as ComfyUI has it). ``spacing`` pixels of ``colour``, an even number, part
    them.
    """
    count = max(len(first), len(second))
    first, second = _repeat_last(first, count), _repeat_last(second, count)
    sideways = direction in {"left", "right"}
    axis = 2 if sideways else 1
    if match_size:
        second = _fit_edge(second, first, sideways=sideways)
    else:
        margin = 1.0 if colour == "white" else 0.0
        first, second = _centred(first, second, 3 - axis, margin)
    first, second = _with_equal_channels(first, second)
    parts = [second, first] if direction in {"left", "up"} else [first, second]
    if spacing > 0:
        shape = list(first.shape)
        shape[axis] = spacing + spacing % 2
        parts.insert(1, _filled(tuple(shape), SPACING_COLOURS[colour]))
    return np.concatenate(parts, axis=axis)


def _fit_edge(picture: Array, other: Array, *, sideways: bool) -> Array:
    aspect = picture.shape[2] / picture.shape[1]
    height, width = other.shape[1:3]
    if sideways:
        width = int(height * aspect)
    else:
        height = int(width / aspect)
    return upscale(picture, width, height, "lanczos")


def _centred(first: Array, second: Array, axis: int, value: float) -> tuple[Array, Array]:
    """Give both the same length along ``axis`` by adding ``value`` before and after."""
    length = max(first.shape[axis], second.shape[axis])
    padded = []
    for picture in (first, second):
        missing = length - picture.shape[axis]
        widths = [(0, 0)] * 4
        widths[axis] = (missing // 2, missing - missing // 2)
        padded.append(np.pad(picture, widths, constant_values=np.float32(value)))
    return padded[0], padded[1]


def _filled(shape: tuple[int, ...], colour: tuple[float, float, float]) -> Array:
    """Return pictures of one colour; an alpha channel is opaque."""
    pixels = np.ones(shape, np.float32)
    count = min(3, shape[-1])
    pixels[..., :count] = colour[:count]
    return pixels


def _repeat_last(batch: Array, size: int) -> Array:
    return batch[np.minimum(np.arange(size), len(batch) - 1)]


def _with_equal_channels(first: Array, second: Array) -> tuple[Array, Array]:
    missing = first.shape[-1] - second.shape[-1]
    if missing > 0:
        second = with_opaque_channels(second, missing)
    elif missing < 0:
        first = with_opaque_channels(first, -missing)
    return first, second


def pad_for_outpaint(
    pixels: Array, sides: tuple[int, int, int, int], feathering: int
) -> tuple[Array, Array]:
    """Set ``pixels`` into a wider grey frame; returns it and the MASK ``[1, H, W]`` of the frame.

    ``sides`` are the frame's left, top, right and bottom.

    The mask is 1 in the frame and fades out over ``feathering`` pixels of the picture along the
    sides that were widened, unless these pixels would fill half of it.
    """
    left, top, right, bottom = sides
    count, height, width, channels = pixels.shape
    outer = (height + top + bottom, width + left + right)
    framed = np.full((count, *outer, channels), 0.5, np.float32)
    framed[:, top : top + height, left : left + width] = pixels
    mask = np.ones((1, *outer), np.float32)
    mask[0, top : top + height, left : left + width] = _feathered(height, width, sides, feathering)
    return framed, mask


def _feathered(height: int, width: int, sides: tuple[int, int, int, int], feathering: int) -> Array:
    if feathering <= 0 or feathering * 2 >= min(height, width):
        return np.zeros((height, width), np.float32)
    left, top, right, bottom = sides
    rows, columns = np.arange(height)[:, None], np.arange(width)
    never = np.full((height, width), feathering)
    distances = [never]
    if top:
        distances.append(rows + 0 * columns)
    if bottom:
        distances.append(height - rows + 0 * columns)
    if left:
        distances.append(columns + 0 * rows)
    if right:
        distances.append(width - columns + 0 * rows)
    nearest = np.minimum.reduce(distances)
    share = (feathering - nearest) / feathering
    feathered: Array = (share * share).astype(np.float32)
    return feathered
