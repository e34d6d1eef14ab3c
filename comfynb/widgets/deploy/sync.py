"""A sync of the catalogue while it runs: how far, what became of the entries, stop and go on."""

from collections.abc import Callable

import ipywidgets

from comfynb.deploy.sync import SyncView
from comfynb.engine.views import Watchable
from comfynb.models import SyncStatus
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.deploy.look import DeployBox, chip, told
from comfynb.widgets.deploy.views import Answer
from comfynb.widgets.live import Live, call
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.tables import StaticTable

__all__ = ["SyncMonitor"]

_LOOKS = {
    SyncStatus.PENDING: ("○", "waiting", "comfynb-pending"),
    SyncStatus.RUNNING: ("►", "running", "comfynb-running"),
    SyncStatus.COMPLETED: ("✓", "completed", "comfynb-completed"),
    SyncStatus.FAILED: ("✕", "failed", "comfynb-failed"),
    SyncStatus.CANCELLED: ("⊘", "cancelled", "comfynb-cancelled"),
}
Source = Watchable[SyncView | None]


class SyncMonitor(DeployBox):
    """Follows a sync; its view is None until it has begun.

    ``resume`` begins to go on with one that ended early, and gives what is watched from then on.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        cancel: Callable[[], Answer[object]],
        resume: Callable[[], Source],
    ) -> None:
        self._name = name
        self._source = source
        self._cancel = cancel
        self._resume = resume
        self._text = html()
        self._message = html("", "comfynb-note")
        self._stop = ipywidgets.Button(description="Cancel", icon="stop")
        self._stop.tooltip = "Stop after what is being written; it can be resumed"
        self._stop.on_click(lambda _: self._press_stop())
        self._go_on = ipywidgets.Button(description="Resume", icon="play")
        self._go_on.tooltip = "Go on where it ended"
        self._go_on.on_click(lambda _: self._press_resume())
        self._bar = ipywidgets.HBox([self._stop])
        super().__init__([self._text, self._bar, self._message])
        self.add_class("comfynb-sync")
        self._show(source.view)
        self._live: Live[SyncView | None] = Live(source, self._show)
        # It may have moved between the two lines above.
        self._show(source.view)

    def _press_stop(self) -> None:
        self._stop.disabled = True
        self._message.value = told("It stops after what is being written.")
        call(self._cancel, lambda _: None, self._refused)

    def _press_resume(self) -> None:
        self._go_on.disabled = True
        self._message.value = ""
        call(self._resume, self._follow, self._refused)

    def _follow(self, source: object) -> None:
        self._live.stop()
        self._source = source  # type: ignore[assignment]
        self._go_on.disabled = False
        self._stop.disabled = False
        self._show(self._source.view)
        self._live = Live(self._source, self._show)

    def _refused(self, why: str) -> None:
        self._message.value = told(why, bad=True)
        self._stop.disabled = False
        self._go_on.disabled = False

    def _show(self, view: SyncView | None) -> None:
        self._text.value = _html(self._name, view)
        ended = view is not None and view.status in {SyncStatus.FAILED, SyncStatus.CANCELLED}
        done = view is not None and view.status is SyncStatus.COMPLETED
        wanted: tuple[ipywidgets.Widget, ...] = (
            (self._go_on,) if ended else () if done else (self._stop,)
        )
        if self._bar.children != wanted:
            self._bar.children = wanted
            if ended or done:
                self._message.value = ""

    def plain(self) -> str:
        """The same on a line."""
        view = self._source.view
        if view is None:
            return f"{one_line(self._name, 80)}: begins"
        counts = ", ".join(f"{number} {name}" for name, number in view.counts)
        of = f" of {view.total}" if view.total is not None else ""
        parts = [f"{view.status.value.lower()}, {view.processed}{of} entries", counts]
        parts += [one_line(text, 300) for text in (view.waiting, view.error) if text]
        parts += [
            f"{one_line(one.entry, 80)}: {one_line(one.reason, 200)}" for one in view.refusals
        ]
        return f"{one_line(self._name, 80)}: {'; '.join(part for part in parts if part)}"

    def body(self) -> str:
        """The same as static HTML."""
        return _html(self._name, self._source.view)

    def close(self) -> None:
        """Stop watching and close it; the sync goes on."""
        if hasattr(self, "_live"):
            self._live.stop()
        if getattr(self, "comm", None) is not None:
            close_tree(self._stop)
            close_tree(self._go_on)
        super().close()


def _html(name: str, view: SyncView | None) -> str:
    if view is None:
        return (
            f'<div class="comfynb-headline">{chip("○", "begins", "comfynb-pending")}'
            f'<span class="comfynb-name">{user(name, 120)}</span></div>'
        )
    sign, word, css_class = _LOOKS[view.status]
    of = f" of {view.total:,}" if view.total is not None else ""
    fraction = view.fraction
    running = view.status in {SyncStatus.RUNNING, SyncStatus.PENDING}
    unsure = fraction is None and running
    width = "" if unsure else f' style="width:{100 * (fraction or 0):.1f}%"'
    counts = "".join(
        f"<div><b>{number:,}</b><span>{user(what, 40)}</span></div>" for what, number in view.counts
    )
    waits = f'<div class="comfynb-warning">{user(view.waiting, 300)}</div>' if view.waiting else ""
    error = f'<div class="comfynb-error">{user(view.error, 600)}</div>' if view.error else ""
    label = esc(f"{view.processed}{of} entries, {word}")
    return (
        f'<div class="comfynb-headline">{chip(sign, word, css_class)}'
        f'<span class="comfynb-name">{user(name, 120)}</span>'
        f'<span class="comfynb-num">{view.processed:,}{of} entries</span></div>'
        f'<div class="comfynb-bar {css_class}{" comfynb-indeterminate" if unsure else ""}" '
        f'role="img" aria-label="{label}"><i{width}></i></div>'
        f'<div class="comfynb-facts">{counts}</div>{waits}{error}{_refusals(view)}'
    )


def _refusals(view: SyncView) -> str:
    """The first refused entries; the rest is for those who ask for it in a cell."""
    if not view.refusals:
        return ""
    rows = [(one.part, one.entry, one.reason) for one in view.refusals]
    table = StaticTable(["part", "entry", "why"], rows, total=view.failed, wrap=True)
    rest = ""
    if table.more:
        command = esc(f'wb.catalogue.errors("{one_line(view.id, 60)}")')
        rest = f'<div class="comfynb-soft">All of them: <code>{command}</code></div>'
    return f"<h4>Refused ({view.failed:,})</h4>{table.body()}{rest}"
