"""What a sandbox has to begin with: pictures, model files and workflows, all made by ourselves."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from comfynb.sandbox.catalogue import Catalogue
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.workflows import workflow_names, workflow_text

__all__ = ["prepare"]

Pixels = npt.NDArray[np.uint8]


def prepare(settings: Settings, catalogue: Catalogue) -> None:
    """Make the base directory's folders and, where they are wanted, fill in the samples."""
    fresh = not settings.folder("input").exists()
    for kind in ("input", "output", "temp", "user", "models"):
        settings.folder(kind).mkdir(parents=True, exist_ok=True)
    wanted = fresh if settings.samples is None else settings.samples
    if not wanted:
        return
    for name, pixels in (
        ("gradient.png", _gradient()),
        ("portrait.png", _portrait()),
        ("pattern_alpha.png", _pattern_with_alpha()),
    ):
        path = settings.folder("input") / name
        if not path.exists():
            Image.fromarray(pixels).save(path)
    saved = settings.folder("user") / "default" / "workflows"
    saved.mkdir(parents=True, exist_ok=True)
    for name in workflow_names():
        path = saved / f"{name}.json"
        if not path.exists():
            path.write_text(workflow_text(name), encoding="utf-8")
    _write_models(settings.folder("models") / "checkpoints", catalogue, settings)


def _write_models(folder: Path, catalogue: Catalogue, settings: Settings) -> None:
    """Write an empty model file for every name that the bench loader offers."""
    if "LabLoader" not in catalogue:
        return
    names = settings.choices.get("LabLoader.name")
    if names is None:
        names = catalogue["LabLoader"].INPUTS["required"]["name"][0]
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"__metadata__": {"modelspec.title": "sandbox model"}}).encode()
    for name in names:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)  # names may have folders in them
            path.write_bytes(len(header).to_bytes(8, "little") + header)


def _grid(height: int, width: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    y, x = np.mgrid[0:height, 0:width]
    return y / (height - 1), x / (width - 1)


def _pixels(*channels: npt.NDArray[np.float64]) -> Pixels:
    stacked = np.stack(np.broadcast_arrays(*channels), axis=-1)
    pixels: Pixels = np.round(np.clip(stacked, 0, 1) * 255).astype(np.uint8)
    return pixels


def _gradient() -> Pixels:
    y, x = _grid(384, 512)
    return _pixels(x, y, 1 - (x + y) / 2)


def _portrait() -> Pixels:
    """Draw a head and shoulders of plain shapes before concentric rings."""
    y, x = _grid(640, 512)
    y = y * 1.25
    rings = 0.5 + 0.5 * np.sin(np.hypot(x - 0.5, y - 0.5) * 60)
    red, green, blue = 0.15 + 0.15 * rings, 0.25 + 0.2 * rings, 0.45 + 0.25 * rings
    for centre_y, radius_y, radius_x, colour in (
        (1.20, 0.38, 0.40, (0.55, 0.16, 0.20)),
        (0.50, 0.30, 0.22, (0.93, 0.76, 0.62)),
        (0.30, 0.14, 0.22, (0.25, 0.15, 0.10)),
        (0.65, 0.02, 0.08, (0.70, 0.25, 0.28)),
    ):
        inside = ((x - 0.5) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 < 1
        red, green, blue = (
            np.where(inside, value, channel)
            for value, channel in zip(colour, (red, green, blue), strict=True)
        )
    for centre_x in (0.42, 0.58):
        eye = np.hypot(x - centre_x, y - 0.48) < 0.025
        red, green, blue = (np.where(eye, 0.1, channel) for channel in (red, green, blue))
    return _pixels(red, green, blue)


def _pattern_with_alpha() -> Pixels:
    y, x = _grid(256, 256)
    checks = ((np.floor(x * 8) + np.floor(y * 8)) % 2).astype(np.float64)
    distance = np.hypot(x - 0.5, y - 0.5)
    return _pixels(checks, 1 - checks, x, np.clip(1.5 - 3 * distance, 0, 1))
