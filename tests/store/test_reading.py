"""Reads: beside the writer, bounded in time and rows, and never writing."""

import threading
import time
from pathlib import Path

import pytest

from comfynb.errors import StoreError, UsageError
from comfynb.models import Project
from comfynb.store import Store

ENDLESS = "select count(*) from range(1000000) a, range(1000000) b where a.range % 7 = b.range % 5"


@pytest.fixture
def endless(kind: str) -> str:
    """A query that would take days."""
    if kind == "duckdb":
        return ENDLESS
    return (
        "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b "
        "where a % 7 = b % 5"
    )


@pytest.fixture
def numbers(kind: str) -> str:
    """Where to select from for numbers: a format string."""
    return "range({})" if kind == "duckdb" else "generate_series(1, {})"


def test_every_call_sees_what_was_submitted_before_it(store: Store) -> None:
    counts = []
    for i in range(30):
        store.put(Project(id=f"x{i}", name="x"))  # not waited for
        counts.append(store.count(Project))
    seen = [pending.result(30) for pending in counts]
    assert all(number >= i + 2 for i, number in enumerate(seen)), seen
    assert seen == sorted(seen)


def test_a_long_read_does_not_hold_up_writes(store: Store, endless: str) -> None:
    reading = store.sql(endless, timeout=60)
    for i in range(5):
        store.put(Project(id=f"x{i}", name="x")).result(30)
    assert not reading.done()
    store.close()
    with pytest.raises(UsageError, match="closed"):
        reading.result(30)


def test_a_read_has_a_time_limit_and_the_next_one_is_none_the_worse(
    store: Store, endless: str
) -> None:
    for _ in range(3):
        with pytest.raises(StoreError, match=r"longer than 0\.05 s and was stopped: narrow it"):
            store.sql(endless, timeout=0.05).result(30)
        assert store.sql("select 1").result(30).rows == [(1,)]


def test_rows_are_limited_and_the_table_says_so(store: Store, numbers: str) -> None:
    query = f"select * from {numbers.format(2500)}"
    everything = store.sql(query).result(30)
    assert len(everything) == 2500
    assert not everything.truncated
    for limit in (0, 1, 999, 1000, 1001, 2499):
        table = store.sql(query, limit=limit).result(30)
        assert (len(table), table.truncated) == (limit, True)
    exact = store.sql(query, limit=2500).result(30)
    assert (len(exact), exact.truncated) == (2500, False)
    with pytest.raises(StoreError, match="more than 1,000,000 rows"):
        store.sql(f"select * from {numbers.format(1000001)}").result(60)
    for wrong in (-1, True, 1.5):
        with pytest.raises(UsageError, match="limit"):
            store.sql("select 1", limit=wrong)  # type: ignore[arg-type]


def test_the_sentence_of_the_readme(store: Store, make) -> None:
    store.journal.create_jobs([make.job() for _ in range(3)]).result(30)
    table = store.sql("select status, count(*) from jobs group by 1").result(30)
    assert table.rows == [("pending", 3)]
    both = store.sql("select $1::text as a, $2::bigint + 1 as b", ["'; drop table jobs", 2])
    assert both.result(30).rows == [("'; drop table jobs", 3)]


REFUSED = [
    "delete from jobs",
    "insert into projects (id) values ('x')",
    "update jobs set status = 'failed'",
    "drop table jobs",
    "create table x (a int)",
    "create temp table x (a int)",
    "select 1; delete from jobs",
    "delete from jobs; select 1",
    "commit",
    "begin",
    "rollback",
    "set threads = 1",
    "pragma database_list",
    "discard all",
    "lock table jobs",
    "copy (select 1) to stdout",
    "select * into x from jobs",
    "checkpoint",
    "attach 'x.db'",
    "copy jobs to 'x.csv'",
    "export database 'x'",
    "install httpfs",
    "load json",
    "vacuum",
    "call pragma_version()",
    "prepare p as delete from jobs",
    "explain analyze delete from jobs",
    "with gone as (delete from jobs returning id) select * from gone",
    "",
    "   ;",
    "-- nothing",
]


def test_nothing_but_one_reading_statement_is_run(store: Store, make) -> None:
    for number, query in enumerate(REFUSED, start=1):
        store.put(make.job()).result(30)
        refused = store.sql(query).exception(30)
        assert isinstance(refused, UsageError | StoreError), query
        left = store.sql("select count(*), min(status) from jobs").result(30).rows
        assert left == [(number, "pending")], query


OUT_OF_REACH = [
    "select * from read_csv('{file}')",
    "select * from '{file}'",
    "select * from read_text('{file}')",
    "select * from glob('/etc/*')",
    "select * from parquet_scan('{file}')",
    "select * from read_json('https://example.org/x')",
]


def test_files_and_the_network_are_out_of_reach(file_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    for query in OUT_OF_REACH:
        refused = file_store.sql(query.format(file=file)).exception(30)
        assert isinstance(refused, StoreError), query


def test_what_is_wrong_with_a_query_is_one_sentence(store: Store) -> None:
    for query, named in (
        ("select 1 +", ""),
        ("select nope from jobs", "nope"),
        ("select * from nope", "nope"),
        ("select 1 where $2 = 1", ""),
    ):
        with pytest.raises(StoreError) as caught:
            store.sql(query).result(30)
        assert named in str(caught.value)
        assert "\n" not in str(caught.value)


def test_views_for_people(store: Store, make) -> None:
    job = make.job()
    prompt = make.prompt(job)
    store.journal.create_jobs([job]).result(30)
    assert store.journal.begin_prompt(prompt).result(30)
    table = store.sql("select backend, node_status, seconds from job_runs").result(30)
    assert table.rows == [("PC1 - RTX 4090", "running", None)]
    assert len(store.sql("select * from job_files").result(30)) == 0


def test_reads_run_one_after_another_in_their_own_thread(store: Store) -> None:
    names = {store.read(lambda _: threading.current_thread().name).result(30) for _ in range(3)}
    assert names == {"comfynb-store-read"}
    began = time.monotonic()
    slow = store.read(lambda _: time.monotonic())
    assert slow.result(30) >= began
