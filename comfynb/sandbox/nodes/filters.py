"""Gaussian blur and its counterpart, sharpening, as depthwise convolutions with mirrored edges."""

import numpy as np
import numpy.typing as npt

from comfynb.sandbox.nodes.arrays import Array

__all__ = ["EXACT_LIMIT", "blur", "gaussian_kernel", "sharpen"]

EXACT_LIMIT = 2**31
"""Up to this many products a convolution is summed in torch's order; beyond, axis by axis."""

_TILE = 16_384  # samples per tile: what stays in a core's cache


def gaussian_kernel(radius: int, sigma: float) -> Array:
    """Return the kernel ``[2 radius + 1, 2 radius + 1]``, its sum 1.

    ``sigma`` is in units of the radius: the kernel's edge lies at 1.
    """
    size = 2 * radius + 1
    step = np.float32(2.0) / np.float32(size - 1)
    places = np.arange(size)
    # each half is counted from its own end, which keeps the kernel symmetric to the bit
    from_left = -1.0 + np.float64(step) * places
    from_right = 1.0 - np.float64(step) * places[::-1]
    axis = np.where(places < size // 2, from_left, from_right).astype(np.float32)
    distance = np.sqrt(axis[:, None] * axis[:, None] + axis * axis)
    exponent = -(distance * distance) / np.float32(2.0 * sigma * sigma)
    weights = np.exp(exponent, dtype=np.float64).astype(np.float32)
    return weights / np.float32(weights.sum(dtype=np.float64))


def blur(pixels: Array, radius: int, sigma: float) -> Array:
    """Blur ``pixels`` ``[B, H, W, C]``; raises RuntimeError when ``radius`` reaches H or W."""
    kernel = gaussian_kernel(radius, sigma)
    padded = _mirrored(pixels, radius)
    if pixels.size * kernel.size > EXACT_LIMIT:
        return _blur_by_axes(padded, radius, sigma).astype(np.float32)
    return _convolve(padded, kernel)


def sharpen(pixels: Array, radius: int, sigma: float, alpha: float) -> Array:
    """Take the blurred picture away ``10 alpha`` times; clipped to 0..1.

    Raises RuntimeError when ``radius`` reaches H or W.
    """
    kernel = gaussian_kernel(radius, sigma) * np.float32(-(alpha * 10))
    rest = np.float32(kernel.sum(dtype=np.float64))
    kernel[radius, radius] = kernel[radius, radius] - rest + np.float32(1.0)
    padded = _mirrored(pixels, radius)
    if pixels.size * kernel.size > EXACT_LIMIT:
        blurred = _blur_by_axes(padded, radius, sigma)
        result = (pixels + alpha * 10 * (pixels - blurred)).astype(np.float32)
    else:
        result = _convolve(padded, kernel)
    return np.clip(result, np.float32(0), np.float32(1))


def _mirrored(pixels: Array, radius: int) -> npt.NDArray[np.float64]:
    height, width = pixels.shape[1:3]
    if radius >= height or radius >= width:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but got: "
            f"padding ({radius}, {radius}) for a picture of {width} x {height} pixels"
        )
    border = ((0, 0), (radius, radius), (radius, radius), (0, 0))
    return np.pad(pixels, border, mode="reflect").astype(np.float64)


def _convolve(padded: npt.NDArray[np.float64], kernel: Array) -> Array:
    margin = len(kernel) - 1
    height, width = padded.shape[1] - margin, padded.shape[2] - margin
    rows = max(1, _TILE // (width * padded.shape[3]))
    result = np.empty((len(padded), height, width, padded.shape[3]), np.float32)
    for picture, out in zip(padded, result, strict=True):
        for top in range(0, height, rows):
            out[top : top + rows] = _convolve_tile(picture[top : top + rows + margin], kernel)
    return result


def _convolve_tile(tile: npt.NDArray[np.float64], kernel: Array) -> Array:
    """Sum up the kernel's products row by row, each added with one rounding to float32."""
    size = len(kernel)
    shape = (tile.shape[0] - size + 1, tile.shape[1] - size + 1, tile.shape[2])
    rounded = np.zeros(shape, np.float32)
    total = np.zeros(shape)
    product = np.empty(shape)
    for y, weights in enumerate(kernel.astype(np.float64)):
        band = tile[y : y + shape[0]]
        for x, weight in enumerate(weights):
            np.multiply(band[:, x : x + shape[1]], weight, out=product)
            total += product
            rounded[...] = total
            total[...] = rounded
    return rounded


def _blur_by_axes(
    padded: npt.NDArray[np.float64], radius: int, sigma: float
) -> npt.NDArray[np.float64]:
    """Blur down and then across: a Gaussian is the product of its two axes."""
    axis = np.exp(-(np.linspace(-1.0, 1.0, 2 * radius + 1) ** 2) / (2.0 * sigma * sigma))
    axis /= axis.sum()
    for dimension in (1, 2):
        length = padded.shape[dimension] - 2 * radius
        total = np.zeros(())
        for offset, weight in enumerate(axis):
            window = np.take(padded, range(offset, offset + length), axis=dimension)
            total = total + weight * window
        padded = total
    return padded
