"""The look of what is shown of deployments: one more style sheet, and how things are put."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

import ipywidgets

from comfynb.deploy.lock.report import RiskLevel
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.markup import esc, user
from comfynb.widgets.theme import styled

__all__ = ["DeployBox", "chip", "deploy_styled", "risk_chip", "size", "told", "wide"]


@cache
def _css() -> str:
    folder = resources.files("comfynb.widgets.deploy") / "static"
    return (folder / "deploy.css").read_text("utf-8")


def deploy_styled(body: str) -> str:
    """``body`` with the style sheets: static HTML that needs nothing else."""
    return f"<style>{_css()}</style>{styled(body)}"


class DeployBox(Composite):
    """A composite with the style of deployments."""

    def __init__(self, children: Sequence[ipywidgets.Widget] = ()) -> None:
        self._sheet = html(f"<style>{_css()}</style>", "comfynb-style")
        super().__init__([self._sheet, *children])
        self.add_class("comfynb-deploy")

    def show_children(self, children: Sequence[ipywidgets.Widget]) -> None:
        """Replace what is shown; the style stays."""
        super().show_children([self._sheet, *children])

    def static_html(self) -> str:
        """The same as static HTML that needs no kernel and no widget."""
        return deploy_styled(self.body())


def chip(sign: str, word: str, css_class: str) -> str:
    """HTML of a small label that says how something is, by a sign and a word."""
    return (
        f'<span class="comfynb-chip {css_class}">'
        f'<span class="comfynb-sign" aria-hidden="true">{sign}</span>{esc(word)}</span>'
    )


_RISKS: dict[RiskLevel, tuple[str, str]] = {
    "high": ("✕", "comfynb-failed"),
    "medium": ("!", "comfynb-paused"),
    "low": ("○", "comfynb-pending"),
}


def risk_chip(level: RiskLevel) -> str:
    """HTML of the label of a risk's level."""
    sign, css_class = _RISKS[level]
    return chip(sign, level, css_class)


def told(text: str, *, bad: bool = False) -> str:
    """HTML of a sentence under a form: what went wrong, or how it stands."""
    if not text:
        return ""
    if bad:
        return f'<div class="comfynb-problem" role="alert">{user(text, 600)}</div>'
    return f'<div role="status">{user(text, 600)}</div>'


def size(count: int | None) -> str:
    """Bytes for people; "size unknown" where nobody says."""
    if count is None:
        return "size unknown"
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.2f} GiB"


def wide(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 model", "2 models"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
