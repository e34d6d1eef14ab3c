"""Pausing, cancelling and retrying jobs: what a person does to them while they run, and after."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, Protocol

from comfynb.engine.crashpoints import crash_point
from comfynb.engine.desk import Desk
from comfynb.engine.graph.runner import GraphRunner
from comfynb.engine.live import LiveJob
from comfynb.errors import UsageError
from comfynb.models import JobEvent, JobStatus, NodeExecution, utcnow
from comfynb.store import Store
from comfynb.store.graphs import Advance, GraphJournal, Reopen
from comfynb.store.transitions import NodeEnd

__all__ = ["Steering"]

_AGAIN = frozenset({JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED})


class Office(Protocol):
    """What steering needs from the engine."""

    def activate(self, live: LiveJob) -> None:
        """This kernel runs the job from now on."""

    async def prepare(self, live: LiveJob) -> object:
        """Load what is needed to run the job: workflow versions, earlier attempts."""

    async def finish_if_over(self, live: LiveJob) -> None:
        """End the job if all its nodes have ended."""

    def pump(self) -> None:
        """Hand out waiting tasks soon."""

    def spawn(self, coroutine: Awaitable[Any], name: str) -> "asyncio.Task[Any]":
        """Run something in the background; its errors are reported."""


class Steering:
    """What people do to jobs."""

    def __init__(
        self, desk: Desk, store: Store, graphs: GraphJournal, runner: GraphRunner, office: Office
    ) -> None:
        self._desk = desk
        self._store = store
        self._journal = store.journal
        self._graphs = graphs
        self._runner = runner
        self._office = office

    def pause(self, live: LiveJob) -> "asyncio.Task[Any]":
        """Send nothing more of a job; what has begun ends. The task ends when that is stored.

        What waits in a server's queue is taken back there.

        Raises:
            UsageError: the job has ended, is being cancelled, or another kernel runs it.
        """
        self._need_active(live, "paused")
        live.job.status = JobStatus.PAUSED
        self._desk.hold(live)
        live.questions.clear()
        live.note = "paused"
        self._take_back(live)
        live.touch()
        return self._office.spawn(self._store_status(live, "paused"), f"pause {live.id}")

    def unpause(self, live: LiveJob) -> "asyncio.Task[Any]":
        """Let a paused job go on. The task ends when that is stored.

        Raises:
            UsageError: the job is not paused, or another kernel runs it.
        """
        self._need_active(live, "resumed")
        if not live.paused:
            raise UsageError(f"{live.name} is not paused.")
        live.job.status = JobStatus.RUNNING if live.job.started_at else JobStatus.PENDING
        live.note = None
        self._desk.release(live)
        self._runner.start(live)
        self._office.pump()
        live.touch()
        return self._office.spawn(self._store_status(live, "resumed"), f"resume {live.id}")

    def hold(self, lives: Iterable[LiveJob]) -> None:
        """Send nothing more of these jobs, whose pause is stored elsewhere: a sweep's points.

        What waits in a server's queue is taken back there; what has begun ends.
        """
        for live in lives:
            # It may have its final status already and only wait for that to be stored.
            if live.id in self._desk.active and not live.job.status.is_terminal:
                live.job.status = JobStatus.PAUSED
                self._desk.hold(live)
                live.note = "paused"
                live.touch()
                self._take_back(live)

    def _take_back(self, live: LiveJob) -> None:
        """Take out of servers' queues what has not begun; a courier does so with what it posts."""
        for execution in live.job.node_executions:
            if execution.id in self._desk.flying:
                backend, flight = self._desk.flying[execution.id]
                why = f"Taken back from {backend.name} before it began: {live.name} is paused."
                backend.courier.recall(flight, why)

    def dropped(self, lives: Iterable[LiveJob]) -> list[LiveJob]:
        """These jobs ended as cancelled, and that is stored: no server has anything of them."""
        ended = []
        for live in lives:
            if live.finished:
                continue
            live.job.assign_unchecked(status=JobStatus.CANCELLED, completed_at=utcnow())
            for execution in live.job.node_executions:
                self._desk.take(execution.id)
                self._desk.flying.pop(execution.id, None)
                if not execution.status.is_terminal:
                    execution.assign_unchecked(status=JobStatus.CANCELLED, completed_at=utcnow())
            live.note = None
            ended.append(live)
        return ended

    def release(self, lives: Iterable[LiveJob]) -> None:
        """Let jobs go on that were held."""
        for live in lives:
            if live.paused and live.id in self._desk.active:
                live.job.status = JobStatus.RUNNING if live.job.started_at else JobStatus.PENDING
                live.note = None
                self._desk.release(live)
                self._runner.start(live)
                live.touch()
        self._office.pump()

    def _need_active(self, live: LiveJob, what: str) -> None:
        if live.job.status.is_terminal:
            raise UsageError(f"{live.name} has ended: it cannot be {what} any more.")
        if live.id not in self._desk.active:
            raise UsageError(f"Another kernel runs {live.name}: it cannot be {what} here.")
        if live.cancelling:
            raise UsageError(f"{live.name} is being cancelled: it cannot be {what}.")

    async def _store_status(self, live: LiveJob, kind: str) -> None:
        status = live.job.status
        if status.is_terminal:
            return
        await self._journal.set_job_status(live.id, status)
        await self._journal.record_events([JobEvent(job_id=live.id, kind=kind)])

    # Cancelling -------------------------------------------------------------------------------

    def cancel(self, live: LiveJob) -> None:
        """Stop a job: what waits is dropped, what is out is taken back, what is done stays done."""
        if live.cancelling or live.finished or live.id not in self._desk.active:
            return
        live.cancelling = True
        live.note = "cancelling"
        live.questions.clear()
        live.touch()
        self._office.spawn(self._cancel(live), f"cancel {live.id}")

    async def _cancel(self, live: LiveJob) -> None:
        # Stored first: a kernel killed now goes on cancelling when it is back.
        event = JobEvent(job_id=live.id, kind="cancel", message="Cancelled by the user.")
        await self._journal.record_events([event])
        crash_point("cancel stored")
        async with live.lock:
            dropped: list[NodeExecution] = []
            for execution in live.job.node_executions:
                self._desk.take(execution.id)
                if execution.id in self._desk.flying:
                    backend, flight = self._desk.flying[execution.id]
                    backend.courier.cancel(flight)
                elif execution.status is JobStatus.PENDING:
                    dropped.append(execution)
            await self._drop(live, dropped)
        await self._office.finish_if_over(live)

    async def _drop(self, live: LiveJob, executions: list[NodeExecution]) -> None:
        if not executions:
            return
        now = utcnow()
        for execution in executions:
            execution.status = JobStatus.CANCELLED
            execution.completed_at = now
        ends = [NodeEnd(e.id, JobStatus.CANCELLED, now, None, None, None) for e in executions]
        await self._graphs.advance(Advance(live.id, self._store.owner_id, ends=ends))
        live.touch()

    # Retrying ---------------------------------------------------------------------------------

    async def retry(self, live: LiveJob) -> None:
        """Run again what failed, was lost or was cancelled in a job, and what waited for it.

        What was completed stays and is used again. Returns when the job is under way.

        Raises:
            UsageError: the job has not ended, nothing of it failed, or another kernel has it.
        """
        if not live.finished:
            raise UsageError(f"{live.name} has not ended: cancel it first, or wait.")
        executions = live.job.node_executions
        if not any(execution.status in _AGAIN for execution in executions):
            raise UsageError(f"{live.name} has no node that failed: there is nothing to retry.")
        owner = await self._journal.owner_of(live.id)
        if owner not in {None, self._store.owner_id} and owner in await self._store.live_owners():
            raise UsageError(f"Another kernel has {live.name}: retry it there.")
        # Nodes were skipped because others failed, or because of a condition; the second kind is
        # skipped again.
        again = [e for e in executions if e.status in _AGAIN or e.status is JobStatus.SKIPPED]
        stored = await self._graphs.reopen(
            Reopen(live.id, self._store.owner_id, [execution.id for execution in again])
        )
        if not stored:
            raise UsageError(f"{live.name} has not ended: another kernel retries it.")
        crash_point("retry stored")
        for execution in again:
            _reset(execution)
        job = live.job
        job.status = JobStatus.RUNNING
        job.completed_at = None
        job.error_message = None
        job.outputs = {}
        live.reopen()
        self._office.activate(live)
        await self._office.prepare(live)
        self._runner.start(live)
        self._office.pump()
        live.touch()


def _reset(execution: NodeExecution) -> None:
    execution.status = JobStatus.PENDING
    execution.comfy_prompt_id = None
    execution.backend_id = None
    execution.output_data = None
    execution.started_at = None
    execution.completed_at = None
    execution.error_message = None
    execution.error_traceback = None
    execution.progress = 0.0
    execution.current_step = None
