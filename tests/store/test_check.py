"""store.check() finds each inconsistency that a test plants, and explains it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfynb.errors import StoreError
from comfynb.models import Job, JobStatus, OutputFile, PromptRecord, PromptStatus, User
from comfynb.store import Finding, Store, Transaction


class Planted:
    """A store with one job that completed and one that runs; both without fault."""

    def __init__(self, store: Store, make: Any, folder: Path, kind: str) -> None:
        self.store = store
        self.kind = kind
        self.make = make
        journal = store.journal
        self.done, self.running = make.job(), make.job(2)
        self.done_prompt, self.running_prompt = make.prompt(self.done), make.prompt(self.running)
        journal.create_jobs([self.done, self.running]).result(30)
        journal.begin_prompt(self.done_prompt).result(30)
        journal.begin_prompt(self.running_prompt).result(30)
        self.picture = folder / "a.png"
        self.picture.write_bytes(b"png")
        file = OutputFile(
            prompt_id=self.done_prompt.prompt_id,
            node_id="9",
            kind="images",
            index=0,
            filename="a.png",
            path=str(self.picture),
            size=3,
        )
        journal.finish_prompt(
            self.done_prompt.prompt_id, PromptStatus.COMPLETED, outputs=[file]
        ).result(30)
        journal.finish_job(self.done.id, JobStatus.COMPLETED).result(30)

    @property
    def done_node(self) -> str:
        return self.done.node_executions[0].id

    @property
    def running_node(self) -> str:
        return self.running.node_executions[0].id

    def sql(self, statement: str, *params: Any) -> None:
        def run(tx: Transaction) -> None:
            if tx.dialect == "postgres":  # which would refuse what this test wants to see found
                tx.execute("set local session_replication_role = replica")
            tx.execute(statement, params)

        self.store.transact(run).result(30)

    def unchecked(self, table: str, column: str) -> None:
        """Take a table's CHECK away, as a foreign tool might."""
        if self.kind == "postgres":
            self.sql(f"alter table {table} drop constraint {table}_{column}_check")
            return
        self.sql(f"create table copy_of as select * from {table}")
        self.sql(f"drop table {table}")
        self.sql(f"alter table copy_of rename to {table}")

    def find(self) -> list[Finding]:
        return self.store.check().result(60)


@pytest.fixture
def planted(store: Store, make: Any, tmp_path: Path, kind: str) -> Planted:
    return Planted(store, make, tmp_path, kind)


def orphan(table: str, column: str) -> Callable[[Planted], None]:
    return lambda p: p.sql(f"update {table} set {column} = 'nobody'")


def unknown_status(table: str, column: str) -> Callable[[Planted], None]:
    def plant(p: Planted) -> None:
        p.unchecked(table, column)
        p.sql(f"update {table} set {column} = 'dreaming'")

    return plant


def two_out(p: Planted) -> None:
    second = p.make.prompt(p.running, attempt=2)
    p.store.put(second).result(30)


def second_job_for_prompt(p: Planted) -> None:
    p.sql(
        "update prompts set job_id = $1 where prompt_id = $2", p.done.id, p.running_prompt.prompt_id
    )


