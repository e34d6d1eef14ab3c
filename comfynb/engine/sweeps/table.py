"""Points of a sweep as a table: one axis downwards, one across, the rest by a condition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.engine.sweeps.conditions import Where, condition
from comfynb.engine.sweeps.views import PointView
from comfynb.errors import NotFound, UsageError

__all__ = ["PointTable", "point_table"]


@dataclass(frozen=True, slots=True)
class PointTable:
    """``cells[row][column]`` holds the numbers of the points there: none, one, or several."""

    rows: str | None
    columns: str | None
    row_values: tuple[Any, ...]
    column_values: tuple[Any, ...]
    cells: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def flat(self) -> list[tuple[int, ...]]:
        """All cells, row by row."""
        return [cell for row in self.cells for cell in row]


def point_table(
    points: Sequence[PointView],
    axes: Sequence[str],
    rows: str | None = None,
    columns: str | None = None,
    where: Where | Mapping[str, Any] | None = None,
) -> PointTable:
    """Arrange points; values stand in the order in which they first appear.

    Without ``rows`` or ``columns`` the first axes that are not named are taken. ``where`` keeps
    some points only: an expression, a function, or a dict of values that they must have.

    Raises:
        NotFound: there is no such axis.
        UsageError: one axis in both places.
        ExpressionError: an expression that cannot be read.
    """
    known = list(dict.fromkeys([*axes, *(name for point in points for name in point.values)]))
    for axis in (rows, columns):
        if axis is not None and axis not in known:
            raise NotFound(f"No point has a value for {axis!r:.60}; there are: {', '.join(known)}.")
    if rows is not None and rows == columns:
        raise UsageError(f"{rows} cannot be the rows and the columns: name two axes.")
    free = [axis for axis in axes if axis not in {rows, columns}]
    if columns is None and free:
        columns = free.pop(0) if rows is not None else free.pop(-1)
    if rows is None and free:
        rows = free.pop(0)
    test = _test(where, known)
    taken = [point for point in points if test(point.values)]
    row_places = _places(taken, rows)
    column_places = _places(taken, columns)
    cells: list[list[list[int]]] = [[[] for _ in column_places] for _ in row_places]
    for point in taken:
        row = row_places.get(_key(point, rows))
        column = column_places.get(_key(point, columns))
        if row is not None and column is not None:
            cells[row][column].append(point.index)
    return PointTable(
        rows,
        columns,
        tuple(value for _, value in row_places),
        tuple(value for _, value in column_places),
        tuple(tuple(tuple(cell) for cell in row) for row in cells),
    )


def _test(
    where: Where | Mapping[str, Any] | None, names: Sequence[str]
) -> Callable[[Mapping[str, Any]], bool]:
    if isinstance(where, Mapping):
        wanted = dict(where)
        for name in wanted:
            if name not in names:
                raise NotFound(
                    f"No point has a value for {name!r:.60}; there are: {', '.join(names)}."
                )
        return lambda values: all(values.get(name) == value for name, value in wanted.items())
    return condition(where, names) or (lambda _: True)


def _key(point: PointView, axis: str | None) -> tuple[str, Any]:
    value = None if axis is None else point.values.get(axis)
    plain = isinstance(value, str | int | float | bool | None)
    return type(value).__name__, value if plain else repr(value)


def _places(points: Sequence[PointView], axis: str | None) -> dict[tuple[str, Any], int]:
    places: dict[tuple[str, Any], int] = {}
    for point in points:
        if axis is None or axis in point.values:
            places.setdefault(_key(point, axis), len(places))
    return places
