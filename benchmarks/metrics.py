"""What metrics cost: plots over millions of samples, and the event loop while a day is collected.

    python benchmarks/metrics.py [--rows 10000000] [--day 86400] [--line 3|4]

Line 3: samples of 10 backends at 1 Hz, made by SQL. How long a plot takes beside the bare SQL
query over the same rows, both in turn; while samples are appended; the newest values; file sizes.
Line 4: a day of 20 backends replayed fast while a sweep runs; how late the event loop is.
Ratios are what to trust: this machine may be busy. Each is the median of several rounds.
"""

import argparse
import asyncio
import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from comfynb import Workbench
from comfynb.engine.metrics.queries import MetricsQueries
from comfynb.models import BackendConfig
from comfynb.sandbox import Sandbox, workflow_text
from comfynb.store import Store, open_store
from comfynb.store.duck import DuckDatabase
from comfynb.store.metrics import Keeping, MetricsJournal, Reading

FIELDS = ("gpu_utilization", "gpu_memory_used", "gpu_temperature")
ALL_FIELDS = (*FIELDS, "power_watts", "cpu_utilization", "ram_used", "queue_depth")
BACKENDS = 10
END = datetime(2026, 11, 20, 12, tzinfo=UTC)
FOREVER = Keeping(*[timedelta(days=3600)] * 3)

MAKE = """
insert into metrics
select
    'b' || (n % $3), $1::timestamptz + to_microseconds(n // $3 * 1000000 + n * 7919 % 90000),
    $1::timestamptz + to_microseconds((n // $3 - 1) * 1000000 + n * 7919 % 90000), 0, true, true,
    round(50 + 50 * sin(n / 3000.0) * random()), 8000 + (4000 * random())::bigint, 24576,
    60 + (20 * random())::bigint, round(200 + 100 * random(), 1), 200 + 100 * random(),
    round(30 * random(), 1), 20000 + (2000 * random())::bigint, 65536, (4 * random())::bigint,
    900000 - n // 1000000, 1000000, null
from range($2::bigint, $4::bigint) as t(n)
"""


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.parent.glob(path.name + "*") if p.is_file())


def filled(folder: Path, rows: int) -> tuple[Path, datetime]:
    path = folder / "lab.duckdb"
    start = END - timedelta(seconds=rows / BACKENDS)
    store = open_store(path)
    configs = [BackendConfig(id=f"b{i}", name=f"PC{i}", host=f"gpu{i}") for i in range(BACKENDS)]
    store.put(*configs).result()
    store.close().result()
    empty = size(path)
    connection = duckdb.connect(str(path), config={"threads": 1, "memory_limit": "1GB"})
    connection.execute("set TimeZone = 'UTC'")
    step = 1_000_000
    took = timed(
        lambda: [
            connection.execute(MAKE, [start, n, BACKENDS, min(rows, n + step)])
            for n in range(0, rows, step)
        ]
    )
    connection.execute(
        "insert into metrics_state (backend_id, rolled_10s, rolled_1m) "
        "select id, $1, $1 from backends",
        [start.replace(second=0, microsecond=0)],
    )
    connection.execute(
        "insert into metrics_last (backend_id, gpu, main, taken_at, online) "
        "select backend_id, gpu, true, max(taken_at), true from metrics group by all"
    )
    connection.execute("checkpoint")
    connection.close()
    grown = size(path) - empty
    print(f"{rows:,} samples made in {took:.1f} s, {grown / 1e6:.0f} MB:", end=" ")
    print(f"{grown / rows:.1f} MB per million samples")
    return path, start


def windows(start: datetime) -> dict[str, timedelta]:
    every = {"10 min": 600, "1 h": 3600, "6 h": 21600, "1 d": 86400, "7 d": 604800}
    whole = END - start
    found = {name: timedelta(seconds=seconds) for name, seconds in every.items()}
    return {n: length for n, length in found.items() if length < whole} | {"all": whole}


def same_sql(store: Store, fields: Any, length: timedelta, points: int) -> list[tuple[str, Any]]:
    """The queries that a plot of this window makes."""
    seen: list[tuple[str, Any]] = []

    class Listening:
        def __init__(self, view: Any) -> None:
            self.view = view

        def execute(self, sql: str, params: Any = ()) -> Any:
            return self.view.execute(sql, params)

        def columns(self, sql: str, params: Any = ()) -> Any:
            seen.append((sql, params))
            return self.view.columns(sql, params)

    def read(view: Any) -> None:
        from comfynb.engine.metrics.series import read_series

        read_series(
            Listening(view), fields, END - length, END,  # type: ignore[arg-type]
            names={}, backends=None, gpu=None, points=points,
        )  # fmt: skip

    store.read(read).result()
    return seen


