"""Masks from colours and channels, grown and shrunk."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from comfynb.sandbox.nodes.masks import channel_mask, colour_mask, grow

MASKS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 12)),
    elements=st.floats(0, 1, width=32),
)


def naive(mask: np.ndarray, steps: int, *, tapered: bool) -> np.ndarray:
    """Growing, neighbour by neighbour."""
    pick = max if steps > 0 else min
    near = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if not tapered or abs(y) + abs(x) < 2]
    count, height, width = mask.shape
    for _ in range(abs(steps)):
        grown = np.empty_like(mask)
        for b, y, x in np.ndindex(count, height, width):
            grown[b, y, x] = pick(
                mask[b, min(max(y + j, 0), height - 1), min(max(x + i, 0), width - 1)]
                for j, i in near
            )
        mask = grown
    return mask


@given(MASKS, st.integers(-3, 3), st.booleans())
def test_grow_takes_the_extreme_of_the_neighbours(
    mask: np.ndarray, steps: int, tapered: bool
) -> None:
    assert np.array_equal(
        grow(mask, steps, tapered_corners=tapered), naive(mask, steps, tapered=tapered)
    )


@given(MASKS, st.booleans())
def test_growing_without_end_ends(mask: np.ndarray, tapered: bool) -> None:
    highest = mask.max(axis=(1, 2), keepdims=True)
    lowest = mask.min(axis=(1, 2), keepdims=True)
    assert (grow(mask, 16384, tapered_corners=tapered) == highest).all()
    assert (grow(mask, -16384, tapered_corners=tapered) == lowest).all()


def test_a_point_grows_to_a_diamond_or_a_square() -> None:
    point = np.zeros((1, 7, 7), np.float32)
    point[0, 3, 3] = 1
    assert grow(point, 2, tapered_corners=True).sum() == 13
    assert grow(point, 2, tapered_corners=False).sum() == 25
    assert point.sum() == 1


@given(st.integers(0, 0xFFFFFF), st.floats(-0.0019, 0.0019))
def test_a_colour_is_found_within_half_a_level(colour: int, off: float) -> None:
    levels = np.array([colour >> 16, colour >> 8 & 0xFF, colour & 0xFF])
    pixels = np.tile(levels / 255 + off, (1, 2, 2, 1)).astype(np.float32)
    pixels[0, 0, 0, 1] = (levels[1] + 3) % 256 / 255
    assert colour_mask(pixels, colour).tolist() == [[[0.0, 1.0], [1.0, 1.0]]]


def test_alpha_does_not_count_as_colour() -> None:
    assert colour_mask(np.array([1, 0, 0, 0.3], np.float32).reshape(1, 1, 1, 4), 0xFF0000) == 1


def test_channels() -> None:
    pixels = np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(1, 1, 1, 4)
    found = [float(channel_mask(pixels, name)[0, 0, 0]) for name in ("red", "blue", "alpha")]
    assert found == pytest.approx([0.1, 0.3, 0.4])
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        channel_mask(pixels[..., :3], "alpha")
