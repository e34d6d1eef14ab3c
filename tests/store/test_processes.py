"""Several programs and one file: turns, exact counts, kills, and what must never happen."""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pytest

from comfynb.errors import StoreLocked
from comfynb.models import Job, JobEvent, JobStatus, OutputFile, Project, PromptRecord, PromptStatus
from comfynb.store import Store
from comfynb.store import reader as reader_module
from comfynb.store.duck import DuckDatabase
from comfynb.store.lock import TurnLock
from comfynb.store.migrate import migrate

from .test_reading import ENDLESS

KILLS = int(os.environ.get("COMFYNB_TEST_KILLS", "40"))


def hammered(
    place: str,
    opened: Callable[..., Store],
    nursery: Any,
    *,
    processes: int,
    number: int,
    width: int,
) -> list[str]:
    """Let processes count one counter up; returns whose turn each count was, in order."""
    store = opened(place)
    store.transact(lambda tx: tx.execute("create table counter (n bigint)")).result(30)
    store.transact(lambda tx: tx.execute("insert into counter values (0)")).result(30)
    store.transact(
        lambda tx: tx.execute("create table turns (n bigint, name text, i bigint)")
    ).result(30)
    pids = [nursery.start("hammer", place, f"w{i}", number, width) for i in range(processes)]
    done: set[str] = set()
    while len(done) < processes:
        line = nursery.next()
        done |= {line} if line.endswith("done") else set()
    assert done == {f"{pid} done" for pid in pids}
    turns = store.sql("select n, name, i from turns order by n").result(30).rows
    assert store.sql("select n from counter").result(30).rows == [(processes * number,)]
    assert [row[0] for row in turns] == list(range(1, processes * number + 1))
    for i in range(processes):
        mine = [row[2] for row in turns if row[1] == f"w{i}"]
        assert mine == list(range(number)), "in the order in which it was submitted"
    return [row[1] for row in turns]


@pytest.mark.parametrize(("processes", "number"), [(2, 20), (4, 10)])
def test_who_always_wants_the_file_gets_every_nth_turn(
    file: str, opened, nursery, processes: int, number: int
) -> None:
    turns = hammered(file, opened, nursery, processes=processes, number=number, width=1)
    # Where all of them want it: from the last one's first turn to the first one's last.
    begin = max(turns.index(f"w{i}") for i in range(processes))
    end = min(len(turns) - 1 - turns[::-1].index(f"w{i}") for i in range(processes))
    contended = turns[begin : end + 1]
    assert len(contended) > processes * number // 3, "they did run at the same time"
    runs = [len(list(run)) for _, run in groupby(contended)]
    # Between letting go and asking again there is a moment in which nobody may have asked.
    assert max(runs) <= 3, runs
    shares = Counter(contended)
    assert min(shares.values()) >= max(shares.values()) / 2, shares


def test_counts_are_exact_on_either_database(place: str, opened, nursery) -> None:
    turns = hammered(place, opened, nursery, processes=3, number=60, width=4)
    assert Counter(turns) == {"w0": 60, "w1": 60, "w2": 60}


def test_a_turn_carries_all_that_is_queued(file: str, opened, nursery) -> None:
    turns = hammered(file, opened, nursery, processes=2, number=300, width=100)
    assert len(list(groupby(turns))) < 60


def test_opening_anew_for_every_row_loses_none(place: str, opened, nursery) -> None:
    """DuckDB 2.0.0 reads the header before it locks: two programs that race to open the file lose
    what one of them committed. Our own lock is taken before, so they do not race."""
    store = opened(place)
    store.ready().result(30)
    pids = [nursery.start("open_and_close", place, f"w{i}", 10) for i in range(3)]
    assert {nursery.next() for _ in pids} == {f"{pid} done" for pid in pids}
    expected = {f"w{i}-{j}" for i in range(3) for j in range(10)}
    assert {project.id for project in store.find(Project).result(30)} == expected


