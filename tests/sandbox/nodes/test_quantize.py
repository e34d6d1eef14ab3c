"""Palettes and dithering."""

import numpy as np
import pytest
from PIL import Image

from comfynb.sandbox.nodes.quantize import DITHERS, bayer_matrix, quantize


@pytest.fixture
def pixels() -> np.ndarray:
    y, x = np.mgrid[0:37, 0:53]
    levels = np.stack([x * 4, y * 6, (x + y) * 2], axis=-1)
    return (levels[None] % 256).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("dither", DITHERS)
@pytest.mark.parametrize("colours", [1, 2, 8, 256])
def test_no_more_colours_than_asked_for(pixels: np.ndarray, dither: str, colours: int) -> None:
    reduced = quantize(pixels, colours, dither)
    assert reduced.shape == pixels.shape
    assert reduced.dtype == np.float32
    assert len(np.unique(reduced.reshape(-1, 3), axis=0)) <= colours


def test_undithered_is_pillows(pixels: np.ndarray) -> None:
    image = Image.fromarray((pixels[0] * np.float32(255)).astype(np.uint8))
    palette = image.quantize(colors=6)
    expected = image.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")
    ours = quantize(pixels, 6, "none")[0] * np.float32(255)
    assert np.array_equal(np.rint(ours), np.asarray(expected))


def test_each_picture_has_its_own_palette(pixels: np.ndarray) -> None:
    other = pixels[:, ::-1, :, ::-1]
    both = quantize(np.concatenate([pixels, other]), 4, "bayer-4")
    assert np.array_equal(both[:1], quantize(pixels, 4, "bayer-4"))
    assert np.array_equal(both[1:], quantize(other, 4, "bayer-4"))


def test_bayer_matrices() -> None:
    assert bayer_matrix(1).tolist() == [[0]]
    assert bayer_matrix(2).tolist() == [[-0.375, 0.125], [0.375, -0.125]]
    # the classic 4 x 4 order, from the lowest threshold to the highest
    ranks = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]
    assert bayer_matrix(4).ravel().argsort().argsort().reshape(4, 4).tolist() == ranks


@pytest.mark.parametrize("order", [2, 4, 8, 16])
def test_bayer_matrices_hold_evenly_spaced_thresholds(order: int) -> None:
    cells = order * order
    assert np.sort(bayer_matrix(order), axis=None) == pytest.approx(
        (np.arange(cells) + 0.5) / cells - 0.5
    )


def test_bayer_shares_an_area_out_between_two_colours() -> None:
    levels = np.zeros((1, 16, 32, 3), np.float32)
    levels[:, :, 16:] = 1
    levels[:, :, :16] = np.float32(0.25)
    reduced = quantize(levels, 2, "bayer-4")[0, :, :16, 0]
    # the pattern repeats, and shifts a pixel by up to half the way to the other colour
    assert np.array_equal(np.tile(reduced[:4, :4], (4, 4)), reduced)
    plain = quantize(levels, 2, "none")[0, :, :16, 0]
    assert len(np.unique(plain)) == 1
    assert 0 < (reduced != plain).mean() < 0.5


def test_levels_beyond_8_bits_wrap_as_a_cast_does() -> None:
    pixels = np.array([300 / 255, -3 / 255, 1.0], np.float32).reshape(1, 1, 1, 3)
    levels = np.rint(quantize(pixels, 4, "none")[0, 0, 0] * 255)
    assert levels.tolist() == [44, 253, 255]


def test_an_unknown_dither_is_named(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="'bayer-3' is no dither"):
        quantize(pixels, 8, "bayer-3")
