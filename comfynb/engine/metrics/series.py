"""Values over time, thinned for a plot: least and greatest of each bucket stay, gaps stay gaps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np

from comfynb.errors import InvalidValue
from comfynb.store import View
from comfynb.store.metrics import Window, series_sql, windows
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
    parts_of_time = tuple(windows(view, start, end, width))
    chosen = list(backends or ())
    parts: dict[str, list[Array]] = {}
    for window in parts_of_time:
        sql = series_sql(window.step, fields, backends=len(chosen), gpu=gpu is not None)
        asked = [origin, width, window.start, window.end, *chosen]
        columns = view.columns(sql, asked if gpu is None else [*asked, gpu])
        for backend_id, part in _by_backend(columns):
            parts.setdefault(backend_id, []).append(part)
    lines: list[Line] = []
    for backend_id, found in parts.items():
        # One window follows the other, and so do their rows.
        whole = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        lines += _lines(whole, backend_id, names.get(backend_id, backend_id), fields, gpu, width)
    return Series(start, end, width, parts_of_time, tuple(lines))


def _by_backend(columns: Sequence[Any]) -> Iterator[tuple[str, Array]]:
    """Cut columns, ordered by their first, into one table of numbers for each backend."""
    if not columns or not len(columns[0]):
        return
    ids = columns[0]
    numbers = np.vstack(columns[1:])
    cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
    for begin, end in pairwise(cuts):
        yield str(ids[begin]), numbers[:, begin:end]


def _lines(  # noqa: PLR0917 - what a line consists of
    part: Array, backend_id: str, name: str, fields: Sequence[str], gpu: int | None, width: float
) -> Iterator[Line]:
    bucket, first, breaks = part[:3]
    for place, field in enumerate(fields):
        low, high, mean = part[3 + 3 * place : 6 + 3 * place]
        if not np.isnan(mean).all():
            times, values, means = _points(bucket, first, breaks, low, high, mean, width)
            yield Line(backend_id, name, field, gpu, times, values, means)


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
    following = np.concatenate((first[1:], [np.inf]))
    times[second] = np.minimum(first + width / 2, following)[two]
    values[second] = np.where(falling, low, high)[two]
    means[second] = mean[two]
    gap = main[broken] - 1
    times[gap] = (first[broken] + first[np.flatnonzero(broken) - 1]) / 2
    return times, values, means
