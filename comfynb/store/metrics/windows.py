"""Which level answers for which part of a time, and the query that gives its values for a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from comfynb.errors import UsageError
from comfynb.store.metrics.rows import AVERAGED, FIELDS
from comfynb.store.transaction import View

__all__ = ["Window", "series_sql", "windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the time, and the level (0, 10 or 60 seconds) that answers for it."""

    start: datetime
    end: datetime
    step: int


def windows(view: View, start: datetime, end: datetime, width: float) -> list[Window]:
    """Cut a time into parts, each with the coarsest level that is fine enough for ``width``
    seconds and still has the samples (or, near now, already has them)."""
    raw_from, from_10s, rolled_10s, rolled_1m = view.execute(
        "select max(raw_from), max(from_10s), min(rolled_10s), min(rolled_1m) from metrics_state"
    )[0]
    old = datetime(1, 1, 1, tzinfo=UTC)
    # [since, until) of each level: where it may be used at all.
    spans = {
        0: (raw_from or old, end),
        10: (from_10s or old, rolled_10s or old),
        60: (old, rolled_1m or old),
    }
    wanted = 60 if width >= 60 else 10 if width >= 10 else 0
    coarser = [step for step in (10, 60) if step > wanted]
    finer = [step for step in (10, 0) if step < wanted]
    found: list[Window] = []

    def add(step: int, since: datetime, until: datetime) -> datetime:
        since, until = max(since, start), min(until, end)
        if since < until:
            found.append(Window(since, until, step))
            return until
        return since

    since, until = spans[wanted]
    before = start
    for step in reversed(coarser):
        upto = spans[10][0] if step == 60 else spans[0][0]
        before = max(before, add(step, before, min(upto, since)))
    at = max(before, add(wanted, max(before, since), until))
    for step in finer:
        at = max(at, add(step, at, spans[step][1]))
    return found


def series_sql(step: int, fields: Sequence[str], *, backends: int, gpu: bool) -> str:
    """Return the query that gives bucket, first time, breaks and values of each backend.

    Parameters: $1 where the first bucket begins and $2 how wide they are, in seconds; $3 and
    $4 the window; then the backends' ids, then the GPU's index.
    """
    for name in fields:
        if name not in FIELDS:
            raise UsageError(f"There is no field {name!r:.80}: there are {', '.join(FIELDS)}.")
    table = {0: "metrics", 10: "metrics_10s", 60: "metrics_1m"}[step]
    breaks = "count(*) - count(began)" if step == 0 else "sum(breaks)"
    parts = []
    for name in fields:
        low, high = (f"{name}_min", f"{name}_max") if step and name in AVERAGED else (name, name)
        parts += [
            f"min({low}) as low_{name}",
            f"max({high}) as high_{name}",
            f"avg({name}) as mean_{name}",
        ]
    conditions = ["taken_at >= $3", "taken_at < $4"]
    if backends:
        places = ", ".join(f"${i}" for i in range(5, 5 + backends))
        conditions.append(f"backend_id in ({places})")
    conditions.append(f"gpu = ${5 + backends}" if gpu else "main")
    return (
        "select backend_id, cast(floor((extract(epoch from taken_at) - $1::double precision)"  # noqa: S608
        " / $2::double precision) as bigint) as bucket, "
        "cast(extract(epoch from min(taken_at)) as double precision) as first, "
        f"cast({breaks} as bigint) as breaks, {', '.join(parts)} from {table} "
        f"where {' and '.join(conditions)} group by 1, 2 order by 1, 2"
    )
