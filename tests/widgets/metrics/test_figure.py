"""A window of metrics as a figure: valid for plotly, at most 2,000 points, gaps stay gaps."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.models import JobStatus
from comfynb.widgets.metrics.figure import (
    MOST_POINTS,
    drawable,
    fields_of,
    figure,
    thin,
)
from comfynb.widgets.metrics.look import STATUSES
from comfynb.widgets.metrics.views import JobSpan, MetricLine, MetricsWindow

START, END = 1_700_000_000.0, 1_700_003_600.0


def line(values: list[float | None], field: str = "gpu_utilization", backend: str = "PC1") -> Any:
    step = (END - START) / max(len(values), 1)
    return MetricLine(backend, field, [START + n * step for n in range(len(values))], values)


def job(name: str = "portrait", **more: Any) -> JobSpan:
    given = {
        "id": "job-1",
        "name": name,
        "backend": "PC1",
        "status": JobStatus.COMPLETED,
        "start": START + 60,
        "end": START + 90,
    }
    return JobSpan(**{**given, **more})


def window(**more: Any) -> MetricsWindow:
    given: dict[str, Any] = {
        "backends": ("PC1", "PC2"),
        "lines": (line([1, 2, None, 4]), line([1024.0, 2048.0], "gpu_memory_used", "PC2")),
        "jobs": (job(),),
    }
    return MetricsWindow(START, END, **{**given, **more})


def test_plotly_takes_the_figure() -> None:
    import plotly.graph_objects as go

    drawn = figure(window(), ["gpu_utilization", "gpu_memory_used"])
    whole = drawn.whole()
    json.dumps(whole, allow_nan=False)
    made = go.Figure(data=whole["data"], layout=whole["layout"])  # refuses what it does not know
    assert len(made.data) == 2 + len(STATUSES)
    assert made.layout.xaxis.type == "date"
    assert made.layout.yaxis.title.text.endswith("%")
    assert made.layout.yaxis2.title.text.endswith("GiB")
    # One axis of time for all rows and the jobs.
    assert {trace.xaxis for trace in made.data} == {"x"}
    assert made.data[-len(STATUSES)].yaxis == "y3"


def test_units_are_the_axes_and_gaps_are_none() -> None:
    whole = figure(window(), ["gpu_utilization", "gpu_memory_used"]).whole()
    percent, memory = whole["data"][:2]
    assert percent["y"] == [1, 2, None, 4]
    assert percent["connectgaps"] is False
    assert memory["y"] == [1, 2]  # MiB in the store, GiB on the axis
    assert percent["x"][0] == START * 1000


def test_rows_are_those_that_somebody_measures_or_those_asked_for() -> None:
    shown = window(lines=(line([None, None], "power_watts"), line([1.0], "ram_used")))
    assert fields_of(shown, None) == ["ram_used"]
    assert fields_of(shown, ["power_watts", "power_watts"]) == ["power_watts"]


def test_a_sample_between_two_gaps_is_seen() -> None:
    xs, ys = drawable(line([None, 7.0, None]), END - START)
    assert [y for y in ys if not math.isnan(y)] == [7.0, 7.0]
    assert xs == sorted(xs)


@given(st.integers(1, 20_000), st.integers(2, 500))
@settings(max_examples=40, deadline=None)
def test_never_more_points_than_allowed_and_gaps_stay(count: int, every: int) -> None:
    values: list[float | None] = [float(n % 97) for n in range(count)]
    values[::every] = [None] * len(values[::every])
    xs, ys = drawable(line(values), END - START)
    assert len(xs) == len(ys) <= MOST_POINTS
    assert xs == sorted(xs)
    assert any(math.isnan(y) for y in ys)
    small = thin((xs, ys), 100)
    assert len(small[0]) <= 100
    known = [y for y in small[1] if not math.isnan(y)]
    assert all(0 <= y <= 96 for y in known)


def test_no_foreign_text_becomes_markup(hostile: str) -> None:
    drawn = figure(
        window(
            backends=(hostile,),
            lines=(line([1.0, 2.0], backend=hostile),),
            jobs=(job(hostile, backend=hostile, detail=hostile),),
        ),
        ["gpu_utilization"],
        title=hostile,
    )
    own = {"<b>", "</b>", "<i>", "</i>", "<br>", "<extra>", "</extra>"}
    import re

    def texts(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [t for one in value.values() for t in texts(one)]
        if isinstance(value, list):
            return [t for one in value for t in texts(one)]
        return []

    whole = drawn.whole()
    for text in texts({**whole, "data": [{**t, "customdata": []} for t in whole["data"]]}):
        assert set(re.findall(r"<[^>]*>?", text)) <= own
    for trace in whole["data"]:
        # Foreign text is looked up by templates, never written into one.
        assert hostile[:8] not in trace["hovertemplate"]


@pytest.mark.parametrize("status", list(JobStatus))
def test_every_status_has_a_bar(status: JobStatus) -> None:
    end = None if status is JobStatus.RUNNING else START + 90
    whole = figure(window(jobs=(job(status=status, end=end),)), []).whole()
    assert sum(len(trace["x"]) for trace in whole["data"] if trace["type"] == "bar") == 1
