"""Takes over jobs that no living kernel looks after, and readies stored jobs to be run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from comfynb.engine.asking import ANSWERED
from comfynb.engine.desk import Desk
from comfynb.engine.graph.runner import GraphRunner
from comfynb.engine.live import LiveJob
from comfynb.engine.tasks import NodeTask
from comfynb.errors import ComfynbError
from comfynb.models import (
    Job,
    JobEvent,
    JobStatus,
    NodeExecution,
    OutputFile,
    PromptRecord,
    PromptStatus,
    WorkflowVersion,
)
from comfynb.store import Store

__all__ = ["Recovered", "Recovery"]

MANY: Final = 200
"""Jobs whose past is read at once: a sweep leaves hundreds."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a new kernel found: jobs that had not ended, and prompts of them that were out."""

    jobs: int
    prompts: int

    def __str__(self) -> str:
        if not self.jobs:
            return "Nothing to pick up."
        jobs = "1 job" if self.jobs == 1 else f"{self.jobs} jobs"
        prompts = "1 prompt" if self.prompts == 1 else f"{self.prompts} prompts"
        return f"Picked up {jobs} that had not ended ({prompts} sent before)."


@dataclass(slots=True)
class _Past:
    """What is stored about jobs, by job id."""

    attempts: dict[str, list[PromptRecord]] = field(default_factory=dict)
    events: dict[str, list[JobEvent]] = field(default_factory=dict)
    files: dict[str, list[OutputFile]] = field(default_factory=dict)


class Office(Protocol):
    """What recovery needs from the engine."""

    def activate(self, live: LiveJob) -> None:
        """This kernel runs the job from now on."""

    def task(self, live: LiveJob, execution: NodeExecution) -> NodeTask:
        """The unit of work for one node of a job."""

    def cancel(self, live: LiveJob) -> None:
        """Stop a job."""

    async def end_node(
        self, live: LiveJob, execution: NodeExecution, status: JobStatus, message: str | None
    ) -> None:
        """End a node that has no prompt out."""

    async def finish_if_over(self, live: LiveJob) -> None:
        """End the job if all its nodes have ended."""

    def spawn(self, coroutine: Awaitable[Any], name: str) -> object:
        """Run something in the background; its errors are reported."""


class Recovery:
    """Adopts jobs of dead kernels."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        runner: GraphRunner,
        office: Office,
        *,
        versions: dict[str, WorkflowVersion],
        live_of: Callable[[Job, Sequence[Any]], LiveJob],
    ) -> None:
        self._desk = desk
        self._store = store
        self._journal = store.journal
        self._runner = runner
        self._office = office
        self._versions = versions
        self._live_of = live_of

    async def resume(self) -> Recovered:
        """Adopt every job that has not ended and that no living kernel owns."""
        alive = await self._store.live_owners()
        adopted = await self._journal.adopt(self._store.owner_id, alive)
        prompts = 0
        for start in range(0, len(adopted), MANY):
            some = [
                one for one in adopted[start : start + MANY] if one[0].id not in self._desk.active
            ]
            past = await self._past_of([job.id for job, _ in some])
            for job, records in some:
                prompts += len(records)
                await self._readopt(job, records, past)
        return Recovered(len(adopted), prompts)

    async def _past_of(self, job_ids: Sequence[str]) -> "_Past":
        """What is stored about several jobs, in three reads however many they are."""
        past = _Past()
        if not job_ids:
            return past
        where = {"job_id": list(job_ids)}
        attempts, events, files = await asyncio.gather(
            self._store.find(PromptRecord, where=where),
            self._store.find(JobEvent, where=where, order_by="happened_at"),
            self._journal.outputs_of(job_ids),
        )
        job_of = {record.prompt_id: record.job_id for record in attempts}
        for record in attempts:
            past.attempts.setdefault(record.job_id, []).append(record)
        for event in events:
            past.events.setdefault(event.job_id, []).append(event)
        for file in files:
            past.files.setdefault(job_of[file.prompt_id], []).append(file)
        return past

    async def attach(self, job: Job) -> LiveJob:
        """The live form of a stored job, ready to be run: its outputs and workflows are loaded."""
        past = await self._past_of([job.id])
        live = self._live_of(job, past.files.get(job.id, []))
        await self._prepare(live, past)
        return live

    async def prepare(self, live: LiveJob) -> list[JobEvent]:
        """Load what is needed to run a job; returns what happened since it was last retried."""
        return await self._prepare(live, await self._past_of([live.id]))

    async def _prepare(self, live: LiveJob, past: "_Past") -> list[JobEvent]:
        for node in live.job.canvas_snapshot.nodes:
            version_id = node.config.get("workflow_version")
            if version_id and version_id not in self._versions:
                version = await self._store.get(WorkflowVersion, version_id)
                if version is not None:
                    self._versions[version_id] = version
        events = past.events.get(live.id, [])
        retried = max((i for i, event in enumerate(events) if event.kind == "retry"), default=-1)
        since = events[retried].happened_at if retried >= 0 else None
        for record in past.attempts.get(live.id, ()):
            key, attempt = record.node_execution_id, record.attempt
            live.attempts[key] = max(attempt, live.attempts.get(key, 0))
            if since is not None and record.created_at < since:
                live.forgiven[key] = max(attempt, live.forgiven.get(key, 0))
        for event in events:
            if event.kind == ANSWERED:
                live.answers[event.data["canvas_node_id"]] = event.data["backend_id"]
        return list(events[retried + 1 :])

    async def _readopt(self, job: Job, records: Sequence[PromptRecord], past: "_Past") -> None:
        live = self._live_of(job, past.files.get(job.id, []))
        events = await self._prepare(live, past)
        self._office.activate(live)
        if job.status is JobStatus.PAUSED:
            live.note = "paused"
        executions = {execution.id: execution for execution in job.node_executions}
        for record in records:
            execution = executions[record.node_execution_id]
            if not execution.status.is_terminal:
                await self._take_over(live, execution, record)
        if any(event.kind == "cancel" for event in events):
            self._office.cancel(live)
            return
        if live.moves or live.graph is None:
            self._runner.start(live)
        await self._office.finish_if_over(live)

    async def _take_over(
        self, live: LiveJob, execution: NodeExecution, record: PromptRecord
    ) -> None:
        """Go on with a prompt that was out."""
        try:
            task = self._office.task(live, execution)
        except ComfynbError as error:
            await self._office.end_node(live, execution, JobStatus.FAILED, str(error))
            return
        backend = self._desk.backends.get(record.backend_id)
        if backend is not None:
            self._desk.scheduler.adopt(task, backend)
            self._desk.flying[execution.id] = (backend, backend.courier.adopt(task, record))
            return
        message = "Its backend was removed while no kernel watched."
        await self._journal.finish_prompt(
            record.prompt_id, PromptStatus.LOST, error_class="lost", error_message=message
        )
        execution.status = JobStatus.PENDING
        execution.backend_id = None
