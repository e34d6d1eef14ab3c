"""A sweep as a live grid of pictures, with its pace, its backends and buttons."""

from collections.abc import Awaitable, Callable
from typing import Final

import ipywidgets

from comfynb.engine.sweeps.views import PointView, SweepView
from comfynb.engine.views import Watchable
from comfynb.models import JobStatus, SweepStatus
from comfynb.widgets.composite import Composite, html, set_class
from comfynb.widgets.live import Live, Ticker, call
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.sweeps.cells import CELL, PointCells, Rate
from comfynb.widgets.sweeps.text import (
    head_html,
    point_label,
    shares_table,
    sweep_line,
    sweep_styled,
    total_bar,
)
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import CannotShow, data_uri, shrink_file

__all__ = ["SweepGrid", "static_points"]

STATIC_POINTS: Final = 24
"""Pictures kept in a saved notebook: with 16 kB each at most, half a megabyte."""

Press = Callable[[], Awaitable[object] | None]


class SweepGrid(Composite):
    """A live grid for one sweep, which is watched weakly.

    ``pause``, ``resume``, ``cancel`` and ``retry`` are what the buttons do, ``rate`` what the stars
    do; each may return an awaitable.
    """

    def __init__(
        self,
        sweep: Watchable[SweepView],
        *,
        pause: Press | None = None,
        resume: Press | None = None,
        cancel: Press | None = None,
        retry: Press | None = None,
        rate: Rate | None = None,
    ) -> None:
        self._sweep = sweep
        view = sweep.view
        self._presses = {"pause": pause, "resume": resume, "cancel": cancel, "retry": retry}
        self._busy = False
        self._trouble = html()
        self._head = html()
        self._shares = html()
        self._buttons = {
            "pause": _button("Pause", "pause", "Send no more points; what is out ends"),
            "resume": _button("Resume", "play", "Hand out points again"),
            "cancel": _button("Cancel", "stop", "Stop this sweep; what is done stays done"),
            "retry": _button("Retry failed", "refresh", "Run again what did not complete"),
        }
        for name, button in self._buttons.items():
            button.on_click(lambda _, name=name: self._press(name))
        row = ipywidgets.HBox([b for n, b in self._buttons.items() if self._presses[n] is not None])
        row.add_class("comfynb-sweep-buttons")
        captioned = [axis for axis in view.axes if axis != "backend"]
        self._cells = PointCells(
            view.axes, captioned, label=f"Points of {one_line(view.name, 80)}", rate=rate
        )
        super().__init__([self._head, row, self._trouble, self._cells.widget, self._shares])
        self.add_class("comfynb-sweep-box")
        self._count = 0
        self._ticker = Ticker(self._tick)
        self._live: Live[SweepView] = Live(sweep, self._show)
        self._show(view)

    def _show(self, view: SweepView) -> None:
        self._head.value = head_html(view) + total_bar(view)
        self._shares.value = shares_table(view.backends).body() if view.backends else ""
        if len(view.points) != self._count:
            self._count = len(view.points)
            self._cells.grow([(number,) for number in range(self._count)])
        self._cells.show(view.points)
        self._show_buttons(view)
        if not view.status.is_terminal:
            self._ticker.start()

    def _show_buttons(self, view: SweepView) -> None:
        running, paused = view.status is SweepStatus.RUNNING, view.status is SweepStatus.PAUSED
        bad = (JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED)
        enabled = {
            "pause": running,
            "resume": paused,
            "cancel": running or paused,
            "retry": any(view.counts.get(status) for status in bad),
        }
        for name, button in self._buttons.items():
            button.disabled = self._busy or not view.mine or not enabled[name]
        set_class(self._buttons["pause"], "comfynb-hidden", on=paused)
        set_class(self._buttons["resume"], "comfynb-hidden", on=not paused)

    def _press(self, name: str) -> None:
        press = self._presses[name]
        if press is None or self._busy:
            return
        self._busy = True
        self._trouble.value = ""
        self._show_buttons(self._sweep.view)
        call(press, lambda _: self._pressed(""), self._pressed)

    def _pressed(self, why: str) -> None:
        self._busy = False
        self._trouble.value = f'<div class="comfynb-problem">{user(why, 600)}</div>' if why else ""
        self._show(self._sweep.view)

    def _tick(self) -> bool:
        if self.comm is None:
            return False
        view = self._sweep.view
        self._head.value = head_html(view) + total_bar(view)
        return not view.status.is_terminal

    def plain(self) -> str:
        """The sweep in one line, and its backends."""
        view = self._sweep.view
        shares = f"\n{shares_table(view.backends).plain()}" if view.backends else ""
        return sweep_line(view) + shares

    def body(self) -> str:
        """What stays in a saved notebook: as it is now, with the first pictures."""
        view = self._sweep.view
        shares = shares_table(view.backends).body() if view.backends else ""
        return head_html(view) + total_bar(view) + static_points(view) + shares

    def static_html(self) -> str:
        """The same as static HTML that needs no kernel and no widget."""
        return sweep_styled(self.body())

    def close(self) -> None:
        """Stop watching and close everything."""
        if hasattr(self, "_live"):
            self._live.stop()
            self._ticker.stop()
            self._cells.close()
        super().close()


def _button(text: str, icon: str, tooltip: str) -> ipywidgets.Button:
    return ipywidgets.Button(description=text, icon=icon, tooltip=tooltip, layout={"width": "auto"})


def static_points(view: SweepView) -> str:
    """The first points that have pictures, or went wrong, as static HTML."""
    worth = [point for point in view.points if point.pictures or point.error]
    figures = [_figure(point, view.axes) for point in worth[:STATIC_POINTS]]
    left = len(view.points) - len(figures)
    more = f'<div class="comfynb-soft">{left} more points</div>' if left else ""
    if not figures:
        return more
    return f'<div class="comfynb-sweep-static">{"".join(figures)}</div>{more}'


def _figure(point: PointView, axes: tuple[str, ...]) -> str:
    seen = look(point.status)
    label = one_line(point_label(point, axes, 60), 200)
    path = point.pictures[0].path if point.pictures else None
    inner = f'<div class="comfynb-blank">{esc(seen.sign)} {esc(seen.word)}</div>'
    if path is not None:
        try:
            inner = f'<img src="{data_uri(shrink_file(path, CELL))}" alt="{esc(label)}">'
        except CannotShow as why:
            inner = f'<div class="comfynb-blank">{esc(why)}</div>'
    return (
        f'<figure class="{seen.css_class}">{inner}'
        f'<figcaption title="{esc(label)}">{esc(seen.sign)} {user(label, 80)}</figcaption></figure>'
    )