def test_nobody_touches_the_file_before_the_lock_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deterministic half of the regression: header, lock and close never interleave."""
    path = tmp_path / "lab.duckdb"
    events: list[str] = []
    connect = duckdb.connect

    def recorded(*args: Any, **kwargs: Any) -> Any:
        events.append(f"{threading.current_thread().name} opens")
        return connect(*args, **kwargs)

    monkeypatch.setattr(duckdb, "connect", recorded)
    first, second = DuckDatabase(path), DuckDatabase(path)
    first.open(migrate, 30, threading.Event())
    asking = threading.Thread(
        target=second.open, args=(migrate, 30, threading.Event()), name="second"
    )
    asking.start()
    while not first.wanted():
        pass
    first.writer.execute("insert into owners values ('a', 'h', 1, now(), '')")
    events.append("first commits")
    close = first._disconnect

    def closing() -> None:
        close()
        events.append("first has closed")

    monkeypatch.setattr(first, "_disconnect", closing)
    first.close()
    asking.join(30)
    assert events == [
        "MainThread opens",
        "first commits",
        "first has closed",
        "second opens",
    ]
    assert second.writer.execute("select id from owners") == [("a",)]
    second.close()


@pytest.mark.kill
@pytest.mark.timeout(400)  # many more kills may be asked for, on a machine that is busy
def test_whatever_was_acknowledged_survives_a_kill(place: str, opened, nursery, make) -> None:
    """Two programs run jobs on one store; again and again one of them is killed."""
    store = opened(place)
    store.put(make.backend, make.project).result(30)
    chance = random.Random()
    running = [nursery.start("write", place) for _ in range(2)]
    acks: list[str] = []
    for _ in range(KILLS):
        # After some steps, and then at any moment of the next ones.
        acks += [nursery.next() for _ in range(chance.randrange(12))]
        threading.Event().wait(chance.random() * 0.05)
        victim = chance.randrange(2)
        nursery.kill(running[victim])
        running[victim] = nursery.start("write", place)
    nursery.kill()
    acks += nursery.heard
    steps = Counter[str]()
    jobs = {job.id: job for job in store.find(Job).result(60)}
    prompts = {prompt.prompt_id: prompt for prompt in store.find(PromptRecord).result(60)}
    files = {file.prompt_id for file in store.find(OutputFile).result(60)}
    created = {event.job_id for event in store.find(JobEvent).result(60)}
    for line in acks:
        _, step, job_id, prompt_id = line.split()
        steps[step] += 1
        job = jobs[job_id]
        assert job_id in created
        assert len(job.node_executions) == 1
        if step == "begun":
            assert prompt_id in prompts
            assert job.node_executions[0].comfy_prompt_id == prompt_id
        if step == "finished":
            assert prompts[prompt_id].state is PromptStatus.COMPLETED
            assert job.node_executions[0].status is JobStatus.COMPLETED
            assert prompt_id in files
        if step == "ended":
            assert job.status is JobStatus.COMPLETED
    assert min(steps[step] for step in ("created", "begun", "finished", "ended")) > 0, steps
    # What was stored and not acknowledged is whole, too.
    assert [f for f in store.check().result(60) if f.severity == "error"] == []
    assert store.live_owners().result(30) == {store.owner_id}
    adopted = store.journal.adopt().result(60)
    assert {a.job.id for a in adopted} == {
        job.id for job in jobs.values() if not job.status.is_terminal
    }


def test_a_long_read_goes_on_after_the_hand_over(
    file: str, opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_GRACE_S", 0.05)
    reading, other = opened(file), opened(file)
    reading.put(Project(id="p", name="x")).result(30)
    endless = reading.sql(ENDLESS, timeout=600)
    # The other one gets its turn although the read would run for ever.
    other.put(Project(id="q", name="x")).result(60)
    assert not endless.done()
    reading.close().result(30)
    assert endless.exception(30) is not None
    other.put(Project(id="r", name="x")).result(30)
    assert other.count(Project).result(30) == 3


def test_a_long_read_comes_to_its_end_although_others_want_the_file(
    file: str, opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_GRACE_S", 0.02)
    reading, other = opened(file), opened(file)
    reading.ready().result(30)
    long = reading.sql(
        "select count(*) from range(20000) a, range(10000) b where a.range % 7 = b.range % 5"
    )
    over = threading.Event()
    long.add_done_callback(lambda _: over.set())
    turns = 0
    while not over.is_set():
        other.put(Project(id=f"p{turns}", name="x")).result(60)
        turns += 1
    assert long.result(0).rows[0][0] > 0
    assert turns > 1, "the other one had turns meanwhile"
    assert other.count(Project).result(30) == turns


def test_another_programs_hold_on_the_file_is_waited_for_and_then_named(
    file: str, opened, child
) -> None:
    opened(file).close().result(30)
    foreign = child("foreign.py", file)
    assert foreign.read() == "open"
    impatient = opened(file, lock_timeout=0.3)
    with pytest.raises(StoreLocked, match=rf"PID {foreign.process.pid}\).*close it there"):
        impatient.put(Project(id="p", name="x")).result(30)
    patient = opened(file, lock_timeout=60)
    pending = patient.put(Project(id="q", name="x"))
    with pytest.raises(TimeoutError):
        pending.result(0.1)
    assert foreign.end() == 0
    pending.result(60)
    assert [project.id for project in patient.find(Project).result(30)] == ["q"]


def test_a_holder_that_does_not_let_go_is_named(file: str, opened) -> None:
    holder = TurnLock(Path(file), "comfynb in stuck.ipynb")
    holder.acquire()
    store = opened(file, lock_timeout=0.2)
    pending = [store.put(Project(id="p", name="x")), store.count(Project)]
    for one in pending:
        with pytest.raises(StoreLocked, match=rf"stuck\.ipynb \(PID {os.getpid()}"):
            one.result(30)
    holder.release()
    assert store.count(Project).result(30) == 0


def test_what_was_not_waited_for_is_stored_when_the_program_ends(place: str, opened, child) -> None:
    program = child("leaves.py", place)
    assert program.rest() == ["leaving"]
    assert program.end() == 0
    assert opened(place).count(Project).result(30) == 50


def test_a_forked_process_leaves_the_parents_store_alone(place: str, opened, child) -> None:
    program = child("forks.py", place)
    assert program.rest() == [
        "child: UsageError: a forked process has to open its own.",
        "child: UsageError: a forked process has to open its own.",
        "child ended with 0",
        "the lock is still held: True",
        "rows: 41",
    ]
    assert program.end() == 0
    store = opened(place)
    assert store.count(Project).result(30) == 41
    assert store.check().result(30) == []


def test_a_full_disk_loses_nothing_that_was_acknowledged(file: str, opened, child) -> None:
    """DuckDB gives the whole database up when it cannot write; it is opened anew."""
    program = child("full_disk.py", file)
    lines = program.rest()
    assert program.end() == 0
    acknowledged = int(lines[0].split()[1])
    assert acknowledged > 0
    assert lines[1].startswith("refused StoreError")
    assert lines[2] == "goes on"
    store = opened(file)
    ids = {project.id for project in store.find(Project).result(60)}
    assert {f"p{i}" for i in range(acknowledged)} | {"after"} <= ids
    assert store.check().result(60) == []
