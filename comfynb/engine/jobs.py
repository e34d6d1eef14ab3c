"""The jobs that this kernel runs: from their records to tasks, and to their ends."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace

from comfynb.engine.background import Spawn
from comfynb.engine.closing import conclude, finish_job
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.desk import Desk
from comfynb.engine.graph.job import is_graph, job_name
from comfynb.engine.graph.network import Graph
from comfynb.engine.graph.titles import title_of
from comfynb.engine.live import LiveJob
from comfynb.engine.plan import make_task
from comfynb.engine.tasks import NodeTask
from comfynb.errors import ComfynbError, UsageError
from comfynb.models import Job, JobStatus, NodeExecution, OutputFile, WorkflowVersion, utcnow
from comfynb.store import Journal

__all__ = ["Jobs"]


class Jobs:
    """Live jobs, their tasks, and what ends without a prompt."""

    def __init__(
        self,
        desk: Desk,
        journal: Journal,
        spawn: Spawn,
        *,
        pump: Callable[[], None],
        advance: Callable[[LiveJob], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self._desk = desk
        self._journal = journal
        self._spawn = spawn
        self._pump = pump
        self._advance = advance
        self._report = report
        self.versions: dict[str, WorkflowVersion] = {}
        """Workflow versions at hand, by id."""
        self._known: weakref.WeakValueDictionary[str, LiveJob] = weakref.WeakValueDictionary()

    # From record to task ----------------------------------------------------------------------

    def live(self, job_id: str) -> LiveJob | None:
        """The job if this process knows it."""
        return self._known.get(job_id)

    def attach_with(self, job: Job, outputs: Iterable[OutputFile]) -> LiveJob:
        """The live form of a stored job; the same object for as long as somebody holds it."""
        known = self._known.get(job.id)
        if known is not None:
            return known
        layout = job.canvas_snapshot
        graph = Graph(layout) if is_graph(layout) else None
        if graph is None:
            titles = {n.id: str(n.config.get("name") or "workflow") for n in layout.nodes}
            name = next(iter(titles.values()), "job")
        else:
            titles, name = {n.id: title_of(n) for n in layout.nodes}, job_name(layout)
        live = LiveJob(job, name=name, titles=titles, outputs=outputs)
        live.graph = graph
        self._name_backends(live)
        self._known[job.id] = live
        return live

    def activate(self, live: LiveJob) -> None:
        """This kernel runs the job from now on."""
        self._desk.active[live.id] = live
        self._known[live.id] = live
        if live.graph is None and is_graph(live.job.canvas_snapshot):
            live.graph = Graph(live.job.canvas_snapshot)
        self._name_backends(live)

    def _name_backends(self, live: LiveJob) -> None:
        for backend in list(self._desk.backends.values()):
            live.backend_names[backend.id] = backend.name

    def task(self, live: LiveJob, execution: NodeExecution) -> NodeTask:
        """The unit of work for one node of a job.

        Raises:
            UsageError: the snapshot has no such node, or its workflow is not in the store.
        """
        node = next(n for n in live.job.canvas_snapshot.nodes if n.id == execution.canvas_node_id)
        version = self.versions.get(node.config.get("workflow_version", ""))
        if version is None:
            raise UsageError(f"{live.title_of(node.id)}: its workflow is not in the store.")
        task = make_task(live, execution, version)
        task.attempts = live.attempts.get(execution.id, 0)
        task.forgiven = live.forgiven.get(execution.id, 0)
        chosen = live.answers.get(node.id)
        if chosen is not None:
            task.requirements = replace(task.requirements, affinity=chosen)
        return task

    def dispatch(self, live: LiveJob, execution: NodeExecution) -> None:
        """Let a WORKFLOW's execution wait for a backend, unless it waits or runs already."""
        if execution.status.is_terminal or self._desk.has(execution.id):
            return
        try:
            self._desk.wait(self.task(live, execution))
        except ComfynbError as error:
            self._spawn(self._fail(live, execution, str(error)), "no task")
        self._pump()

    # Ends -------------------------------------------------------------------------------------

    def give_up(self, task: NodeTask, message: str) -> None:
        """End a waiting task's node as failed."""
        self._desk.take(task.execution.id)
        title = task.live.title_of(task.execution.canvas_node_id)
        if task.live.graph is not None and not message.startswith(title):
            message = f"{title}: {message}"
        self._spawn(self._fail(task.live, task.execution, message), "no backend")

    async def _fail(self, live: LiveJob, execution: NodeExecution, message: str) -> None:
        await self.end_node(live, execution, JobStatus.FAILED, message)
        await self.went_on(live)

    async def end_node(
        self, live: LiveJob, execution: NodeExecution, status: JobStatus, message: str | None
    ) -> None:
        """End a node that has no prompt out."""
        execution.status = status
        execution.error_message = message
        execution.completed_at = utcnow()
        await self._journal.finish_node(execution.id, status, message, execution.completed_at)
        live.touch()

    async def went_on(self, live: LiveJob) -> None:
        """A node ended: see what is next in its job, or whether it is over."""
        self._advance(live)
        await self.finish_if_over(live)

    async def finish_if_over(self, live: LiveJob) -> None:
        """End the job if all its nodes have ended."""
        live.touch()
        if conclude(live):
            await finish_job(self._journal, live)
            crash_point("job finished")
            self.over(live)

    def over(self, live: LiveJob) -> None:
        """It has ended, and that is stored: tell everybody."""
        self._desk.active.pop(live.id, None)
        live.tell(self._report)
        live.finish()
