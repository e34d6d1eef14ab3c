"""Float32 picture arrays."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from comfynb.sandbox.nodes.arrays import (
    fused,
    repeat_to_batch,
    same_channels,
    to_pillow,
    to_uint8,
    unit_floats,
    wrap_uint8,
)

NUMBERS = st.floats(-4, 4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_fused_rounds_once(a: float, b: float, c: float) -> None:
    result = float(fused(np.array([a]), np.array([b]), np.array([c]))[0])
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    half = Fraction(float(np.spacing(np.float32(abs(result))))) / 2
    # float64 between the two roundings may shift a tie, by its own rounding at most
    assert abs(Fraction(result) - exact) <= half * (1 + Fraction(1, 2**28))


def test_fused_keeps_what_two_roundings_lose() -> None:
    a = np.float32(1) + np.float32(2**-12)
    square = np.array([a], np.float32)
    assert square * square - np.float32(1 + 2**-11) == 0
    assert fused(square, square, np.array([-(1 + 2**-11)], np.float32)) == 2**-24


@given(st.integers(0, 255))
def test_levels_survive_the_way_there_and_back(level: int) -> None:
    pixels = unit_floats(np.full((1, 1, 3), level, np.uint8))
    # cutting off keeps a level only where 255 * (level / 255) did not round down
    assert to_uint8(pixels)[0, 0, 0] in {level, level - 1}
    assert np.array_equal(np.asarray(to_pillow(pixels)), to_uint8(pixels))


def test_levels_are_cut_off_and_clipped() -> None:
    pixels = np.array([-0.1, 0.0, 0.9999, 1.0, 1.7], np.float32)
    assert to_uint8(pixels).tolist() == [0, 0, 254, 255, 255]
    levels = np.array([-1, 0.9, 255.9, 256, 300], np.float32)
    assert wrap_uint8(levels).tolist() == [255, 0, 255, 0, 44]


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(2, 2, [0, 1]), (2, 5, [0, 1, 0, 1, 0]), (3, 1, [0])]
)
def test_batches_are_repeated_from_their_start(count: int, size: int, expected: list[int]) -> None:
    batch = np.arange(count, dtype=np.float32).reshape(count, 1, 1)
    assert repeat_to_batch(batch, size).ravel().tolist() == expected


@pytest.mark.parametrize(("first", "second"), [(3, 3), (3, 4), (4, 3), (4, 1)])
def test_the_source_takes_the_channels_of_the_destination(first: int, second: int) -> None:
    destination = np.zeros((1, 1, 1, first), np.float32)
    source = np.full((1, 1, 1, second), 0.5, np.float32)
    same, fitted = same_channels(destination, source)
    assert same is destination
    kept = min(first, second)
    assert fitted.ravel().tolist() == [0.5] * kept + [1.0] * (first - kept)
