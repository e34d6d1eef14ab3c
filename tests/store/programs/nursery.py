"""Forks a process for each task it is told: [TASK, ARGUMENT...]; ["wait", PID] reaps one.

All of them speak through one socket, whose descriptor is the only argument. It keeps messages
apart, whoever sends them; standard output is for nobody.
"""

import json
import os
import random
import socket
import sys
import threading
import traceback
from pathlib import Path

from comfynb.models import (
    CanvasLayout,
    Job,
    JobStatus,
    NodeExecution,
    OutputFile,
    Project,
    PromptRecord,
    PromptStatus,
    new_id,
)
from comfynb.store import open_store
from comfynb.store.duck import DuckDatabase
from comfynb.store.migrate import migrate as bring_up_to_date
from comfynb.store.statements import Migration, migrations

channel = socket.socket(fileno=int(sys.argv[1]))


def tell(kind: str, pid: int, text: str = "") -> None:
    channel.send(json.dumps([kind, pid, text]).encode())


def say(text: str) -> None:
    tell("says", os.getpid(), text)


def new_job() -> Job:
    job_id = new_id()
    execution = NodeExecution(id=new_id(), job_id=job_id, canvas_node_id="n")
    return Job(
        id=job_id, project_id="p1", canvas_snapshot=CanvasLayout(), node_executions=[execution]
    )


def write(place: str) -> None:
    """Run jobs for ever, and say which steps were acknowledged."""
    store = open_store(place)
    journal = store.journal

    def ack(step: str, job: Job, prompt: PromptRecord) -> None:
        say(f"{step} {job.id} {prompt.prompt_id}")

    chance = random.Random()
    while True:
        jobs = [new_job() for _ in range(chance.randint(1, 4))]
        prompts = [
            PromptRecord(
                job_id=job.id, node_execution_id=job.node_executions[0].id, backend_id="b1"
            )
            for job in jobs
        ]
        pairs = list(zip(jobs, prompts, strict=True))
        journal.create_jobs(jobs).result()
        for job, prompt in pairs:
            ack("created", job, prompt)
        begun = [journal.begin_prompt(prompt) for prompt in prompts]
        for (job, prompt), pending in zip(pairs, begun, strict=True):
            assert pending.result()
            ack("begun", job, prompt)
        ends = []
        for job, prompt in pairs:
            file = OutputFile(
                prompt_id=prompt.prompt_id, node_id="9", kind="images", index=0, filename="a.png"
            )
            ends.append(
                (
                    journal.finish_prompt(prompt.prompt_id, PromptStatus.COMPLETED, outputs=[file]),
                    journal.finish_job(job.id, JobStatus.COMPLETED),
                )
            )
        for (job, prompt), (finished, ended) in zip(pairs, ends, strict=True):
            assert finished.result()
            ack("finished", job, prompt)
            assert ended.result()
            ack("ended", job, prompt)


def hammer(place: str, name: str, number: int, width: int) -> None:
    """Count a counter up, always wanting the next turn; ``width`` calls at once."""
    store = open_store(place)

    def count(tx: object, i: int) -> int:
        ((n,),) = tx.execute("update counter set n = n + 1 returning n")  # type: ignore[attr-defined]
        tx.execute("insert into turns values ($1, $2, $3)", [n, name, i])  # type: ignore[attr-defined]
        return n

    store.ready().result()
    say("ready")
    for start in range(0, number, width):
        pending = [
            store.transact(lambda tx, i=i: count(tx, i))
            for i in range(start, min(start + width, number))
        ]
        for one in pending:
            one.result()
    store.close().result()
    say("done")


def open_and_close(place: str, name: str, number: int) -> None:
    """Open the store anew for every row: what loses rows where DuckDB's own lock is trusted."""
    for i in range(number):
        store = open_store(place)
        store.put(Project(id=f"{name}-{i}", name="x")).result()
        store.close().result()
    say("done")


def migrate(place: str, newest: int) -> None:
    """Bring a store to version N, step by step."""
    steps = list(migrations("duckdb"))
    for version in range(len(steps) + 1, newest + 1):
        sql = f"""
        alter table jobs add column extra_{version} bigint default {version};
        create table copy_{version} as select * from projects;
        drop table if exists copy_{version - 1};
        update jobs set extra_{version} = extra_{version} + 1;
        """
        steps.append(Migration(version, f"step_{version}", sql, f"checksum {version}"))
    database = DuckDatabase(Path(place))
    say("ready")
    database.open(lambda opened: bring_up_to_date(opened, tuple(steps)), 30, threading.Event())
    database.close()
    say("done")


TASKS = {
    "write": write,
    "hammer": hammer,
    "open_and_close": open_and_close,
    "migrate": migrate,
}


def main() -> None:
    tell("open", os.getpid())
    while message := channel.recv(65536):
        task, *args = json.loads(message)
        if task == "wait":
            os.waitpid(args[0], 0)
            tell("gone", args[0])
            continue
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                TASKS[task](*args)
            except BaseException as error:  # noqa: BLE001 - told to the test
                traceback.print_exc()
                say(f"failed {error!r}"[:1000])
                code = 1
            os._exit(code)
        tell("started", pid)


main()
