"""How plots of metrics look: colours and dashes that are told apart, and text that stays text."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from comfynb.models import JobStatus
from comfynb.widgets.markup import clean, clip
from comfynb.widgets.theme import styled

__all__ = [
    "COLOURS",
    "DASHES",
    "STATUSES",
    "LineLook",
    "StatusBar",
    "line_look",
    "metrics_styled",
    "plot_text",
    "spoken",
]

COLOURS: Final = ("#0072b2", "#d55e00", "#00935f", "#b8649a", "#9a7400", "#7a7a7a")
"""After Okabe and Ito, told apart by colour-blind people; each has a contrast of at least 3 to 1
on white and on JupyterLab's dark background alike."""
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
STROKES: Final = ("", "7 4", "2 3", "7 3 2 3", "12 4", "12 3 2 3")
"""The same dashes for SVG."""


@dataclass(frozen=True, slots=True)
class LineLook:
    """Colour and dash of a backend's lines."""

    colour: str
    dash: str
    stroke: str


def line_look(place: int) -> LineLook:
    """The look of the backend at ``place``: 36 of them before one comes again."""
    shade, turn = place % len(COLOURS), place // len(COLOURS)
    dash = (shade + turn) % len(DASHES)
    return LineLook(COLOURS[shade], DASHES[dash], STROKES[dash])


@dataclass(frozen=True, slots=True)
class StatusBar:
    """Colour and pattern of the bars of one status."""

    status: JobStatus
    colour: str
    pattern: str


STATUSES: Final = (
    StatusBar(JobStatus.COMPLETED, "#3f8f4f", ""),
    StatusBar(JobStatus.RUNNING, "#2f7fd0", "/"),
    StatusBar(JobStatus.FAILED, "#d0463c", "x"),
    StatusBar(JobStatus.CANCELLED, "#828282", "-"),
    StatusBar(JobStatus.LOST, "#b07a00", "."),
)

# Marks that turn the direction of what follows them: they must not leave the text they came with.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plot_text(text: object, limit: int = 120) -> str:
    """Foreign text for a plotly figure, where ``<b>``, ``<a href>`` and entities are read as such.

    It is on one line, clipped, with nothing that plotly takes for a tag, and its writing direction
    kept to itself. Quotes stay: plotly knows no entity for them, and none of this is an attribute.
    """
    flat = clip(" ".join(clean(text).split()), limit)
    flat = _DIRECTION.sub("\N{REPLACEMENT CHARACTER}", flat)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\u2068{flat}\u2069"


_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def spoken(seconds: float) -> str:
    """A length of time in words: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``1 h 5 min``, ``2 d``."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    left = round(seconds)
    begin = next(place for place, (_, size) in enumerate(_UNITS) if left >= size)
    parts = []
    for name, size in _UNITS[begin : begin + 2]:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts)


@cache
def _css() -> str:
    folder = resources.files("comfynb.widgets.metrics") / "static"
    return (folder / "metrics.css").read_text("utf-8")


def metrics_styled(body: str) -> str:
    """``body`` with the style sheets: static HTML that needs nothing else."""
    return f"<style>{_css()}</style>{styled(body)}"
