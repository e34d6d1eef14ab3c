"""Heat maps: every cell at its place, what is not measured is not zero, and text is text."""

import json
from typing import Any

import pytest

from comfynb.widgets.metrics.heatmap import PLOTLY, MetricsHeatmap, heat_figure
from comfynb.widgets.metrics.views import HeatView


def view(**more: Any) -> HeatView:
    given: dict[str, Any] = {
        "title": "GPU",
        "unit": "%",
        "rows": ["Mon", "Tue"],
        "columns": ["0", "1", "2"],
        "cells": [[10.0, None, 100.0], [0.0, 50.0, None]],
        "top": 100.0,
    }
    return HeatView(**{**given, **more})


def test_plotly_takes_it_and_unknown_is_none() -> None:
    import plotly.graph_objects as go

    whole = heat_figure(view()).whole()
    json.dumps(whole, allow_nan=False)
    (trace,) = go.Figure(data=whole["data"], layout=whole["layout"]).data
    assert trace.z[0][1] is None
    assert "not measured" in trace.text[0][1]
    assert (trace.zmin, trace.zmax) == (0, 100)


def test_what_stays_in_a_saved_notebook() -> None:
    shown = MetricsHeatmap(view())
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"].startswith("GPU: most in Mon, 2: 100 %")
    assert bundle["text/html"].count("<td") == 6
    assert bundle["text/html"].count("not measured") == 2
    assert bundle[PLOTLY]["data"][0]["type"] == "heatmap"
    shown.close()


def test_nothing_measured_is_said() -> None:
    shown = MetricsHeatmap(view(cells=[[None] * 3] * 2, top=None))
    assert shown.plain() == "GPU: nothing was measured yet"
    shown.close()


@pytest.mark.parametrize("top", [None, 100.0])
def test_hostile_names(hostile: str, top: float | None, tags: Any) -> None:
    shown = MetricsHeatmap(
        view(title=hostile, unit=hostile, rows=[hostile, hostile], columns=[hostile] * 3, top=top)
    )
    seen = tags(shown.static_html())
    allowed = {"style", "div", "bdi", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag.lstrip("/") for tag, _ in seen.tags} <= allowed
    for texts in heat_figure(shown.view).data[0]["text"]:
        for text in texts:
            rest = text.replace("<b>", "").replace("</b>", "").replace("<br>", "")
            assert "<" not in rest
    shown.close()
