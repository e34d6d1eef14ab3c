"""``job`` and ``wb.jobs``: what a person holds of a run."""

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from comfynb.engine.host import Doing
from comfynb.engine.live import LiveJob
from comfynb.engine.views import JobView, QuestionView
from comfynb.errors import JobCancelled, JobFailed, UsageError
from comfynb.models import JobEvent, JobStatus, NodeType
from comfynb.store import Table
from comfynb.widgets import JobRow, JobsTable, mimebundle, shared_view
from comfynb.workbench.job_nodes import JobNodes
from comfynb.workbench.metrics.plot import job_metrics
from comfynb.workbench.outputs import Outputs

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["JobHandle", "JobList", "Jobs", "Outputs", "StoppedWaiting"]


class StoppedWaiting(asyncio.CancelledError):
    """A cell that awaited a job was interrupted: the waiting ended, the job goes on."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class JobHandle:
    """One job: awaitable, and a live row wherever it is shown.

    ``await job`` (or ``job.wait()``) returns the job itself when it has ended, however it ended:
    look at ``status`` and ``error``, or call ``raise_for_status()``.
    """

    def __init__(self, workbench: "Workbench", live: LiveJob) -> None:
        self._workbench = workbench
        self._live = live

    # What it is -------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id, as in the store."""
        return self._live.id

    @property
    def name(self) -> str:
        """What it runs."""
        return self._live.name

    @property
    def view(self) -> JobView:
        """A snapshot of it now."""
        return self._live.view

    @property
    def status(self) -> JobStatus:
        """pending, running, completed, failed, cancelled or lost."""
        return self._live.job.status

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._live.finished

    @property
    def progress(self) -> float:
        """0 to 100."""
        return self._live.view.progress

    @property
    def values(self) -> dict[str, Any]:
        """The parameter values that it was given."""
        return dict(self._live.job.parameter_values)

    @property
    def backend(self) -> str | None:
        """The name of the backend that runs or ran it."""
        return self._live.view.backend

    @property
    def error(self) -> str | None:
        """Why it failed, in one sentence; None if it did not."""
        return self._live.job.error_message

    @property
    def traceback(self) -> str | None:
        """The server's traceback of the node that failed, if there is one."""
        return next(
            (e.error_traceback for e in self._live.job.node_executions if e.error_traceback), None
        )

    @property
    def outputs(self) -> dict[str, Any]:
        """What came out: of a single run, what the server said of its output nodes, by ComfyUI
        node id; of a graph, what its OUTPUT nodes were given, by their names: the paths of
        files as they lie in the output folder, and values."""
        if self._live.graph is not None:
            return {
                title: node.delivered
                for title, node in self.nodes.items()
                if node.node_type is NodeType.OUTPUT
            }
        executions = self._live.job.node_executions
        return dict(executions[0].output_data or {}) if executions else {}

    @property
    def nodes(self) -> JobNodes:
        """Its canvas nodes by name: status, backend, step, time, error, input and output."""
        return JobNodes(self._live)

    @property
    def questions(self) -> tuple[QuestionView, ...]:
        """What it waits for somebody to decide: which backend runs a node."""
        return self._live.view.questions

    @property
    def files(self) -> Outputs:
        """Every file that it made, downloaded."""
        return Outputs(self._live.view.images)

    @property
    def images(self) -> Outputs:
        """The pictures that it made, downloaded; shows itself as a gallery."""
        return Outputs([f for f in self._live.view.images if f.media_type.startswith("image/")])

    @property
    def metrics(self) -> Table:
        """The samples of the machines that ran it, while they did: ``job.metrics.to_df()``; shows
        itself as a small plot."""
        return job_metrics(self._workbench, self.id)

    @property
    def usage(self) -> Table:
        """What each attempt cost: seconds, peak VRAM (MB), energy; unknown is empty."""
        return self._workbench.metrics.queries.of_job(self.id).result()

    @property
    def history(self) -> list[JobEvent]:
        """What happened to it and why, oldest first."""
        return self._workbench.store.journal.events_of(self.id).result()

    # Waiting and stopping ---------------------------------------------------------------------

    async def _wait(self) -> "JobHandle":
        try:
            await self._live.wait()
        except asyncio.CancelledError:
            raise StoppedWaiting(
                f"Stopped waiting; {self.name} still runs. job.cancel() ends it."
            ) from None
        return self

    def __await__(self) -> Generator[Any, None, "JobHandle"]:
        return self._wait().__await__()

    def wait(self, timeout: float | None = None) -> "JobHandle":
        """Wait where there is no ``await``; ``timeout`` in seconds.

        Raises:
            TimeoutError: it has not ended in time; it still runs.
        """
        host = self._workbench.host
        if host.on_loop:
            return host.wait(self._wait(), timeout)
        self._live.wait_blocking(timeout)
        return self

    def cancel(self) -> None:
        """Stop it: exactly its own prompts, on whatever backend they are; returns at once."""
        self._workbench.host.call(self._workbench.engine.cancel, self._live)

    def pause(self) -> None:
        """Send nothing more of it; what runs now ends, and is kept.

        Raises:
            UsageError: it has ended, or another kernel runs it.
        """
        self._workbench.host.ask(self._workbench.engine.pause, self._live)

    def resume(self) -> None:
        """Go on with it after a pause.

        Raises:
            UsageError: it is not paused, or another kernel runs it.
        """
        self._workbench.host.ask(self._workbench.engine.unpause, self._live)

    def retry_failed(self) -> Doing[None]:
        """Run again what failed, was lost or cancelled, and what waited for it; what completed is
        used again. ``await`` it or ``.wait()`` to know that it is under way, then await the job.

        Raises:
            UsageError: (when awaited) it has not ended, or nothing of it failed.
        """
        return self._workbench.host.do(self._workbench.engine.retry(self._live), "retry")

    def answer(self, node: str, backend: str | None) -> Doing[None]:
        """Choose the backend of a node that asks for one; None lets the node fail.

        Raises:
            UsageError: (when awaited) the node asks nothing.
            NotFound: there is no such node or backend.
        """
        wanted = self.nodes[node].id
        chosen = self._workbench.backends[backend].id if backend is not None else None
        asked = next((q for q in self.questions if q.canvas_node_id == wanted), None)
        if asked is None:
            raise UsageError(f"{node} of {self.name} asks for no backend.")
        return self._answer(asked, chosen)

    def _answer(self, question: QuestionView, backend_id: str | None) -> Doing[None]:
        answering = self._workbench.engine.answer(self.id, question.execution_id, backend_id)
        return self._workbench.host.do(answering, "answer")

    def raise_for_status(self) -> "JobHandle":
        """Return the job if it completed.

        Raises:
            JobFailed: it failed, or its prompt was lost, or it has not ended.
            JobCancelled: it was cancelled.
        """
        if self.status is JobStatus.COMPLETED:
            return self
        if self.status is JobStatus.CANCELLED:
            raise JobCancelled(f"{self.name} was cancelled.", job_id=self.id)
        reason = self.error or f"its status is {self.status.value}"
        raise JobFailed(f"{self.name} did not complete: {reason}", job_id=self.id)

    def watch(self, callback: Callable[[JobView], None]) -> Callable[[], None]:
        """Call ``callback`` with a snapshot after changes, at most ten times a second."""
        return self._live.watch(callback)

    # Showing ----------------------------------------------------------------------------------

    def row(self) -> JobRow:
        """A live row of it: progress, nodes, questions, preview, pictures, and buttons."""
        return JobRow(
            self._live,
            cancel=self.cancel,
            pause=self.pause,
            resume=self.resume,
            retry=self.retry_failed,
            answer=self._answer,
        )

    def __repr__(self) -> str:
        view = self.view
        parts = [f"{view.name}: {view.status.value}"]
        if not view.status.is_terminal:
            parts.append(f"{view.progress:.0f} %")
        if view.step and not view.status.is_terminal:
            parts.append(view.step)
        if view.backend:
            parts.append(f"on {view.backend}")
        if view.images:
            parts.append("1 file" if len(view.images) == 1 else f"{len(view.images)} files")
        if self.error:
            parts.append(self.error)
        return f"<Job {view.id[:8]} {', '.join(parts)}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        # One row for each job, however often it is shown: ipywidgets never frees a shown widget.
        row = shared_view(self._live, self.row)
        return mimebundle(row, repr(self), row.static_html())


