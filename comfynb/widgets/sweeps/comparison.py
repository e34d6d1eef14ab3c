"""A sweep as a table of pictures: one parameter downwards, one across; zoom, stars, exports."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from comfynb.engine.sweeps.table import PointTable
from comfynb.engine.sweeps.views import PointView, SweepView
from comfynb.engine.views import Watchable
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.live import Live
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.sweeps.cells import CELL, PointCells, Rate
from comfynb.widgets.sweeps.export import corner_text, write_html, write_png
from comfynb.widgets.sweeps.text import (
    count_words,
    point_label,
    short_value,
    sweep_styled,
)
from comfynb.widgets.tables import StaticTable
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import CannotShow, data_uri, shrink_file

__all__ = ["SweepComparison"]

STATIC_CELLS: Final = 60
"""Pictures kept in a saved notebook: with 16 kB each at most, one megabyte and a quarter."""

Arrange = Callable[[SweepView], PointTable]


class SweepComparison(Composite):
    """Pictures side by side, live while the sweep goes on; ``arrange`` says which stands where.

    ``to_png`` and ``to_html`` write what is shown into one file.
    """

    def __init__(
        self, sweep: Watchable[SweepView], arrange: Arrange, *, rate: Rate | None = None
    ) -> None:
        self._sweep = sweep
        self._arrange = arrange
        view = sweep.view
        self._table = arrange(view)
        # What all of them have in common need not stand under each.
        shown = [view.points[number] for cell in self._table.flat for number in cell]
        used = {self._table.rows, self._table.columns}
        rest = [
            axis
            for axis in view.axes
            if axis not in used and len({repr(one.values.get(axis)) for one in shown}) > 1
        ]
        self._head = html()
        self._cells = PointCells(
            view.axes,
            rest,
            label=f"Comparison of {one_line(view.name, 80)}",
            rate=rate,
        )
        super().__init__([self._head, self._cells.widget])
        self.add_class("comfynb-sweep-box")
        self._count = -1
        self._live: Live[SweepView] = Live(sweep, self._show)
        self._show(view)

    @property
    def table(self) -> PointTable:
        """Which points stand where."""
        return self._table

    def _show(self, view: SweepView) -> None:
        if len(view.points) != self._count:
            self._count = len(view.points)
            self._table = self._arrange(view)
            self._cells.arrange(
                self._table.flat,
                columns=max(len(self._table.column_values), 1),
                row_heads=[short_value(value, 120) for value in self._table.row_values],
                column_heads=[short_value(value, 60) for value in self._table.column_values],
                corner=corner_text(self._table),
            )
        self._head.value = self._headline(view)
        self._cells.show(view.points)

    def _headline(self, view: SweepView) -> str:
        cells = f"{len(self._table.row_values)} × {len(self._table.column_values)} cells"
        name = f'<span class="comfynb-name">{user(view.name, 120)}</span>'
        return (
            f'<div class="comfynb-headline">{name}'
            f'<span>{esc(corner_text(self._table))}</span><span class="comfynb-soft">'
            f"{cells}; {esc(count_words(view))}</span></div>"
        )

    # Exports -----------------------------------------------------------------------------------

    def to_png(self, path: str | Path, *, size: int = 256) -> Path:
        """Write one picture of it, each cell ``size`` pixels; gives the path.

        Raises:
            InvalidValue: it would be larger than programs open.
        """
        view = self._sweep.view
        return write_png(Path(path), view.name, view.points, self._table, size=size)

    def to_html(self, path: str | Path, *, size: int = 256, pixels: int = 1024) -> Path:
        """Write one HTML file that needs nothing else: shown ``size`` pixels wide, enlarged by a
        click to what ``pixels`` hold; gives the path."""
        view = self._sweep.view
        return write_html(
            Path(path),
            view.name,
            about=count_words(view),
            points=view.points,
            table=self._table,
            axes=view.axes,
            size=size,
            pixels=pixels,
        )

    # Static ------------------------------------------------------------------------------------

    def _words(self, points: list[PointView]) -> str:
        if not points:
            return ""
        first = points[0]
        told = look(first.status).sign
        if first.score is not None:
            told += f" {first.score:.4g}"
        if first.rating is not None:
            told += " " + "★" * round(first.rating)
        return told + (f" +{len(points) - 1}" if len(points) > 1 else "")

    def plain(self) -> str:
        """The table with a sign, the score and the stars of each cell."""
        view, table = self._sweep.view, self._table
        rows = [
            [short_value(value, 60), *(self._words([view.points[n] for n in cell]) for cell in row)]
            for value, row in zip(table.row_values, table.cells, strict=True)
        ]
        heads = [corner_text(table), *(short_value(value, 24) for value in table.column_values)]
        return f"{one_line(view.name, 80)}\n{StaticTable(heads, rows, limit=100).plain()}"

    def body(self) -> str:
        """What stays in a saved notebook."""
        view, table = self._sweep.view, self._table
        left = STATIC_CELLS
        rows = []
        for value, row in zip(table.row_values, table.cells, strict=True):
            filled = []
            for cell in row:
                points = [view.points[number] for number in cell]
                filled.append(f"<td>{self._static(points, with_picture=left > 0)}</td>")
                left -= 1
            head = f'<th scope="row">{user(short_value(value, 120), 120)}</th>'
            rows.append(f"<tr>{head}{''.join(filled)}</tr>")
        heads = "".join(
            f'<th scope="col">{user(short_value(value, 60), 60)}</th>'
            for value in table.column_values
        )
        corner = f"<th>{user(corner_text(table), 80)}</th>"
        return (
            f'{self._headline(view)}<div class="comfynb-sweep-scroll">'
            f'<table class="comfynb-table comfynb-sweep-table"><thead><tr>{corner}{heads}</tr>'
            f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
        )

    def _static(self, points: list[PointView], *, with_picture: bool) -> str:
        if not points:
            return ""
        seen = look(points[0].status)
        label = esc(one_line(point_label(points[0], self._sweep.view.axes, 60), 200))
        words = esc(self._words(points))
        path = points[0].pictures[0].path if points[0].pictures else None
        if path is None or not with_picture:
            return f'<div class="comfynb-blank" title="{label}">{words} {esc(seen.word)}</div>'
        try:
            source = data_uri(shrink_file(path, CELL))
        except CannotShow as why:
            return f'<div class="comfynb-blank" title="{label}">{esc(why)}</div>'
        return f'<img src="{source}" alt="{label}" title="{label}"><div>{words}</div>'

    def static_html(self) -> str:
        """The same as static HTML that needs no kernel and no widget."""
        return sweep_styled(self.body())

    def close(self) -> None:
        """Stop watching and close everything."""
        if hasattr(self, "_live"):
            self._live.stop()
            self._cells.close()
        super().close()
