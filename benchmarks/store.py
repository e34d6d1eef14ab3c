"""What the store costs beside bare DuckDB, measured in one run, both in turn.

    python benchmarks/store.py [--quick]

Ratios are what to trust: this machine may be busy. Each is the median of several rounds.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from comfynb.models import (
    BackendConfig,
    CanvasLayout,
    CanvasNode,
    Job,
    JobStatus,
    NodeExecution,
    OutputFile,
    Project,
    PromptRecord,
    PromptStatus,
    new_id,
)
from comfynb.store import Store, Transaction, open_store
from comfynb.store.schema import table_of

CANVAS = CanvasLayout(nodes=[CanvasNode(id="n", node_type="workflow", position=(0, 0))])


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def new_job() -> Job:
    job_id = new_id()
    execution = NodeExecution(id=new_id(), job_id=job_id, canvas_node_id="n")
    return Job(id=job_id, project_id="p1", canvas_snapshot=CANVAS, node_executions=[execution])


def bare(folder: Path, name: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(folder / name), config={"threads": 1, "memory_limit": "512MB"})
    connection.execute("create table if not exists t (id text primary key, n bigint, x text)")
    connection.execute("create table if not exists c (n bigint)")
    connection.execute("insert into c values (0)")
    return connection


def one(tx: Transaction, key: str) -> None:
    tx.execute("insert into t values ($1, 1, 'x')", [key])
    tx.execute("update c set n = n + 1")


def commits(store: Store, connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """One INSERT and one UPDATE in each transaction."""

    def bare_loop() -> None:
        for _ in range(number):
            connection.execute("begin")
            connection.execute("insert into t values ($1, 1, 'x')", [new_id()])
            connection.execute("update c set n = n + 1")
            connection.execute("commit")

    def one_by_one() -> None:
        for _ in range(number):
            key = new_id()
            store.transact(lambda tx, key=key: one(tx, key)).result()

    def together() -> None:
        keys = [new_id() for _ in range(number)]
        pending = [store.transact(lambda tx, key=key: one(tx, key)) for key in keys]
        for each in pending:
            each.result()

    rounds = [(timed(bare_loop), timed(one_by_one), timed(together)) for _ in range(5)]
    base, single, group = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare DuckDB, one by one        {number / base:8.0f} commits/s")
    ratio = statistics.median(b / a for a, b, _ in rounds)
    print(f"store, one by one              {number / single:8.0f} commits/s x{ratio:.2f} the time")
    gain = statistics.median(a / c for a, _, c in rounds)
    print(
        f"store, {number} queued at once     {number / group:8.0f} calls/s    x{gain:.2f} the speed"
    )


def bulk(store: Store, connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """20,000 jobs: three rows each (job, node execution, event)."""
    tables = [table_of(Job), table_of(NodeExecution)]
    for table in tables:
        columns = ", ".join(f'"{column.name}" {column.type}' for column in table.own)
        connection.execute(f'create table "{table.name}" ({columns}, primary key (id))')
    rounds = []
    for _ in range(3):
        jobs = [new_job() for _ in range(number)]

        def bare_bulk(jobs: list[Job] = jobs) -> None:
            connection.execute("begin")
            for table, rows in zip(
                tables, (jobs, [j.node_executions[0] for j in jobs]), strict=True
            ):
                columns = table.to_rows(rows)
                source = ", ".join(
                    f"unnest(${i}::{'text' if c.type == 'json' else c.type}[])"
                    for i, c in enumerate(table.own, 1)
                )
                connection.execute(f'insert into "{table.name}" select {source}', columns)
            connection.execute("commit")

        rounds.append((timed(bare_bulk), timed(store.journal.create_jobs(jobs).result)))
    base, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare unnest, {number:,} jobs        {base / number * 1e6:8.0f} us a job (2 rows)")
    print(
        f"create_jobs, {number:,} jobs        {ours / number * 1e6:8.0f} us a job (3 rows)"
        f"  x{ours / base:.2f}"
    )


async def jobs_through(store: Store, number: int, at_once: int) -> float:
    """Whole lives of jobs, as the engine records them; ms a job."""
    journal = store.journal
    jobs = [new_job() for _ in range(number)]
    await journal.create_jobs(jobs)
    limit = asyncio.Semaphore(at_once)

    async def run(job: Job) -> None:
        async with limit:
            prompt = PromptRecord(
                job_id=job.id, node_execution_id=job.node_executions[0].id, backend_id="b1"
            )
            assert await journal.begin_prompt(prompt)
            sent = journal.prompts_sent([prompt.prompt_id])
            file = OutputFile(
                prompt_id=prompt.prompt_id, node_id="9", kind="images", index=0, filename="a.png"
            )
            done = journal.finish_prompt(prompt.prompt_id, PromptStatus.COMPLETED, outputs=[file])
            ended = journal.finish_job(job.id, JobStatus.COMPLETED)
            await asyncio.gather(sent, done, ended)

    began = time.perf_counter()
    await asyncio.gather(*(run(job) for job in jobs))
    return (time.perf_counter() - began) / number * 1e3


async def lag(store: Store, seconds: float) -> tuple[float, float, float]:
    """p50, p99.9 and the longest delay of a 1 ms ticker while another task writes, in ms."""
    late: list[float] = []
    over = False

    async def tick() -> None:
        while not over:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append((time.perf_counter() - began - 0.001) * 1e3)

    ticker = asyncio.create_task(tick())
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await jobs_through(store, 20, 20)
    over = True
    await ticker
    late.sort()
    return late[len(late) // 2], late[int(len(late) * 0.999)], late[-1]


async def quiet(seconds: float) -> tuple[float, float, float]:
    """The same ticker while nobody writes."""
    late = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - began - 0.001) * 1e3)
    late.sort()
    return late[len(late) // 2], late[int(len(late) * 0.999)], late[-1]


def worker(place: str, number: int) -> None:
    """Another program that always wants its turn."""
    store = open_store(place)
    store.ready().result()
    print("ready", flush=True)
    sys.stdin.readline()
    took = []
    for _ in range(number):
        key = new_id()
        took.append(timed(store.transact(lambda tx, key=key: one(tx, key)).result))
    store.close().result()
    print(statistics.median(took), sum(took), flush=True)


def processes(place: Path, number: int, turns: int) -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", str(place), str(turns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(number)
    ]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    said = [program.communicate()[0].split() for program in programs]
    median = statistics.median(float(words[0]) for words in said)
    totals = [float(words[1]) for words in said]
    rate = turns * number / max(totals)
    print(
        f"{number} programs that always want it {median * 1e3:8.1f} ms a turn, "
        f"{rate:5.0f} commits/s in all, slowest/fastest {max(totals) / min(totals):.2f}"
    )


def idle(place: Path, seconds: float) -> None:
    """CPU of a program that only has the store open."""
    code = (
        "import sys, time, resource; from comfynb.store import open_store\n"
        "s = open_store(sys.argv[1]); s.ready().result()\n"
        "t = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])\n"
        "time.sleep(0.2); a = t(); time.sleep(float(sys.argv[2])); print(t() - a)\n"
    )
    spent = subprocess.run(
        [sys.executable, "-c", code, str(place), str(seconds)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    print(f"an idle holder of the file     {float(spent.stdout) / seconds * 100:8.3f} % of a core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker[0], int(arguments.worker[1]))
        return
    scale = 10 if arguments.quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / "lab.duckdb"
        store = open_store(place)
        store.put(BackendConfig(id="b1", name="b", host="h"), Project(id="p1", name="p")).result()
        store.transact(
            lambda tx: tx.execute("create table t (id text primary key, n bigint, x text)")
        ).result()
        store.transact(lambda tx: tx.execute("create table c (n bigint)")).result()
        store.transact(lambda tx: tx.execute("insert into c values (0)")).result()
        connection = bare(folder, "bare.duckdb")
        print(f"DuckDB {duckdb.__version__}, Python {sys.version.split()[0]}")
        commits(store, connection, 400 // scale)
        bulk(store, connection, 20_000 // scale)
        for at_once in (1, 8, 64, 400):
            spent = asyncio.run(jobs_through(store, min(400, 40 * at_once) // scale or 1, at_once))
            print(f"a job's life, {at_once:3} at once       {spent:8.2f} ms a job (5 calls)")
        for label, numbers in (
            ("nobody writes", asyncio.run(quiet(2.0))),
            ("jobs are recorded", asyncio.run(lag(store, 20.0 / scale))),
        ):
            p50, p999, longest = numbers
            print(
                f"event loop lag, {label:18} p50 {p50:.2f}  p99.9 {p999:.2f}  max {longest:.2f} ms"
            )
        connection.close()
        store.close().result()
        idle(place, 5.0)
        for number in (1, 2, 4):
            processes(place, number, 60 // (3 if arguments.quick else 1))


if __name__ == "__main__":
    main()
