"""Batches, stitching and framing."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from comfynb.sandbox.nodes.arrange import (
    DIRECTIONS,
    SPACING_COLOURS,
    join_batches,
    pad_for_outpaint,
    stitch,
)


def plain(value: float, height: int, width: int, channels: int = 3, count: int = 1) -> np.ndarray:
    return np.full((count, height, width, channels), value, np.float32)


def test_a_batch_takes_the_size_of_its_first() -> None:
    joined = join_batches(plain(0.1, 4, 6), plain(0.6, 9, 3, count=2))
    assert joined.shape == (3, 4, 6, 3)
    assert joined[1:] == pytest.approx(0.6, abs=1e-6)


def test_a_batch_of_both_kinds_has_alpha() -> None:
    for pair in ((3, 4), (4, 3)):
        joined = join_batches(plain(0.1, 4, 6, pair[0]), plain(0.1, 4, 6, pair[1]))
        assert joined.shape == (2, 4, 6, 4)
        assert sorted(joined[:, 0, 0, 3].tolist()) == pytest.approx([0.1, 1.0])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("colour", SPACING_COLOURS)
def test_stitch_without_resizing(direction: str, colour: str) -> None:
    first, second = plain(0.2, 4, 6), plain(0.8, 7, 3)
    joined = stitch(first, second, direction, match_size=False, spacing=3, colour=colour)
    sideways = direction in {"left", "right"}
    assert joined.shape[1:3] == ((7, 6 + 4 + 3) if sideways else (4 + 4 + 7, 6))
    # turned so that it reads from the first picture to the second, which begins at 0
    line = joined[0] if sideways else joined[0].transpose(1, 0, 2)
    if direction in {"left", "up"}:
        line = line[:, ::-1]
    length = 6 if sideways else 4
    assert np.array_equal(line[2, length : length + 4], np.tile(SPACING_COLOURS[colour], (4, 1)))
    centre = line[line.shape[0] // 2]
    assert (centre[:length] == np.float32(0.2)).all()
    assert (centre[length + 4 :] == np.float32(0.8)).all()
    margin = 1.0 if colour == "white" else 0.0
    narrow = line[:, :length] if sideways else line[:, length + 4 :]
    assert (narrow[0] == margin).all()  # 3 pixels are missing: 1 before, 2 after
    assert (narrow[1] != margin).all()
    assert (narrow[-2:] == margin).all()
    assert (narrow[-3] != margin).all()


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20),
    st.sampled_from(DIRECTIONS),
)  # fmt: skip
def test_matched_sizes_keep_the_aspect(h1: int, w1: int, h2: int, w2: int, direction: str) -> None:
    sideways = direction in {"left", "right"}
    added = int(h1 * (w2 / h2)) if sideways else int(w1 / (w2 / h2))
    if added == 0:
        with pytest.raises(ValueError, match="must be > 0"):
            stitch(plain(0.2, h1, w1), plain(0.8, h2, w2), direction, match_size=True)
        return
    joined = stitch(plain(0.2, h1, w1), plain(0.8, h2, w2), direction, match_size=True)
    assert joined.shape[1:3] == ((h1, w1 + added) if sideways else (h1 + added, w1))


def test_the_shorter_batch_repeats_its_last() -> None:
    second = np.concatenate([plain(0.5, 2, 2), plain(0.7, 2, 2)])
    joined = stitch(plain(0.1, 2, 2, count=3), second, "right", match_size=False)
    assert joined[:, 0, -1, 0].tolist() == pytest.approx([0.5, 0.7, 0.7])
    assert len(stitch(plain(0.1, 2, 2), second, "up", match_size=False)) == 2


def test_stitched_alpha_is_opaque() -> None:
    joined = stitch(plain(0.1, 2, 2), plain(0.5, 2, 2, 4), "right", match_size=False, spacing=2)
    assert joined[0, 0, :, 3].tolist() == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def frame(height: int, width: int, sides: tuple[int, int, int, int], feathering: int) -> np.ndarray:
    return pad_for_outpaint(plain(0.2, height, width), sides, feathering)[1]


def test_a_frame_is_grey_and_masked() -> None:
    framed, mask = pad_for_outpaint(plain(0.2, 3, 4, count=2), (1, 2, 3, 4), 0)
    assert framed.shape == (2, 9, 8, 3)
    assert mask.shape == (1, 9, 8)
    inside = np.zeros((9, 8), bool)
    inside[2:5, 1:5] = True
    assert (framed[:, inside] == np.float32(0.2)).all()
    assert (framed[:, ~inside] == 0.5).all()
    assert np.array_equal(mask[0], np.where(inside, 0, 1))


def test_the_mask_fades_out_along_widened_sides() -> None:
    mask = frame(10, 10, (2, 0, 0, 0), 4)[0]
    assert mask[5].tolist() == [1, 1, 1, 0.5625, 0.25, 0.0625, *[0] * 6]
    # from the right and from below, the last pixel is already one step in
    assert frame(10, 10, (0, 0, 2, 0), 4)[0, 5].tolist() == [*[0] * 7, 0.0625, 0.25, 0.5625, 1, 1]
    assert frame(10, 10, (0, 2, 0, 0), 4)[0, :, 5].tolist() == mask[5].tolist()
    assert frame(10, 10, (0, 0, 0, 2), 4)[0, :, 5].tolist() == [
        *[0] * 7, 0.0625, 0.25, 0.5625, 1, 1
    ]  # fmt: skip


@pytest.mark.parametrize(("feathering", "fades"), [(4, True), (5, False), (6, False)])
def test_no_fading_that_would_fill_half_the_picture(feathering: int, fades: bool) -> None:
    mask = frame(10, 12, (2, 2, 2, 2), feathering)[0]
    assert bool((mask[2:12, 2:14] > 0).any()) is fades
