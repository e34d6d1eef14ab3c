"""What the journal's calls do inside a transaction: many calls of one kind at once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from comfynb.errors import NotFound, UsageError
from comfynb.models import (
    Job,
    JobEvent,
    JobStatus,
    NodeExecution,
    OutputFile,
    PromptRecord,
    PromptStatus,
    utcnow,
)
from comfynb.store.integrity import check_parents
from comfynb.store.schema import clean_text, json_text, table_of
from comfynb.store.transaction import Transaction

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = [
    "Adopted",
    "Finish",
    "JobEnd",
    "NodeEnd",
    "Transitions",
    "checked",
    "end_nodes",
    "record_events",
    "set_job_status",
]

LIVE = frozenset(status.value for status in PromptStatus if not status.is_terminal)
OPEN = frozenset(status.value for status in JobStatus if not status.is_terminal)

_NODE_STATUS: Mapping[PromptStatus, JobStatus] = {
    PromptStatus.COMPLETED: JobStatus.COMPLETED,
    PromptStatus.FAILED: JobStatus.FAILED,
    PromptStatus.CANCELLED: JobStatus.CANCELLED,
}


class Adopted(NamedTuple):
    """A job that had not ended and now belongs to the caller, with its prompts that are out."""

    job: Job
    prompts: list[PromptRecord]


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of one prompt: what it left, or why it failed."""

    prompt_id: str
    state: PromptStatus
    outputs: Sequence[OutputFile] = ()
    output_data: dict[str, Any] | None = None
    error_class: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    completed_at: datetime | None = None
    cached_nodes: int = 0
    started_at: datetime | None = None


class NodeEnd(NamedTuple):
    """The end of a node execution."""

    id: str
    status: JobStatus
    completed_at: datetime
    output_data: dict[str, Any] | None
    message: str | None
    traceback: str | None


class JobEnd(NamedTuple):
    """The end of a job."""

    id: str
    status: JobStatus
    completed_at: datetime
    message: str | None
    outputs: dict[str, Any] | None


