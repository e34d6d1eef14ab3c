"""Values over time, thinned for a plot: least and greatest of each bucket stay, gaps stay gaps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from comfynb.errors import InvalidValue
from comfynb.store import View
from comfynb.store.metrics import MetricsJournal, Window
from comfynb.store.table import optional

__all__ = ["MAX_POINTS", "Line", "Series", "read_series"]

MAX_POINTS: Final = 100_000
# What a bucket that two levels share may cost more, at each place where one level follows another.
_SPARE: Final = 8

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Line:
    """One field of one backend.

    ``times`` are UTC seconds since 1970, ascending; ``values`` are NaN where nothing is known, so
    that a line is broken there. A bucket with several different values gives two points, its least
    and its greatest. ``means`` has the mean of the same bucket at each point.
    """

    backend_id: str
    backend: str
    field: str
    gpu: int | None
    times: Array
    values: Array
    means: Array

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Series:
    """The answer to ``wb.metrics.series``; iterating gives its lines."""

    start: datetime
    end: datetime
    width: float
    """Seconds of one bucket."""
    windows: tuple[Window, ...]
    """Which level answered for which part of the time."""
    lines: tuple[Line, ...]

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        steps = ", ".join(
            {0: "samples", 10: "steps of 10 s", 60: "steps of 1 min"}[w.step] for w in self.windows
        )
        points = max(map(len, self.lines), default=0)
        return (
            f"<Series: {len(self.lines)} lines of up to {points} points, from {steps or 'nothing'}>"
        )

    def line(self, backend: str, field: str) -> Line | None:
        """The line of one field of one backend, by name or id; None where nothing was measured."""
        for one in self.lines:
            if one.field == field and backend in {one.backend, one.backend_id}:
                return one
        return None

    def to_df(self) -> Any:
        """A pandas DataFrame with one row for each point: time, backend, field, value, mean."""
        pd: Any = optional("pandas")

        parts = [
            pd.DataFrame(
                {
                    "time": pd.to_datetime(line.times, unit="s", utc=True),
                    "backend": line.backend,
                    "field": line.field,
                    "value": line.values,
                    "mean": line.means,
                }
            )
            for line in self.lines
        ]
        if parts:
            return pd.concat(parts, ignore_index=True)
        return pd.DataFrame(columns=["time", "backend", "field", "value", "mean"])


def read_series(
    view: View,
    fields: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    names: Mapping[str, str],
    backends: Sequence[str] | None,
    gpu: int | None,
    points: int,
) -> Series:
    """Read lines of at most ``points`` points each; ``backends`` are ids, ``names`` theirs.

    Raises:
        InvalidValue: the times or the number of points make no sense.
    """
    if not 10 <= points <= MAX_POINTS:
        raise InvalidValue(f"points must be from 10 to {MAX_POINTS}, not {points}")
    if start >= end:
        raise InvalidValue("start must lie before end")
    # A bucket gives at most two points, and one more only where the bucket before it is empty.
    width = (end - start).total_seconds() / max(1, (points - _SPARE) // 2 - 1)
    # The same buckets while a window slides, or its lines would flicker.
    origin = start.timestamp() // width * width
    windows = tuple(MetricsJournal.windows(view, start, end, width))
    chosen = list(backends or ())
    rows: list[tuple[Any, ...]] = []
    for window in windows:
        sql = MetricsJournal.series_sql(
            window.step, fields, backends=len(chosen), gpu=gpu is not None
        )
        asked = [origin, width, window.start, window.end, *chosen]
        rows += view.execute(sql, asked if gpu is None else [*asked, gpu])
    if len(windows) > 1:
        rows.sort(key=lambda row: (row[0], row[2]))
    return Series(start, end, width, windows, tuple(_lines(rows, fields, names, gpu, width)))


def _lines(
    rows: Sequence[tuple[Any, ...]],
    fields: Sequence[str],
    names: Mapping[str, str],
    gpu: int | None,
    width: float,
) -> Iterator[Line]:
    if not rows:
        return
    ids = [row[0] for row in rows]
    # Everything but the id is a number: one array for all of it.
    numbers = np.array([row[1:] for row in rows], dtype=np.float64).T
    begin = 0
    while begin < len(ids):
        end = begin
        while end < len(ids) and ids[end] == ids[begin]:
            end = min(len(ids), end + 64)
        while ids[end - 1] != ids[begin]:
            end -= 1
        backend_id = ids[begin]
        part = numbers[:, begin:end]
        for place, field in enumerate(fields):
            low, high, mean = part[3 + 3 * place : 6 + 3 * place]
            if np.isnan(mean).all():
                continue
            times, values, means = _points(part[0], part[1], part[2], low, high, mean, width)
            name = names.get(backend_id, backend_id)
            yield Line(backend_id, name, field, gpu, times, values, means)
        begin = end


def _points(  # noqa: PLR0917 - columns of one table
    bucket: Array, first: Array, breaks: Array, low: Array, high: Array, mean: Array, width: float
) -> tuple[Array, Array, Array]:
    """Give times, values and means: one or two points for each bucket, NaN where a gap begins."""
    size = len(bucket)
    two = low < high  # false where unknown
    broken = np.zeros(size, dtype=bool)
    broken[1:] = (breaks[1:] > 0) & (np.diff(bucket) >= 2)
    # Nearer to where the line comes from first, so that it does not cross itself.
    before = np.concatenate((mean[:1], mean[:-1]))
    falling = np.abs(before - high) < np.abs(before - low)
    counts = 1 + two + broken
    ends = np.cumsum(counts)
    total = int(ends[-1])
    times = np.empty(total)
    values = np.full(total, np.nan)
    means = np.full(total, np.nan)
    last = ends - 1
    main = last - two  # the place of the first point of each bucket
    times[main] = first
    values[main] = np.where(two & falling, high, low)
    means[main] = mean
    second = last[two]
    times[second] = first[two] + width / 2
    values[second] = np.where(falling, low, high)[two]
    means[second] = mean[two]
    gap = main[broken] - 1
    times[gap] = (first[broken] + first[np.flatnonzero(broken) - 1]) / 2
    return times, values, means
