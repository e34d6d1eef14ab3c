"""Reading picture files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comfynb.sandbox.node import Context
from comfynb.sandbox.nodes.loading import input_files, load_mask, load_pictures, missing

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def test_a_picture_without_alpha(tmp_path: Path) -> None:
    pictures, masks = load_pictures(save(tmp_path / "x.png", Image.fromarray(COLOUR)))
    assert pictures.dtype == masks.dtype == np.float32
    assert np.array_equal(pictures[0], COLOUR.astype(np.float32) / np.float32(255))
    assert masks.shape == (1, 64, 64)
    assert not masks.any()


def test_alpha_becomes_a_mask_of_what_is_transparent(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.fromarray(np.dstack([COLOUR, GREY])))
    pictures, masks = load_pictures(path)
    assert pictures.shape == (1, 4, 6, 3)
    transparent = np.float32(1) - GREY.astype(np.float32) / np.float32(255)
    assert np.array_equal(masks[0], transparent)
    assert np.array_equal(load_mask(path, "alpha")[0], transparent)
    assert np.array_equal(load_mask(path, "green")[0] * np.float32(255), COLOUR[..., 1])


def test_a_transparent_palette_entry_is_masked(tmp_path: Path) -> None:
    picture = Image.fromarray(GREY).convert("P")
    path = save(tmp_path / "x.png", picture, transparency=picture.getpixel((0, 0)))
    masks = load_pictures(path)[1]
    assert masks.shape == (1, 4, 6)
    assert masks[0, 0, 0] == 1
    assert masks.sum() == 1


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "CMYK", "I", "F"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / "x.tiff", Image.fromarray(GREY).convert(mode))
    assert load_pictures(path)[0].shape == (1, 4, 6, 3)
    assert load_mask(path, "red").shape == (1, 4, 6)


def test_sixteen_bits_are_scaled_down(tmp_path: Path) -> None:
    wide = Image.fromarray(GREY.astype(np.int32) * 255)
    for name in ("x.tiff",):
        path = save(tmp_path / name, wide)
        assert np.array_equal(load_pictures(path)[0][0, ..., 0] * np.float32(255), GREY)
        assert np.array_equal(load_mask(path, "red")[0] * np.float32(255), GREY)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "x.png", Image.fromarray(np.dstack([COLOUR, GREY])), exif=exif)
    pictures, masks = load_pictures(path)
    assert pictures.shape == (1, 6, 4, 3)
    assert masks.shape == load_mask(path, "alpha").shape == (1, 6, 4)
    assert np.array_equal(pictures[0, ..., 0] * np.float32(255), np.rot90(GREY, -1))


def test_frames_of_the_first_ones_size(tmp_path: Path) -> None:
    frames = [Image.new("RGB", size, (level, 0, 0)) for level, size in
              ((10, (6, 4)), (20, (6, 4)), (30, (5, 4)), (40, (6, 4)))]  # fmt: skip
    path = save(tmp_path / "x.tiff", frames[0], save_all=True, append_images=frames[1:])
    pictures, masks = load_pictures(path)
    levels = pictures[:, 0, 0, 0] * np.float32(255)
    assert levels.tolist() == [10, 20, 40]
    assert masks.shape == (3, 64, 64)


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / "x.png", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:6000])
    pictures = load_pictures(path)[0]
    assert np.array_equal(pictures[0, :16] * np.float32(255), noise[:16])
    assert not pictures[0, -16:].any()


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("hello")
    with pytest.raises(OSError, match=r"x\.png"):
        load_pictures(path)
    with pytest.raises(OSError, match=r"x\.png"):
        load_mask(path, "red")


def test_input_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.webp", "note.txt", "clip.mp4", "noext"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert input_files(tmp_path, pictures_only=True) == ["a.JPG", "b.png", "c.webp"]
    assert "note.txt" in input_files(tmp_path, pictures_only=False)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("in.png", True),
        ("in.png [input]", True),
        ("sub/out.png [output]", True),
        ("out.png [output]", False),
        ("in.png [temp]", False),
        ("../in/in.png", True),
        ("../output/sub/out.png", False),
        ("/etc/hostname", False),
        ("in.png\0", False),
        ("x" * 5000, False),
        ("", True),  # the folder itself: it fails when it is read
        (None, True),
    ],
)
def test_missing_files(tmp_path: Path, name: object, found: bool) -> None:
    folders = {kind: tmp_path / kind for kind in ("in", "output", "temp")}
    for path in folders.values():
        path.mkdir()
    (tmp_path / "output/sub").mkdir()
    (tmp_path / "in/in.png").touch()
    (tmp_path / "output/sub/out.png").touch()
    ctx = Context({"input": folders["in"], "output": folders["output"], "temp": folders["temp"]})
    message = missing(ctx, name)
    assert message == (None if found else f"Invalid image file: {name}")


def test_a_number_cannot_name_a_file() -> None:
    with pytest.raises(AttributeError, match="'int' object has no attribute 'endswith'"):
        missing(Context({}), 7)
