"""The look of every widget: one style sheet for a page, and each status in a sign and a word."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import ipywidgets

from comfynb.models import JobStatus
from comfynb.widgets.markup import esc

__all__ = ["StatusLook", "chip", "css", "look", "online_chip", "style_sheet", "styled"]


@dataclass(frozen=True, slots=True)
class StatusLook:
    """How a status is told without relying on colour: a sign and a word, beside the CSS class."""

    sign: str
    word: str

    @property
    def css_class(self) -> str:
        """The class that sets the status's colour."""
        return f"comfynb-{self.word}"


# Signs are plain characters that the common fonts have and that never turn into emoji.
_SIGNS = {
    "pending": "○",
    "running": "►",
    "paused": "‖",
    "completed": "✓",
    "failed": "✕",
    "cancelled": "⊘",
    "skipped": "↷",
    "lost": "?",
}


def look(status: JobStatus) -> StatusLook:
    """The sign, word and class of ``status``."""
    return StatusLook(_SIGNS.get(status.value, "•"), status.value)


def _chip(sign: str, word: str, css_class: str) -> str:
    return (
        f'<span class="comfynb-chip {css_class}">'
        f'<span class="comfynb-sign" aria-hidden="true">{sign}</span>{esc(word)}</span>'
    )


def chip(status: JobStatus) -> str:
    """HTML of the small label that shows ``status``."""
    seen = look(status)
    return _chip(seen.sign, seen.word, seen.css_class)


def online_chip(online: bool | None, enabled: bool) -> str:
    """HTML of the small label that shows whether a backend answers."""
    if not enabled:
        return _chip("‖", "disabled", "comfynb-cancelled")
    if online is None:
        return _chip("○", "asking", "comfynb-pending")
    if online:
        return _chip("●", "online", "comfynb-completed")
    return _chip("✕", "offline", "comfynb-failed")


@cache
def css() -> str:
    """The whole style sheet."""
    return (resources.files("comfynb.widgets") / "static" / "comfynb.css").read_text("utf-8")


def styled(body: str) -> str:
    """``body`` with the style sheet: static HTML that needs nothing else."""
    return f'<style>{css()}</style><div class="comfynb">{body}</div>'


_shared: ipywidgets.HTML | None = None


def style_sheet() -> ipywidgets.HTML:
    """The widget that brings the style sheet to a page.

    All composites of a kernel have the same one among their children: the sheet travels once, each
    view of it is one ``<style>`` element, and wherever a composite is shown its style is there too,
    after a reload as well. It is made anew after ``Widget.close_all()``.
    """
    global _shared  # noqa: PLW0603
    if _shared is None or _shared.comm is None:
        _shared = ipywidgets.HTML(f"<style>{css()}</style>")
        _shared.add_class("comfynb-style")
    return _shared
