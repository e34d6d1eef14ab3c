"""Blur and sharpening."""

import numpy as np
import pytest

from comfynb.sandbox.nodes import filters
from comfynb.sandbox.nodes.filters import blur, gaussian_kernel, sharpen


def naive(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The convolution as its definition has it, in float64."""
    radius = len(kernel) // 2
    padded = np.pad(pixels, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(
        padded.astype(np.float64), kernel.shape, axis=(1, 2)
    )
    return np.einsum("bhwcyx,yx->bhwc", windows, kernel.astype(np.float64))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(7).random((2, 23, 31, 3), np.float32)


@pytest.mark.parametrize("radius", [1, 2, 7, 31])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_the_kernel_is_a_symmetric_weighting(radius: int, sigma: float) -> None:
    kernel = gaussian_kernel(radius, sigma)
    assert kernel.dtype == np.float32
    assert kernel.shape == (2 * radius + 1, 2 * radius + 1)
    assert kernel.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(kernel, kernel.T)
    assert np.array_equal(kernel, kernel[::-1])
    assert kernel[radius, radius] == kernel.max()
    # the kernel's edge lies at 1, so sigma counts in radii
    expected = np.exp(-1 / (2 * sigma**2))
    assert kernel[radius, 0] / kernel[radius, radius] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("radius", "sigma"), [(1, 1.0), (3, 1.5), (9, 0.4), (20, 8.0)])
def test_blur_is_a_convolution_with_mirrored_edges(
    pixels: np.ndarray, radius: int, sigma: float
) -> None:
    blurred = blur(pixels, radius, sigma)
    assert blurred.dtype == np.float32
    assert blurred == pytest.approx(naive(pixels, gaussian_kernel(radius, sigma)), abs=2e-6)


def test_sharpening_takes_the_blur_away(pixels: np.ndarray) -> None:
    expected = np.clip(pixels + 25 * (pixels - naive(pixels, gaussian_kernel(3, 0.8))), 0, 1)
    assert sharpen(pixels, 3, 0.8, 2.5) == pytest.approx(expected, abs=1e-4)
    assert sharpen(pixels, 3, 0.8, 0.0) == pytest.approx(pixels, abs=1e-6)


@pytest.mark.parametrize("tile", [1, 400])
def test_tiles_do_not_show(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    whole = blur(pixels, 4, 1.0)
    monkeypatch.setattr(filters, "_TILE", tile)
    assert np.array_equal(blur(pixels, 4, 1.0), whole)


def test_large_pictures_are_blurred_by_axes_to_the_same_effect(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = blur(pixels, 5, 1.3), sharpen(pixels, 5, 1.3, 1.0)
    monkeypatch.setattr(filters, "EXACT_LIMIT", 0)
    monkeypatch.setattr(filters, "_convolve", None)  # must not be needed
    assert blur(pixels, 5, 1.3) == pytest.approx(exact[0], abs=2e-6)
    assert sharpen(pixels, 5, 1.3, 1.0) == pytest.approx(exact[1], abs=2e-5)


@pytest.mark.parametrize(
    "effect", [lambda p, r: blur(p, r, 1.0), lambda p, r: sharpen(p, r, 1.0, 1)]
)
def test_a_radius_beyond_the_picture_is_refused(effect, pixels: np.ndarray) -> None:
    assert effect(pixels, 22).shape == pixels.shape
    with pytest.raises(RuntimeError, match=r"padding \(23, 23\) for a picture of 31 x 23 pixels"):
        effect(pixels, 23)
