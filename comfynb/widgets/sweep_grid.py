"""A sweep as a live grid of pictures, with its pace, its backends and buttons."""

from collections.abc import Callable
from typing import Any

from comfynb.engine.sweeps.views import SweepView
from comfynb.engine.views import Watchable
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.live import Live
from comfynb.widgets.sweep_text import head_html, shares_table, sweep_line

__all__ = ["SweepGrid"]


class SweepGrid(Composite):
    """A live grid."""

    def __init__(self, sweep: Watchable[SweepView], **buttons: Callable[..., Any]) -> None:
        self._sweep = sweep
        self._head = html()
        super().__init__([self._head])
        self._live: Live[SweepView] = Live(sweep, self._show)
        self._show(sweep.view)

    def _show(self, view: SweepView) -> None:
        self._head.value = head_html(view)

    def plain(self) -> str:
        """One line."""
        return sweep_line(self._sweep.view)

    def body(self) -> str:
        """Static."""
        view = self._sweep.view
        return head_html(view) + shares_table(view.backends).body()
