"""Metrics over time with the jobs beneath: live once a second, zoomed and clicked by hand."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import ipywidgets

from comfynb.widgets.composite import Composite, close_tree, html, mimebundle
from comfynb.widgets.live import Ticker, call
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.metrics.figure import (
    MOST_POINTS,
    Figure,
    Points,
    drawable,
    fields_of,
    figure,
    key_of,
    thin,
)
from comfynb.widgets.metrics.look import STATUSES, metrics_styled, spoken
from comfynb.widgets.metrics.page import PlotPage
from comfynb.widgets.metrics.panel import JobPanel
from comfynb.widgets.metrics.svg import drawing
from comfynb.widgets.metrics.views import (
    JobDetails,
    JobSpan,
    MetricsSource,
    MetricsWindow,
    field_look,
)

__all__ = ["MetricsPlot"]

POINTS: Final = 1500
"""Points asked for in one line; what is appended until all is asked for anew has the rest."""
TAIL: Final = 20.0
"""Seconds asked for once a second: what a slow writer or clock brings late is still drawn."""
ANEW: Final = 60.0
"""Seconds after which everything is asked for anew, and appended points become buckets."""
MANY_JOBS: Final = 1500
SELDOM: Final = 10.0
"""Seconds between two times that so many are stacked."""
STATIC_POINTS: Final = 240
STATIC_BARS: Final = 300
PLOTLY: Final = "application/vnd.plotly.v1+json"
LENGTHS: Final = (("15 min", 900.0), ("1 h", 3600.0), ("6 h", 21_600.0), ("1 d", 86_400.0))


class MetricsPlot(Composite):
    """One row for each field and a lane of job bars for each backend, on one time axis.

    ``window`` is what is shown at first. With ``last`` (seconds) the end moves with the clock, once
    a second, as long as somebody looks; a zoom holds it until a double click. Without it the window
    stays as it is. ``fields`` without a value are those that somebody measures.
    """

    def __init__(
        self,
        source: MetricsSource,
        window: MetricsWindow,
        *,
        fields: Sequence[str] | None = None,
        last: float | None = None,
        title: str = "Metrics",
        bar: bool = True,
    ) -> None:
        self._source = source
        self._wanted = fields
        self._last = last
        self._home = (window.start, window.end)
        self._title = title
        self._zoom: tuple[float, float] | None = None
        self._asking = False
        self._again = False
        self._asked_all = time.monotonic()
        self._stacked = 0.0
        self._job: str | None = None
        self._trouble = ""
        self._window = window
        self._fields = fields_of(window, fields)
        self._figure = figure(window, self._fields, title=title)
        self._known = _by_key(window.jobs)
        self._page = PlotPage(
            f"{title}: {self.plain()}",
            on_zoom=self._zoomed,
            on_live=self._back,
            on_job=self._clicked,
            on_see=self._seen,
        )
        self._panel = JobPanel(step=self._step, close=self._close_panel)
        self._note = html("", "comfynb-soft")
        self._back_button = _button("Back to now", "Show the newest again, live", self._back)
        self._newest = _button("Newest job", "Tell of the newest job in this window", self._open)
        self._lengths = self._length_menu()
        self._bar = ipywidgets.HBox()
        self._bar.add_class("comfynb-metrics-bar")
        self._body = ipywidgets.Box([self._page.widget])
        self._body.add_class("comfynb-metrics-body")
        super().__init__([*([self._bar] if bar else []), self._body])
        self._page.draw(self._figure)
        self._arrange()
        self._ticker = Ticker(self._tick)
        if last is not None:
            self._ticker.start()

    @property
    def window(self) -> MetricsWindow:
        """What is shown now."""
        return self._window

    @property
    def live(self) -> bool:
        """Whether the end of the window moves with the clock."""
        return self._last is not None and self._zoom is None

    def to_plotly(self) -> Any:
        """The figure as it is now, as a ``plotly.graph_objects.Figure`` of one's own."""
        import plotly.graph_objects as go

        whole = self._figure.whole()
        return go.Figure(data=whole["data"], layout=whole["layout"])

    # Asking -------------------------------------------------------------------------------------

    def _tick(self) -> bool:
        if self.comm is None:
            return False
        if self.live and self._page.wanted and not self._asking:
            if time.monotonic() - self._asked_all >= ANEW:
                self._ask_all()
            else:
                self._asking = True
                call(self._load_tail, self._asked, self._failed)
        return True

    def _seen(self) -> None:
        """It comes into sight again: what happened meanwhile was not asked for."""
        if self.live and time.monotonic() - self._asked_all > TAIL / 2:
            self._ask_all()

    def _range(self) -> tuple[float, float]:
        if self._zoom is not None:
            return self._zoom
        if self._last is None:
            return self._home
        now = self._source.now()
        return now - self._last, now

    def _ask_all(self) -> None:
        if self._asking:
            self._again = True
            return
        self._asking = True
        self._asked_all = time.monotonic()
        call(self._load_all, self._asked, self._failed)

    async def _load_all(self) -> None:
        zoom = self._zoom
        start, end = self._range()
        window = await self._source.window(start, end, POINTS)
        fields = fields_of(window, self._wanted)
        drawn = await asyncio.to_thread(figure, window, fields, title=self._title)
        # Somebody may have zoomed meanwhile: that is asked for next.
        if self._zoom == zoom and self.comm is not None:
            self._show(window, fields, drawn)

    async def _load_tail(self) -> None:
        start, end = self._range()
        tail = await self._source.window(max(start, end - TAIL), end, POINTS)
        if self.live and self.comm is not None:
            self._extend(tail, start)

    def _asked(self, _: object) -> None:
        self._asking = False
        self._say("")
        if self._again:
            self._again = False
            self._ask_all()

    def _failed(self, why: str) -> None:
        self._asking = False
        self._again = False
        self._say(why)

    # Showing ------------------------------------------------------------------------------------

    def _show(self, window: MetricsWindow, fields: list[str], drawn: Figure) -> None:
        self._window = window
        self._known = _by_key(window.jobs)
        self._fields = fields
        self._figure = drawn
        self._page.draw(drawn)
        self._arrange()

    def _extend(self, tail: MetricsWindow, start: float) -> None:
        """Draw what is new at the end; where a line or lane appeared, ask for everything."""
        places = {key: place for place, key in enumerate(self._figure.lines)}
        wanted = set(fields_of(tail, self._wanted)) | set(self._fields)
        fresh = [line for line in tail.lines if line.field in wanted]
        if tail.backends != self._window.backends or any(
            key_of(line) not in places and any(value is not None for value in line.values)
            for line in fresh
        ):
            self._again = True
            return
        since, left = round(tail.start * 1000), round(start * 1000)
        tails = {
            places[key_of(line)]: drawable(line, tail.end - start)
            for line in fresh
            if key_of(line) in places
        }
        for place, points in tails.items():
            _splice(self._figure.points[place], points, since, left)
        before = self._figure
        bars = self._bars(tail, start)
        layout = {
            **bars.layout,
            "xaxis": {**bars.layout["xaxis"], "range": [left, round(tail.end * 1000)]},
        }
        lines = len(before.lines)
        new = bars.data[len(bars.lines) :]
        self._figure = Figure(before.data[:lines] + new, layout, before.lines, before.points)
        if _shape(before.layout) != _shape(layout):
            # Another level of bars: the rows move, so the page is given all of it.
            self._page.draw(self._figure)
        else:
            old = before.data[lines:]
            changed = [lines + n for n, trace in enumerate(new) if trace != old[n]]
            self._page.extend(self._figure, since, tails, changed)

    def _bars(self, tail: MetricsWindow, start: float) -> Figure:
        """The figure as to jobs; stacking many takes time, so it is not done for nothing."""
        known, new = self._known, _by_key(tail.jobs)
        same = all(span.end is not None and known.get(key) == span for key, span in new.items())
        now = time.monotonic()
        wait = 0.0 if len(known) < MANY_JOBS else SELDOM
        self._known = known | new
        if same or now - self._stacked < wait:
            self._window = replace(self._window, start=start, end=tail.end)
            return self._figure
        self._stacked = now
        self._known = {
            key: span for key, span in self._known.items() if span.end is None or span.end > start
        }
        jobs = tuple(self._known.values())
        self._window = replace(self._window, start=start, end=tail.end, lines=(), jobs=jobs)
        return figure(self._window, self._fields, title=self._title)

    def _arrange(self) -> None:
        held = self._zoom is not None
        shown: list[ipywidgets.Widget] = []
        if self._last is not None:
            shown.append(self._lengths)
        if held:
            shown.append(self._back_button)
        if self._known:
            shown.append(self._newest)
        shown.append(self._note)
        if tuple(shown) != self._bar.children:
            self._bar.children = tuple(shown)
        self._say(self._trouble)

    def _say(self, trouble: str) -> None:
        self._trouble = trouble
        if trouble:
            told = f'<span role="alert">✕ {user(trouble, 300)}</span>'
        elif self._zoom is not None:
            told = f"‖ held: {spoken(self._zoom[1] - self._zoom[0])}; double-click to go back"
        elif self._last is not None:
            told = "● live; drag to zoom in, click a bar for its job"
        else:
            told = "drag to zoom in, double-click to go back, click a bar for its job"
        if self._window.more_jobs:
            told += f" · {self._window.more_jobs} more jobs: zoom in to see them"
        if not self._fields:
            told += " · no samples in this window yet"
        if told != self._note.value:
            self._note.value = told

    def _length_menu(self) -> ipywidgets.Dropdown:
        options = dict(LENGTHS)
        if self._last is not None and self._last not in options.values():
            options = {spoken(self._last): self._last, **options}
        menu = ipywidgets.Dropdown(
            options=list(options.items()),
            value=self._last or 3600.0,
            tooltip="Length of the window",
        )
        menu.observe(self._chosen, "value")
        return menu

    # By hand ------------------------------------------------------------------------------------

    def _chosen(self, change: Mapping[str, Any]) -> None:
        self._last = float(change["new"])
        self._zoom = None
        self._ask_all()

    def _zoomed(self, start: float, end: float) -> None:
        self._zoom = (start, max(end, start + 0.1))
        self._arrange()
        self._ask_all()

    def _back(self) -> None:
        self._zoom = None
        self._arrange()
        self._ask_all()

    def _clicked(self, ids: Sequence[str]) -> None:
        known = {span.id for span in self._known.values()}
        found = [one for one in ids if one in known]
        if found:
            self._tell(found[0])

    def _in_time(self) -> list[str]:
        spans = sorted(self._known.values(), key=lambda span: (span.start, span.id))
        return list(dict.fromkeys(span.id for span in spans))

    def _open(self) -> None:
        ids = self._in_time()
        if ids:
            self._tell(ids[-1])

    def _step(self, by: int) -> None:
        ids = self._in_time()
        if self._job in ids:
            place = ids.index(self._job) + by
            if 0 <= place < len(ids):
                self._tell(ids[place])

    def _tell(self, job_id: str) -> None:
        self._job = job_id
        name = next((one.name for one in self._known.values() if one.id == job_id), job_id)
        self._panel.wait(name)
        self._body.children = (self._page.widget, self._panel.widget)

        def done(found: object) -> None:
            assert isinstance(found, JobDetails)
            if self._job == job_id and self.comm is not None:
                self._panel.show(found)

        def failed(why: str) -> None:
            if self._job == job_id and self.comm is not None:
                self._panel.fail(name, why)

        call(lambda: self._source.job(job_id), done, failed)

    def _close_panel(self) -> None:
        self._job = None
        self._body.children = (self._page.widget,)

    # Static -------------------------------------------------------------------------------------

    def plain(self) -> str:
        """What is shown in one line: how long, whose, what, and how many jobs."""
        window = self._window
        fields = ", ".join(field_look(name).title for name in self._fields) or "no samples"
        names = ", ".join(one_line(name, 40) for name in window.backends[:6]) or "no backends"
        jobs = {span.id for span in self._known.values()}
        count = f"{len(jobs)} job" + ("" if len(jobs) == 1 else "s")
        return f"{spoken(window.end - window.start)} of {names}: {fields}; {count}"

    def body(self) -> str:
        """A drawing that stays in a saved notebook."""
        told = f'<div class="comfynb-soft">{esc(self.plain())}</div>'
        return drawing(self._window, self._figure, self._fields) + told

    def static_html(self) -> str:
        """The same with its style sheets."""
        return metrics_styled(self.body())

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        bundle = mimebundle(self, self.plain(), self.static_html())
        return {**bundle, PLOTLY: _small(self._figure)}

    def close(self) -> None:
        """Stop and close everything in it."""
        if hasattr(self, "_ticker"):
            self._ticker.stop()
            close_tree(self._panel.widget)
            self._bar.children = (self._lengths, self._back_button, self._newest, self._note)
        super().close()


