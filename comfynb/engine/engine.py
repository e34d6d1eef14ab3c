"""Decides what runs where and when: jobs in, prompts out, outcomes into the store."""

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from comfynb.comfy import Credentials
from comfynb.engine.asking import Asking
from comfynb.engine.backend import LiveBackend
from comfynb.engine.closing import Closer, Ending, conclude, finish_job
from comfynb.engine.courier import Outcome
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.desk import Desk
from comfynb.engine.graph.job import is_graph, job_name
from comfynb.engine.graph.network import Graph
from comfynb.engine.graph.runner import GraphRunner
from comfynb.engine.graph.titles import title_of
from comfynb.engine.host import LoopHost
from comfynb.engine.live import Asker, LiveJob
from comfynb.engine.noting import Noting
from comfynb.engine.outputs import OutputFolder
from comfynb.engine.plan import make_task
from comfynb.engine.recovery import Recovered, Recovery
from comfynb.engine.scheduling.failures import Step, Verdict, judge
from comfynb.engine.scheduling.history import recorded
from comfynb.engine.steering import Steering
from comfynb.engine.tasks import Flight, NodeTask, Requirements
from comfynb.engine.views import BackendView
from comfynb.engine.watching import Watchers
from comfynb.errors import BackendError, ComfynbError, UsageError
from comfynb.models import (
    BackendConfig,
    FallbackStrategy,
    Job,
    JobEvent,
    JobStatus,
    NodeExecution,
    ObjectInfoRecord,
    OutputFile,
    PromptStatus,
    WorkflowVersion,
    content_sha256,
    utcnow,
)
from comfynb.store import Journal, Store
from comfynb.store.graphs import GraphJournal

__all__ = ["Engine", "Recovered"]

TICK: Final = 0.1
"""Seconds between two times that watchers are told; also lets an interrupt reach an idle loop."""
FOLLOW: Final = 1.0
"""Seconds between two looks at a job that another kernel runs."""
PATIENCE: Final = 60.0
"""Seconds that a prompt waits for a backend that went away while another could run it."""
GONE_PATIENCE: Final = 3.0
"""The same where nobody listens any more: the process is gone, and its queue with it."""
IMPATIENCE: Final = 0.5
"""Seconds between two looks whether a backend that is away has used our patience up."""
_KINDS: Final = frozenset({"recalled", "out of memory"})
"""Classes of errors that a job's history calls by name when the node is tried again."""


