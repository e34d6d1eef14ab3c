"""The plot of metrics: asks no more than it must, holds still when told to, and tells of jobs."""

import asyncio
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from comfynb.errors import NotFound
from comfynb.models import JobStatus, utcnow
from comfynb.widgets import live
from comfynb.widgets.metrics.figure import MOST_POINTS
from comfynb.widgets.metrics.plot import PLOTLY, POINTS, MetricsPlot
from comfynb.widgets.metrics.views import (
    JobDetails,
    JobSpan,
    MetricLine,
    MetricsWindow,
    NodeSpan,
)

NOW = 1_700_000_000.0


class Source:
    """Samples once a second for ever; its clock is set by hand."""

    def __init__(self) -> None:
        self.clock = NOW
        self.asked: list[tuple[float, float, int]] = []
        self.error: Exception | None = None
        self.backends: tuple[str, ...] = ("PC1", "PC2")
        self.gate = asyncio.Event()
        self.gate.set()
        self.jobs = [
            JobSpan("a", "first", "PC1", JobStatus.COMPLETED, NOW - 300, NOW - 200),
            JobSpan("b", "second", "PC2", JobStatus.RUNNING, NOW - 30, None),
        ]

    def now(self) -> float:
        return self.clock

    def read(self, start: float, end: float, points: int) -> MetricsWindow:
        step = max(1.0, (end - start) / points)
        times = [start + step * n for n in range(int((end - start) / step))]
        lines = tuple(
            MetricLine(name, field, times, [n % 90 for n in range(len(times))])
            for name in self.backends
            for field in ("gpu_utilization", "ram_used")
        )
        jobs = [j for j in self.jobs if j.start < end and (j.end is None or j.end > start)]
        return MetricsWindow(start, end, self.backends, lines, tuple(jobs))

    async def window(self, start: float, end: float, points: int) -> MetricsWindow:
        self.asked.append((start, end, points))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.read(start, end, points)

    async def job(self, job_id: str) -> JobDetails:
        if job_id == "b":
            raise NotFound("There is no job <b>.")
        return JobDetails(
            "a",
            "first",
            JobStatus.COMPLETED,
            ("PC1",),
            utcnow(),
            utcnow(),
            vram_peak=2048,
            nodes=[NodeSpan("KSampler", "KSampler", 0.0, 3.0)],
        )


class Page:
    """What the page would say, and what it was told."""

    def __init__(self, plot: MetricsPlot) -> None:
        self.plot = plot
        self.page = plot._page
        self.told: list[tuple[dict[str, Any], list[bytes]]] = []
        self.page.widget.send = lambda content, buffers=(): self.told.append(
            (content, list(buffers))
        )

    def says(self, event: str, **more: Any) -> None:
        self.page._heard({"event": event, "view": "v1", **more})

    def answers(self) -> None:
        self.says("drawn", sequence=self.page._sequence)

    @property
    def kinds(self) -> list[str]:
        return [content["kind"] for content, _ in self.told]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def show(source: Source) -> Iterator[Callable[..., tuple[MetricsPlot, Page]]]:
    made: list[MetricsPlot] = []

    def make(**how: Any) -> tuple[MetricsPlot, Page]:
        window = source.read(NOW - 3600, NOW, 300)
        plot = MetricsPlot(source, window, **{"last": 3600.0, **how})
        plot._ticker.stop()  # ticks by hand
        made.append(plot)
        page = Page(plot)
        page.says("hello")
        page.answers()
        return plot, page

    yield make
    for plot in made:
        plot.close()


async def settled() -> None:
    """Until nothing is being asked."""
    while live._tasks:
        await asyncio.wait(set(live._tasks))
        await asyncio.sleep(0)


async def tick(plot: MetricsPlot, source: Source, page: Page, seconds: float = 1.0) -> None:
    source.clock += seconds
    assert plot._tick()
    await settled()
    page.answers()


