import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comfynb.widgets.thumbnails import (
    ENLARGED,
    THUMBNAIL,
    CannotShow,
    Picture,
    Target,
    data_uri,
    in_thread,
    shrink,
    shrink_file,
)


def encoded(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def decoded(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.data))


@pytest.mark.parametrize("target", [THUMBNAIL, ENLARGED])
def test_even_noise_stays_within_the_limit(target: Target) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1700, 3), dtype=np.uint8)
    picture = shrink(encoded(Image.fromarray(noise)), target)
    assert len(picture.data) <= target.limit
    assert max(decoded(picture).size) <= target.pixels
    assert (picture.width, picture.height) == (1700, 1200)
    assert data_uri(picture).startswith("data:image/webp;base64,")


def test_small_pictures_are_not_enlarged() -> None:
    assert decoded(shrink(encoded(Image.new("RGB", (20, 10), "red")))).size == (20, 10)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_a_picture(mode: str) -> None:
    image = Image.linear_gradient("L")
    if mode in {"I;16", "I", "F"}:
        wide = np.asarray(image).astype({"I;16": "uint16", "I": "int32", "F": "float32"}[mode])
        image = Image.fromarray(wide * (257 if mode != "F" else 1 / 255))
        assert image.mode == mode
    else:
        image = image.convert(mode)
    shown = decoded(shrink(encoded(image, "TIFF"))).convert("L")
    rows = np.asarray(shown).mean(axis=1)
    assert rows[0] < 40
    assert rows[-1] > 200  # the gradient is still there: nothing was cut off or wrapped


def test_transparency_is_kept() -> None:
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert decoded(shrink(encoded(image))).mode == "RGBA"


def test_a_turned_photo_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    picture = shrink(encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif))
    assert (picture.width, picture.height) == (20, 40)
    assert decoded(picture).size == (20, 40)


def test_an_animation_is_known_as_one() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert shrink(data).animated


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_cannot_be_shown(data: bytes) -> None:
    with pytest.raises(CannotShow):
        shrink(data)


@settings(max_examples=150)
@given(st.data())
def test_damaged_pictures_are_shown_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP"]))
    whole = encoded(Image.linear_gradient("L"), kind)
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + 4 :]
    try:
        picture = shrink(broken)
    except CannotShow:
        return
    else:
        decoded(picture).load()


def test_what_would_start_another_program_is_no_picture() -> None:
    with pytest.raises(CannotShow, match="not a picture"):
        shrink(encoded(Image.new("RGB", (10, 10)), "EPS"))


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (10, 10))))
    assert shrink_file(path) is shrink_file(path)
    path.write_bytes(encoded(Image.new("RGB", (30, 10))))
    assert shrink_file(path).width == 30


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotShow, match="gone"):
        shrink_file(tmp_path / "none.png")
    with pytest.raises(CannotShow, match="cannot be read"):
        shrink_file(tmp_path)


async def test_decoding_does_not_happen_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from comfynb.widgets import thumbnails

    threads: list[threading.Thread] = []

    def spy(data: bytes, target: Target = THUMBNAIL) -> Picture:
        threads.append(threading.current_thread())
        return shrink(data, target)

    monkeypatch.setattr(thumbnails, "shrink", spy)
    await in_thread(encoded(Image.new("RGB", (10, 10))))
    assert threads != [threading.main_thread()]
