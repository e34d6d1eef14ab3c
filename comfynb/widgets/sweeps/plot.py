"""Points of a sweep as a plot: one thing against another, or all parameters side by side."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from comfynb.engine.sweeps.views import PointView, SweepView
from comfynb.errors import NotFound, UsageError
from comfynb.widgets.composite import Composite
from comfynb.widgets.markup import clean, esc, number, one_line
from comfynb.widgets.sweeps.text import point_label, short_value

__all__ = ["SweepPlot", "points_frame"]

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b59b00")
"""Okabe and Ito's, told apart by colour-blind people; the marks differ as well."""
SYMBOLS: Final = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star")
TEXT: Final = "#767676"
"""Reads on light and on dark pages: more than 4 to 1 on both."""
LINES: Final = "rgba(128, 128, 128, 0.3)"
MOST_GROUPS: Final = 12
STATIC: Final = 400
"""Points drawn into a saved notebook."""


def points_frame(view: SweepView) -> Any:
    """A pandas DataFrame with a row for each point.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise UsageError("to_df needs pandas: pip install 'comfynb[pandas]'.") from None
    results = _results(view)
    rows = [
        {**point.values, **{name: take(point) for name, take in results.items()}}
        for point in view.points
    ]
    index = pandas.Index([point.index for point in view.points], name="point")
    return pandas.DataFrame(rows, index=index)


_TAKE: Final[Mapping[str, Callable[[PointView], Any]]] = {
    "state": lambda point: point.status.value,
    "score": lambda point: point.score,
    "rating": lambda point: point.rating,
    "seconds": lambda point: point.seconds,
    "backend": lambda point: point.backend,
    "linked": lambda point: point.linked,
    "error": lambda point: point.error,
    "picture": lambda point: str(point.pictures[0].path) if point.pictures else None,
    "job_id": lambda point: point.job_id,
}


def _results(view: SweepView) -> dict[str, Callable[[PointView], Any]]:
    """What became of a point, by name: "point_seconds" where a parameter is called "seconds"."""
    taken = {name for point in view.points for name in point.values}
    return {f"point_{name}" if name in taken else name: take for name, take in _TAKE.items()}


class SweepPlot(Composite):
    """A plot as it was when it was made; ``figure`` is plotly's own, to be changed as one likes."""

    def __init__(
        self,
        view: SweepView,
        x: str | None = None,
        y: str | None = None,
        *,
        color: str | None = None,
        kind: str | None = None,
    ) -> None:
        if kind not in {None, "scatter", "line", "parallel"}:
            raise UsageError(f'kind is "scatter", "line" or "parallel", not {kind!r:.40}.')
        self._view = view
        self._results = _results(view)
        self._y = y or self._best_result()
        if x is None and kind in {"scatter", "line"}:
            x = view.axes[0] if view.axes else "point"
        self._x = x
        self._color = color
        for name in (x, self._y, color):
            self._check(name)
        self._check_numbers(self._y)
        if x is None:
            self.figure = self._parallel()
        else:
            self.figure = self._against(x, kind or "scatter")
        super().__init__([self.figure])

    def _check(self, name: str | None) -> None:
        known = [*self._view.axes, *self._results, "point"]
        extra = {axis for point in self._view.points for axis in point.values}
        if name is not None and name not in known and name not in extra:
            raise NotFound(f"Points have no {one_line(name, 60)!r}; there are: {', '.join(known)}.")

    def _check_numbers(self, name: str) -> None:
        for point in self._view.points:
            value = self._value(point, name)
            if value is not None and not isinstance(value, int | float):
                raise UsageError(
                    f"Numbers are drawn upwards, and {one_line(name, 60)} of point {point.index} "
                    f'is {short_value(value, 40)!r}: plot("{one_line(name, 60)}", "seconds").'
                )

    def _value(self, point: PointView, name: str) -> Any:
        if name in point.values:
            return point.values[name]
        if name in self._results:
            return self._results[name](point)
        return point.index if name == "point" else None

    def _best_result(self) -> str:
        """The score if there is one, else the rating, else how long points took."""
        names = {take: name for name, take in self._results.items()}
        found = [names[_TAKE[name]] for name in ("score", "rating", "seconds")]
        for name in found[:2]:
            if any(self._results[name](point) is not None for point in self._view.points):
                return name
        return found[2]

    # Figures -----------------------------------------------------------------------------------

    def _against(self, x: str, kind: str) -> Any:
        go = _graph_objects()
        groups = self._groups(x)
        traces = []
        for place, (label, points) in enumerate(groups.items()):
            colour = COLOURS[place % len(COLOURS)]
            marker = {"color": colour, "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8}
            if kind == "line":
                line = {"name": label, "marker": marker, "line": {"color": colour}}
                traces.append(self._mean_line(x, points, line))
                continue
            traces.append(
                go.Scatter(
                    x=[_shown(self._value(point, x)) for point in points],
                    y=[self._value(point, self._y) for point in points],
                    mode="markers",
                    name=label,
                    marker={**marker, "opacity": 0.85},
                    text=[esc(self._label(point)) for point in points],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
        figure = go.FigureWidget(traces)
        figure.update_layout(
            **_layout(self._view, height=380),
            xaxis={"title": {"text": esc(x)}, "gridcolor": LINES, "zerolinecolor": LINES},
            yaxis={"title": {"text": esc(self._y)}, "gridcolor": LINES, "zerolinecolor": LINES},
            showlegend=len(groups) > 1,
        )
        return figure

    def _mean_line(self, x: str, points: Sequence[PointView], look: Mapping[str, Any]) -> Any:
        found: dict[Any, list[float]] = {}
        for point in points:
            found.setdefault(_shown(self._value(point, x)), []).append(self._value(point, self._y))
        if all(isinstance(place, int | float) for place in found):
            found = dict(sorted(found.items()))
        means = [sum(values) / len(values) for values in found.values()]
        return _graph_objects().Scatter(
            x=list(found),
            y=means,
            mode="lines+markers",
            **look,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [max(v) - m for v, m in zip(found.values(), means, strict=True)],
                "arrayminus": [m - min(v) for v, m in zip(found.values(), means, strict=True)],
                "color": look["line"]["color"],
                "thickness": 1,
            },
        )

    def _groups(self, x: str) -> dict[str, list[PointView]]:
        groups: dict[str, list[PointView]] = {}
        for point in self._drawn(x):
            label = (
                "points"
                if self._color is None
                else short_value(self._value(point, self._color), 40)
            )
            groups.setdefault(esc(label), []).append(point)
        if len(groups) > MOST_GROUPS:
            raise UsageError(
                f"{self._color} has {len(groups)} values; colours tell {MOST_GROUPS} apart: take "
                "another parameter, or sweep.grid(...)."
            )
        return groups

    def _drawn(self, x: str | None) -> list[PointView]:
        return [
            point
            for point in self._view.points
            if self._value(point, self._y) is not None
            and (x is None or self._value(point, x) is not None)
        ]

    def _parallel(self) -> Any:
        go = _graph_objects()
        points = self._drawn(None)
        dimensions = []
        for name in [*self._view.axes, self._y]:
            values = [self._value(point, name) for point in points]
            if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
                dimensions.append({"label": esc(name), "values": values})
                continue
            texts = [short_value(value, 24) for value in values]
            places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
            dimensions.append(
                {
                    "label": esc(name),
                    "values": [places[text] for text in texts],
                    "tickvals": list(places.values()),
                    "ticktext": [esc(text) for text in places],
                }
            )
        line: dict[str, Any] = {"color": COLOURS[0]}
        if points:
            line = {
                "color": [self._value(point, self._y) for point in points],
                "colorscale": "Cividis",
                "showscale": True,
                "colorbar": {"title": {"text": esc(self._y)}},
            }
        figure = go.FigureWidget([go.Parcoords(line=line, dimensions=dimensions)])
        figure.update_layout(**{**_layout(self._view, height=380), "margin": {"t": 70, "b": 30}})
        return figure

    def _label(self, point: PointView) -> str:
        told = f"{point_label(point, self._view.axes, 40)}: {self._y} {self._value(point, self._y)}"
        return one_line(told, 200)

    # Static ------------------------------------------------------------------------------------

    def plain(self) -> str:
        """How many points it shows, and the best."""
        points = self._drawn(self._x)
        y = one_line(self._y, 60)
        against = f"{y} against {one_line(self._x, 60)}" if self._x else f"parameters and {y}"
        if not points:
            return f"{one_line(self._view.name, 80)}: no point has a {y} yet"
        best = max(points, key=lambda point: float(self._value(point, self._y)))
        return (
            f"{one_line(self._view.name, 80)}: {against}, {len(points)} points; "
            f"highest: {self._label(best)}"
        )

    def body(self) -> str:
        """A plain drawing that stays in a saved notebook."""
        told = f'<div class="comfynb-soft">{esc(self.plain())}</div>'
        points = self._drawn(self._x)[:STATIC]
        if self._x is None or not points:
            return told
        across = [self._value(point, self._x) for point in points]
        up = [float(self._value(point, self._y)) for point in points]
        return _drawing(across, up, f"{self._y} against {self._x}") + told


def _graph_objects() -> Any:
    return importlib.import_module("plotly.graph_objects")


def _layout(view: SweepView, *, height: int) -> dict[str, Any]:
    return {
        "title": {"text": esc(one_line(view.name, 100)), "font": {"size": 15}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT},
        "margin": {"l": 60, "r": 20, "t": 48, "b": 50},
        "height": height,
        "template": "none",
    }


def _shown(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(short_value(value, 40))
    return value


def _drawing(raw: Sequence[Any], up: Sequence[float], title: str) -> str:
    """A scatter plot as SVG; what is no number is spread evenly."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in raw):
        across = [float(value) for value in raw]
        ends = [number(min(across)), number(max(across))]
    else:
        texts = [short_value(value, 40) for value in raw]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        across = [float(places[text]) for text in texts]
        ends = [next(iter(places)), list(places)[-1]]
    xs, ys = _scaled(across, 50, 470), _scaled(up, 200, 20)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{COLOURS[0]}" fill-opacity="0.75"/>'
        for a, b in zip(xs, ys, strict=True)
    )
    label = esc(title)
    return (
        f'<svg viewBox="0 0 500 240" width="500" height="240" role="img" aria-label="{label}" '
        f'fill="currentColor" font-size="11"><path d="M46 14V204H480" fill="none" '
        f'stroke="currentColor" stroke-opacity="0.5"/>{dots}'
        f'<text x="42" y="24" text-anchor="end">{max(up):.3g}</text>'
        f'<text x="42" y="204" text-anchor="end">{min(up):.3g}</text>'
        f'<text x="50" y="220">{esc(ends[0])}</text>'
        f'<text x="470" y="220" text-anchor="end">{esc(ends[1])}</text>'
        f'<text x="260" y="235" text-anchor="middle">{label}</text></svg>'
    )


def _scaled(values: Sequence[float], start: float, end: float) -> list[float]:
    low, high = min(values), max(values)
    span = high - low
    return [start + (end - start) * ((v - low) / span if span else 0.5) for v in values]
