"""Small steps that sum samples up and throw away what is old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from comfynb.store.metrics.rows import AVERAGED, floor_time
from comfynb.store.transaction import Transaction

__all__ = ["Keeping", "Upkeep", "keep"]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long each level is kept."""

    raw: timedelta = timedelta(hours=24)
    steps_10s: timedelta = timedelta(days=7)
    steps_1m: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What one step of upkeep did; ``more`` says that another would find something to do."""

    rolled: int = 0
    deleted: int = 0
    measured: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Level:
    """Steps of so many seconds, summed up from a finer level."""

    seconds: int
    table: str
    source: str
    mark: str
    """The column of metrics_state that says how far it has come."""
    sums: str
    """Samples, breaks, offline samples and seconds in one step, from the source's columns."""
    least: str
    most: str
    """Where a field's extremes stand in the source."""
    at_once: timedelta
    """What is summed up in one transaction: small beside a busy writer's commits."""

    @property
    def sql(self) -> str:
        """The statement; $1 owner, from $2 to $3."""
        number = f"floor(extract(epoch from m.taken_at) / {self.seconds})"
        bucket = f"to_timestamp({number} * {self.seconds})"
        columns, values = [], []
        for name in AVERAGED:
            least, most = self.least.format(name), self.most.format(name)
            columns += [name, f"{name}_min", f"{name}_max"]
            values += [f"avg(m.{name})", f"min(m.{least})", f"max(m.{most})"]
        return (
            f"insert into {self.table} (backend_id, taken_at, gpu, main, "  # noqa: S608
            "samples, breaks, offline, seconds, energy_joules, "
            f"{', '.join(columns)}, gpu_memory_total, ram_total, disk_free, disk_total) "
            f"select m.backend_id, {bucket}, m.gpu, bool_or(m.main), {self.sums}, "
            f"sum(m.energy_joules), {', '.join(values)}, max(m.gpu_memory_total), "
            "max(m.ram_total), min(m.disk_free), max(m.disk_total) "
            f"from {self.source} as m "
            "join metrics_state as s on s.backend_id = m.backend_id and s.owner_id = $1 "
            f"where m.taken_at >= $2 and m.taken_at < $3 and m.taken_at >= s.{self.mark} "
            f"group by m.backend_id, m.gpu, {bucket}"
        )

    def roll(self, tx: Transaction, owner: str, since: datetime, until: datetime) -> int:
        """Sum up [since, until) of every backend of this owner that has not come so far."""
        rows = tx.execute(self.sql, [owner, since, until])
        self.note(tx, owner, until)
        return int(rows[0][0]) if rows else 0

    def note(self, tx: Transaction, owner: str, until: datetime) -> None:
        """Note how far this owner's backends are summed up."""
        tx.execute(
            f"update metrics_state set {self.mark} = $2 where owner_id = $1 and {self.mark} < $2",  # noqa: S608
            [owner, until],
        )


_10S: Final = _Level(
    seconds=10,
    table="metrics_10s",
    source="metrics",
    mark="rolled_10s",
    sums="count(*), count(*) - count(m.began), sum(case when m.online then 0 else 1 end), "
    "coalesce(sum(extract(epoch from m.taken_at - m.began)), 0)",
    least="{}",
    most="{}",
    at_once=timedelta(minutes=15),
)
# The mean of ten-second means is weighted by time, however often samples were taken.
_1M: Final = _Level(
    seconds=60,
    table="metrics_1m",
    source="metrics_10s",
    mark="rolled_1m",
    sums="sum(m.samples), sum(m.breaks), sum(m.offline), sum(m.seconds)",
    least="{}_min",
    most="{}_max",
    at_once=timedelta(hours=12),
)


def keep(
    tx: Transaction, owner: str, *, stored_until: datetime, now: datetime, keeping: Keeping
) -> Upkeep:
    """Do one step for all backends of an owner; ``stored_until`` as in the journal's method."""
    rows = tx.execute(
        "select min(rolled_10s), min(rolled_1m) from metrics_state where owner_id = $1", [owner]
    )
    from_10s, from_1m = rows[0]
    if from_10s is None or from_1m is None:
        return Upkeep()
    rolled, more = 0, False
    until = min(floor_time(stored_until, _10S.seconds), from_10s + _10S.at_once)
    if until > from_10s:
        rolled += _10S.roll(tx, owner, from_10s, until)
        if not rolled and until - from_10s == _10S.at_once:
            # Over a night without a kernel there is nothing to sum up.
            until = max(until, _next_sample(tx, until, stored_until))
            _10S.note(tx, owner, until)
        more = until < floor_time(stored_until, _10S.seconds)
    until = min(floor_time(max(until, from_10s), _1M.seconds), from_1m + _1M.at_once)
    if until > from_1m:
        rolled += _1M.roll(tx, owner, from_1m, until)
    return Upkeep(rolled, _expire(tx, owner, now, keeping), 0, more)


def _next_sample(tx: Transaction, since: datetime, until: datetime) -> datetime:
    """Return the ten seconds in which the next sample lies, or the last before ``until``."""
    found = tx.execute(
        "select min(taken_at) from metrics where taken_at >= $1 and taken_at < $2", [since, until]
    )
    return floor_time(found[0][0] or until, 10)


def _expire(tx: Transaction, owner: str, now: datetime, keeping: Keeping) -> int:
    """Delete what is older than it is kept for, once that is an hour's worth."""
    deleted = 0
    levels = (
        ("metrics", "raw_from", "rolled_10s", keeping.raw),
        ("metrics_10s", "from_10s", "rolled_1m", keeping.steps_10s),
    )
    for table, mark, rolled, kept in levels:
        until = floor_time(now - kept, 3600)
        due = tx.execute(
            "select backend_id from metrics_state where owner_id = $1 "  # noqa: S608
            f"and coalesce({mark} < $2, true) and {rolled} >= $2",
            [owner, until],
        )
        if due:
            ids = [row[0] for row in due]
            rows = tx.execute(
                f"delete from {table} where taken_at < $1 and backend_id = any($2::text[])",  # noqa: S608
                [until, ids],
            )
            deleted += int(rows[0][0])
            tx.execute(
                f"update metrics_state set {mark} = $1 where backend_id = any($2::text[])",  # noqa: S608
                [until, ids],
            )
            oldest = floor_time(now - keeping.steps_1m, 3600)
            if mark == "from_10s":
                deleted += _expire_oldest(tx, ids, oldest)
    return deleted


def _expire_oldest(tx: Transaction, ids: Sequence[str], oldest: datetime) -> int:
    deleted = 0
    for table, column in (
        ("metrics_1m", "taken_at"),
        ("prompt_metrics", "completed_at"),
        ("alerts", "closed_at"),
    ):
        rows = tx.execute(
            f"delete from {table} where {column} < $1 and backend_id = any($2::text[])",  # noqa: S608
            [oldest, list(ids)],
        )
        deleted += int(rows[0][0])
    rows = tx.execute("delete from prompt_nodes where completed_at < $1", [oldest])
    return deleted + int(rows[0][0])
