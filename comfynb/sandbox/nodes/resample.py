"""Resizing pictures: ComfyUI's upscale methods, to the bit what torch and Pillow compute.

Pixels lie at half-integer places (torch's ``align_corners=False``) and nothing is smoothed before
it is made smaller, except by ``area`` and ``lanczos``. torch has two kernels for ``bilinear`` and
``nearest-exact`` that round differently; which one runs depends on the size of the result and the
number of channels, and is followed here.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from comfynb.sandbox.nodes.arrays import Array, fused, to_uint8, unit_floats

__all__ = ["UPSCALE_METHODS", "crop_to_aspect", "resample", "upscale"]

UPSCALE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")

_HALF = np.float32(0.5)
_ONE = np.float32(1.0)

Indices = npt.NDArray[np.intp]


def upscale(pixels: Array, width: int, height: int, method: str, crop: str = "disabled") -> Array:
    """Resize ``pixels`` ``[B, H, W, C]`` to ``width`` and ``height`` by one of `UPSCALE_METHODS`.

    ``crop="center"`` first cuts the picture to the new aspect ratio, around its centre. Values are
    not clipped: ``bicubic`` overshoots. Raises RuntimeError for a size of zero, ``lanczos``
    Pillow's ValueError.
    """
    if crop == "center":
        pixels = crop_to_aspect(pixels, width, height)
    return resample(pixels, width, height, method)


def crop_to_aspect(pixels: Array, width: int, height: int) -> Array:
    """Cut ``pixels`` to the aspect ratio of ``width`` by ``height``, the same on opposite sides."""
    if width < 1 or height < 1:
        raise RuntimeError(f"a picture cannot be cropped for {width} x {height} pixels")
    old_height, old_width = pixels.shape[1:3]
    old_aspect = old_width / old_height
    new_aspect = width / height
    x = y = 0
    if old_aspect > new_aspect:
        x = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
    elif old_aspect < new_aspect:
        y = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
    return pixels[:, y : old_height - y, x : old_width - x]


def resample(pixels: Array, width: int, height: int, method: str) -> Array:
    """Resize ``pixels`` ``[B, H, W, C]`` without cropping; see `upscale`.

    Raises RuntimeError for a size of zero, ValueError for an unknown method.
    """
    if method == "lanczos":
        return _lanczos(pixels, width, height)
    if min(width, height, *pixels.shape[1:3]) < 1:
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got "
            f"input (H: {pixels.shape[1]}, W: {pixels.shape[2]}) output (H: {height}, W: {width})"
        )
    if method == "nearest-exact":
        return _nearest(pixels, width, height)
    if method == "area":
        return _area(pixels, width, height)
    if method not in ("bilinear", "bicubic"):
        raise ValueError(f"{method!r} is no upscale method; there are {', '.join(UPSCALE_METHODS)}")
    if method == "bicubic":
        one = _bicubic
    elif _blockwise(pixels, width, height):
        one = _bilinear_four
    else:
        one = _bilinear_separable
    return np.stack([one(picture, width, height) for picture in pixels])


def _blockwise(pixels: Array, width: int, height: int) -> bool:
    """Say whether torch takes its kernel for small or many-channelled pictures."""
    return width + height <= 128 or pixels.shape[-1] > 3


def _sources(old: int, new: int) -> Array:
    """Return where in the old picture each new pixel's centre lies (0 is the first centre)."""
    scale = np.float32(old) / np.float32(new)
    return fused(scale, np.arange(new) + 0.5, np.float32(-0.5))


def _lanczos(pixels: Array, width: int, height: int) -> Array:
    resized = []
    for picture in to_uint8(pixels):
        # Pillow has no one-channel picture with a channel axis
        image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
        levels = np.asarray(image.resize((width, height), resample=Image.Resampling.LANCZOS))
        resized.append(unit_floats(levels.reshape(height, width, -1)))
    return np.stack(resized)


def _nearest(pixels: Array, width: int, height: int) -> Array:
    blockwise = _blockwise(pixels, width, height)
    y = _nearest_indices(pixels.shape[1], height, blockwise)
    x = _nearest_indices(pixels.shape[2], width, blockwise)
    return pixels[:, y[:, None], x]


def _nearest_indices(old: int, new: int, blockwise: bool) -> Indices:
    if blockwise:
        scale = np.float32(old) / np.float32(new)
        place = (np.arange(new, dtype=np.float32) + _HALF) * scale
    else:
        place = np.maximum(_sources(old, new), np.float32(0)) + _HALF
    indices: Indices = np.minimum(np.floor(place).astype(np.intp), old - 1)
    return indices


