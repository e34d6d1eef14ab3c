"""Blend modes and masked compositing."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from comfynb.sandbox.nodes.blend import BLEND_MODES, blend, composite


def plain(*values: float, size: tuple[int, int] = (2, 3), count: int = 1) -> np.ndarray:
    return np.full((count, *size, len(values)), values, np.float32)


@pytest.mark.parametrize(
    ("mode", "lower", "upper", "expected"),
    [
        ("normal", 0.2, 0.7, 0.7),
        ("multiply", 0.2, 0.7, 0.14),
        ("screen", 0.2, 0.7, 0.76),
        ("overlay", 0.2, 0.7, 0.28),
        ("overlay", 0.8, 0.7, 0.88),
        ("soft_light", 0.2, 0.3, 0.136),
        ("soft_light", 0.2, 0.7, 0.2992),
        ("soft_light", 0.64, 0.75, 0.72),
        ("difference", 0.7, 0.2, 0.5),
        ("difference", 0.2, 0.7, 0.0),
    ],
)
def test_modes(mode: str, lower: float, upper: float, expected: float) -> None:
    mixed = blend(plain(lower), plain(upper), 1.0, mode)
    assert mixed == pytest.approx(expected, abs=1e-6)
    halfway = blend(plain(lower), plain(upper), 0.5, mode)
    unclipped = lower - upper if mode == "difference" else expected
    assert halfway == pytest.approx(max(0.0, (lower + unclipped) / 2), abs=1e-6)


@given(st.sampled_from(BLEND_MODES), st.floats(0, 1), st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_the_result_is_a_picture(mode: str, factor: float, lower: float, upper: float) -> None:
    mixed = blend(plain(lower), plain(upper), factor, mode)
    assert mixed.dtype == np.float32
    assert mixed.min() >= 0
    assert mixed.max() <= 1


@pytest.mark.parametrize("mode", BLEND_MODES)
def test_none_of_the_upper_one(mode: str) -> None:
    assert np.array_equal(blend(plain(0.3), plain(0.9), 0.0, mode), plain(0.3))


def test_the_upper_one_is_fitted() -> None:
    mixed = blend(plain(0.0, 0.0, 0.0), plain(0.5, 0.5, 0.5, 1.0, size=(9, 5)), 1.0, "normal")
    assert mixed.shape == (1, 2, 3, 3)
    assert mixed == pytest.approx(0.5, abs=1e-6)


def test_an_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="'hue' is no blend mode; there are normal"):
        blend(plain(0.1), plain(0.1), 0.5, "hue")


@given(st.integers(-12, 12), st.integers(-12, 12), st.integers(1, 9), st.integers(1, 9))
def test_what_lies_outside_is_cut_off(x: int, y: int, width: int, height: int) -> None:
    destination = plain(0.25, size=(5, 7), count=2)
    source = np.arange(height * width, dtype=np.float32).reshape(1, height, width, 1) + 1
    result = composite(destination, source, x, y)
    assert np.array_equal(destination, plain(0.25, size=(5, 7), count=2))  # its input is left alone
    for row in range(5):
        for column in range(7):
            inside = 0 <= row - y < height and 0 <= column - x < width
            expected = source[0, row - y, column - x, 0] if inside else 0.25
            assert (result[:, row, column, 0] == expected).all()


def test_a_mask_is_stretched_over_the_source() -> None:
    destination, source = plain(0.0, size=(4, 4)), plain(1.0, size=(4, 4))
    mask = np.array([[[0, 1]]], np.float32)
    result = composite(destination, source, 0, 0, mask=mask)
    assert result[0, 0, :, 0].tolist() == [0.0, 0.25, 0.75, 1.0]


def test_a_source_is_stretched_over_the_destination() -> None:
    source = np.array([0, 1], np.float32).reshape(1, 1, 2, 1)
    result = composite(plain(0.5, size=(3, 4)), source, 1, 0, resize_source=True)
    assert result[0, 0, :, 0].tolist() == [0.5, 0.0, 0.25, 0.75]


def test_batches_are_repeated_and_cut() -> None:
    source = np.array([0.1, 0.2], np.float32).reshape(2, 1, 1, 1)
    result = composite(plain(0.0, size=(1, 1), count=3), source, 0, 0)
    assert result.ravel().tolist() == pytest.approx([0.1, 0.2, 0.1])
    assert len(composite(plain(0.0, size=(1, 1)), source, 0, 0)) == 1
    mask = np.array([0, 1], np.float32).reshape(2, 1, 1)
    half = composite(plain(0.0, size=(1, 1), count=3), plain(1.0, size=(1, 1)), 0, 0, mask=mask)
    assert half.ravel().tolist() == [0.0, 1.0, 0.0]


def test_alpha_is_made_and_dropped() -> None:
    opaque = composite(plain(0.1, 0.1, 0.1, 0.5), plain(0.9, 0.9, 0.9), 0, 0)
    assert np.array_equal(opaque, plain(0.9, 0.9, 0.9, 1.0))
    flat = composite(plain(0.1, 0.1, 0.1), plain(0.9, 0.9, 0.9, 0.2), 0, 0)
    assert np.array_equal(flat, plain(0.9, 0.9, 0.9))
