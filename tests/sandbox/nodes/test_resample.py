"""Resizing, against torch's and Pillow's own results."""

import hashlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from PIL import Image

from comfynb.sandbox.nodes.arrays import Array, to_uint8
from comfynb.sandbox.nodes.resample import UPSCALE_METHODS, crop_to_aspect, resample, upscale

SIZES = st.integers(1, 40)
PIXELS = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 2), SIZES, SIZES, st.just(3)), elements=st.integers(0, 255)
).map(lambda levels: levels.astype(np.float32) / np.float32(255))
SMOOTH = [method for method in UPSCALE_METHODS if method != "lanczos"]


def pattern(height: int, width: int, channels: int = 3, count: int = 1) -> Array:
    n = np.arange(count * height * width * channels)
    levels = (n * n * 7 + n * 13) % 256
    shaped = levels.reshape(count, height, width, channels).astype(np.float32)
    return shaped / np.float32(255)


# What torch.nn.functional.interpolate 2.13.0 (CPU, AVX2) makes of pattern(37, 53), given as the
# first digits of the SHA-256 of its float32 values [B, H, W, C].
@pytest.mark.parametrize(
    ("method", "shape", "digest"),
    [
        ("nearest-exact", (1, 20, 64, 3), "7f45478451d04f9e"),
        ("nearest-exact", (2, 63, 90, 3), "d559fd870f18f521"),
        ("nearest-exact", (1, 10, 13, 3), "857c8ea403316f70"),
        ("nearest-exact", (1, 129, 200, 3), "e2f1efd1d7187f4b"),
        ("nearest-exact", (1, 37, 53, 3), "dec01b8fe6d5c853"),
        ("nearest-exact", (1, 1, 1, 3), "c1250330f9c9a3de"),
        ("nearest-exact", (3, 41, 7, 1), "7a813d3fbb5bdf2d"),
        ("nearest-exact", (1, 150, 170, 1), "90d80c5bca11bea7"),
        ("nearest-exact", (1, 90, 31, 4), "70688a99e8212984"),
        ("bilinear", (1, 20, 64, 3), "ac65f4ba7813cd2f"),
        ("bilinear", (2, 63, 90, 3), "6b85c059dae30e0a"),
        ("bilinear", (1, 10, 13, 3), "d6ad81e002e19600"),
        ("bilinear", (1, 129, 200, 3), "db6956fe8c6eb149"),
        ("bilinear", (1, 37, 53, 3), "dec01b8fe6d5c853"),
        ("bilinear", (1, 1, 1, 3), "c1250330f9c9a3de"),
        ("bilinear", (3, 41, 7, 1), "a4a076042e5bf40e"),
        ("bilinear", (1, 150, 170, 1), "0433024633915258"),
        ("bilinear", (1, 90, 31, 4), "db0c4d74a04ba7c1"),
        ("area", (1, 20, 64, 3), "e03683db43885f46"),
        ("area", (2, 63, 90, 3), "ffa0b1a8ab64d720"),
        ("area", (1, 10, 13, 3), "85d49b44ad27f9f2"),
        ("area", (1, 129, 200, 3), "a2dfc0bf925494d3"),
        ("area", (1, 37, 53, 3), "dec01b8fe6d5c853"),
        ("area", (3, 41, 7, 1), "8b59568b4ce1cb24"),
        ("area", (1, 150, 170, 1), "f0f69913ceb4c24b"),
        ("area", (1, 90, 31, 4), "53b613a4045706f1"),
        ("bicubic", (1, 20, 64, 3), "0b8196a1f7471b0d"),
        ("bicubic", (2, 63, 90, 3), "cd66a5b9eb242ef8"),
        ("bicubic", (1, 10, 13, 3), "8c9427ff66af6a3c"),
        ("bicubic", (1, 129, 200, 3), "c7ce7d1034c5b4a1"),
        ("bicubic", (1, 37, 53, 3), "dec01b8fe6d5c853"),
        ("bicubic", (3, 41, 7, 1), "9eccc1d1b164e193"),
        ("bicubic", (1, 150, 170, 1), "afd11b627e166fc2"),
        ("bicubic", (1, 90, 31, 4), "3fac9a3c039a1fd3"),
    ],
)
def test_same_bits_as_torch(method: str, shape: tuple[int, int, int, int], digest: str) -> None:
    count, height, width, channels = shape
    resized = resample(pattern(37, 53, channels, count), width, height, method)
    assert resized.dtype == np.float32
    assert resized.shape == shape
    assert hashlib.sha256(resized.astype("<f4").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("bilinear", [0.0, 0.35714290, 0.92857146, 0.49999988, 0.03571439, 0.32142866, 0.5]),
        (
            "bicubic",
            [-0.09921646, 0.40224135, 0.98897594, 0.54687488, -0.01758382, 0.26813057, 0.54960823],
        ),
    ],
)
def test_torch_in_numbers(method: str, expected: list[float]) -> None:
    line = np.array([0, 1, 0, 0.5], np.float32).reshape(1, 1, 4, 1)
    assert resample(line, 7, 1, method).ravel() == pytest.approx(expected, abs=1e-7)