PLANTS: list[tuple[str, Callable[[Planted], None], str, str, str]] = [
    ("project gone", orphan("jobs", "project_id"), "warning", "jobs", "project_id names 'nobody'"),
    (
        "backend gone",
        lambda p: p.sql("delete from backends"),
        "warning",
        "prompts",
        "backend_id names 'b1', and backends has no such row",
    ),
    (
        "prompt without job",
        orphan("prompts", "job_id"),
        "error",
        "prompts",
        "job_id names 'nobody', and jobs has no such row",
    ),
    (
        "prompt without node execution",
        orphan("prompts", "node_execution_id"),
        "error",
        "prompts",
        "node_execution_id names 'nobody'",
    ),
    (
        "node execution without job",
        orphan("node_executions", "job_id"),
        "error",
        "node_executions",
        "job_id names 'nobody'",
    ),
    (
        "file without prompt",
        orphan("output_files", "prompt_id"),
        "error",
        "output_files",
        "prompt_id names 'nobody'",
    ),
    ("event without job", orphan("job_events", "job_id"), "error", "job_events", "names 'nobody'"),
    (
        "owner not recorded",
        lambda p: p.sql("delete from owners"),
        "warning",
        "jobs",
        "which is not recorded",
    ),
    (
        "job ended, node runs",
        lambda p: p.sql("update node_executions set status = 'running' where id = $1", p.done_node),
        "error",
        "node_executions",
        "is running although its job .* ended as completed",
    ),
    (
        "nodes ended, job runs",
        lambda p: p.sql("update jobs set status = 'running' where id = $1", p.done.id),
        "warning",
        "jobs",
        "is running although all of its 1 node executions have ended",
    ),
    (
        "job completed, node failed",
        lambda p: p.sql("update node_executions set status = 'failed' where id = $1", p.done_node),
        "error",
        "jobs",
        "completed although node execution .* is failed",
    ),
    (
        "lost, yet completed",
        lambda p: p.sql(
            "update prompts set state = 'lost' where prompt_id = $1", p.done_prompt.prompt_id
        ),
        "error",
        "node_executions",
        "completed, but its prompt .* is lost",
    ),
    (
        "files of a lost prompt",
        lambda p: p.sql(
            "update prompts set state = 'lost' where prompt_id = $1", p.done_prompt.prompt_id
        ),
        "error",
        "output_files",
        "belongs to a prompt that is lost",
    ),
    (
        "prompt out, node ended",
        lambda p: p.sql(
            "update prompts set state = 'queued' where prompt_id = $1", p.done_prompt.prompt_id
        ),
        "error",
        "prompts",
        "is queued although its node execution .* is completed",
    ),
    ("two prompts out", two_out, "error", "node_executions", "has 2 prompts out at the same time"),
    (
        "prompt out that its node does not name",
        two_out,
        "error",
        "prompts",
        "is sending, but its node execution .* does not name it",
    ),
    (
        "prompt ended, node runs",
        lambda p: p.sql(
            "update prompts set state = 'failed' where prompt_id = $1", p.running_prompt.prompt_id
        ),
        "error",
        "node_executions",
        "is running, but its prompt .* has ended as failed",
    ),
    (
        "node names no prompt that is there",
        lambda p: p.sql(
            "update node_executions set comfy_prompt_id = 'none' where id = $1", p.running_node
        ),
        "error",
        "node_executions",
        "names prompt none, which is not there",
    ),
    (
        "prompt in another job than its node",
        second_job_for_prompt,
        "error",
        "prompts",
        "belongs to job .*, but its node execution .* belongs to job",
    ),
    (
        "completed and nothing left",
        lambda p: p.sql("delete from output_files"),
        "warning",
        "prompts",
        "left neither files nor data",
    ),
    (
        "prompt ended without a time",
        lambda p: p.sql("update prompts set completed_at = null"),
        "warning",
        "prompts",
        "has ended as completed without a time",
    ),
    (
        "job ended without a time",
        lambda p: p.sql("update jobs set completed_at = null"),
        "warning",
        "jobs",
        "has ended as completed without a time",
    ),
    ("job status", unknown_status("jobs", "status"), "error", "jobs", "status 'dreaming'"),
    (
        "node status",
        unknown_status("node_executions", "status"),
        "error",
        "node_executions",
        "status 'dreaming'",
    ),
    ("prompt state", unknown_status("prompts", "state"), "error", "prompts", "state 'dreaming'"),
    (
        "JSON that is none of the model's",
        lambda p: p.sql("update jobs set canvas_snapshot = $1", '{"nodes": [{"id": 1}]}'),
        "error",
        "jobs",
        r"is not what comfynb stores: Job\.canvas_snapshot",
    ),
    (
        "JSON of another kind",
        lambda p: p.sql("update backends set tags = '3'"),
        "error",
        "backends",
        r"is not what comfynb stores: BackendConfig\.tags",
    ),
    (
        "a value that the model refuses",
        lambda p: p.sql("update backends set port = 99999"),
        "error",
        "backends",
        r"BackendConfig\.port: .* not 99999",
    ),
    (
        "file not there",
        lambda p: p.picture.unlink(),
        "warning",
        "output_files",
        "its file .*a.png' is not on this machine",
    ),
    (
        "file cut off",
        lambda p: (p.picture.write_bytes(b"p"), None)[1],
        "warning",
        "output_files",
        "has 1 bytes instead of 3",
    ),
    (
        "another migration",
        lambda p: p.sql("update schema_version set checksum = 'x'"),
        "error",
        "schema_version",
        r"migration 1 \(initial\) was another one",
    ),
    (
        "migration not recorded",
        lambda p: p.sql("delete from schema_version"),
        "error",
        "schema_version",
        r"migration 1 \(initial\) is not recorded",
    ),
]


