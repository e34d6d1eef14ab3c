"""Several jobs as a table that stays live while they run."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets

from comfynb.engine.views import JobView, Watchable
from comfynb.models import utcnow
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.job_text import bar, doing, when
from comfynb.widgets.live import Live, Ticker, call
from comfynb.widgets.markup import elapsed, esc, one_line, sentence, user
from comfynb.widgets.tables import ROWS, Cell, StaticTable
from comfynb.widgets.theme import chip, look

__all__ = ["JobsTable"]

COUNTED = 500
"""Jobs without a line whose status is looked up each second."""

_HEAD = ("Status", "Job", "Backend", "Progress", "Time", "Pictures", "Created")


class JobsTable(Composite):
    """One line for each of the first ``limit`` jobs; only lines that change are sent again.

    Beneath them the rest is counted by status. ``cancel`` gets a job's id and adds a Cancel button
    to each line that is not done; ``total`` is how many jobs there are altogether, if these are
    only the last ones.
    """

    def __init__(
        self,
        jobs: Sequence[Watchable[JobView]],
        *,
        cancel: Callable[[str], object] | None = None,
        total: int | None = None,
        limit: int = ROWS,
        empty: str = "no jobs yet",
    ) -> None:
        self._jobs = list(jobs)
        self._empty = empty
        self._total = max(total or 0, len(self._jobs))
        self._message = html()
        self._rest = html("", "comfynb-soft")
        self._lines = [_Line(job, cancel, self._tell) for job in self._jobs[:limit]]
        self._hidden = self._jobs[limit:]
        rows = ipywidgets.VBox([_head(), *(one.widget for one in self._lines)])
        rows.add_class("comfynb-rows")
        shown = rows if self._jobs else html(_nothing(empty))
        super().__init__([shown, self._rest, self._message])
        self._ticker = Ticker(self._tick)
        if self._tick():
            self._ticker.start()

    def _tell(self, trouble: str) -> None:
        self._message.value = f'<div class="comfynb-problem">{user(trouble, 600)}</div>'

    def _tick(self) -> bool:
        if self.comm is None:
            return False
        going = [line.refresh() for line in self._lines]
        return self._count_rest() or any(going)

    def _count_rest(self) -> bool:
        """Count what has no line; returns whether any of it still goes on."""
        left = self._total - len(self._lines)
        statuses = [job.view.status for job in self._hidden[:COUNTED]]
        counts = Counter(look(status).word for status in statuses)
        words = ", ".join(f"{number} {word}" for word, number in counts.items())
        self._rest.value = f"{left} more" + (f": {words}" if words else "") if left else ""
        return any(not status.is_terminal for status in statuses)

    def _static(self) -> StaticTable:
        now = utcnow()
        rows = []
        for job in self._jobs[:ROWS]:
            view = job.view
            told = sentence(view.error)[0] if view.error else doing(view)
            rows.append(
                (
                    Cell(f"{look(view.status).sign} {view.status.value}", chip(view.status)),
                    view.name,
                    view.backend or "",
                    told or f"{view.progress:.0f} %",
                    elapsed(view.started_at, view.completed_at, now),
                    len(view.images) or "",
                    when(view.created_at, now),
                )
            )
        return StaticTable(_HEAD, rows, total=self._total, empty=self._empty)

    def plain(self) -> str:
        """The table as text."""
        return self._static().plain()

    def body(self) -> str:
        """The table as it is now, as static HTML."""
        return self._static().body()

    def close(self) -> None:
        """Stop watching every job and close the table."""
        if hasattr(self, "_ticker"):
            self._ticker.stop()
            for line in self._lines:
                line.stop()
        super().close()


def _nothing(empty: str) -> str:
    return f'<div class="comfynb-soft">{user(empty)}</div>'


def _head() -> ipywidgets.HBox:
    cells = "".join(f"<span>{name}</span>" for name in _HEAD)
    line = html(f'<div class="comfynb-line comfynb-jobs-line">{cells}</div>', "comfynb-cells")
    head = ipywidgets.HBox([line])
    head.add_class("comfynb-rowhead")
    return head


class _Line:
    """One job's line; it watches its job and owns its widgets."""

    def __init__(
        self,
        job: Watchable[JobView],
        cancel: Callable[[str], object] | None,
        tell: Callable[[str], None],
    ) -> None:
        self._job = job
        self._cells = html("", "comfynb-cells")
        self._button: ipywidgets.Button | None = None
        if cancel is not None and not job.view.status.is_terminal:
            self._button = ipywidgets.Button(description="Cancel", layout={"width": "auto"})
            self._button.on_click(lambda _: self._cancel(partial(cancel, job.view.id), tell))
        self.widget = ipywidgets.HBox([self._cells, *([self._button] if self._button else [])])
        self._show(job.view)
        self._live: Live[JobView] = Live(job, self._show)

    def _cancel(self, cancel: Callable[[], object], tell: Callable[[str], None]) -> None:
        def failed(why: str) -> None:
            self._set_button(disabled=False)
            tell(why)

        self._set_button(disabled=True)
        call(cancel, lambda _: None, failed)

    def _set_button(self, *, disabled: bool) -> None:
        if self._button is not None:
            self._button.disabled = disabled

    def _show(self, view: JobView) -> None:
        self._cells.value = _line_html(view)
        if view.status.is_terminal:
            self._set_button(disabled=True)

    def refresh(self) -> bool:
        """Let the elapsed time move; returns whether the job is still going on."""
        view = self._job.view
        if not view.status.is_terminal:
            self._cells.value = _line_html(view)
        return not view.status.is_terminal

    def stop(self) -> None:
        self._live.stop()


def _line_html(view: JobView) -> str:
    now = utcnow()
    wrong = ""
    if view.error:
        why = f'<span class="comfynb-problem">{user(sentence(view.error)[0], 400)}</span>'
        wrong = f'<div class="comfynb-cell comfynb-whole">{why}</div>'
    if view.status.is_terminal:
        told = f'<span class="comfynb-cut">{user(doing(view), 120)}</span>'
    else:
        shown = bar(view.progress, look(view.status).css_class, view.name)
        told = f'{shown}<span class="comfynb-cut">{user(doing(view), 80)}</span>'
    name = esc(one_line(view.name, 300))
    cells = (
        chip(view.status),
        f'<span class="comfynb-cut" title="{name}">{user(view.name, 120)}</span>',
        f'<span class="comfynb-cut">{user(view.backend or "", 60)}</span>',
        told,
        f'<span class="comfynb-num">{elapsed(view.started_at, view.completed_at, now)}</span>',
        f'<span class="comfynb-num">{len(view.images) or ""}</span>',
        f'<span class="comfynb-num comfynb-soft">{when(view.created_at, now)}</span>',
    )
    body = "".join(f'<div class="comfynb-cell">{cell}</div>' for cell in cells)
    return f'<div class="comfynb-line comfynb-jobs-line">{body}{wrong}</div>'