def test_area_is_the_mean_of_what_is_touched() -> None:
    line = np.array([0, 1, 0, 0.5], np.float32).reshape(1, 1, 4, 1)
    assert resample(line, 3, 1, "area").ravel().tolist() == [0.5, 0.5, 0.25]
    assert resample(pattern(9, 7), 1, 1, "area").ravel() == pytest.approx(
        pattern(9, 7).mean((0, 1, 2)), abs=1e-6
    )


# Two source pixels and a centre between them that float32 cannot hold: torch's two kernels differ.
@pytest.mark.parametrize(("width", "first"), [(41, 21), (123, 62), (141, 70)])
def test_nearest_rounds_like_the_kernel_torch_takes(width: int, first: int) -> None:
    line = np.array([0, 1], np.float32).reshape(1, 1, 2, 1)
    assert resample(line, width, 1, "nearest-exact").ravel().tolist().index(1.0) == first


@given(PIXELS, SIZES, SIZES)
def test_lanczos_is_pillows(pixels: Array, width: int, height: int) -> None:
    resized = resample(pixels, width, height, "lanczos")
    for ours, source in zip(resized, pixels, strict=True):
        theirs = Image.fromarray(to_uint8(source)).resize((width, height), Image.Resampling.LANCZOS)
        assert np.array_equal(ours * np.float32(255), np.asarray(theirs))


def test_lanczos_resizes_one_channel() -> None:
    assert resample(pattern(5, 6, 1), 9, 4, "lanczos").shape == (1, 4, 9, 1)


@given(PIXELS, st.sampled_from(SMOOTH))
def test_same_size_changes_nothing(pixels: Array, method: str) -> None:
    height, width = pixels.shape[1:3]
    if method == "area" and height == width == 1:
        return
    assert np.array_equal(resample(pixels, width, height, method), pixels)


@given(PIXELS, SIZES, SIZES, st.sampled_from(["nearest-exact", "bilinear", "area"]))
def test_stays_within_the_values_there_were(
    pixels: Array, width: int, height: int, method: str
) -> None:
    resized = resample(pixels, width, height, method)
    slack = np.float32(0 if method == "nearest-exact" else 1e-5)
    assert resized.min() >= pixels.min() - slack
    assert resized.max() <= pixels.max() + slack


@given(st.tuples(SIZES, SIZES), SIZES, SIZES, st.integers(0, 255), st.sampled_from(UPSCALE_METHODS))
def test_a_plain_picture_stays_plain(
    old: tuple[int, int], height: int, width: int, level: int, method: str
) -> None:
    value = np.float32(level) / np.float32(255)
    resized = resample(np.full((1, *old, 3), value, np.float32), width, height, method)
    # lanczos goes through 8 bits, where cutting off may lose one level
    assert resized == pytest.approx(value, abs=1 / 255 if method == "lanczos" else 1e-5)


@given(PIXELS, SIZES, SIZES, st.sampled_from(SMOOTH))
def test_each_picture_of_a_batch_is_on_its_own(
    pixels: Array, width: int, height: int, method: str
) -> None:
    together = resample(pixels, width, height, method)
    apart = [resample(pixels[i : i + 1], width, height, method) for i in range(len(pixels))]
    assert np.array_equal(together, np.concatenate(apart))


@given(SIZES, SIZES, st.integers(1, 60), st.integers(1, 60))
def test_centre_crop_keeps_the_centre(
    old_height: int, old_width: int, width: int, height: int
) -> None:
    pixels = np.arange(old_height * old_width, dtype=np.float32).reshape(
        1, old_height, old_width, 1
    )
    cut = crop_to_aspect(pixels, width, height)
    top, left = divmod(int(cut[0, 0, 0, 0]), old_width) if cut.size else (0, 0)
    if cut.size:
        assert top == old_height - top - cut.shape[1]
        assert left == old_width - left - cut.shape[2]
        assert min(top, left) == 0


def test_centre_crop_halves_round_to_even() -> None:
    pixels = pattern(10, 15)
    assert crop_to_aspect(pixels, 10, 10).shape == (1, 10, 11, 3)  # 2.5 rounds to 2
    assert crop_to_aspect(pattern(10, 17), 10, 10).shape == (1, 10, 9, 3)  # 3.5 rounds to 4


@pytest.mark.parametrize("method", UPSCALE_METHODS)
@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
def test_no_picture_of_no_pixels(method: str, width: int, height: int) -> None:
    error = ValueError if method == "lanczos" else RuntimeError
    with pytest.raises(error, match=r"> 0|greater than 0"):
        upscale(pattern(4, 4), width, height, method)
    with pytest.raises(RuntimeError, match=f"{width} x {height} pixels"):
        upscale(pattern(4, 4), width, height, method, "center")


def test_a_crop_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(RuntimeError, match="greater than 0"):
        upscale(pattern(3, 300), 1, 10_000, "bilinear", "center")


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="'cubic' is no upscale method"):
        resample(pattern(4, 4), 5, 5, "cubic")