@pytest.mark.parametrize(
    ("plant", "severity", "table", "message"),
    [pytest.param(*rest, id=name) for name, *rest in PLANTS],
)
def test_finds_and_explains(
    planted: Planted,
    plant: Callable[[Planted], None],
    severity: str,
    table: str,
    message: str,
) -> None:
    plant(planted)
    found = planted.find()
    fitting = [
        finding
        for finding in found
        if finding.table == table and re.search(message, finding.message)
    ]
    assert fitting, found
    for finding in fitting:
        assert finding.severity == severity
        assert finding.id
        assert finding.cure
        assert "\n" not in str(finding)
    assert found == sorted(found, key=lambda finding: finding.severity != "error")


def test_finds_nothing_where_nothing_is_wrong(planted: Planted) -> None:
    assert planted.find() == []


def test_text_that_is_no_json(planted: Planted) -> None:
    if planted.kind == "duckdb":
        with pytest.raises(StoreError, match="JSON"):
            planted.sql("update jobs set outputs = '{' where id = $1", planted.done.id)
        return
    planted.sql("update jobs set outputs = '{' where id = $1", planted.done.id)
    (finding,) = planted.find()
    assert (finding.table, finding.id) == ("jobs", planted.done.id)
    assert "outputs is not JSON" in finding.message


def test_two_rows_with_one_unique_value(planted: Planted) -> None:
    ada, bob = User(email="ada@example.org"), User(email="bob@example.org")
    planted.store.put(ada, bob).result(30)
    if planted.kind == "postgres":
        planted.sql("alter table users drop constraint users_email_key")
    planted.sql("update users set email = 'ada@example.org'")
    (finding,) = planted.find()
    assert (finding.table, finding.id) == ("users", "ada@example.org")
    assert "2 rows have this email" in finding.message


def test_many_rows_are_looked_at_page_by_page(planted: Planted) -> None:
    jobs = [planted.make.job(0) for _ in range(1200)]
    planted.store.journal.create_jobs(jobs).result(60)
    bad = sorted(job.id for job in jobs)[700]
    planted.sql("update jobs set outputs = '[]' where id = $1", bad)
    findings = [finding for finding in planted.find() if finding.severity == "error"]
    assert [finding.id for finding in findings] == [bad]


def test_reading_a_row_that_the_model_refuses_names_it(planted: Planted) -> None:
    planted.sql("update jobs set outputs = '[]' where id = $1", planted.done.id)
    with pytest.raises(Exception, match=f"jobs '{planted.done.id}' cannot be read .*store check"):
        planted.store.get(Job, planted.done.id).result(30)
    assert planted.store.get(PromptRecord, planted.done_prompt.prompt_id).result(30)
