"""Plots of metrics in a real JupyterLab: history with jobs, hover, zoom, click, live, themes."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

SHOW = """from fake_metrics import FakeMetrics
from comfynb.widgets.metrics.plot import MetricsPlot
import time
source = FakeMetrics()
now = time.time()
plot = MetricsPlot(source, source.read(now - 3600, now, 300), last=3600.0)
plot"""

END = """(path) => new Date(document.querySelector(".comfynb-metrics-plot")
    ._fullLayout.xaxis.range[1].replace(" ", "T").slice(0, 23)).getTime()"""


def end(book: Any) -> float:
    """The end of the time axis on the page, in milliseconds since 1970."""
    return float(book.page.evaluate(END))


def wait_until_later(book: Any, than: float, by: float) -> None:
    book.page.wait_for_function(f"([limit]) => ({END})() > limit", arg=[than + by])


def asked(book: Any) -> int:
    return int(book.execute("print(len(source.asked))"))


def test_history_hover_zoom_and_click(notebook: Open) -> None:
    book = notebook([SHOW])
    # High enough for the whole plot: a picture taken by hovering must not move anything.
    book.page.set_viewport_size({"width": 1280, "height": 1300})
    book.run_all()
    cell = book.cell(0)
    output = cell.locator(".jp-OutputArea-output").first
    plot = cell.locator(".comfynb-metrics-plot")
    bars = plot.locator(".barlayer .trace")
    expect(bars.first.locator(".point").nth(5)).to_be_visible()
    expect(plot.locator(".scatterlayer .js-line").nth(10)).to_be_attached()
    book.screenshots("metrics-history", output)

    # Live: the window slides once a second, and only its end is asked for.
    began = end(book)
    wait_until_later(book, began, 2500)
    expect(cell).to_contain_text("live")
    # A page that is late shows more than a second at once: the second question is waited for.
    deadline = time.monotonic() + 60
    lengths = "print([round(b - a) for a, b in source.asked][-2:])"
    while book.execute(lengths).strip() != "[20, 20]":
        assert time.monotonic() < deadline
        book.page.wait_for_timeout(200)  # a kernel gives the page no event for this
    # The third machine was away for ten minutes: its lines have two parts.
    parts = plot.locator(".scatterlayer .trace").evaluate_all(
        "(traces) => traces.map((trace) => trace.querySelectorAll('.js-line').length)"
    )
    assert 2 in parts

    # Hovering over the job whose name is hostile shows its name as text, and nothing else.
    label = plot.locator(".hoverlayer .hovertext")
    for theme in ("Dark", "Light"):
        book.theme(theme)
        book.page.mouse.move(5, 5)
        bars.first.locator(".point").nth(2).hover(force=True)
        expect(label).to_contain_text("<img src=x onerror=")
        expect(label).to_contain_text("%{y}")
        book.screenshot(f"metrics-hover-{theme.lower()}", output)
    assert plot.locator("image, .hoverlayer a").count() == 0
    assert book.page.evaluate("() => window.hacked") is None

    # Drag over a third of the window: it is asked for in detail, and held.
    area = plot.locator(".nsewdrag").first.bounding_box()
    assert area is not None
    middle = area["y"] + area["height"] / 2
    left, right = (area["x"] + area["width"] * share for share in (0.4, 0.7))
    before = end(book)
    book.page.mouse.move(left, middle)
    book.page.mouse.down()
    book.page.mouse.move((left + right) / 2, middle, steps=4)
    book.page.mouse.move(right, middle, steps=4)
    book.page.mouse.up()
    expect(cell).to_contain_text(re.compile(r"held: 1[78] min"))
    held = end(book)
    assert held < before - 600_000
    expect(cell.get_by_role("button", name="Back to now")).to_be_visible()
    number = asked(book)
    book.screenshots("metrics-zoom", output)
    book.page.wait_for_timeout(2500)  # longer than two of its seconds: nothing may happen
    assert (end(book), asked(book)) == (held, number)

    # Click a bar: its job beside the plot, with its nodes and pictures.
    point = bars.first.locator(".point").nth(3)
    point.click(force=True)
    panel = cell.locator(".comfynb-metrics-panel")
    expect(panel).to_contain_text("KSampler")
    expect(panel.locator(".comfynb-metrics-facts").first).to_have_css("display", "grid")
    expect(panel).to_contain_text("13.2 GiB of 24 GiB")
    expect(panel.locator("img").first).to_be_visible()
    book.screenshots("metrics-job", output)
    name = panel.locator("h4").inner_text()
    panel.get_by_role("button", name="The job after it").click()
    expect(panel.locator("h4")).not_to_have_text(name)
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()

    # Double-click: live again.
    plot.locator(".nsewdrag").first.dblclick(force=True)
    wait_until_later(book, before, 0)
    expect(cell).to_contain_text("live")

    # After a reload it is there as it was, and moves.
    book.reload()
    expect(bars.first.locator(".point").nth(5)).to_be_visible()
    wait_until_later(book, end(book), 1500)

    assert book.page_errors == []
