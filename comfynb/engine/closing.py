"""Records how prompts ended; when many end at once, many go into one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from comfynb.engine.courier import Outcome
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.items import workflow_output
from comfynb.engine.graph.results import job_outputs
from comfynb.engine.live import LiveJob
from comfynb.engine.outputs import describe
from comfynb.engine.slices import Slice
from comfynb.engine.tasks import Flight
from comfynb.models import JobStatus, PromptStatus, utcnow
from comfynb.store import Journal
from comfynb.store.pending import settled

__all__ = ["Closer", "Ending", "conclude"]

GATHER: Final = 0.1
"""Seconds that endings are gathered while more are expected: a commit costs some thirty
milliseconds of processor time, whether it carries one prompt or fifty. A single run is recorded at
once."""
LONGEST: Final = 0.25
"""Seconds that they are gathered at most, reached when very many come."""
FEW: Final = 4
"""Up to so many prompts out, each ending is recorded by itself and at once."""
MANY: Final = 8
"""So many in one batch are worth waiting longer for the next."""

_NODE_STATUS: Final = {
    PromptStatus.COMPLETED: JobStatus.COMPLETED,
    PromptStatus.FAILED: JobStatus.FAILED,
    PromptStatus.CANCELLED: JobStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """A prompt that ended for good, on the backend of that name."""

    flight: Flight
    backend: str
    outcome: Outcome


class Closer:
    """Takes endings, commits them, and then tells that jobs are over."""

    def __init__(
        self,
        journal: Journal,
        *,
        out: Callable[[], int],
        over: Callable[[LiveJob], None],
        went_on: Callable[[LiveJob], None],
        spawn: Callable[[Awaitable[Any], str], object],
        report: Callable[[BaseException], None],
    ) -> None:
        self._journal = journal
        self._out = out
        self._over = over
        self._went_on = went_on
        self._spawn = spawn
        self._report = report
        self._endings: list[Ending] = []
        self._working = False
        self._hurry = asyncio.Event()

    def add(self, ending: Ending) -> None:
        """Record an ending soon."""
        self._endings.append(ending)
        if not self._working:
            self._working = True
            self._spawn(self._work(), "closing")
        if self._complete:
            self._hurry.set()

    @property
    def _complete(self) -> bool:
        """Whether few more will come: then what is there must not wait for them."""
        out = self._out()
        return out <= FEW or len(self._endings) >= out

    async def _work(self) -> None:
        gather = GATHER
        try:
            while self._endings:
                if not self._complete:
                    await self._gather(gather)
                batch, self._endings = self._endings, []
                await self._close(batch)
                gather = min(LONGEST, 2 * gather) if len(batch) >= MANY else GATHER
        finally:
            self._working = False

    async def _gather(self, seconds: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _close(self, batch: list[Ending]) -> None:
        await asyncio.to_thread(_measure, batch)
        writes: list[Awaitable[Any]] = []
        over: list[LiveJob] = []
        moved: dict[str, LiveJob] = {}
        work = Slice()
        for ending in batch:
            await work.rest()
            live = ending.flight.task.live
            # What has changed here is in the writer's queue before others have their turn: nobody
            # stores what follows from it sooner. The writer waits for the rest of the batch.
            writes.append(self._record(ending))
            crash_point("prompt finished")
            if conclude(live):
                over.append(live)
                writes.append(finish_job(self._journal, live, patient=True))
            elif live.graph is not None:
                moved[live.id] = live
            live.touch()
        self._journal.hurry()
        for live in moved.values():
            self._went_on(live)
        for failure in await settled(writes):
            if isinstance(failure, BaseException):
                self._report(failure)
        for live in over:
            await work.rest()
            crash_point("job finished")
            self._over(live)

    def _record(self, ending: Ending) -> Awaitable[bool]:
        flight, outcome = ending.flight, ending.outcome
        live, execution = flight.task.live, flight.task.execution
        now = utcnow()
        output_data, message = _passed_on(ending)
        completed = outcome.state is PromptStatus.COMPLETED
        execution.assign_unchecked(
            status=_NODE_STATUS[outcome.state],
            comfy_prompt_id=flight.prompt_id,
            completed_at=now,
            output_data=output_data or None,
            error_message=message,
            error_traceback=outcome.error_traceback,
            progress=100.0 if completed else execution.progress,
        )
        live.outputs.extend(outcome.files)
        if outcome.cached_nodes and outcome.cached_nodes >= len(flight.task.prompt):
            live.note = f"{ending.backend} had every node in its cache"
        if outcome.ran_for is not None:
            live.seconds[execution.id] = outcome.ran_for.total_seconds()
        # The server's clock may be another one; what it says of the duration is right.
        started = now - outcome.ran_for if outcome.ran_for is not None else None
        return self._journal.finish_prompt(
            flight.prompt_id,
            outcome.state,
            outputs=outcome.files,
            output_data=output_data,
            error_class=outcome.error_class,
            error_message=message,
            error_traceback=outcome.error_traceback,
            started_at=started,
            completed_at=now,
            cached_nodes=outcome.cached_nodes,
            patient=True,
        )


def _passed_on(ending: Ending) -> tuple[dict[str, Any], str | None]:
    """A node's output data and error: in a graph by its ports, and with its title."""
    task, outcome = ending.flight.task, ending.outcome
    message = outcome.error_message
    if task.ports is None:
        return outcome.output_data, message
    node_id = task.execution.canvas_node_id
    return workflow_output(
        task.ports,
        outcome.output_data,
        outcome.files,
        task.execution.backend_id or "",
        origin=task.origin,
    ), f"{task.live.title_of(node_id)}: {message}" if message else None


def _measure(batch: Iterable[Ending]) -> None:
    """Read the pictures' sizes, in a worker thread."""
    for ending in batch:
        for file in ending.outcome.files:
            if file.path is not None:
                file.width, file.height = describe(Path(file.path))


def conclude(live: LiveJob) -> bool:
    """Give the job its final status if all its nodes have one; False if it is not over, or was."""
    job = live.job
    statuses = {execution.status for execution in job.node_executions}
    if job.status.is_terminal or not all(status.is_terminal for status in statuses):
        return False
    worst = (JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED)
    job.assign_unchecked(
        status=next((each for each in worst if each in statuses), JobStatus.COMPLETED),
        completed_at=utcnow(),
        error_message=next(
            (e.error_message for e in job.node_executions if e.error_message and e.status in worst),
            None,
        ),
        outputs=job_outputs(live.graph, job.node_executions),
    )
    return True


def finish_job(journal: Journal, live: LiveJob, *, patient: bool = False) -> Awaitable[bool]:
    """Store the end of a job that :func:`conclude` has concluded, ``patient`` as in the journal."""
    job = live.job
    return journal.finish_job(
        job.id,
        job.status,
        error_message=job.error_message,
        outputs=job.outputs,
        completed_at=job.completed_at,
        patient=patient,
    )