async def test_a_second_asks_only_for_the_end_and_sends_only_that(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    page.told.clear()
    for _ in range(5):
        await tick(plot, source, page)
    assert page.kinds == ["extend"] * 5
    assert {round(end - start) for start, end, _ in source.asked} == {20}
    content, buffers = page.told[-1]
    assert content["range"] == [round((NOW + 5 - 3600) * 1000), round((NOW + 5) * 1000)]
    assert sum(map(len, buffers)) < 4000
    # Of the jobs, only the one that runs has changed.
    assert [trace["name"] for trace in content["traces"].values()] == ["► running"]


async def test_what_the_page_has_is_what_the_kernel_has(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    for _ in range(4):
        await tick(plot, source, page)
    page.told.clear()
    page.says("hello")  # a page that was loaded anew
    (content, buffers), *_ = page.told
    assert content["kind"] == "figure"
    for place, (xs, ys) in enumerate(plot._figure.points):
        assert array("d", buffers[2 * place]).tolist() == xs
        assert array("f", buffers[2 * place + 1]).tolist() == pytest.approx(ys, nan_ok=True)
        assert xs == sorted(xs)
        assert xs[-1] >= (source.clock - 2) * 1000


async def test_lines_never_grow_beyond_what_is_allowed(
    source: Source, show: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfynb.widgets.metrics.plot.ANEW", 1e9)
    plot, page = show(last=3600.0)
    for _ in range(250):
        await tick(plot, source, page, seconds=20.0)
    longest = max(len(xs) for xs, _ in plot._figure.points)
    assert 1000 < longest <= MOST_POINTS
    left = (source.clock - 3600) * 1000
    # One point left of the window, so that the line comes from its edge.
    assert all(sum(x < left for x in xs) <= 1 for xs, _ in plot._figure.points)


async def test_a_page_that_does_not_keep_up_or_look_is_asked_for_nothing(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    for _ in range(6):
        source.clock += 1
        plot._tick()
        await settled()
    assert len(source.asked) == 2  # two updates that nobody has drawn yet
    page.answers()
    page.says("gone")
    plot._tick()
    assert len(source.asked) == 2
    plot._asked_all = time.monotonic() - 300
    page.says("see")
    await settled()
    assert source.asked[-1][1] - source.asked[-1][0] == 3600  # all that was missed


async def test_one_question_at_a_time(source: Source, show: Callable[..., Any]) -> None:
    plot, _ = show()
    source.gate.clear()
    for _ in range(5):
        plot._tick()
        await asyncio.sleep(0)
    assert len(source.asked) == 1
    source.gate.set()
    await settled()


async def test_a_zoom_holds_the_window_until_a_double_click(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    page.says("zoom", range=[(NOW - 600) * 1000, (NOW - 300) * 1000])
    await settled()
    assert source.asked[-1] == (NOW - 600, NOW - 300, POINTS)
    assert not plot.live
    assert plot._back_button in plot._bar.children
    page.told.clear()
    for _ in range(3):
        await tick(plot, source, page)
    assert page.told == []
    assert (plot.window.start, plot.window.end) == (NOW - 600, NOW - 300)
    page.says("live")
    await settled()
    assert plot.live
    assert plot.window.end == source.clock
    assert plot._back_button not in plot._bar.children


async def test_a_zoom_while_it_is_asking_is_not_lost(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    source.gate.clear()
    plot._tick()
    await asyncio.sleep(0)
    page.says("zoom", range=[(NOW - 600) * 1000, (NOW - 300) * 1000])
    source.gate.set()
    await settled()
    assert (plot.window.start, plot.window.end) == (NOW - 600, NOW - 300)


@pytest.mark.parametrize(
    "found",
    [None, [1], ["x", "y"], [5, 1], [float("nan"), 1], [1, float("inf")], [True, 2], {"a": 1}],
)
async def test_what_a_page_sends_may_be_anything(
    found: Any, source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    page.says("zoom", range=found)
    page.says("job", ids=found)
    page.says("job", ids=["nobody's", 7])
    page.says("drawn", sequence=found)
    page.page._heard({"event": found})
    assert plot.live
    assert plot._job is None


async def test_a_new_backend_brings_its_lines_and_lane(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    source.backends = ("PC1", "PC2", "PC3")
    page.told.clear()
    await tick(plot, source, page)
    assert page.kinds == ["figure"]
    assert len(plot._figure.lines) == 6


async def test_an_error_is_told_and_it_goes_on(source: Source, show: Callable[..., Any]) -> None:
    plot, page = show()
    source.error = NotFound("The store is <gone>.")
    await tick(plot, source, page)
    assert "The store is &lt;gone&gt;." in plot._note.value
    source.error = None
    await tick(plot, source, page)
    assert "gone" not in plot._note.value


async def test_a_click_tells_of_the_job_and_the_arrows_go_on(
    source: Source, show: Callable[..., Any]
) -> None:
    plot, page = show()
    page.says("job", ids=["a"])
    await settled()
    assert "KSampler" in plot._panel._text.value
    assert "2 GiB" in plot._panel._text.value
    assert plot._panel.widget in plot._body.children
    plot._step(1)
    await settled()
    assert "There is no job &lt;b&gt;." in plot._panel._text.value
    plot._step(1)  # there is no further one
    assert plot._job == "b"
    plot._close_panel()
    assert plot._panel.widget not in plot._body.children


async def test_what_stays_in_a_saved_notebook(show: Callable[..., Any], tags: Any) -> None:
    plot, _ = show()
    bundle = plot._repr_mimebundle_()
    assert bundle["text/plain"] == "1 h of PC1, PC2: GPU, RAM; 2 jobs"
    html = bundle["text/html"]
    assert "<script" not in html
    assert "src=" not in html
    seen = tags(html)
    assert [tag for tag, _ in seen.tags].count("rect") == 2
    whole = bundle[PLOTLY]
    assert max(len(trace["x"]) for trace in whole["data"]) <= 240
    assert plot.to_plotly().layout.xaxis.type == "date"


async def test_hostile_names_in_all_of_it(
    hostile: str, source: Source, show: Callable[..., Any], tags: Any
) -> None:
    source.backends = (hostile, "PC2")
    source.jobs = [JobSpan("a", hostile, hostile, JobStatus.FAILED, NOW - 300, NOW - 200, hostile)]
    plot, _ = show()
    seen = tags(plot.static_html())
    allowed = {"style", "div", "svg", "path", "text", "rect", "title"}
    assert {tag.lstrip("/") for tag, _ in seen.tags} <= allowed
    assert not any(name.startswith("on") for _, names in seen.tags for name in names)


def test_without_a_loop_it_is_a_drawing_and_asks_nothing() -> None:
    async def make() -> tuple[Source, MetricsPlot]:
        source = Source()
        return source, MetricsPlot(source, source.read(NOW - 60, NOW, 100), last=60.0)

    source, plot = asyncio.run(make())
    assert "<svg" in plot.static_html()
    assert source.asked == []
    plot.close()