class Transitions:
    """Each method takes a transaction and the arguments of several calls, and answers each."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        # Which job a live prompt belongs to, so that calls about different jobs can be told apart.
        self.job_of: dict[str, str] = {}

    def create_jobs(
        self, tx: Transaction, calls: Sequence[tuple[list[Job], str]]
    ) -> Sequence[None]:
        """Insert jobs, their node executions, owner, and events. Call: (jobs, owner id)."""
        jobs = [job for some, _ in calls for job in some]
        owners = [owner for some, owner in calls for _ in some]
        executions = [
            (execution, place)
            for job in jobs
            for place, execution in enumerate(job.node_executions)
        ]
        for job in jobs:
            if any(execution.job_id != job.id for execution in job.node_executions):
                raise UsageError(f"A node execution in job {job.id} names another job.")
        self._know_owner(tx, set(owners))
        tx.insert(table_of(Job), jobs, {"owner_id": owners})
        tx.insert(
            table_of(NodeExecution),
            [execution for execution, _ in executions],
            {"position": [place for _, place in executions]},
        )
        tx.run("created_events", [[job.id for job in jobs], utcnow()])
        return [None] * len(calls)

    def _know_owner(self, tx: Transaction, owner_ids: Collection[str]) -> None:
        if self._store.owner_id in owner_ids:
            me = self._store.owner
            tx.run("insert_owner", [me.id, me.host, me.pid, me.started_at, me.label])

    def begin(self, tx: Transaction, records: Sequence[PromptRecord]) -> Sequence[bool]:
        """Decide for each record whether its prompt may begin, and write those down."""
        nodes = [record.node_execution_id for record in records]
        rows = {row[0]: row[1:] for row in tx.run("begin_look", [nodes])}
        answers: list[bool] = []
        begun: list[PromptRecord] = []
        waking: dict[str, datetime] = {}
        for record in records:
            row = rows.get(record.node_execution_id)
            if row is None or row[0] != record.job_id:
                answers.append(False)
                continue
            _, status, job_status, owner, out, state = row
            if out == record.prompt_id and state in LIVE:
                answers.append(True)  # this very call, carried out before
                continue
            free = status in OPEN and job_status in OPEN and state not in LIVE
            answers.append(free and owner == self._store.owner_id)
            if answers[-1]:
                begun.append(record)
                rows[record.node_execution_id] = (
                    record.job_id,
                    "running",
                    job_status,
                    owner,
                    record.prompt_id,
                    "sending",
                )
                if job_status == "pending":
                    waking.setdefault(record.job_id, record.created_at)
        if begun:
            tx.insert(table_of(PromptRecord), begun)
            tx.run(
                "begin_nodes",
                [
                    [record.node_execution_id for record in begun],
                    [record.prompt_id for record in begun],
                    [record.backend_id for record in begun],
                    [record.created_at for record in begun],
                ],
            )
        if waking:
            tx.run("begin_jobs", [list(waking), list(waking.values())])
        for record, answer in zip(records, answers, strict=True):
            if not answer:
                self.job_of.pop(record.prompt_id, None)
        return answers

    def moved(
        self, tx: Transaction, calls: Sequence[tuple[str, list[str], datetime]]
    ) -> Sequence[None]:
        """Run a statement for the prompts of all calls that name it. Call: (name, ids, time)."""
        for name in dict.fromkeys(name for name, _, _ in calls):
            moved = {
                prompt_id: at for which, ids, at in calls if which == name for prompt_id in ids
            }
            if moved:
                tx.run(name, [list(moved), list(moved.values())])
        return [None] * len(calls)

    def finish_lists(self, tx: Transaction, calls: Sequence[list[Finish]]) -> Sequence[list[bool]]:
        """End the prompts of several lists."""
        answers = iter(self.finish(tx, [finish for finishes in calls for finish in finishes]))
        return [[next(answers) for _ in finishes] for finishes in calls]

    def finish(self, tx: Transaction, finishes: Sequence[Finish]) -> list[bool]:
        """End prompts; the first end of each counts."""
        if not finishes:
            return []
        rows = tx.run("finish_look", [[finish.prompt_id for finish in finishes]])
        found = {row[0]: row[1:] for row in rows}
        ended: dict[str, Finish] = {}
        answers = []
        for finish in finishes:
            row = found.get(finish.prompt_id)
            if row is None:
                raise NotFound(f"The store has no prompt {finish.prompt_id!r:.80}.")
            answers.append(row[0] in LIVE and finish.prompt_id not in ended)
            if answers[-1]:
                ended[finish.prompt_id] = finish
        if ended:
            self._end_prompts(tx, list(ended.values()), found)
        return answers

    def _end_prompts(
        self, tx: Transaction, finishes: list[Finish], found: Mapping[str, Sequence[Any]]
    ) -> None:
        now = utcnow()
        tx.run(
            "finish_prompts",
            [
                [finish.prompt_id for finish in finishes],
                [finish.state.value for finish in finishes],
                [finish.completed_at or now for finish in finishes],
                [_text(finish.error_class) for finish in finishes],
                [_text(finish.error_message) for finish in finishes],
                [finish.cached_nodes for finish in finishes],
                [finish.started_at for finish in finishes],
            ],
        )
        ends, lost = [], []
        for finish in finishes:
            self.job_of.pop(finish.prompt_id, None)
            _, node_id, current, status = found[finish.prompt_id]
            # Another prompt may have taken over the node meanwhile; then this one is history only.
            if current != finish.prompt_id or status not in OPEN:
                continue
            if finish.state is PromptStatus.LOST:
                lost.append(node_id)
            else:
                ends.append(
                    NodeEnd(
                        node_id,
                        _NODE_STATUS[finish.state],
                        finish.completed_at or now,
                        finish.output_data,
                        finish.error_message,
                        finish.error_traceback,
                    )
                )
        end_nodes(tx, ends)
        if lost:
            tx.run("lose_nodes", [lost])
        table = table_of(OutputFile)
        files = {table.key_of(file): file for finish in finishes for file in finish.outputs}
        if files:
            # A prompt that is out has no files yet; ON CONFLICT would cost six times as much.
            tx.insert(table, list(files.values()))

    def finish_nodes(self, tx: Transaction, ends: Sequence[NodeEnd]) -> Sequence[bool]:
        """End node executions that have no prompt out."""
        rows = {row[0]: row[1:] for row in tx.run("node_look", [[end.id for end in ends]])}
        going: dict[str, NodeEnd] = {}
        answers = []
        for end in ends:
            status, state = rows.get(end.id, (None, None))
            if status is None:
                raise NotFound(f"The store has no node execution {end.id!r:.80}.")
            answers.append(status in OPEN and state not in LIVE and end.id not in going)
            if answers[-1]:
                going[end.id] = end
        end_nodes(tx, list(going.values()))
        return answers

    def finish_jobs(self, tx: Transaction, ends: Sequence[JobEnd]) -> Sequence[bool]:
        """End jobs, and close what is still open in each."""
        looked = tx.run("finish_job_look", [[end.id for end in ends]])
        status_of = {row[0]: row[1] for row in looked}
        ended: dict[str, JobEnd] = {}
        answers = []
        for end in ends:
            if end.id not in status_of:
                raise NotFound(f"The store has no job {end.id!r:.80}.")
            answers.append(status_of[end.id] in OPEN and end.id not in ended)
            if answers[-1]:
                ended[end.id] = end
        going = list(ended.values())
        if going:
            tx.run(
                "finish_jobs",
                [
                    [end.id for end in going],
                    [end.status.value for end in going],
                    [end.completed_at for end in going],
                    [_text(end.message) for end in going],
                    [None if end.outputs is None else json_text(end.outputs) for end in going],
                ],
            )
        for job_id, end in ended.items():
            left = [row for row in looked if row[0] == job_id and row[2] is not None]
            if left:
                self._close_rest(tx, end, left)
        return answers

    def _close_rest(self, tx: Transaction, end: JobEnd, left: Sequence[Sequence[Any]]) -> None:
        cancelled = end.status is JobStatus.CANCELLED
        status = JobStatus.CANCELLED if cancelled else JobStatus.SKIPPED
        message = f"the job had ended as {end.status.value}"
        prompts = [row[3] for row in left if row[3] is not None]
        for prompt_id in prompts:
            self.job_of.pop(prompt_id, None)
        if prompts:
            state = PromptStatus.CANCELLED if cancelled else PromptStatus.LOST
            tx.run("close_prompts", [prompts, state.value, end.completed_at, message])
        end_nodes(
            tx, [NodeEnd(row[2], status, end.completed_at, None, message, None) for row in left]
        )

    def adopt(
        self, tx: Transaction, calls: Sequence[tuple[str, frozenset[str]]]
    ) -> Sequence[list[Adopted]]:
        """Take over jobs of dead owners. Call: (new owner, ids known to be alive)."""
        return [self._adopt_one(tx, owner_id, live) for owner_id, live in calls]

    def _adopt_one(self, tx: Transaction, owner_id: str, live: frozenset[str]) -> list[Adopted]:
        rows = tx.run("adopt_look")
        alive = {
            owner: owner in live or owner == owner_id or self._store.is_alive(tx, owner)
            for owner in {row[1] for row in rows}
            if owner is not None
        }
        ids = [job_id for job_id, owner in rows if not alive.get(owner, False)]
        if not ids:
            return []
        self._know_owner(tx, {owner_id})
        tx.run("own_jobs", [ids, owner_id])
        before: dict[str, str | None] = {row[0]: row[1] for row in rows}
        now = utcnow()
        tx.insert(
            table_of(JobEvent),
            [
                JobEvent(job_id=id_, happened_at=now, kind="adopted", data={"from": before[id_]})
                for id_ in ids
            ],
        )
        jobs = {job.id: Adopted(job, []) for job in tx.find(Job, where={"id": ids})}
        for record in tx.models(PromptRecord, tx.run("prompts_of", [ids, sorted(LIVE)])):
            jobs[record.job_id].prompts.append(record)
            self.job_of[record.prompt_id] = record.job_id
        return [jobs[job_id] for job_id in ids]


def _text(value: str | None) -> str | None:
    return None if value is None else clean_text(value)


def checked(finish: Finish) -> Finish:
    """Return the end of a prompt if it is one; raises UsageError."""
    if not finish.state.is_terminal:
        raise UsageError(f"A prompt does not end as {finish.state.value!r}.")
    for file in finish.outputs:
        if file.prompt_id != finish.prompt_id:
            raise UsageError(
                f"An output file of prompt {file.prompt_id} was given with prompt "
                f"{finish.prompt_id}."
            )
    return finish


def end_nodes(tx: Transaction, ends: Sequence[NodeEnd]) -> None:
    """End node executions that have not ended."""
    if not ends:
        return
    tx.run(
        "finish_nodes",
        [
            [end.id for end in ends],
            [end.status.value for end in ends],
            [end.completed_at for end in ends],
            [None if end.output_data is None else json_text(end.output_data) for end in ends],
            [_text(end.message) for end in ends],
            [_text(end.traceback) for end in ends],
        ],
    )


def set_job_status(tx: Transaction, calls: Sequence[tuple[str, str]]) -> Sequence[bool]:
    """Pause jobs or let them go on. Call: (job id, status)."""
    return [bool(tx.run("set_job_status", [job, status])[0][0]) for job, status in calls]


def record_events(tx: Transaction, calls: Sequence[list[JobEvent]]) -> Sequence[None]:
    """Store events."""
    events = {event.id: event for some in calls for event in some}
    if events:
        table = table_of(JobEvent)
        check_parents(tx, table, list(events.values()))
        tx.upsert(table, list(events.values()))
    return [None] * len(calls)