def plots(store: Store, path: Path, start: datetime, title: str) -> float:
    print(f"\n{title}: 10 lines of each of 3 fields, 2,000 points each, ms")
    print(f"  {'window':8} {'points':>7} {'levels':>10} {'bare SQL':>9} {'wb.metrics':>11} ratio")
    queries = MetricsQueries(store)
    bare = duckdb.connect(str(path), config=DuckDatabase(path)._config)  # noqa: SLF001
    worst = 0.0
    for name, length in windows(start).items():
        sql = same_sql(store, FIELDS, length, 2000)

        def ours(length: timedelta = length) -> Any:
            return queries.series(FIELDS, END - length, END, names={}, points=2000).result()

        def plain(sql: Any = sql) -> None:
            for text, params in sql:
                bare.execute(text, list(params)).fetchall()

        found = ours()
        plain()
        rounds = [(timed(plain), timed(ours)) for _ in range(9)]
        base = statistics.median(one for one, _ in rounds)
        cost = statistics.median(one for _, one in rounds)
        ratio = statistics.median(b / a for a, b in rounds)
        worst = max(worst, ratio)
        most = max(len(line) for line in found)
        assert most <= 2000
        levels = "+".join(str(window.step or "raw") for window in found.windows)
        print(f"  {name:8} {most:7,} {levels:>10} {base * 1e3:9.1f} {cost * 1e3:11.1f} {ratio:.2f}")
    bare.close()
    print(f"  worst ratio {worst:.2f} (at most 1.30 wanted)")
    return worst


def appended(store: Store, start: datetime) -> None:
    """Plot the newest hour again and again while samples come in twenty times a second."""
    journal, queries = MetricsJournal(store), MetricsQueries(store)
    length = min(timedelta(hours=1), END - start)
    alone = [
        timed(lambda: queries.series(FIELDS, END - length, END, names={}).result())
        for _ in range(15)
    ]
    plotted, written, at = [], [], END
    stop = time.perf_counter() + 5
    while time.perf_counter() < stop:
        began_at = at - timedelta(seconds=1)
        rows = [
            Reading(f"b{number}", at, began_at, gpu_utilization=50.0) for number in range(BACKENDS)
        ]
        at += timedelta(seconds=1)
        began = time.perf_counter()
        pending = journal.write(rows)
        plotted.append(
            timed(lambda: queries.series(FIELDS, at - length, at, names={}).result())  # noqa: B023
        )
        pending.result()
        written.append(time.perf_counter() - began)
    newest = queries.series(("gpu_utilization",), at - length, at, names={}).result()
    # A bucket is shown where its first sample was.
    assert all(line.times[-1] >= at.timestamp() - 2 - newest.width for line in newest)
    print(
        f"\nlive append: a plot of the newest hour {statistics.median(alone) * 1e3:.1f} ms alone, "
        f"{statistics.median(plotted) * 1e3:.1f} ms (p95 {at_share(plotted, 0.95) * 1e3:.1f}) "
        f"while {len(written)} batches came in, each seen by the next plot"
    )


def at_share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def line_3(folder: Path, rows: int) -> None:
    path, start = filled(folder, rows)
    store = open_store(path)
    plots(store, path, start, "without roll-ups")
    journal = MetricsJournal(store)
    journal.claim([f"b{i}" for i in range(BACKENDS)], END).result()
    store.transact(
        lambda tx: tx.execute("update metrics_state set rolled_10s = $1, rolled_1m = $1",
                              [start.replace(second=0, microsecond=0)])
    ).result()  # fmt: skip
    before, steps = size(path), []
    more = True
    while more:
        began = time.perf_counter()
        more = journal.keep(END, END, FOREVER).result().more
        steps.append(time.perf_counter() - began)
    print(
        f"\nroll-up of all in {sum(steps):.1f} s: {len(steps)} steps of 15 min each, "
        f"{statistics.median(steps) * 1e3:.0f} ms (longest {max(steps) * 1e3:.0f} ms)"
    )
    store.close().result()
    print(f"roll-ups take {(size(path) - before) / rows:.1f} MB per million samples besides")
    store = open_store(path)
    plots(store, path, start, "with roll-ups")
    appended(store, start)
    queries = MetricsQueries(store)
    table = [timed(lambda: queries.now().result()) for _ in range(21)]
    print(
        f"newest values: {statistics.median(table) * 1e3:.1f} ms "
        f"(longest {max(table) * 1e3:.1f}; less than 50 wanted)"
    )
    store.close().result()


