"""What follows when a prompt leaves its backend: its end is recorded, or its node tried again."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from comfynb.engine.backend import LiveBackend
from comfynb.engine.background import Spawn
from comfynb.engine.closing import Closer, Ending
from comfynb.engine.courier import Outcome
from comfynb.engine.desk import Desk
from comfynb.engine.following import Following
from comfynb.engine.host import LoopHost
from comfynb.engine.jobs import Jobs
from comfynb.engine.live import LiveJob
from comfynb.engine.scheduling.failures import Step, Verdict, judge
from comfynb.engine.tasks import Flight, NodeTask
from comfynb.errors import BackendError
from comfynb.models import (
    FallbackStrategy,
    JobEvent,
    JobStatus,
    NodeExecution,
    PromptStatus,
    utcnow,
)
from comfynb.store import Store

__all__ = ["Settling"]

_KINDS: Final = frozenset({"recalled", "out of memory"})
"""Classes of errors that a job's history calls by name when the node is tried again."""


class Settling:
    """Told by each backend what becomes of our prompts there."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        host: LoopHost,
        *,
        jobs: Jobs,
        closer: Closer,
        following: Following,
        spawn: Spawn,
        pump: Callable[[], None],
        changed: Callable[[LiveBackend], None],
    ) -> None:
        self._desk = desk
        self._store = store
        self._journal = store.journal
        self._host = host
        self._jobs = jobs
        self._closer = closer
        self._following = following
        self._spawn = spawn
        self._pump = pump
        self._changed = changed
        self._worked: dict[str, set[str]] = {}
        """Where prompts ended well: backends by workflow version."""

    # On the way -------------------------------------------------------------------------------

    def began(self, flight: Flight, at: datetime) -> None:
        """A prompt is written down, and so its node and job are running, as in the store."""
        job, execution = flight.task.live.job, flight.task.execution
        status = JobStatus.RUNNING if job.status is JobStatus.PENDING else job.status
        job.assign_unchecked(status=status, started_at=job.started_at or at)
        execution.assign_unchecked(
            status=JobStatus.RUNNING,
            comfy_prompt_id=flight.prompt_id,
            started_at=execution.started_at or at,
        )
        flight.task.live.touch()

    def refused(self, flight: Flight) -> None:
        """The store did not take it: the node has ended there, or the job is another kernel's."""
        live = flight.task.live
        self._desk.flying.pop(flight.task.execution.id, None)
        self._spawn(self._following.let_go(live, self._store.owner_id), f"let go {live.id}")

    def ran(self, flight: Flight) -> None:
        """The server runs a prompt now."""
        self._desk.scheduler.runs(flight.task)
        flight.task.live.touch()

    def freed(self, flight: Flight, seconds: float | None) -> None:
        """A prompt has left its backend, after ``seconds`` if it ended well there."""
        self._desk.scheduler.ended(flight.task, seconds, flight.spans)

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to a prompt: it goes into its job's history."""
        event = self._event(flight.task.live, flight.task.execution, kind, message)
        self._spawn(event, f"note {kind}")

    # The end ----------------------------------------------------------------------------------

    async def settle(self, backend: LiveBackend, flight: Flight, outcome: Outcome) -> None:
        """A prompt ended on ``backend``: record it, then either end the node or try again."""
        task = flight.task
        self._desk.flying.pop(task.execution.id, None)
        verdict = judge(
            outcome.state,
            outcome.error_class,
            attempts=task.attempts - task.forgiven,
            not_sent=outcome.not_sent,
            larger=outcome.error_class == "out of memory" and self._has_larger(backend, task),
            fine_elsewhere=bool(self._worked.get(task.version, set()) - {backend.id}),
        )
        self._blame(backend, flight, outcome, verdict)
        if verdict.step is Step.MORE_MEMORY:
            memory = backend.status.gpu_memory_total
            task.requirements = replace(task.requirements, vram_above=memory)
            self._spawn(self._free(backend), f"free {backend.name}")
            await self._lost(flight, replace(outcome, state=PromptStatus.LOST), verdict)
        elif outcome.state is PromptStatus.LOST:
            await self._lost(flight, outcome, verdict)
        else:
            self._closer.add(Ending(flight, backend.name, outcome))

    def _has_larger(self, backend: LiveBackend, task: NodeTask) -> bool:
        """Whether a backend with more memory could run a task."""
        more = replace(task.requirements, vram_above=backend.status.gpu_memory_total)
        bound = more.affinity if more.fallback is not FallbackStrategy.AUTO_SELECT else None
        return backend.status.gpu_memory_total > 0 and any(
            bound in {None, other.id} and other.refusal(more) is None
            for other in self._desk.backends.values()
        )

    async def _free(self, backend: LiveBackend) -> None:
        """Let a server that ran out of memory unload everything."""
        try:
            await backend.client.free(unload_models=True, free_memory=True)
        except BackendError:
            backend.trouble()
        self._desk.scheduler.cooled(backend.id)

    def _blame(
        self, backend: LiveBackend, flight: Flight, outcome: Outcome, verdict: Verdict
    ) -> None:
        """Set a backend aside that keeps failing, and take it back when it works again."""
        if outcome.state is PromptStatus.COMPLETED:
            self._worked.setdefault(flight.task.version, set()).add(backend.id)
            if backend.guard.worked():
                self.note(flight, "taken back", f"{backend.name} works again.")
                self._changed(backend)
        elif verdict.against and backend.guard.failed(outcome.error_class or "lost"):
            self.note(flight, "set aside", f"{backend.name} is {backend.guard.note}.")
            self._changed(backend)

    async def _lost(self, flight: Flight, outcome: Outcome, verdict: Verdict) -> None:
        task = flight.task
        live, execution = task.live, task.execution
        recorded = await self._journal.finish_prompt(
            flight.prompt_id,
            PromptStatus.LOST,
            error_class=outcome.error_class,
            error_message=outcome.error_message,
            completed_at=utcnow(),
        )
        if not recorded:
            self.refused(flight)
            return
        kind = outcome.error_class if outcome.error_class in _KINDS else None
        kind = kind or ("not sent" if outcome.not_sent else "lost")
        await self._event(live, execution, kind, outcome.error_message or "")
        if not verdict.counts:
            task.attempts -= 1
        if flight.cancel or live.cancelling:
            await self._jobs.end_node(live, execution, JobStatus.CANCELLED, None)
            await self._jobs.went_on(live)
        elif verdict.step is Step.END:
            tries = task.attempts - task.forgiven
            message = f"{outcome.error_message} It was sent {tries} times."
            await self._jobs.end_node(live, execution, JobStatus.LOST, message)
            await self._jobs.went_on(live)
        else:
            self._again(task, f"{outcome.error_message} Trying again.", verdict.delay)

    def _again(self, task: NodeTask, note: str, delay: float) -> None:
        """Let a task wait for a backend once more, in ``delay`` seconds at the earliest."""
        task.live.note = note
        task.execution.status = JobStatus.PENDING
        task.execution.backend_id = None
        task.not_before = time.monotonic() + delay
        task.live.touch()
        self._desk.wait(task, first=True)
        self._host.loop.call_later(delay + 0.01, self._pump)

    async def _event(
        self, live: LiveJob, execution: NodeExecution, kind: str, message: str
    ) -> None:
        event = JobEvent(job_id=live.id, node_execution_id=execution.id, kind=kind, message=message)
        await self._journal.record_events([event])
