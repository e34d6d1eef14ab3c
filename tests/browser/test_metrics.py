"""Plots of metrics in a real JupyterLab: history with jobs, hover, zoom, click, live, themes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

SHOW = """from fake_metrics import FakeMetrics
from comfynb.widgets.metrics_plot import MetricsPlot
import time
source = FakeMetrics()
now = time.time()
plot = MetricsPlot(source, source.read(now - 3600, now, 300), last=3600.0)
plot"""


def shown_range(book: Any) -> list[float]:
    """What the page's time axis shows, in milliseconds since 1970."""
    return list(
        book.page.evaluate(
            """() => document.querySelector(".comfynb-metrics-plot")._fullLayout.xaxis.range
                .map((text) => new Date(text.replace(" ", "T").slice(0, 23)).getTime())"""
        )
    )


def test_history_hover_zoom_and_click(notebook: Open) -> None:
    book = notebook([SHOW])
    book.run_all()
    cell = book.cell(0)
    plot = cell.locator(".comfynb-metrics-plot")
    bars = plot.locator(".barlayer .point")
    expect(bars.nth(5)).to_be_visible()
    expect(plot.locator(".scatterlayer .js-line").nth(10)).to_be_attached()
    book.screenshots("metrics-history", cell.locator(".jp-OutputArea-output").first)

    # Live: the window slides once a second, by appending, while somebody looks.
    before = shown_range(book)
    book.page.wait_for_function(
        """(before) => {
            const range = document.querySelector(".comfynb-metrics-plot")._fullLayout.xaxis.range;
            return new Date(range[1].replace(" ", "T").slice(0, 23)).getTime() > before + 2500;
        }""",
        arg=before[1],
    )
    assert "live" in cell.inner_text()

    # Hover over the job whose name is hostile: it is text.
    hostile = plot.locator(".barlayer .trace").first.locator(".point").nth(1)
    hostile.hover(force=True)
    label = plot.locator(".hoverlayer .hovertext")
    expect(label.first).to_be_visible()
    book.screenshots("metrics-hover", cell.locator(".jp-OutputArea-output").first)
    assert book.page.evaluate("() => window.hacked") is None
    assert plot.locator("image, .hoverlayer a").count() == 0
