"""What the machines did, in the store: samples in, summed up, thrown away in time, and asked for.

The tables are explained in docs/analytics.md. Whoever collects from a backend owns its row of
``metrics_state``; nobody else writes, sums up or deletes samples of that backend.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from comfynb.errors import UsageError
from comfynb.store.pending import Pending
from comfynb.store.transaction import Transaction, View
from comfynb.store.worker import Op

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = [
    "AVERAGED",
    "FIELDS",
    "Keeping",
    "MetricsJournal",
    "NodeSpan",
    "Reading",
    "Upkeep",
    "Window",
    "floor_time",
]

AVERAGED: Final = (
    "gpu_utilization",
    "gpu_memory_used",
    "gpu_temperature",
    "power_watts",
    "cpu_utilization",
    "ram_used",
    "queue_depth",
)
"""Fields that roll-ups keep as mean, least and greatest value."""

FIELDS: Final[Mapping[str, str]] = {
    "gpu_utilization": "%",
    "gpu_memory_used": "MB",
    "gpu_memory_total": "MB",
    "gpu_temperature": "°C",
    "power_watts": "W",
    "cpu_utilization": "%",
    "ram_used": "MB",
    "ram_total": "MB",
    "queue_depth": "prompts",
    "disk_free": "MB",
    "disk_total": "MB",
}
"""What can be asked for over time, with units."""

HOST_FIELDS: Final = frozenset(
    {"cpu_utilization", "ram_used", "ram_total", "queue_depth", "disk_free", "disk_total"}
)

# A whole batch of samples waits so long for a commit that somebody else is in a hurry for.
_PATIENCE_S = 1.0
# What is summed up, deleted or measured in one transaction: small beside a busy writer's commits.
_ROLL_10S = timedelta(minutes=15)
_ROLL_1M = timedelta(hours=12)
_MOST_PROMPTS = 200
# Handing values over holds Python's lock, and so the event loop: a few milliseconds at a time.
_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of one GPU; None where a value is unknown. Memory and disk in MB.

    ``began`` is when the sample before it was taken, None after a gap. ``energy_joules`` is what
    was used since then. ``main`` marks the GPU that ComfyUI computes on; the values of the whole
    machine stand there only.
    """

    backend_id: str
    taken_at: datetime
    began: datetime | None
    gpu: int = 0
    main: bool = True
    online: bool = True
    gpu_utilization: float | None = None
    gpu_memory_used: int | None = None
    gpu_memory_total: int | None = None
    gpu_temperature: int | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    cpu_utilization: float | None = None
    ram_used: int | None = None
    ram_total: int | None = None
    queue_depth: int | None = None
    disk_free: int | None = None
    disk_total: int | None = None
    active_job_id: str | None = None
    source: str | None = None
    gpu_name: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSpan:
    """When one node of a prompt ran; ``model`` is the model file that it names, if it does."""

    prompt_id: str
    index: int
    node_id: str
    class_type: str
    title: str
    model: str | None
    started_at: datetime
    completed_at: datetime


_TYPES: Final = {
    "backend_id": "text",
    "taken_at": "timestamptz",
    "began": "timestamptz",
    "gpu": "bigint",
    "main": "boolean",
    "online": "boolean",
    "gpu_utilization": "real",
    "gpu_memory_used": "bigint",
    "gpu_memory_total": "bigint",
    "gpu_temperature": "bigint",
    "power_watts": "real",
    "energy_joules": "double precision",
    "cpu_utilization": "real",
    "ram_used": "bigint",
    "ram_total": "bigint",
    "queue_depth": "bigint",
    "disk_free": "bigint",
    "disk_total": "bigint",
    "active_job_id": "text",
    "source": "text",
    "gpu_name": "text",
    "note": "text",
}
_ONLY_LAST: Final = ("source", "gpu_name", "note")
_RAW: Final = tuple(name for name in _TYPES if name not in _ONLY_LAST)
_LAST: Final = tuple(name for name in _TYPES if name not in {"began", "energy_joules"})
_SPAN_TYPES: Final = {
    "prompt_id": "text",
    "index": "bigint",
    "node_id": "text",
    "class_type": "text",
    "title": "text",
    "model": "text",
    "started_at": "timestamptz",
    "completed_at": "timestamptz",
}


