"""What drawings are made of: batches of equal things, in CSS pixels, with colours by name.

The same drawing goes to the browser's canvas (``wire``) and into an SVG (``svg``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from comfynb.widgets.canvas.geometry import Floats

__all__ = [
    "Clipped",
    "Images",
    "Lines",
    "Polygons",
    "Primitive",
    "Rects",
    "Texts",
    "marker",
    "rounded",
]


@dataclass(frozen=True, slots=True, eq=False)
class Rects:
    """Filled rectangles: ``boxes`` is (n, 4), x, y, width, height."""

    boxes: Floats
    fill: str
    alpha: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """Closed shapes with equally many corners: ``points`` is (n, corners, 2)."""

    points: Floats
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.0
    alpha: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Open lines with equally many points: ``points`` is (n, points, 2)."""

    points: Floats
    stroke: str
    width: float = 1.0
    alpha: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Lines of text, each with the place of its anchor, vertically in the middle."""

    items: Sequence[tuple[str, float, float]]
    fill: str
    size: float
    weight: int = 400
    align: str = "left"
    """One of left, center, right."""
    most: float | None = None
    """The text is squeezed where it would be wider; it was cut to fit by estimate before."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pictures by key, each with x, y, width, height."""

    items: Sequence[tuple[str, float, float, float, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Clipped:
    """A drawing of which only what lies in ``box`` is seen."""

    box: tuple[float, float, float, float]
    inside: "Sequence[Primitive]"


Primitive = Rects | Polygons | Lines | Texts | Images | Clipped

_QUARTER = np.linspace(0.0, np.pi / 2, 4)
_ARC = np.concatenate([_QUARTER + turn * np.pi / 2 for turn in range(4)])
_TURN = np.stack([np.cos(_ARC), np.sin(_ARC)], axis=1)  # (16, 2), clockwise from the right
_CORNER = np.sign(np.round(np.repeat([[1, 1], [-1, 1], [-1, -1], [1, -1]], 4, axis=0)))


def rounded(boxes: Floats, radius: float, *, top: bool = False, bottom: bool = False) -> Floats:
    """Rectangles (n, 4) with round corners as polygons (n, 16, 2).

    ``top`` or ``bottom``: only these corners are round.
    """
    half = boxes[:, None, 2:] / 2.0
    radii = np.minimum(half, radius)
    if top:
        radii = radii * (_CORNER[:, 1:] < 0)
    if bottom:
        radii = radii * (_CORNER[:, 1:] > 0)
    return np.asarray(boxes[:, None, :2] + half + _CORNER * (half - radii) + _TURN * radii)


_ROUND = np.linspace(0.0, 2 * np.pi, 14, endpoint=False)
_MARKERS = {
    "circle": np.stack([np.cos(_ROUND), np.sin(_ROUND)], axis=1),
    "hexagon": 1.12 * np.stack([np.cos(_ROUND[:6] * 14 / 6), np.sin(_ROUND[:6] * 14 / 6)], axis=1),
    "square": np.array([(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]),
    "diamond": np.array([(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)]),
    "triangle": np.array([(-0.9, -1.1), (1.2, 0.0), (-0.9, 1.1)]),
}


def marker(shape: str, x: Floats, y: Floats, radius: float) -> Floats:
    """One shape at many places as polygons."""
    places = np.stack([x, y], axis=1)
    return np.asarray(places[:, None, :] + _MARKERS[shape] * radius)