# ---- line 4


class Ticker:
    """How late a loop is that wants to do something every millisecond."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            self.late.append(time.perf_counter() - due)


async def replay(workbench: Workbench, seconds: int, backends: int, speed: int) -> int:
    """Hand in the samples of ``speed`` seconds at a time, as the watches would."""
    collector = workbench.metrics.collector
    ids = [f"r{number}" for number in range(backends)]
    await collector.journal.claim(ids, END - timedelta(seconds=seconds))
    put = 0
    began = time.perf_counter()
    for second in range(seconds):
        at = END - timedelta(seconds=seconds - second)
        for number, backend_id in enumerate(ids):
            collector.sampled(
                [
                    Reading(
                        backend_id, at, at - timedelta(seconds=1), source="agent",
                        gpu_utilization=float((second * 7 + number) % 101),
                        gpu_memory_used=8000 + second % 4000, gpu_memory_total=24576,
                        gpu_temperature=60 + second % 20, power_watts=250.0, energy_joules=250.0,
                        cpu_utilization=12.5, ram_used=20000, ram_total=65536, queue_depth=1,
                        disk_free=500000, disk_total=1000000,
                    )
                ]
            )  # fmt: skip
            put += 1
        ahead = second / speed - (time.perf_counter() - began)
        # Samples come from backends one by one: never a whole second at once.
        await asyncio.sleep(max(0.0, ahead))
    return put


async def completed(workbench: Workbench) -> int:
    found = await workbench.store.sql("select count(*) from prompts where state = 'completed'")
    return int(found.rows[0][0])


async def line_4_on_loop(folder: Path, seconds: int, backends: int, speed: int) -> None:
    with Sandbox() as sandbox:
        workbench = Workbench(folder / "day.duckdb")
        added = await asyncio.to_thread(lambda: sandbox.url)
        workbench.backends.add(added, name="one", max_concurrent_jobs=2)
        file = folder / "portrait.json"
        file.write_text(workflow_text("portrait"))
        # Kept, so that all of it can be counted at the end.
        workbench.metrics.configure(raw_hours=24 * 300)
        workflow = workbench.workflows.load(file)
        await workbench.check_backends()
        quick = {"steps": 4, "seconds_per_step": 0.02, "seconds": 0.0}
        warm = workflow.run(seed=0, **quick)
        await warm
        for title, replayed in (("the sweep alone", False), ("the sweep and the replay", True)):
            ticker = Ticker()
            gc.collect()
            ticking = asyncio.ensure_future(ticker.run())
            began = time.perf_counter()
            # Seeds that were not used before, or nothing would run.
            seeds = range(1 + 100_000 * replayed, 20_001 + 100_000 * replayed)
            sweep = workbench.sweep(workflow, {"seed": seeds, **quick})
            before = await completed(workbench)
            if replayed:
                put = await replay(workbench, seconds, backends, speed)
            else:
                put = 0
                await asyncio.sleep(min(20, seconds / speed))
            ended = await completed(workbench) - before
            await workbench.metrics.collector.flush()
            ticking.cancel()
            sweep.cancel()
            took = time.perf_counter() - began
            late = ticker.late
            print(
                f"{title}: {took:.0f} s, {ended} prompts, {put:,} samples; event loop late by "
                f"p50 {at_share(late, 0.5) * 1e3:.1f}, p99 {at_share(late, 0.99) * 1e3:.1f}, "
                f"p99.9 {at_share(late, 0.999) * 1e3:.1f}, longest {max(late) * 1e3:.0f} ms "
                "(p99.9 below 25 wanted)"
            )
        counts = workbench.metrics.collector.batch.dropped
        dropped = sum(number for one, number in counts.items() if one.startswith("r"))
        there = workbench.store.sql("select count(*) from metrics where backend_id like 'r%'")
        found = (await there).rows[0][0]
        print(f"{put:,} samples handed in, {found:,} in the store, {dropped:,} dropped")
        assert found + dropped == put
        print("problems:", workbench.problems or "none")
        await workbench.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--day", type=int, default=86_400, help="seconds that are replayed")
    parser.add_argument("--backends", type=int, default=20)
    parser.add_argument("--speed", type=int, default=300, help="replayed seconds in a second")
    parser.add_argument("--line", type=int, choices=(3, 4))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="comfynb-metrics-"))
    os.environ.setdefault("COMFYNB_SECRETS", str(folder / "secrets.json"))
    try:
        if options.line in {None, 3}:
            line_3(folder, options.rows)
        if options.line in {None, 4}:
            asyncio.run(line_4_on_loop(folder, options.day, options.backends, options.speed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
