"""A window of metrics as a plotly figure: one row for each field, jobs beneath on the same axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfynb.widgets.metrics.jobs import Bar, Lane, lanes
from comfynb.widgets.metrics.look import STATUSES, StatusBar, line_look, plot_text, spoken
from comfynb.widgets.metrics.views import FIELDS, MetricLine, MetricsWindow, field_look
from comfynb.widgets.theme import look

__all__ = [
    "DEFAULT_FIELDS",
    "MOST_POINTS",
    "Figure",
    "LineKey",
    "bar_traces",
    "drawable",
    "fields_of",
    "figure",
    "key_of",
    "thin",
]

DEFAULT_FIELDS: Final = tuple(FIELDS)[:7]
MOST_POINTS: Final = 2000
"""Points of one trace."""
ROW: Final = 86
"""Pixels of a field's row; ``GAP`` lies between two rows."""
GAP: Final = 14
LEVEL: Final = 20
"""Pixels of one level of bars."""
TOP: Final = 46
BOTTOM: Final = 52
LEGEND: Final = 42
TEXT: Final = "#767676"
"""Reads on light and on dark pages; where it can, the page puts the theme's own colour instead."""
FAINT: Final = "rgba(128, 128, 128, 0.28)"

LineKey = tuple[str, str, int | None]
"""Field, backend, and GPU where there are several."""
Points = tuple[list[float], list[float]]
"""Milliseconds since 1970 in UTC, and values in the axis's unit; NaN breaks the line."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure without the points of its lines, which travel as bytes: ``lines`` says whose the
    first traces are, ``points`` what is in them, the rest of ``data`` are bars."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    lines: list[LineKey]
    points: list[Points]

    def whole(self) -> dict[str, Any]:
        """Everything as plain JSON, as ``application/vnd.plotly.v1+json`` has it."""
        data = []
        for place, trace in enumerate(self.data):
            if place < len(self.points):
                xs, ys = self.points[place]
                shown = [None if math.isnan(y) else float(f"{y:.6g}") for y in ys]
                data.append({**trace, "x": xs, "y": shown})
            else:
                data.append(trace)
        return {"data": data, "layout": self.layout, "config": {"displaylogo": False}}


def key_of(line: MetricLine) -> LineKey:
    """What a line is of."""
    return line.field, line.backend, line.gpu


def fields_of(window: MetricsWindow, wanted: Sequence[str] | None) -> list[str]:
    """The fields with a row: those asked for, or else the default ones that somebody measures."""
    if wanted is not None:
        return list(dict.fromkeys(wanted))
    measured = {
        line.field for line in window.lines if any(value is not None for value in line.values)
    }
    return [name for name in DEFAULT_FIELDS if name in measured]


def drawable(line: MetricLine, span: float) -> Points:
    """A line's points in milliseconds and in its axis's unit.

    A sample between two gaps would be a line without length: it is drawn a five-hundredth of the
    window wide.
    """
    scale = field_look(line.field).scale
    xs: list[float] = []
    ys: list[float] = []
    last = len(line.values) - 1
    for place, (time, value) in enumerate(zip(line.times, line.values, strict=True)):
        xs.append(round(time * 1000))
        ys.append(math.nan if value is None else value / scale)
        alone = (
            value is not None
            and place < last
            and line.values[place + 1] is None
            and (place == 0 or line.values[place - 1] is None)
        )
        if alone:
            xs.append(min(round((time + span / 500) * 1000), round(line.times[place + 1] * 1000)))
            ys.append(ys[-1])
    return thin((xs, ys), MOST_POINTS)


def thin(points: Points, most: int) -> Points:
    """At most ``most`` points: means of neighbours, broken where the line is broken."""
    xs, ys = points
    if len(xs) <= most:
        return points
    # A group with a gap in it becomes two points, so half as many groups are sure to do.
    for groups in (most, most // 2):
        step = -(-len(xs) // groups)
        thin_x: list[float] = []
        thin_y: list[float] = []
        for place in range(0, len(xs), step):
            some = ys[place : place + step]
            known = [y for y in some if not math.isnan(y)]
            thin_x.append(xs[place])
            thin_y.append(sum(known) / len(known) if known else math.nan)
            if known and len(known) < len(some):
                thin_x.append(xs[min(place + step, len(xs)) - 1])
                thin_y.append(math.nan)
        if len(thin_x) <= most:
            break
    return thin_x, thin_y


def figure(window: MetricsWindow, fields: Sequence[str], *, title: str = "") -> Figure:
    """The whole figure of a window; every line has at most ``MOST_POINTS`` points."""
    looks = {name: line_look(place) for place, name in enumerate(window.backends)}
    span = window.end - window.start
    data: list[dict[str, Any]] = []
    keys: list[LineKey] = []
    points: list[Points] = []
    named: set[str] = set()
    for row, name in enumerate(fields, 1):
        for line in sorted(
            (one for one in window.lines if one.field == name and one.backend in looks),
            key=lambda one: (list(looks).index(one.backend), one.gpu or 0),
        ):
            keys.append(key_of(line))
            points.append(drawable(line, span))
            data.append(_line_trace(line, row, looks[line.backend], line.backend not in named))
            named.add(line.backend)
    stacked = lanes(window.backends, window.jobs, window.start, window.end)
    data += bar_traces(stacked, len(fields) + 1)
    return Figure(data, _layout(window, fields, stacked, title), keys, points)


def _line_trace(line: MetricLine, row: int, drawn: Any, in_legend: bool) -> dict[str, Any]:
    seen = field_look(line.field)
    name = plot_text(line.backend, 40)
    if line.gpu is not None:
        name += f" GPU {line.gpu}"
    digits = ".0f" if seen.whole or seen.unit in {"%", "°C", "W"} else ".2f"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": plot_text(line.backend),
        "showlegend": in_legend,
        "xaxis": "x",
        "yaxis": _axis("y", row),
        "connectgaps": False,
        "line": {
            "color": drawn.colour,
            "dash": drawn.dash,
            "width": 1.8 if not line.gpu else 1.2,
            "shape": "hv" if seen.whole else "linear",
        },
        "hovertemplate": f"{seen.title} %{{y:{digits}}} {seen.unit}<br>%{{x|%H:%M:%S}}"
        "<extra>%{fullData.name}</extra>",
    }


def _axis(letter: str, number: int) -> str:
    return letter if number == 1 else f"{letter}{number}"


# Jobs -----------------------------------------------------------------------------------------


def bar_traces(stacked: Sequence[Lane], row: int) -> list[dict[str, Any]]:
    """One trace of bars for each status, in the order of ``STATUSES``; other statuses are drawn
    as the last of them."""
    floors = _floors(stacked)
    found: dict[StatusBar, list[tuple[Bar, float]]] = {kind: [] for kind in STATUSES}
    by_status = {kind.status: kind for kind in STATUSES}
    for lane in stacked:
        for bar in lane.bars:
            kind = by_status.get(bar.status, STATUSES[-1])
            found[kind].append((bar, floors[lane.backend] + bar.level))
    return [_bar_trace(kind, bars, row) for kind, bars in found.items()]


def _floors(stacked: Sequence[Lane]) -> dict[str, int]:
    floors, height = {}, 0
    for lane in stacked:
        floors[lane.backend] = height
        height += lane.levels
    return floors


def _bar_trace(kind: StatusBar, bars: Sequence[tuple[Bar, float]], row: int) -> dict[str, Any]:
    seen = look(kind.status)
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"{seen.sign} {seen.word}",
        "legendgroup": f"status {seen.word}",
        "legend": "legend2",
        "showlegend": bool(bars),
        "xaxis": "x",
        "yaxis": _axis("y", row),
        "base": [round(bar.start * 1000) for bar, _ in bars],
        "x": [max(round((bar.end - bar.start) * 1000), 1) for bar, _ in bars],
        "y": [height + 0.5 for _, height in bars],
        "width": 0.8,
        "customdata": [[span.id for span in bar.spans[:50]] for bar, _ in bars],
        "text": [_told(bar) for bar, _ in bars],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": kind.colour,
            "line": {"color": "rgba(128, 128, 128, 0.9)", "width": 0.6},
            "pattern": {
                "shape": kind.pattern,
                "fillmode": "overlay",
                "fgcolor": "#ffffff",
                "fgopacity": 0.7,
                "size": 6,
                "solidity": 0.25,
            },
        },
    }


def _told(bar: Bar) -> str:
    """What hovering over a bar says."""
    first = bar.spans[0]
    seen = look(first.status)
    lane = plot_text(bar.lane, 40)
    if len(bar.spans) > 1:
        names = dict.fromkeys(span.name for span in bar.spans)
        told = ", ".join(plot_text(name, 40) for name in list(names)[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return (
            f"<b>{len(bar.spans)} jobs</b> {seen.sign} {seen.word}<br>{told}{more}<br>"
            f"within {spoken(bar.end - bar.start)} on {lane}<br>zoom in to see each"
        )
    length = (bar.end if first.end is None else first.end) - first.start
    lines = [
        f"<b>{plot_text(first.name, 60)}</b>",
        f"{seen.sign} {seen.word}, {spoken(length)} on {lane}",
    ]
    lines += _wrapped(first.detail)
    lines.append("<i>click for its nodes</i>")
    return "<br>".join(lines)


def _wrapped(text: str, width: int = 56, most: int = 4) -> list[str]:
    """Foreign text in lines; plotly does not break them by itself."""
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) < most:
        cut = rest if len(rest) <= width else rest[: rest.rfind(" ", 1, width + 1)]
        if len(cut) > width or not cut:
            cut = rest[:width]
        lines.append(plot_text(cut, width))
        rest = rest[len(cut) :].lstrip()
    if rest:
        lines[-1] += " …"
    return lines


# Layout ---------------------------------------------------------------------------------------


def _layout(
    window: MetricsWindow, fields: Sequence[str], stacked: Sequence[Lane], title: str
) -> dict[str, Any]:
    levels = max(sum(lane.levels for lane in stacked), 1)
    below = max(levels * LEVEL, 28)
    inside = len(fields) * (ROW + GAP) + below
    layout: dict[str, Any] = {
        "height": TOP + inside + BOTTOM + LEGEND,
        "margin": {"l": 64, "r": 14, "t": TOP, "b": BOTTOM + LEGEND},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT, "size": 11.5},
        "hovermode": "closest",
        "hoverdistance": 40,
        "dragmode": "zoom",
        "clickmode": "event",
        "barmode": "overlay",
        "uirevision": "metrics",
        "template": {},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "yref": "container",
            "itemwidth": 34,
            "traceorder": "normal",
        },
        # Beneath the axis, for itself: its short words make columns of their own.
        "legend2": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yanchor": "bottom",
            "yref": "container",
            "itemwidth": 30,
            "traceorder": "normal",
        },
        "xaxis": {
            "type": "date",
            "anchor": _axis("y", len(fields) + 1),
            "range": [round(window.start * 1000), round(window.end * 1000)],
            "title": {"text": "Time", "standoff": 6},
            "gridcolor": FAINT,
            "linecolor": FAINT,
            "zeroline": False,
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            "spikethickness": 1,
            "spikedash": "dot",
            "spikecolor": TEXT,
        },
    }
    if title:
        layout["meta"] = {"title": plot_text(title)}
    top = 1.0
    for row, name in enumerate(fields, 1):
        bottom = top - ROW / inside
        layout[_axis("yaxis", row)] = _row_axis(name, [max(bottom, 0.0), top])
        top = bottom - GAP / inside
    layout[_axis("yaxis", len(fields) + 1)] = _lane_axis(stacked, levels, max(top, 0.01))
    return layout


def _row_axis(name: str, domain: list[float]) -> dict[str, Any]:
    seen = field_look(name)
    axis: dict[str, Any] = {
        "domain": domain,
        "anchor": "x",
        "title": {"text": plot_text(seen.title, 24) + (f"<br>{seen.unit}" if seen.unit else "")},
        "fixedrange": True,
        "nticks": 4,
        "rangemode": "tozero" if seen.from_zero else "normal",
        "gridcolor": FAINT,
        "linecolor": FAINT,
        "zeroline": False,
    }
    if seen.top is not None:
        axis |= {"range": [0, seen.top * 1.03], "tickvals": [0, seen.top / 2, seen.top]}
    if seen.whole:
        axis |= {"tickformat": "d"}
    return axis


def _lane_axis(stacked: Sequence[Lane], levels: int, top: float) -> dict[str, Any]:
    floors = _floors(stacked)
    return {
        "domain": [0, top],
        "anchor": "x",
        "range": [levels, 0],
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "linecolor": FAINT,
        "tickvals": [floors[lane.backend] + lane.levels / 2 for lane in stacked],
        "ticktext": [plot_text(lane.backend, 22) for lane in stacked],
        "automargin": True,
    }