class JobList(Sequence[JobHandle]):
    """Several jobs, newest first; shows itself as a table that is live while they run."""

    def __init__(self, jobs: Sequence[JobHandle]) -> None:
        self._jobs = tuple(jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> JobHandle: ...
    @overload
    def __getitem__(self, index: slice) -> "JobList": ...
    def __getitem__(self, index: int | slice) -> "JobHandle | JobList":
        found = self._jobs[index]
        return JobList(found) if isinstance(found, tuple) else found

    async def _wait(self) -> "JobList":
        for job in self._jobs:
            await job
        return self

    def __await__(self) -> Generator[Any, None, "JobList"]:
        return self._wait().__await__()

    def wait(self, timeout: float | None = None) -> "JobList":
        """Wait for all of them where there is no ``await``; ``timeout`` in seconds."""
        if self._jobs:
            self._jobs[0]._workbench.host.wait(self._wait(), timeout)  # noqa: SLF001
        return self

    def cancel(self) -> None:
        """Cancel all of them."""
        for job in self._jobs:
            job.cancel()

    def _cancel_one(self, job_id: str) -> None:
        for job in self._jobs:
            if job.id == job_id:
                job.cancel()

    def __repr__(self) -> str:
        return "\n".join(repr(job) for job in self._jobs) or "no jobs yet"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        lives = [job._live for job in self._jobs]  # noqa: SLF001
        shown = JobsTable(lives, cancel=self._cancel_one)
        return mimebundle(shown, repr(self), shown.static_html())


class Jobs:
    """``wb.jobs``: every job in the store, this kernel's and others'."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench

    def last(self, n: int = 20, *, status: str | JobStatus | None = None) -> JobList:
        """The newest ``n`` jobs, perhaps only those of one status."""
        wanted = JobStatus(status) if status is not None else None
        return self._workbench.load_jobs(n, wanted)

    @property
    def running(self) -> JobList:
        """Jobs that have not ended, this kernel's and others', newest first."""
        live = [status for status in JobStatus if not status.is_terminal]
        found = [job for status in live for job in self.last(1000, status=status)]
        return JobList(sorted(found, key=lambda job: job.view.created_at, reverse=True))

    def __getitem__(self, job_id: str) -> JobHandle:
        return self._workbench.load_job(job_id)

    def __iter__(self) -> Iterator[JobHandle]:
        return iter(self.last(1000))

    def __len__(self) -> int:
        return self._workbench.count_jobs()

    def _ipython_key_completions_(self) -> list[str]:
        return [job.id for job in self.last(50)]

    def __repr__(self) -> str:
        counts = self._workbench.sql("select status, count(*) as n from jobs group by 1 order by 1")
        return "jobs: " + (", ".join(f"{row['n']} {row['status']}" for row in counts) or "none yet")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self.last(20)._repr_mimebundle_(**_)
