"""Numbers in a table of colours: hours and weekdays, or backends over time."""

from itertools import pairwise
from typing import Any, Final

from comfynb.widgets.composite import Composite, mimebundle
from comfynb.widgets.markup import esc, number, user
from comfynb.widgets.metrics.figure import Figure
from comfynb.widgets.metrics.look import metrics_styled, plot_text
from comfynb.widgets.metrics.page import PlotPage
from comfynb.widgets.metrics.views import HeatView
from comfynb.widgets.tables import StaticTable

__all__ = ["MetricsHeatmap", "heat_figure"]

SCALE: Final = "Cividis"
"""Made for colour-blind readers; its lightness rises evenly, so it reads in grey as well."""
# The same scale's ends and middle, for drawings without plotly.
STOPS: Final = ((0.0, (0, 32, 76)), (0.5, (124, 123, 120)), (1.0, (255, 234, 70)))
PLOTLY: Final = "application/vnd.plotly.v1+json"
ROW: Final = 26


def heat_figure(view: HeatView) -> Figure:
    """The figure: dark is little, bright is much, and nothing is drawn where nothing is known."""
    rows = [plot_text(name, 30) for name in view.rows]
    columns = [plot_text(name, 30) for name in view.columns]
    unit = plot_text(view.unit, 20)
    trace: dict[str, Any] = {
        "type": "heatmap",
        # Places, not names: two rows of one name must stay two.
        "x": list(range(len(columns))),
        "y": list(range(len(rows))),
        "z": [[None if value is None else round(value, 3) for value in row] for row in view.cells],
        "text": [
            [
                f"<b>{rows[i]}, {columns[j]}</b><br>"
                + ("not measured" if value is None else f"{value:.1f} {unit}")
                for j, value in enumerate(row)
            ]
            for i, row in enumerate(view.cells)
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": True,
        "zmin": 0,
        "zmax": view.top if view.top is not None else _top(view),
        "colorscale": SCALE,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": unit}, "thickness": 12, "outlinewidth": 0},
    }
    height = 96 + ROW * max(len(rows), 4)
    layout = {
        "height": height,
        "margin": {"l": 60, "r": 10, "t": 36, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "#767676", "size": 11.5},
        "title": {"text": plot_text(view.title, 100), "font": {"size": 14}, "x": 0.01},
        "template": {},
        "xaxis": {
            "tickvals": list(range(len(columns))),
            "ticktext": columns,
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            **({"nticks": 24, "tickmode": "array"} if len(columns) <= 24 else _some(columns)),
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "autorange": "reversed",
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        },
    }
    return Figure([trace], layout, [], [])


def _some(columns: list[str]) -> dict[str, Any]:
    """Every so-manieth tick, where all would overlap."""
    step = -(-len(columns) // 12)
    return {"tickvals": list(range(0, len(columns), step)), "ticktext": columns[::step]}


def _top(view: HeatView) -> float:
    return max((value for row in view.cells for value in row if value is not None), default=1.0)


class MetricsHeatmap(Composite):
    """A heat map as it was when it was made; ``view`` has its numbers."""

    def __init__(self, view: HeatView) -> None:
        self.view = view
        self._figure = heat_figure(view)
        page = PlotPage(self.plain().partition("\n")[0])
        super().__init__([page.widget])
        self._page = page
        page.draw(self._figure)

    def _table(self) -> StaticTable:
        return StaticTable(
            ["", *self.view.columns],
            [
                [name, *(None if value is None else round(value) for value in row)]
                for name, row in zip(self.view.rows, self.view.cells, strict=True)
            ],
            limit=60,
        )

    def plain(self) -> str:
        """The busiest cell, then all of them as a table."""
        known = [
            (value, row, column)
            for row, values in zip(self.view.rows, self.view.cells, strict=True)
            for column, value in zip(self.view.columns, values, strict=True)
            if value is not None
        ]
        if not known:
            return f"{self.view.title}: nothing was measured yet"
        value, row, column = max(known)
        most = f"{self.view.title}: most in {row}, {column}: {value:.0f} {self.view.unit}"
        return f"{most}\n{self._table().plain()}"

    def body(self) -> str:
        """A table with coloured cells, which stays in a saved notebook."""
        top = self.view.top if self.view.top is not None else _top(self.view)
        heads = "".join(f'<th scope="col">{user(name, 30)}</th>' for name in self.view.columns)
        rows = "".join(
            f'<tr><th scope="row">{user(name, 40)}</th>'
            + "".join(_cell(value, top) for value in values)
            + "</tr>"
            for name, values in zip(self.view.rows, self.view.cells, strict=True)
        )
        return (
            f'<div class="comfynb-soft">{user(self.view.title, 200)}, {esc(self.view.unit)}</div>'
            f'<table class="comfynb-table comfynb-heat"><thead><tr><th></th>{heads}</tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )

    def static_html(self) -> str:
        """The same with its style sheets."""
        return metrics_styled(self.body())

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        bundle = mimebundle(self, self.plain(), self.static_html())
        return {**bundle, PLOTLY: self._figure.whole()}


def _cell(value: float | None, top: float) -> str:
    if value is None:
        return '<td title="not measured">·</td>'
    red, green, blue = _colour(value / top if top else 0.0)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 110
    return (
        f'<td style="background:rgb({red},{green},{blue});color:{"#000" if light else "#fff"}">'
        f"{esc(number(round(value)))}</td>"
    )


def _colour(share: float) -> tuple[int, int, int]:
    share = min(max(share, 0.0), 1.0)
    (low, start), (high, end) = next(pair for pair in pairwise(STOPS) if share <= pair[1][0])
    part = (share - low) / (high - low)
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(start, end, strict=True))
    return red, green, blue
