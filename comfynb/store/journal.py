"""What happened to jobs: the transitions that the engine records, each in one transaction.

Terminal states are absorbing: a late or repeated report changes nothing, and the caller is told so.
Calls of one kind that are queued together share their statements.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from comfynb.errors import UsageError
from comfynb.models import (
    Job,
    JobEvent,
    JobStatus,
    OutputFile,
    PromptRecord,
    PromptStatus,
    utcnow,
)
from comfynb.store.pending import Pending
from comfynb.store.transaction import Transaction, View
from comfynb.store.transitions import (
    Adopted,
    Finish,
    JobEnd,
    NodeEnd,
    Transitions,
    checked,
    record_events,
    set_job_status,
)
from comfynb.store.worker import Op

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = ["Adopted", "Finish", "Journal"]

# How far a prompt has come on its server is worth knowing, but nobody waits for it to be stored:
# it travels with the next call that somebody does wait for, or after this time. So do endings of
# which more are to come.
_PATIENCE_S = 0.1


class Journal:
    """The store's record of jobs, node executions and prompts, for the engine."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._do = Transitions(store)

    # ---- writing

    def create_jobs(self, jobs: Sequence[Job], owner_id: str | None = None) -> Pending[None]:
        """Store new jobs with their node executions, owned by ``owner_id`` (this store).

        Raises StoreError if one of them is there already; then none is stored.
        """
        taken = list(jobs)
        keys = {key for job in taken for key in (job.id, *(e.id for e in job.node_executions))}
        arg = (taken, owner_id or self._store.owner_id)
        return self._write("create_jobs", self._do.create_jobs, arg, keys)

    def begin_prompt(self, record: PromptRecord, *, patient: bool = False) -> Pending[bool]:
        """Write the intent to send a prompt down, before it is sent.

        The node execution is running from now on, and so is its job. False, and nothing written,
        if the node execution has ended, has another prompt out, or its job is not this store's;
        ``patient`` lets it wait a moment for more, or for :meth:`hurry`.
        """
        if record.state is not PromptStatus.SENDING:
            raise UsageError(f"A prompt begins in state 'sending', not {record.state.value!r}.")
        self._do.job_of[record.prompt_id] = record.job_id
        keys = {record.job_id, record.node_execution_id, record.prompt_id}
        return self._write(
            "begin_prompt",
            self._do.begin,
            record,
            keys,
            repeatable=True,
            patient=patient,
        )

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
        patient: bool = False,
    ) -> Pending[bool]:
        """End a prompt and, unless it is lost, its node execution.

        After a lost prompt the node execution is pending again. False, and nothing written, if the
        prompt had ended before; ``patient`` as in :meth:`begin_prompt`.
        Raises NotFound for an unknown prompt.
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
            self._do.finish,
            checked(finish),
            self._keys([prompt_id]),
            repeatable=True,
            patient=patient,
        )

    def finish_prompts(self, finishes: Sequence[Finish]) -> Pending[list[bool]]:
        """End several prompts, all or none of them; one answer for each, as finish_prompt()."""
        taken = [checked(finish) for finish in finishes]
        keys = self._keys([finish.prompt_id for finish in taken])
        return self._write("finish_prompts", self._do.finish_lists, taken, keys, repeatable=True)

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
            raise UsageError(f"A node execution does not end as {status.value!r}.")
        arg = NodeEnd(node_execution_id, status, completed_at or utcnow(), None, message, None)
        return self._write("finish_node", self._do.finish_nodes, arg, None, repeatable=True)

    def finish_job(
        self,
        job_id: str,
        status: JobStatus,
        error_message: str | None = None,
        outputs: dict[str, Any] | None = None,
        completed_at: datetime | None = None,
        *,
        patient: bool = False,
    ) -> Pending[bool]:
        """End a job; False, and nothing written, if it had ended before.

        Node executions that are still open end with it: cancelled if the job was, else skipped.
        Their prompts end as cancelled or lost; ``patient`` as in :meth:`begin_prompt`. Raises
        NotFound for an unknown job.
        """
        if not status.is_terminal:
            raise UsageError(f"A job does not end as {status.value!r}.")
        arg = JobEnd(job_id, status, completed_at or utcnow(), error_message, outputs)
        return self._write(
            "finish_job",
            self._do.finish_jobs,
            arg,
            {job_id},
            repeatable=True,
            patient=patient,
        )

    def hurry(self) -> None:
        """Carry out what was submitted patiently: no more of it is to come."""
        self._store.hurry()

    def set_job_status(self, job_id: str, status: JobStatus) -> Pending[bool]:
        """Pause a job or let it go on; False, and nothing written, if it has ended."""
        if status.is_terminal:
            raise UsageError(f"A job ends as {status.value!r} through finish_job() only.")
        arg = (job_id, status.value)
        return self._write("set_job_status", set_job_status, arg, {job_id}, repeatable=True)

    def record_events(self, events: Sequence[JobEvent]) -> Pending[None]:
        """Store what happened to jobs, in words."""
        taken = list(events)
        keys = {key for event in taken for key in (event.job_id, event.id)}
        return self._write("record_events", record_events, taken, keys, repeatable=True)

    def adopt(
        self, owner_id: str | None = None, live_owners: Collection[str] = ()
    ) -> Pending[list[Adopted]]:
        """Make every job that has not ended, and whose owner is dead, this owner's.

        An owner is alive if it is in ``live_owners`` or if its store is open right now; that is
        looked at within the transaction, so two kernels never adopt the same job, and none takes
        a job from a kernel that has only just begun. Jobs with no owner are adopted too.
        """
        arg = (owner_id or self._store.owner_id, frozenset(live_owners))
        return self._write("adopt", self._do.adopt, arg, None, repeatable=False)

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
        patient: bool = False,
    ) -> Pending[Any]:
        pending: Pending[Any] = Pending(what)
        patience = _PATIENCE_S if patient else 0.0
        self._store.submit(Op(pending, bulk, arg, _frozen(keys), repeatable, patience))
        return pending

    def _move(self, name: str, ids: list[str], at: datetime | None) -> Pending[None]:
        return self._write(
            name,
            self._do.moved,
            (name, ids, at or utcnow()),
            self._keys(ids),
            repeatable=True,
            patient=True,
        )

    def _keys(self, prompt_ids: Sequence[str]) -> set[str] | None:
        """What calls about these prompts touch; None if a prompt is not one that began here."""
        jobs = {self._do.job_of.get(prompt_id) for prompt_id in prompt_ids}
        known = {job for job in jobs if job is not None}
        return None if len(known) < len(jobs) else known | set(prompt_ids)


def _frozen(keys: Collection[str] | None) -> frozenset[str] | None:
    return None if keys is None else frozenset(keys)