def _insert(table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    source = ", ".join(f"unnest(${i}::{types[name]}[])" for i, name in enumerate(columns, 1))
    return f"insert into {table} ({names}) select {source}"


_INSERT_RAW: Final = _insert("metrics", _RAW, _TYPES)
_INSERT_SPANS: Final = _insert("prompt_nodes", tuple(_SPAN_TYPES), _SPAN_TYPES)
_UPSERT_LAST: Final = (
    _insert("metrics_last", _LAST, _TYPES)
    + " on conflict (backend_id, gpu) do update set "
    + ", ".join(f"{n} = excluded.{n}" for n in _LAST if n not in {"backend_id", "gpu"})
)


def _columns(rows: Sequence[Any], names: Iterable[str]) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


def floor_time(moment: datetime, seconds: int) -> datetime:
    """Return the last whole multiple of ``seconds`` (counted from 1970) before a time."""
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


@dataclass(slots=True)
class _Batch:
    readings: Sequence[Reading]
    spans: Sequence[NodeSpan]
    dropped: Mapping[str, int] = field(default_factory=dict)


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
class Window:
    """A part of the time, and the level (0, 10 or 60 seconds) that answers for it."""

    start: datetime
    end: datetime
    step: int


class MetricsJournal:
    """The store's record of what machines did, for who collects it and who asks."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    # ---- whose turn it is

    def claim(self, backend_ids: Collection[str], now: datetime) -> Pending[set[str]]:
        """Become the one who collects from these backends, where no living store does already.

        Returns the ids of all of them that this store owns now. Backends that nobody knows any
        more, and whose collector is gone, are claimed too: their samples still grow old.
        """
        wanted = sorted(set(backend_ids))
        store = self._store

        def claim(tx: Transaction) -> set[str]:
            rows = tx.execute("select backend_id, owner_id from metrics_state")
            owners = {str(row[0]): row[1] for row in rows}
            alive: dict[str, bool] = {}
            for owner in {one for one in owners.values() if one is not None}:
                alive[owner] = store.is_alive(tx, owner)
            known = {row[0] for row in tx.execute("select id from backends")}
            new = [one for one in wanted if one not in owners]
            free = [
                one
                for one, owner in owners.items()
                if owner != store.owner_id
                and (owner is None or not alive[owner])
                and (one in wanted or one not in known)
            ]
            if new:
                tx.execute(
                    "insert into metrics_state (backend_id, owner_id, rolled_10s, rolled_1m) "
                    "select unnest($1::text[]), $2, $3, $3",
                    [new, store.owner_id, floor_time(now, 60)],
                )
            if free:
                tx.execute(
                    "update metrics_state set owner_id = $2 where backend_id = any($1::text[])",
                    [free, store.owner_id],
                )
            mine = {one for one, owner in owners.items() if owner == store.owner_id}
            return mine | set(new) | set(free)

        return store.transact(claim)

    def release(self) -> Pending[None]:
        """Let others collect from all backends that this store owned."""
        store = self._store

        def release(tx: Transaction) -> None:
            tx.execute(
                "update metrics_state set owner_id = null where owner_id = $1", [store.owner_id]
            )

        return store.transact(release)

    # ---- writing

    def write(
        self,
        readings: Sequence[Reading],
        spans: Sequence[NodeSpan] = (),
        dropped: Mapping[str, int] | None = None,
    ) -> Pending[None]:
        """Store samples; travels with the next commit that somebody waits for, or in a second."""
        pending: Pending[None] = Pending("write metrics")
        batch = _Batch(readings, spans, dropped or {})
        self._store.submit(
            Op(pending, _write, batch, frozenset(), repeatable=False, patience=_PATIENCE_S)
        )
        return pending

    def open_alert(self, **values: Any) -> Pending[None]:
        """Record that something is wrong: the columns of ``alerts``."""
        names = ("id", "backend_id", "kind", "gpu", "opened_at", "value", "threshold", "message")
        places = ", ".join(f"${i}" for i in range(1, len(names) + 1))
        sql = f"insert into alerts ({', '.join(names)}) values ({places})"  # noqa: S608
        row = [values[name] for name in names]
        return self._store.transact(lambda tx: _nothing(tx.execute(sql, row)))

    def close_alert(
        self, alert_id: str, closed_at: datetime | None, value: float | None
    ) -> Pending[None]:
        """Record the worst value that there was, and, with a time, that it is over."""
        return self._store.transact(
            lambda tx: _nothing(
                tx.execute(
                    "update alerts set closed_at = $2, value = $3 where id = $1",
                    [alert_id, closed_at, value],
                )
            )
        )

    def open_alerts(self) -> Pending[list[tuple[Any, ...]]]:
        """Return id, backend_id, kind, gpu, value and threshold of every open alert."""
        return self._store.read(
            lambda view: view.execute(
                "select id, backend_id, kind, gpu, value, threshold from alerts "
                "where closed_at is null"
            ),
            "open alerts",
        )

    def settings(self) -> Pending[dict[str, float]]:
        """Return what was set by somebody, by name."""
        return self._store.read(
            lambda view: dict(view.execute("select name, value from metrics_settings")),
            "metrics settings",
        )

    def set(self, values: Mapping[str, float | None]) -> Pending[None]:
        """Change settings; None takes one back to its default."""

        def change(tx: Transaction) -> None:
            tx.execute(
                "delete from metrics_settings where name = any($1::text[])", [sorted(values)]
            )
            for name, value in values.items():
                if value is not None:
                    tx.execute("insert into metrics_settings values ($1, $2)", [name, value])

        return self._store.transact(change)

    # ---- upkeep

    def keep(self, stored_until: datetime, now: datetime, keeping: Keeping) -> Pending[Upkeep]:
        """Do one small step of summing up and of deleting; nothing is lost if it is killed.

        ``stored_until``: every sample of this store's backends that is older is in the store.
        Each step is one transaction with the note of how far it came, so that none is done twice.
        """
        owner = self._store.owner_id

        def step(tx: Transaction) -> Upkeep:
            rows = tx.execute(
                "select min(rolled_10s), min(rolled_1m) from metrics_state where owner_id = $1",
                [owner],
            )
            from_10s, from_1m = rows[0]
            if from_10s is None or from_1m is None:
                return Upkeep()
            rolled, more = 0, False
            until = min(floor_time(stored_until, 10), from_10s + _ROLL_10S)
            if until > from_10s:
                rolled += _roll(tx, 10, owner, from_10s, until)
                if not rolled and until - from_10s == _ROLL_10S:
                    # Over a night without a kernel there is nothing to sum up.
                    until = max(until, _next_sample(tx, until, stored_until))
                    _mark(tx, 10, owner, until)
                more = until < floor_time(stored_until, 10)
            until = min(floor_time(max(until, from_10s), 60), from_1m + _ROLL_1M)
            if until > from_1m:
                rolled += _roll(tx, 60, owner, from_1m, until)
            return Upkeep(rolled, _expire(tx, owner, now, keeping), 0, more)

        return self._store.transact(step)

    def measure(self, now: datetime, keeping: Keeping) -> Pending[Upkeep]:
        """Note for prompts that have ended what their machines did meanwhile; a few at a time."""
        owner = self._store.owner_id

        def step(tx: Transaction) -> Upkeep:
            found = tx.execute(_UNMEASURED, [owner, now - keeping.raw, _MOST_PROMPTS, now])
            if not found:
                return Upkeep()
            ids = [row[0] for row in found]
            first = min(row[1] for row in found)
            # A sample may begin long before a prompt ends and be taken long after.
            last = max(row[2] for row in found) + timedelta(minutes=2)
            tx.execute(_MEASURE, [ids, first, last])
            return Upkeep(measured=len(ids), more=len(ids) == _MOST_PROMPTS)

        return self._store.transact(step)

    # ---- reading

    @staticmethod
    def windows(view: View, start: datetime, end: datetime, width: float) -> list[Window]:
        """Cut a time into parts, each with the coarsest level that is fine enough for ``width``
        seconds and still has the samples (or, near now, already has them)."""
        raw_from, from_10s, rolled_10s, rolled_1m = view.execute(
            "select max(raw_from), max(from_10s), min(rolled_10s), min(rolled_1m) "
            "from metrics_state"
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

    @staticmethod
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
            low, high = (
                (f"{name}_min", f"{name}_max") if step and name in AVERAGED else (name, name)
            )
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


def _nothing(_: object) -> None:
    return None


def _write(tx: Transaction, batches: Sequence[_Batch]) -> Sequence[None]:
    readings = [one for batch in batches for one in batch.readings]
    if readings:
        for start in range(0, len(readings), _CHUNK):
            chunk = readings[start : start + _CHUNK]
            tx.execute(_INSERT_RAW, _columns(chunk, _RAW))
        newest: dict[tuple[str, int], Reading] = {}
        for one in readings:
            known = newest.get((one.backend_id, one.gpu))
            if known is None or one.taken_at >= known.taken_at:
                newest[one.backend_id, one.gpu] = one
        tx.execute(_UPSERT_LAST, _columns(list(newest.values()), _LAST))
    spans = [one for batch in batches for one in batch.spans]
    if spans:
        tx.execute(_INSERT_SPANS, _columns(spans, _SPAN_TYPES))
    dropped: dict[str, int] = {}
    for batch in batches:
        for backend_id, number in batch.dropped.items():
            dropped[backend_id] = dropped.get(backend_id, 0) + number
    for backend_id, number in dropped.items():
        tx.execute(
            "update metrics_state set dropped = dropped + $2 where backend_id = $1",
            [backend_id, number],
        )
    return [None] * len(batches)


def _bucket(column: str, seconds: int) -> str:
    return f"to_timestamp(floor(extract(epoch from {column}) / {seconds}) * {seconds})"


_LEVEL: Final = (
    "backend_id, taken_at, gpu, main, samples, breaks, offline, seconds, energy_joules, "
    + ", ".join(f"{name}, {name}_min, {name}_max" for name in AVERAGED)
    + ", gpu_memory_total, ram_total, disk_free, disk_total"
)
_CONSTANTS: Final = "max(m.gpu_memory_total), max(m.ram_total), min(m.disk_free), max(m.disk_total)"
_MINE: Final = (
    "join metrics_state as s on s.backend_id = m.backend_id and s.owner_id = $1 "
    "where m.taken_at >= $2 and m.taken_at < $3 and m.taken_at >= s.{column} "
    "group by m.backend_id, m.gpu, {bucket}"
)
_ROLL_UP_10S: Final = (
    f"insert into metrics_10s ({_LEVEL}) select m.backend_id, {_bucket('m.taken_at', 10)}, m.gpu, "  # noqa: S608
    "bool_or(m.main), count(*), count(*) - count(m.began), "
    "sum(case when m.online then 0 else 1 end), "
    "coalesce(sum(extract(epoch from m.taken_at - m.began)), 0), sum(m.energy_joules), "
    + ", ".join(f"avg(m.{n}), min(m.{n}), max(m.{n})" for n in AVERAGED)
    + f", {_CONSTANTS} from metrics as m "
    + _MINE.format(column="rolled_10s", bucket=_bucket("m.taken_at", 10))
)
# The mean of ten-second means is weighted by time, however often samples were taken.
_ROLL_UP_1M: Final = (
    f"insert into metrics_1m ({_LEVEL}) select m.backend_id, {_bucket('m.taken_at', 60)}, m.gpu, "  # noqa: S608
    "bool_or(m.main), sum(m.samples), sum(m.breaks), sum(m.offline), sum(m.seconds), "
    "sum(m.energy_joules), "
    + ", ".join(f"avg(m.{n}), min(m.{n}_min), max(m.{n}_max)" for n in AVERAGED)
    + f", {_CONSTANTS} from metrics_10s as m "
    + _MINE.format(column="rolled_1m", bucket=_bucket("m.taken_at", 60))
)

_ROLLS: Final = {10: (_ROLL_UP_10S, "rolled_10s"), 60: (_ROLL_UP_1M, "rolled_1m")}


def _roll(tx: Transaction, step: int, owner: str, since: datetime, until: datetime) -> int:
    """Sum up [since, until) of every backend of this owner that has not come so far."""
    sql = _ROLLS[step][0]
    rows = tx.execute(sql, [owner, since, until])
    _mark(tx, step, owner, until)
    return int(rows[0][0]) if rows else 0


def _mark(tx: Transaction, step: int, owner: str, until: datetime) -> None:
    """Note how far this owner's backends are summed up."""
    column = _ROLLS[step][1]
    tx.execute(
        f"update metrics_state set {column} = $2 where owner_id = $1 and {column} < $2",  # noqa: S608
        [owner, until],
    )


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


# A prompt is measured once the sample that covers its end is there, or will not come any more.
_UNMEASURED: Final = """
select p.prompt_id, p.started_at, p.completed_at
from prompts as p
join metrics_state as s on s.backend_id = p.backend_id and s.owner_id = $1
left join metrics_last as l on l.backend_id = p.backend_id and l.main
left join prompt_metrics as done on done.prompt_id = p.prompt_id
where p.completed_at >= $2 and p.started_at is not null and p.completed_at >= p.started_at
    and done.prompt_id is null
    and (l.taken_at >= p.completed_at or p.completed_at < $4::timestamptz - interval '60 seconds')
order by p.completed_at
limit $3
"""
_OVERLAP: Final = (
    "case when m.began is not null then extract(epoch from "
    "least(m.taken_at, p.completed_at) - greatest(m.began, p.started_at)) end"
)
_MEASURE: Final = f"""
insert into prompt_metrics (prompt_id, backend_id, completed_at, samples, measured_seconds,
    energy_joules, energy_seconds, gpu_memory_peak, gpu_utilization, gpu_temperature_max)
select
    p.prompt_id, p.backend_id, p.completed_at, count(m.taken_at), coalesce(sum({_OVERLAP}), 0),
    sum(m.energy_joules * {_OVERLAP} / extract(epoch from m.taken_at - m.began)),
    coalesce(sum(case when m.energy_joules is not null then {_OVERLAP} end), 0),
    max(m.gpu_memory_used),
    sum(m.gpu_utilization * {_OVERLAP})
        / nullif(sum(case when m.gpu_utilization is not null then {_OVERLAP} end), 0),
    max(m.gpu_temperature)
from prompts as p
left join (
    select * from metrics where main and taken_at >= $2 and taken_at <= $3 and began < taken_at
) as m on m.backend_id = p.backend_id
    and m.taken_at > p.started_at and m.began < p.completed_at
where p.prompt_id = any($1::text[])
group by p.prompt_id, p.backend_id, p.completed_at
"""  # noqa: S608 - our own text
