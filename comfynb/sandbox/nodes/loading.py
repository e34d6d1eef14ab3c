"""Reading picture files into IMAGE and MASK arrays."""

import hashlib
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageSequence

from comfynb.sandbox.node import Context
from comfynb.sandbox.nodes.arrays import Array, unit_floats

__all__ = ["MASK_CHANNELS", "file_digest", "input_files", "load_mask", "load_pictures", "missing"]

MASK_CHANNELS = ("alpha", "red", "green", "blue")

_NO_MASK = (64, 64)  # what a picture without alpha has for a mask: nothing masked

T = TypeVar("T")
U = TypeVar("U")


def input_files(folder: Path, *, pictures_only: bool) -> list[str]:
    """Return the names of the files in ``folder`` itself, sorted."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    if pictures_only:
        names = [name for name in names if _is_picture(name)]
    return sorted(names)


def _is_picture(name: str) -> bool:
    kind, _ = mimetypes.guess_type(name, strict=False)
    return kind is not None and kind.startswith("image/")


def missing(ctx: Context, name: object) -> str | None:
    """Say that an input file is not there; ``None`` when it is, or when a link will name it."""
    if name is None:
        return None
    if not isinstance(name, str):
        kind = type(name).__name__  # ComfyUI fails over it, and shows these words to the client
        raise AttributeError(f"{kind!r} object has no attribute 'endswith'")  # noqa: TRY004
    try:
        found = ctx.resolve_input(name).exists()  # a folder passes too, and fails when it is read
    except (ValueError, OSError):  # outside its folder, or no name that a file can have
        found = False
    return None if found else f"Invalid image file: {name}"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_pictures(path: Path) -> tuple[Array, Array]:
    """Read every frame of a picture file: IMAGE ``[B, H, W, 3]`` and MASK ``[B, H, W]``.

    The mask is 1 where the picture is transparent; a picture without alpha gives zeros of 64 x 64
    pixels. Frames of another size than the first are left out. Raises OSError for a file that
    is no picture.
    """
    pictures: list[Array] = []
    masks: list[Array] = []
    with _tolerant(Image.open, path) as file:
        for frame in ImageSequence.Iterator(file):
            upright = _tolerant(ImageOps.exif_transpose, frame)
            if upright.mode == "I":
                upright = _sixteen_bits(upright)
            picture = upright.convert("RGB")
            if pictures and picture.size != pictures[0].shape[1::-1]:
                continue
            pictures.append(unit_floats(np.asarray(picture)))
            masks.append(_transparency(upright))
        if file.format == "MPO":  # two views of one scene, not two frames
            del pictures[1:], masks[1:]
    return np.stack(pictures), np.stack(masks)


def load_mask(path: Path, channel: str) -> Array:
    """Read one channel (one of `MASK_CHANNELS`) of a picture file as MASK ``[1, H, W]``.

    Alpha is turned over: 1 where the picture is transparent.
    """
    with _tolerant(Image.open, path) as file:
        picture = _tolerant(ImageOps.exif_transpose, file)
        if picture.getbands() != ("R", "G", "B", "A"):
            if picture.mode == "I":
                picture = _sixteen_bits(picture)
            picture = picture.convert("RGBA")
        mask = unit_floats(np.asarray(picture.getchannel(channel[0].upper())))
    return (1 - mask if channel == "alpha" else mask)[None]


def _transparency(picture: Image.Image) -> Array:
    if "A" in picture.getbands():
        alpha = picture.getchannel("A")
    elif picture.mode == "P" and "transparency" in picture.info:
        alpha = picture.convert("RGBA").getchannel("A")
    else:
        return np.zeros(_NO_MASK, np.float32)
    return 1 - unit_floats(np.asarray(alpha))


def _sixteen_bits(picture: Image.Image) -> Image.Image:
    return picture.point(lambda level: level * (1 / 255))


def _tolerant(read: Callable[[T], U], source: T) -> U:
    """Call ``read``; a file that ends too soon is read as far as it goes."""
    try:
        return read(source)
    except (OSError, ValueError):
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return read(source)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before