def _button(text: str, name: str, press: Any) -> ipywidgets.Button:
    made = ipywidgets.Button(description=text, tooltip=name)
    made.on_click(lambda _: press())
    return made


def _by_key(spans: Sequence[JobSpan]) -> dict[str, JobSpan]:
    return {span.key or span.id: span for span in spans}


def _splice(known: Points, new: Points, since: float, start: float) -> None:
    """Replace what is known after ``since``, and drop what lies left of the window but one."""
    xs, ys = known
    keep = bisect_left(xs, since)
    del xs[keep:], ys[keep:]
    xs += new[0]
    ys += new[1]
    first = max(bisect_left(xs, start) - 1, len(xs) - MOST_POINTS, 0)
    del xs[:first], ys[:first]


def _shape(layout: Mapping[str, Any]) -> object:
    """The layout but for the time that it shows."""
    return {**layout, "xaxis": {**layout["xaxis"], "range": None}}


def _small(drawn: Figure) -> dict[str, Any]:
    """The figure for a saved notebook: every so-manieth point, and the newest bars."""
    points = [thin(one, STATIC_POINTS) for one in drawn.points]
    lines = len(drawn.points)
    bars = []
    for trace in drawn.data[lines:]:
        cut = {
            name: value[-STATIC_BARS:] if isinstance(value, list) else value
            for name, value in trace.items()
        }
        bars.append(cut)
    assert len(bars) == len(STATUSES)
    return Figure(drawn.data[:lines] + bars, drawn.layout, drawn.lines, points).whole()