class Engine:
    """The executor of one kernel: everything here runs on the host's loop, nothing blocks it."""

    def __init__(
        self,
        store: Store,
        host: LoopHost,
        output_root: Path,
        *,
        report: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._journal: Journal = store.journal
        self._host = host
        self._report = report
        self._folder = OutputFolder(output_root)
        self._desk = Desk()
        self._backends = self._desk.backends
        self._active = self._desk.active
        self._tending: dict[str, asyncio.Task[None]] = {}
        self._versions: dict[str, WorkflowVersion] = {}
        self._known: weakref.WeakValueDictionary[str, LiveJob] = weakref.WeakValueDictionary()
        self._changed: dict[str, LiveBackend] = {}
        """Backends that may take tasks since they were last asked."""
        self._standings: dict[str, tuple[object, ...]] = {}
        self._ask_all = False
        self._impatient: set[str] = set()
        """Backends that are away and have prompts of ours: somebody looks at the clock."""
        self._remembered = False
        self._worked: dict[str, set[str]] = {}
        """Where prompts ended well: backends by workflow version."""
        self._watchers: Watchers[tuple[BackendView, ...]] = Watchers()
        self._backends_dirty = False
        self._pumping = False
        self._ticker: asyncio.Task[None] | None = None
        self._helpers: set[asyncio.Task[Any]] = set()
        graphs = GraphJournal(store)
        self._runner = GraphRunner(
            self,
            graphs,
            store.owner_id,
            base=Path.cwd(),
            ledger=output_root.with_name("deliveries"),
        )
        self._noting = Noting(self._desk, self._journal, graphs, self.spawn)
        self._closer = Closer(
            self._journal,
            out=lambda: len(self._desk.flying),
            over=self._over,
            went_on=self._runner.advance,
            spawn=self.spawn,
            report=report,
        )
        self._followed: set[str] = set()
        self._asking = Asking(self._desk, self._journal, self)
        self._steering = Steering(self._desk, store, graphs, self._runner, self)
        self._recovery = Recovery(
            self._desk, store, self._runner, self, versions=self._versions, live_of=self.attach_with
        )

    # Backends ---------------------------------------------------------------------------------

    @property
    def backends(self) -> Mapping[str, LiveBackend]:
        """All backends, by id, in the order in which they were added."""
        return self._backends

    def add_backend(
        self,
        config: BackendConfig,
        credentials: Credentials | None,
        *,
        client_id: str | None = None,
        object_info: dict[str, Any] | None = None,
    ) -> LiveBackend:
        """Know a backend from now on and keep an eye on it."""
        backend = LiveBackend(
            config,
            credentials,
            office=self,
            journal=self._journal,
            folder=self._folder,
            client_id=client_id,
            object_info=object_info,
        )
        self._backends[config.id] = backend
        self._tending[config.id] = self.spawn(self._tend(backend), f"tend {config.name}")
        self.changed(backend)
        return backend

    def put_backend(self, config: BackendConfig, credentials: Credentials | None) -> LiveBackend:
        """Add a backend, or take changed settings and credentials of a known one into use."""
        known = self._backends.get(config.id)
        if known is None:
            return self.add_backend(config, credentials)
        if credentials != known.credentials or config.base_url != known.config.base_url:
            known.reconnect(config, credentials)
        self.reconfigure(config)
        return known

    async def _tend(self, backend: LiveBackend) -> None:
        try:
            await backend.tend()
        finally:
            await backend.courier.close()

    async def remove_backend(self, backend_id: str) -> None:
        """Forget a backend.

        Raises:
            UsageError: prompts of ours are still on it.
        """
        backend = self._backends[backend_id]
        if len(backend.courier):
            raise UsageError(
                f"{backend.name} still has {len(backend.courier)} prompts of yours: "
                "wait for them or cancel them before you remove it."
            )
        del self._backends[backend_id]
        self._desk.scheduler.gone(backend_id)
        self._standings.pop(backend_id, None)
        task = self._tending.pop(backend_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._backends_dirty = True
        self.pump()

    def reconfigure(self, config: BackendConfig) -> None:
        """Take changed settings of a known backend (not its address) into use."""
        backend = self._backends[config.id]
        backend.config = config
        self.changed(backend)

    @property
    def view(self) -> tuple[BackendView, ...]:
        """What a person sees of the backends now."""
        return tuple(backend.view for backend in list(self._backends.values()))

    def watch(self, callback: Callable[[tuple[BackendView, ...]], None]) -> Callable[[], None]:
        """Call ``callback`` after changes to any backend; returns the way to stop."""
        stop = self._watchers.add(callback)
        self._host.call(self._keep_ticking)
        return stop

    def changed(self, backend: LiveBackend) -> None:
        """A backend's health or load is another one."""
        self._backends_dirty = True
        standing = backend.standing
        if self._standings.get(backend.id) == standing:
            self.pump(backend)
        else:
            self._standings[backend.id] = standing
            if not backend.online:
                self._desk.scheduler.gone(backend.id)
            self.pump()
        if not backend.online and len(backend.courier):
            self.spawn(self._lose_patience(backend), f"patience {backend.name}")

    def report(self, error: BaseException) -> None:
        """An error in the background that nobody waits for."""
        self._report(error)

    def save_object_info(self, backend_id: str, object_info: dict[str, Any]) -> None:
        """Keep a backend's node classes, so that forms work before it has answered again."""

        async def save() -> None:
            sha256 = await asyncio.to_thread(content_sha256, object_info)
            await self._store.put(
                ObjectInfoRecord(backend_id=backend_id, sha256=sha256, data=object_info)
            )

        self.spawn(save(), "save object_info")

    # Jobs -------------------------------------------------------------------------------------

    def live(self, job_id: str) -> LiveJob | None:
        """The job if this process knows it."""
        return self._known.get(job_id)

    def runs(self, job_id: str) -> bool:
        """Whether this kernel runs the job."""
        return job_id in self._active

    def know_version(self, version: WorkflowVersion) -> None:
        """Keep a stored workflow version at hand."""
        self._versions[version.id] = version

    def launch(self, lives: Sequence[LiveJob]) -> None:
        """Start jobs that are in the store already and belong to this kernel."""
        for live in lives:
            self.activate(live)
            self._runner.start(live)
        self.pump()
        if not self._remembered and len(self._backends) > 1:
            self._remembered = True
            self.spawn(self._remember(), "remember how fast backends were")

    async def _remember(self) -> None:
        self._desk.scheduler.durations.know(await recorded(self._store))

    def activate(self, live: LiveJob) -> None:
        """This kernel runs the job from now on."""
        self._active[live.id] = live
        self._known[live.id] = live
        if live.graph is None and is_graph(live.job.canvas_snapshot):
            live.graph = Graph(live.job.canvas_snapshot)
        for backend in self._backends.values():
            live.backend_names[backend.id] = backend.name
        self._keep_ticking()

    def task(self, live: LiveJob, execution: NodeExecution) -> NodeTask:
        """The unit of work for one node of a job.

        Raises:
            UsageError: the snapshot has no such node, or its workflow is not in the store.
        """
        node = next(n for n in live.job.canvas_snapshot.nodes if n.id == execution.canvas_node_id)
        version = self._versions.get(node.config.get("workflow_version", ""))
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
            self.spawn(self._fail(live, execution, str(error)), "no task")
        self.pump()

    async def resume(self) -> Recovered:
        """Adopt every job that has not ended and that no living kernel owns."""
        recovered = await self._recovery.resume()
        self.pump()
        return recovered

    async def attach(self, job: Job) -> LiveJob:
        """The live form of a stored job, ready to be run: its outputs and workflows are loaded."""
        return await self._recovery.attach(job)

    async def prepare(self, live: LiveJob) -> object:
        """Load what is needed to run a stored job."""
        return await self._recovery.prepare(live)

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
        for backend in list(self._backends.values()):
            live.backend_names[backend.id] = backend.name
        self._known[job.id] = live
        return live

    def follow(self, live: LiveJob) -> None:
        """Keep a job up to date that another kernel runs, while somebody here cares."""
        if live.finished or live.id in self._active or live.id in self._followed:
            return
        self._followed.add(live.id)
        self.spawn(self._follow(weakref.ref(live), live.id), f"follow {live.id}")

    async def _follow(self, reference: "weakref.ref[LiveJob]", job_id: str) -> None:
        try:
            while (live := reference()) is not None and job_id not in self._active:
                if live.watched or live.awaited:
                    job = await self._journal.load_job(job_id)
                    if job is not None:
                        live.replace(job, await self._journal.outputs_of([job_id]))
                    if live.dirty:
                        live.tell(self._report)
                    if live.job.status.is_terminal:
                        live.finish()
                        return
                del live
                await asyncio.sleep(FOLLOW)
        finally:
            self._followed.discard(job_id)

    # Handing out ------------------------------------------------------------------------------

    def pump(self, backend: LiveBackend | None = None) -> None:
        """Hand out waiting tasks soon, to ``backend`` or to all; many calls cost one round."""
        if backend is None:
            self._ask_all = True
        else:
            self._changed[backend.id] = backend
        if not self._pumping and self._desk.waiting:
            self._pumping = True
            self._host.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        everybody, self._ask_all = self._ask_all, False
        changed, self._changed = self._changed, {}
        seats = (self._backends if everybody else changed).values()
        for task, seat in self._desk.scheduler.assign(list(seats)):
            backend = self._backends[seat.id]
            del self._desk.waiting[task.execution.id]
            self._asking.withdraw(task)
            task.live.note = None
            task.execution.backend_id = backend.id
            task.live.backend_names[backend.id] = backend.name
            task.live.touch()
            self._desk.flying[task.execution.id] = (backend, backend.courier.send(task))
        self._recall()
        if self._desk.waiting and everybody:
            # Whether a task can be run at all changes only with what there is to run it.
            self._judge_stranded()

    def _recall(self) -> None:
        """Take prompts back that have not begun and would be done sooner elsewhere."""
        for task in list(self._desk.scheduler.recall()):
            backend, flight = self._desk.flying.get(task.execution.id, (None, None))
            if backend is not None and flight is not None:
                why = f"Taken back from {backend.name} before it began: it is done sooner so."
                backend.courier.recall(flight, why)

    def freed(self, flight: Flight, seconds: float | None) -> None:
        """A prompt has left its backend, after ``seconds`` if it ended well there."""
        self._desk.scheduler.ended(flight.task, seconds, flight.spans)

    def _judge_stranded(self) -> None:
        if any(backend.view.online is None for backend in self._backends.values()):
            return
        for task, why, elsewhere in self._desk.scheduler.stranded(self._backends.values()):
            requirements = task.requirements
            if task.execution.id not in self._desk.waiting:
                continue
            if elsewhere:
                self._desk.redirect(task, None)
                self.pump()
            elif requirements.affinity and requirements.fallback is FallbackStrategy.ASK_USER:
                self._asking.ask(task, why)
            elif self._hopeless(requirements):
                self.give_up(task, f"No backend can run it: {why}.")
            else:
                task.live.note = f"waiting for a backend ({why})"
                task.live.touch()

    def _hopeless(self, requirements: Requirements) -> bool:
        """Whether waiting would not help: nobody who might come back could run it either."""
        if requirements.affinity is not None and requirements.fallback is FallbackStrategy.NONE:
            return True
        candidates = [
            backend
            for backend in self._backends.values()
            if requirements.affinity in {None, backend.id}
        ]
        return all(
            (backend.online and backend.object_info is not None) or not backend.config.enabled
            for backend in candidates
        )

    def give_up(self, task: NodeTask, message: str) -> None:
        """End a waiting task's node as failed."""
        self._desk.take(task.execution.id)
        title = task.live.title_of(task.execution.canvas_node_id)
        if task.live.graph is not None and not message.startswith(title):
            message = f"{title}: {message}"
        self.spawn(self._fail(task.live, task.execution, message), "no backend")

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

    def backend_name(self, backend_id: str) -> str:
        """What people call a backend."""
        backend = self._backends.get(backend_id)
        return backend.name if backend is not None else ""

    async def answer(self, job_id: str, execution_id: str, backend_id: str | None) -> None:
        """Choose a backend for a node that waits for one; None lets the node fail.

        Raises:
            UsageError: nothing is asked, or there is no such backend.
        """
        live = self._active.get(job_id)
        if live is None:
            raise UsageError(f"This kernel runs no job {job_id!r:.80}.")
        await self._asking.answer(live, execution_id, backend_id)

    @property
    def interactive(self) -> bool:
        """Whether somebody sees questions and can answer them; else a script's ``asker`` must."""
        return self._asking.interactive

    @interactive.setter
    def interactive(self, value: bool) -> None:
        self._asking.interactive = value
        self.pump()

    @property
    def asker(self) -> Asker | None:
        """Who is asked which backend takes over, where a job has nobody of its own."""
        return self._asking.asker

    @asker.setter
    def asker(self, value: Asker | None) -> None:
        self._asking.asker = value

    # Outcomes ---------------------------------------------------------------------------------

    def began(self, flight: Flight, at: datetime) -> None:
        """A prompt is written down, and so its node and job are running, as in the store."""
        job, execution = flight.task.live.job, flight.task.execution
        if job.status is JobStatus.PENDING:
            job.status = JobStatus.RUNNING
        job.started_at = job.started_at or at
        execution.status = JobStatus.RUNNING
        execution.comfy_prompt_id = flight.prompt_id
        execution.started_at = execution.started_at or at
        flight.task.live.touch()

    def ran(self, flight: Flight) -> None:
        """The server runs a prompt now."""
        self._desk.scheduler.runs(flight.task)
        flight.task.live.touch()

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to a prompt: it goes into its job's history."""
        event = self._event(flight.task.live, flight.task.execution, kind, message)
        self.spawn(event, f"note {kind}")

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
            self.spawn(self._free(backend), f"free {backend.name}")
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
            for other in self._backends.values()
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
                self.changed(backend)
        elif verdict.against and backend.guard.failed(outcome.error_class or "lost"):
            self.note(flight, "set aside", f"{backend.name} is {backend.guard.note}.")
            self.changed(backend)

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
            return
        kind = outcome.error_class if outcome.error_class in _KINDS else None
        kind = kind or ("not sent" if outcome.not_sent else "lost")
        await self._event(live, execution, kind, outcome.error_message or "")
        if not verdict.counts:
            task.attempts -= 1
        if flight.cancel or live.cancelling:
            await self.end_node(live, execution, JobStatus.CANCELLED, None)
            await self.went_on(live)
        elif verdict.step is Step.END:
            tries = task.attempts - task.forgiven
            message = f"{outcome.error_message} It was sent {tries} times."
            await self.end_node(live, execution, JobStatus.LOST, message)
            await self.went_on(live)
        else:
            delay = verdict.delay
            live.note = f"{outcome.error_message} Trying again."
            execution.status = JobStatus.PENDING
            execution.backend_id = None
            task.not_before = time.monotonic() + delay
            live.touch()
            self._desk.wait(task, first=True)
            self._host.loop.call_later(delay + 0.01, self.pump)

    async def _lose_patience(self, backend: LiveBackend) -> None:
        """Take prompts away from a backend that stays away, if another one could run them."""
        if backend.id in self._impatient:
            return
        self._impatient.add(backend.id)
        try:
            while (since := backend.offline_since) is not None and len(backend.courier):
                patience = PATIENCE
                if backend.refused_connections:
                    patience = min(PATIENCE, max(GONE_PATIENCE, 10 * (backend.typical or 0.0)))
                left = patience - (time.monotonic() - since)
                if left <= 0 and any(True for _ in self._movable(backend)):
                    # It was last asked a while ago.
                    if backend.refused_connections and await backend.check():
                        return
                    why = f"{backend.name} has not answered for {patience:.0f} seconds."
                    for flight in self._movable(backend):
                        backend.courier.give_up(flight, why)
                await asyncio.sleep(min(max(left, TICK), IMPATIENCE))
        finally:
            self._impatient.discard(backend.id)

    def _movable(self, backend: LiveBackend) -> Iterator[Flight]:
        """Prompts on a backend that others could run as well."""
        for flight in backend.courier.flights:
            requirements = flight.task.requirements
            bound = requirements.affinity == backend.id and (
                requirements.fallback is not FallbackStrategy.AUTO_SELECT
            )
            others = self._desk.around(backend.id)
            if not bound and any(other.refusal(requirements) is None for other in others):
                yield flight

    async def went_on(self, live: LiveJob) -> None:
        """A node ended: see what is next in its job, or whether it is over."""
        self._runner.advance(live)
        await self.finish_if_over(live)

    async def finish_if_over(self, live: LiveJob) -> None:
        """End the job if all its nodes have ended."""
        live.touch()
        if conclude(live):
            await finish_job(self._journal, live)
            crash_point("job finished")
            self._over(live)

    def _over(self, live: LiveJob) -> None:
        self._active.pop(live.id, None)
        live.tell(self._report)
        live.finish()

    async def _event(
        self, live: LiveJob, execution: NodeExecution | None, kind: str, message: str
    ) -> None:
        await self._journal.record_events(
            [
                JobEvent(
                    job_id=live.id,
                    node_execution_id=execution.id if execution else None,
                    kind=kind,
                    message=message,
                )
            ]
        )

    # Steering ---------------------------------------------------------------------------------

    def pause(self, live: LiveJob) -> "asyncio.Task[Any]":
        """Send nothing more of a job; what is out ends. Await the task to have it stored."""
        return self._steering.pause(live)

    def unpause(self, live: LiveJob) -> "asyncio.Task[Any]":
        """Let a paused job go on. Await the task to have it stored."""
        return self._steering.unpause(live)

    def hold(self, lives: Iterable[LiveJob]) -> None:
        """As :meth:`pause` for many jobs, whose pause is stored elsewhere."""
        self._steering.hold(lives)

    def dropped(self, lives: Iterable[LiveJob]) -> None:
        """These jobs ended as cancelled before any server had anything of them, as is stored."""
        for live in self._steering.dropped(lives):
            live.touch()
            self._over(live)

    def release(self, lives: Iterable[LiveJob]) -> None:
        """Let jobs go on that were held."""
        self._steering.release(lives)

    def cancel(self, live: LiveJob) -> None:
        """Stop a job: what waits is dropped, what is out is taken back, what is done stays done."""
        self._steering.cancel(live)

    async def retry(self, live: LiveJob) -> None:
        """Run again what failed in a job that has ended, and what waited for it."""
        await self._steering.retry(live)

    # The ticker -------------------------------------------------------------------------------

    def _keep_ticking(self) -> None:
        if self._ticker is None or self._ticker.done():
            self._ticker = self.spawn(self._tick(), "ticker")

    async def _tick(self) -> None:
        while self._active or self._watchers:
            await asyncio.sleep(TICK)
            for live in list(self._active.values()):
                if live.dirty:
                    live.tell(self._report)
            self._ask_again()
            if self._backends_dirty:
                self._backends_dirty = False
                self._tell_backends()
            self._noting.note(time.monotonic())

    def _ask_again(self) -> None:
        """Give backends another chance that had nothing to do, or were set aside, a moment ago."""
        again = self._desk.scheduler.reconsider()
        for backend in self._backends.values():
            if backend.guard.aside or backend.id in again:
                self.pump(backend)
        self._recall()

    def _tell_backends(self) -> None:
        if self._watchers:
            self._watchers.tell(self.view, self._report)

    # Housekeeping -----------------------------------------------------------------------------

    def spawn(self, coroutine: Awaitable[Any], name: str) -> "asyncio.Task[Any]":
        """Run something in the background; its errors are reported."""
        task: asyncio.Task[Any] = asyncio.ensure_future(coroutine, loop=self._host.loop)
        task.set_name(f"comfynb {name}")
        self._helpers.add(task)
        task.add_done_callback(self._helper_done)
        return task

    def _helper_done(self, task: "asyncio.Task[Any]") -> None:
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    def stop(self) -> list[asyncio.Task[Any]]:
        """End everything here; prompts stay on their backends for the next kernel to adopt.

        The tasks that are returned clean up when the loop runs again.
        """
        tasks = list(self._helpers)
        for task in tasks:
            task.cancel()
        self._backends.clear()
        self._tending.clear()
        return tasks

    async def close(self) -> None:
        """As :meth:`stop`, and wait until all is cleaned up."""
        await asyncio.gather(*self.stop(), return_exceptions=True)