def _linear(old: int, new: int) -> tuple[Indices, Indices, Array, Array]:
    """Return, for each new pixel, its two old neighbours and their weights."""
    source = np.maximum(_sources(old, new), np.float32(0))
    first = np.minimum(np.floor(source).astype(np.intp), old - 1)
    second = np.minimum(first + 1, old - 1)
    share = np.clip(source - first.astype(np.float32), np.float32(0), _ONE)
    return first, second, _ONE - share, share


def _bilinear_separable(picture: Array, width: int, height: int) -> Array:
    left, right, left_weight, right_weight = _linear(picture.shape[1], width)
    rows = fused(picture[:, left], left_weight[:, None], picture[:, right] * right_weight[:, None])
    top, bottom, top_weight, bottom_weight = _linear(picture.shape[0], height)
    return fused(rows[top], top_weight[:, None, None], rows[bottom] * bottom_weight[:, None, None])


def _bilinear_four(picture: Array, width: int, height: int) -> Array:
    left, right, left_weight, right_weight = _linear(picture.shape[1], width)
    top, bottom, top_weight, bottom_weight = _linear(picture.shape[0], height)
    upper, lower = picture[top], picture[bottom]
    top_weight, bottom_weight = top_weight[:, None, None], bottom_weight[:, None, None]
    left_weight, right_weight = left_weight[:, None], right_weight[:, None]
    total = fused(
        upper[:, left], top_weight * left_weight, upper[:, right] * (top_weight * right_weight)
    )
    total = fused(lower[:, left], bottom_weight * left_weight, total)
    return fused(lower[:, right], bottom_weight * right_weight, total)


def _cubic(old: int, new: int) -> tuple[list[Indices], list[Array]]:
    """Return, for each new pixel, its four old neighbours and their weights (a = -0.75)."""
    source = _sources(old, new)
    before = np.floor(source)
    share = np.clip(source - before, np.float32(0), _ONE)
    rest = _ONE - share
    start = before.astype(np.intp)
    neighbours = [np.clip(start + offset, 0, old - 1) for offset in (-1, 0, 1, 2)]
    return neighbours, [_far(share + _ONE), _near(share), _near(rest), _far(rest + _ONE)]


def _near(distance: Array) -> Array:
    """Return the cubic kernel at a distance of 0..1: ``(a+2)x^3 - (a+3)x^2 + 1``."""
    inner = fused(np.float32(1.25), distance, np.float32(-2.25))
    return inner * distance * distance + _ONE


def _far(distance: Array) -> Array:
    """Return the cubic kernel at a distance of 1..2: ``ax^3 - 5ax^2 + 8ax - 4a``."""
    inner = fused(np.float32(-0.75), distance, np.float32(3.75))
    inner = fused(inner, distance, np.float32(-6.0))
    return inner * distance + np.float32(3.0)


def _bicubic(picture: Array, width: int, height: int) -> Array:
    columns, column_weights = _cubic(picture.shape[1], width)
    rows = _weighted(
        [picture[:, column] for column in columns],
        [weight[:, None] for weight in column_weights],
    )
    lines, line_weights = _cubic(picture.shape[0], height)
    return _weighted(
        [rows[line] for line in lines], [weight[:, None, None] for weight in line_weights]
    )


def _weighted(values: list[Array], weights: list[Array]) -> Array:
    total = fused(values[0], weights[0], values[1] * weights[1])
    total = fused(values[2], weights[2], total)
    return fused(values[3], weights[3], total)


def _area(pixels: Array, width: int, height: int) -> Array:
    """Return the mean of the old pixels that each new one touches (adaptive average pooling)."""
    if width == height == 1:
        # torch takes another way for a single mean, without the rounding of a long float32 sum
        mean: Array = pixels.mean((1, 2), np.float64, keepdims=True).astype(np.float32)
        return mean
    top, tall = _windows(pixels.shape[1], height)
    left, wide = _windows(pixels.shape[2], width)
    total = np.zeros((len(pixels), height, width, pixels.shape[-1]), np.float32)
    # row by row, as torch adds; where a window has ended, nothing is added
    for down in range(int(tall.max())):
        inside_row = down < tall
        row = pixels[:, np.where(inside_row, top + down, 0)]
        for across in range(int(wide.max())):
            inside = inside_row[:, None] & (across < wide)
            value = row[:, :, np.where(across < wide, left + across, 0)]
            np.add(total, value, out=total, where=inside[None, :, :, None])
    total /= tall.astype(np.float32)[:, None, None]
    total /= wide.astype(np.float32)[:, None]
    return total


def _windows(old: int, new: int) -> tuple[Indices, Indices]:
    """Return the first old pixel and the number of old pixels of each new one."""
    places = np.arange(new, dtype=np.intp)
    first = places * old // new
    return first, -(-(places + 1) * old // new) - first
