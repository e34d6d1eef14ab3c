"""What happened to jobs: the transitions that the engine records, each in one transaction.

Terminal states are absorbing: a late or repeated report changes nothing, and the caller is told so.
Calls of one kind that are queued together share their statements.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from comfynb.store.pending import Pending
from comfynb.store.schema import clean_text, json_text, table_of
from comfynb.store.transaction import Transaction, View
from comfynb.store.worker import Op

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = ["Adopted", "Finish", "Journal"]

LIVE = frozenset(status.value for status in PromptStatus if not status.is_terminal)
OPEN = frozenset(status.value for status in JobStatus if not status.is_terminal)

# How far a prompt has come on its server is worth knowing, but nobody waits for it to be stored:
# it travels with the next call that somebody does wait for, or after this time.
_PATIENCE_S = 0.1

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


class _NodeEnd(NamedTuple):
    id: str
    status: JobStatus
    completed_at: datetime
    output_data: dict[str, Any] | None
    message: str | None
    traceback: str | None


class _JobEnd(NamedTuple):
    id: str
    status: JobStatus
    completed_at: datetime
    message: str | None
    outputs: dict[str, Any] | None


class Journal:
    """The store's record of jobs, node executions and prompts, for the engine."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        # Which job a live prompt belongs to, so that calls about different jobs can be told apart.
        self._job_of: dict[str, str] = {}

    # ---- writing

    def create_jobs(self, jobs: Sequence[Job], owner_id: str | None = None) -> Pending[None]:
        """Store new jobs with their node executions, owned by ``owner_id`` (this store).

        Raises StoreError if one of them is there already; then none is stored.
        """
        taken = list(jobs)
        keys = {key for job in taken for key in (job.id, *(e.id for e in job.node_executions))}
        arg = (taken, owner_id or self._store.owner_id)
        return self._write("create_jobs", self._create_jobs, arg, keys)

    def begin_prompt(self, record: PromptRecord) -> Pending[bool]:
        """Write the intent to send a prompt down, before it is sent.

        The node execution is running from now on, and so is its job. False, and nothing written,
        if the node execution has ended, has another prompt out, or its job is not this store's.
        """
        if record.state is not PromptStatus.SENDING:
            raise UsageError(f"a prompt begins in state 'sending', not {record.state.value!r}")
        self._job_of[record.prompt_id] = record.job_id
        keys = {record.job_id, record.node_execution_id, record.prompt_id}
        return self._write("begin_prompt", self._begin, record, keys, repeatable=True)

    def prompts_sent(self, prompt_ids: Iterable[str], at: datetime | None = None) -> Pending[None]:
        """The server has taken these prompts: sending becomes queued."""
        ids = list(prompt_ids)
        return self._move("prompts_sent", ids, at)

    def prompts_started(
        self, prompt_ids: Iterable[str], at: datetime | None = None
    ) -> Pending[None]:
        """The server has begun to run these prompts."""
        ids = list(prompt_ids)
        return self._move("prompts_started", ids, at)

    def prompt_started(self, prompt_id: str, at: datetime | None = None) -> Pending[None]:
        """The server has begun to run this prompt."""
        return self.prompts_started([prompt_id], at)

    def finish_prompt(
        self,
        prompt_id: str,
        state: PromptStatus,
        *,
        outputs: Sequence[OutputFile] = (),
        output_data: dict[str, Any] | None = None,
        error_class: str | None = None,
        error_message: str | None = None,
        error_traceback: str | None = None,
        completed_at: datetime | None = None,
        cached_nodes: int = 0,
        started_at: datetime | None = None,
    ) -> Pending[bool]:
        """End a prompt and, unless it is lost, its node execution.

        After a lost prompt the node execution is pending again. False, and nothing written, if the
        prompt had ended before. Raises NotFound for an unknown prompt.
        """
        finish = Finish(
            prompt_id,
            state,
            outputs,
            output_data,
            error_class,
            error_message,
            error_traceback,
            completed_at,
            cached_nodes,
            started_at,
        )
        return self._write(
            "finish_prompt",
            self._finish,
            _checked(finish),
            self._keys([prompt_id]),
            repeatable=True,
        )

    def finish_prompts(self, finishes: Sequence[Finish]) -> Pending[list[bool]]:
        """End several prompts, all or none of them; one answer for each, as finish_prompt()."""
        taken = [_checked(finish) for finish in finishes]
        keys = self._keys([finish.prompt_id for finish in taken])
        return self._write("finish_prompts", self._finish_lists, taken, keys, repeatable=True)

    def finish_node(
        self,
        node_execution_id: str,
        status: JobStatus,
        message: str | None = None,
        completed_at: datetime | None = None,
    ) -> Pending[bool]:
        """End a node execution that has no prompt out: skipped, cancelled, failed before sending.

        False, and nothing written, if it had ended before or has a prompt out.
        """
        if not status.is_terminal:
            raise UsageError(f"a node execution does not end as {status.value!r}")
        arg = _NodeEnd(node_execution_id, status, completed_at or utcnow(), None, message, None)
        return self._write("finish_node", self._finish_nodes, arg, None, repeatable=True)

    def finish_job(
        self,
        job_id: str,
        status: JobStatus,
        error_message: str | None = None,
        outputs: dict[str, Any] | None = None,
        completed_at: datetime | None = None,
    ) -> Pending[bool]:
        """End a job; False, and nothing written, if it had ended before.

        Node executions that are still open end with it: cancelled if the job was, else skipped.
        Their prompts end as cancelled or lost. Raises NotFound for an unknown job.
        """
        if not status.is_terminal:
            raise UsageError(f"a job does not end as {status.value!r}")
        arg = _JobEnd(job_id, status, completed_at or utcnow(), error_message, outputs)
        return self._write("finish_job", self._finish_jobs, arg, {job_id}, repeatable=True)

    def set_job_status(self, job_id: str, status: JobStatus) -> Pending[bool]:
        """Pause a job or let it go on; False, and nothing written, if it has ended."""
        if status.is_terminal:
            raise UsageError(f"a job ends as {status.value!r} through finish_job() only")
        arg = (job_id, status.value)
        return self._write("set_job_status", _set_job_status, arg, {job_id}, repeatable=True)

    def record_events(self, events: Sequence[JobEvent]) -> Pending[None]:
        """Store what happened to jobs, in words."""
        taken = list(events)
        keys = {key for event in taken for key in (event.job_id, event.id)}
        return self._write("record_events", _record_events, taken, keys, repeatable=True)

    def adopt(
        self, owner_id: str | None = None, live_owners: Collection[str] = ()
    ) -> Pending[list[Adopted]]:
        """Make every job that has not ended, and whose owner is dead, this owner's.

        An owner is alive if it is in ``live_owners`` or if its store is open right now; that is
        looked at within the transaction, so two kernels never adopt the same job, and none takes
        a job from a kernel that has only just begun. Jobs with no owner are adopted too.
        """
        arg = (owner_id or self._store.owner_id, frozenset(live_owners))
        return self._write("adopt", self._adopt, arg, None, repeatable=False)

    # ---- reading

    def jobs_last(
        self, n: int = 20, status: JobStatus | None = None, project_id: str | None = None
    ) -> Pending[list[Job]]:
        """Return the newest jobs with their node executions, the newest first."""
        where: dict[str, Any] = {}
        if status is not None:
            where["status"] = status
        if project_id is not None:
            where["project_id"] = project_id
        return self._store.find(Job, where=where, order_by="-created_at", limit=n)

    def load_job(self, job_id: str) -> Pending[Job | None]:
        """Return a job with its node executions, or None."""
        return self._store.get(Job, job_id)

    def outputs_of(self, job_ids: Collection[str]) -> Pending[list[OutputFile]]:
        """Return the files that jobs' prompts left, in the order of prompts, nodes and places."""
        ids = list(job_ids)
        return self._store.read(
            lambda view: view.models(OutputFile, view.run("outputs_of", [ids])), "outputs_of"
        )

    def prompts_of(self, job_ids: Collection[str]) -> Pending[list[PromptRecord]]:
        """Return all attempts of jobs, the oldest first."""
        ids = list(job_ids)
        every = [state.value for state in PromptStatus]
        return self._store.read(
            lambda view: view.models(PromptRecord, view.run("prompts_of", [ids, every])),
            "prompts_of",
        )

    def events_of(self, job_id: str) -> Pending[list[JobEvent]]:
        """Return what happened to a job, the oldest first."""
        return self._store.read(
            lambda view: view.models(JobEvent, view.run("events_of", [job_id])), "events_of"
        )

    def owner_of(self, job_id: str) -> Pending[str | None]:
        """Return who works on a job: an owner's id, or None."""

        def look(view: View) -> str | None:
            rows = view.run("owner_of", [job_id])
            return rows[0][0] if rows else None

        return self._store.read(look, "owner_of")

    # ---- how

    def _write(
        self,
        what: str,
        bulk: Callable[[Transaction, Sequence[Any]], Sequence[Any]],
        arg: Any,
        keys: Collection[str] | None,
        *,
        repeatable: bool = False,
    ) -> Pending[Any]:
        pending: Pending[Any] = Pending(what)
        self._store.submit(Op(pending, bulk, arg, _frozen(keys), repeatable))
        return pending

    def _move(self, name: str, ids: list[str], at: datetime | None) -> Pending[None]:
        pending: Pending[None] = Pending(name)
        arg = (name, ids, at or utcnow())
        op = Op(pending, self._moved, arg, _frozen(self._keys(ids)), repeatable=True)
        op.patience = _PATIENCE_S
        self._store.submit(op)
        return pending

    def _keys(self, prompt_ids: Sequence[str]) -> set[str] | None:
        """What calls about these prompts touch; None if a prompt is not one that began here."""
        jobs = {self._job_of.get(prompt_id) for prompt_id in prompt_ids}
        known = {job for job in jobs if job is not None}
        return None if len(known) < len(jobs) else known | set(prompt_ids)

    def _create_jobs(
        self, tx: Transaction, calls: Sequence[tuple[list[Job], str]]
    ) -> Sequence[None]:
        jobs = [job for some, _ in calls for job in some]
        owners = [owner for some, owner in calls for _ in some]
        executions = [
            (execution, place)
            for job in jobs
            for place, execution in enumerate(job.node_executions)
        ]
        for job in jobs:
            if any(execution.job_id != job.id for execution in job.node_executions):
                raise UsageError(f"a node execution in job {job.id} names another job")
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

    def _begin(self, tx: Transaction, records: Sequence[PromptRecord]) -> Sequence[bool]:
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
        return answers

    def _moved(
        self, tx: Transaction, calls: Sequence[tuple[str, list[str], datetime]]
    ) -> Sequence[None]:
        for name in dict.fromkeys(name for name, _, _ in calls):
            moved = {
                prompt_id: at for which, ids, at in calls if which == name for prompt_id in ids
            }
            if moved:
                tx.run(name, [list(moved), list(moved.values())])
        return [None] * len(calls)

    def _finish_lists(self, tx: Transaction, calls: Sequence[list[Finish]]) -> Sequence[list[bool]]:
        answers = iter(self._finish(tx, [finish for finishes in calls for finish in finishes]))
        return [[next(answers) for _ in finishes] for finishes in calls]

    def _finish(self, tx: Transaction, finishes: Sequence[Finish]) -> list[bool]:
        if not finishes:
            return []
        rows = tx.run("finish_look", [[finish.prompt_id for finish in finishes]])
        found = {row[0]: row[1:] for row in rows}
        ended: dict[str, Finish] = {}
        answers = []
        for finish in finishes:
            row = found.get(finish.prompt_id)
            if row is None:
                raise NotFound(f"the store has no prompt {finish.prompt_id!r:.80}")
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
            self._job_of.pop(finish.prompt_id, None)
            _, node_id, current, status = found[finish.prompt_id]
            # Another prompt may have taken over the node meanwhile; then this one is history only.
            if current != finish.prompt_id or status not in OPEN:
                continue
            if finish.state is PromptStatus.LOST:
                lost.append(node_id)
            else:
                ends.append(
                    _NodeEnd(
                        node_id,
                        _NODE_STATUS[finish.state],
                        finish.completed_at or now,
                        finish.output_data,
                        finish.error_message,
                        finish.error_traceback,
                    )
                )
        _end_nodes(tx, ends)
        if lost:
            tx.run("lose_nodes", [lost])
        table = table_of(OutputFile)
        files = {table.key_of(file): file for finish in finishes for file in finish.outputs}
        if files:
            # A prompt that is out has no files yet; ON CONFLICT would cost six times as much.
            tx.insert(table, list(files.values()))

    def _finish_nodes(self, tx: Transaction, ends: Sequence[_NodeEnd]) -> Sequence[bool]:
        rows = {row[0]: row[1:] for row in tx.run("node_look", [[end.id for end in ends]])}
        going: dict[str, _NodeEnd] = {}
        answers = []
        for end in ends:
            status, state = rows.get(end.id, (None, None))
            if status is None:
                raise NotFound(f"the store has no node execution {end.id!r:.80}")
            answers.append(status in OPEN and state not in LIVE and end.id not in going)
            if answers[-1]:
                going[end.id] = end
        _end_nodes(tx, list(going.values()))
        return answers

    def _finish_jobs(self, tx: Transaction, ends: Sequence[_JobEnd]) -> Sequence[bool]:
        looked = tx.run("finish_job_look", [[end.id for end in ends]])
        status_of = {row[0]: row[1] for row in looked}
        ended: dict[str, _JobEnd] = {}
        answers = []
        for end in ends:
            if end.id not in status_of:
                raise NotFound(f"the store has no job {end.id!r:.80}")
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

    def _close_rest(self, tx: Transaction, end: _JobEnd, left: Sequence[Sequence[Any]]) -> None:
        cancelled = end.status is JobStatus.CANCELLED
        status = JobStatus.CANCELLED if cancelled else JobStatus.SKIPPED
        message = f"the job had ended as {end.status.value}"
        prompts = [row[3] for row in left if row[3] is not None]
        if prompts:
            state = PromptStatus.CANCELLED if cancelled else PromptStatus.LOST
            tx.run("close_prompts", [prompts, state.value, end.completed_at, message])
        _end_nodes(
            tx, [_NodeEnd(row[2], status, end.completed_at, None, message, None) for row in left]
        )

    def _adopt(
        self, tx: Transaction, calls: Sequence[tuple[str, frozenset[str]]]
    ) -> Sequence[list[Adopted]]:
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
            self._job_of[record.prompt_id] = record.job_id
        return [jobs[job_id] for job_id in ids]


def _frozen(keys: Collection[str] | None) -> frozenset[str] | None:
    return None if keys is None else frozenset(keys)


def _text(value: str | None) -> str | None:
    return None if value is None else clean_text(value)


def _checked(finish: Finish) -> Finish:
    if not finish.state.is_terminal:
        raise UsageError(f"a prompt does not end as {finish.state.value!r}")
    for file in finish.outputs:
        if file.prompt_id != finish.prompt_id:
            raise UsageError(
                f"an output file of prompt {file.prompt_id} was given with prompt "
                f"{finish.prompt_id}"
            )
    return finish


def _end_nodes(tx: Transaction, ends: Sequence[_NodeEnd]) -> None:
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


def _set_job_status(tx: Transaction, calls: Sequence[tuple[str, str]]) -> Sequence[bool]:
    return [bool(tx.run("set_job_status", [job, status])[0][0]) for job, status in calls]


def _record_events(tx: Transaction, calls: Sequence[list[JobEvent]]) -> Sequence[None]:
    events = {event.id: event for some in calls for event in some}
    if events:
        table = table_of(JobEvent)
        check_parents(tx, table, list(events.values()))
        tx.upsert(table, list(events.values()))
    return [None] * len(calls)
