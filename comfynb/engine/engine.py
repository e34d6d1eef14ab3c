"""Decides what runs where and when: jobs in, prompts out, outcomes into the store."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from comfynb.comfy import Credentials
from comfynb.engine.asking import Asking
from comfynb.engine.backend import LiveBackend
from comfynb.engine.background import Background
from comfynb.engine.closing import Closer
from comfynb.engine.courier import Traffic
from comfynb.engine.desk import Desk
from comfynb.engine.fleet import Fleet
from comfynb.engine.following import Following
from comfynb.engine.graph.runner import GraphRunner
from comfynb.engine.handing_out import HandingOut
from comfynb.engine.heap import mind
from comfynb.engine.host import LoopHost
from comfynb.engine.jobs import Jobs
from comfynb.engine.live import Asker, LiveJob
from comfynb.engine.noting import Noting
from comfynb.engine.outputs import OutputFolder
from comfynb.engine.recovery import Recovered, Recovery
from comfynb.engine.scheduling.history import recorded
from comfynb.engine.settling import Settling
from comfynb.engine.slices import Slice
from comfynb.engine.steering import Steering
from comfynb.engine.tasks import NodeTask
from comfynb.engine.views import BackendView
from comfynb.errors import UsageError
from comfynb.models import (
    BackendConfig,
    Job,
    JobStatus,
    NodeExecution,
    OutputFile,
    WorkflowVersion,
)
from comfynb.store import Store
from comfynb.store.graphs import GraphJournal

__all__ = ["Engine", "Recovered"]

TICK: Final = 0.1
"""Seconds between two times that watchers are told; also lets an interrupt reach an idle loop."""


class Engine:
    """The executor of one kernel: everything here runs on the host's loop, nothing blocks it.

    It puts its parts together; what they need of one another they get as functions, or from here.
    """

    def __init__(
        self,
        store: Store,
        host: LoopHost,
        output_root: Path,
        *,
        report: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._host = host
        self._report = report
        self._folder = OutputFolder(output_root)
        self._traffic = Traffic()
        self._background = Background(report, host.loop)
        self._desk = desk = Desk()
        mind(desk)
        self._ticker: asyncio.Task[None] | None = None
        self._remembered = False
        journal, graphs = store.journal, GraphJournal(store)
        self._runner = GraphRunner(
            self,
            graphs,
            store.owner_id,
            base=Path.cwd(),
            ledger=output_root.with_name("deliveries"),
        )
        self._jobs = Jobs(
            desk, journal, self.spawn, pump=self.pump, advance=self._runner.advance, report=report
        )
        self._asking = Asking(desk, journal, self)
        self._handing_out = HandingOut(desk, host, self._asking, give_up=self._jobs.give_up)
        self._fleet = Fleet(desk, store, self.spawn, pump=self._handing_out.pump, report=report)
        self._following = Following(desk, journal, self.spawn, report=report)
        self._settling = Settling(
            desk,
            store,
            host,
            jobs=self._jobs,
            closer=Closer(
                journal,
                out=lambda: len(desk.flying),
                over=self._jobs.over,
                went_on=self._runner.advance,
                spawn=self.spawn,
                report=report,
            ),
            following=self._following,
            spawn=self.spawn,
            pump=self.pump,
            changed=self._fleet.changed,
        )
        self._noting = Noting(desk, journal, graphs, self.spawn)
        self._steering = Steering(desk, store, graphs, self._runner, self)
        self._recovery = Recovery(
            desk,
            store,
            self._runner,
            self,
            versions=self._jobs.versions,
            live_of=self._jobs.attach_with,
        )

    # Backends ---------------------------------------------------------------------------------

    @property
    def backends(self) -> Mapping[str, LiveBackend]:
        """All backends, by id, in the order in which they were added."""
        return self._desk.backends

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
            office=self._fleet,
            clerk=self._settling,
            journal=self._store.journal,
            folder=self._folder,
            traffic=self._traffic,
            client_id=client_id,
            object_info=object_info,
        )
        self._fleet.add(backend)
        return backend

    def put_backend(self, config: BackendConfig, credentials: Credentials | None) -> LiveBackend:
        """Add a backend, or take changed settings and credentials of a known one into use."""
        if config.id in self.backends:
            return self._fleet.update(config, credentials)
        return self.add_backend(config, credentials)

    async def remove_backend(self, backend_id: str) -> None:
        """Forget a backend.

        Raises:
            UsageError: prompts of ours are still on it, or on their way home.
        """
        await self._fleet.remove(backend_id)

    def reconfigure(self, config: BackendConfig) -> None:
        """Take changed settings of a known backend (not its address) into use."""
        self._fleet.reconfigure(config)

    @property
    def view(self) -> tuple[BackendView, ...]:
        """What a person sees of the backends now."""
        return self._fleet.view

    def watch(self, callback: Callable[[tuple[BackendView, ...]], None]) -> Callable[[], None]:
        """Call ``callback`` after changes to any backend; returns the way to stop."""
        stop = self._fleet.watchers.add(callback)
        self._host.call(self._keep_ticking)
        return stop

    def changed(self, backend: LiveBackend) -> None:
        """A backend looks different now."""
        self._fleet.changed(backend)

    def backend_name(self, backend_id: str) -> str:
        """What people call a backend."""
        backend = self.backends.get(backend_id)
        return backend.name if backend is not None else ""

    def pump(self) -> None:
        """Hand out waiting tasks soon."""
        self._handing_out.pump()

    # Jobs -------------------------------------------------------------------------------------

    def live(self, job_id: str) -> LiveJob | None:
        """The job if this process knows it."""
        return self._jobs.live(job_id)

    def runs(self, job_id: str) -> bool:
        """Whether this kernel runs the job."""
        return job_id in self._desk.active

    def know_version(self, version: WorkflowVersion) -> None:
        """Keep a stored workflow version at hand."""
        self._jobs.versions[version.id] = version

    def launch(self, lives: Sequence[LiveJob]) -> None:
        """Start jobs that are in the store already and belong to this kernel."""
        for live in lives:
            self.activate(live)
            self._runner.start(live)
        self.pump()
        if not self._remembered and len(self.backends) > 1:
            self._remembered = True
            self.spawn(self._remember(), "remember how fast backends were")

    async def _remember(self) -> None:
        self._desk.scheduler.durations.know(await recorded(self._store))

    def activate(self, live: LiveJob) -> None:
        """This kernel runs the job from now on."""
        self._jobs.activate(live)
        self._keep_ticking()

    async def resume(self) -> Recovered:
        """Adopt every job that has not ended and that no living kernel owns."""
        recovered = await self._recovery.resume()
        self.pump()
        return recovered

    async def attach(self, job: Job) -> LiveJob:
        """The live form of a stored job, ready to be run: its outputs and workflows are loaded."""
        return await self._recovery.attach(job)

    def attach_with(self, job: Job, outputs: Iterable[OutputFile]) -> LiveJob:
        """The live form of a stored job; the same object for as long as somebody holds it."""
        return self._jobs.attach_with(job, outputs)

    def follow(self, live: LiveJob) -> None:
        """Keep a job up to date that another kernel runs, while somebody here cares."""
        self._following.follow(live)

    # For its parts ----------------------------------------------------------------------------

    async def prepare(self, live: LiveJob) -> object:
        """Load what is needed to run a stored job."""
        return await self._recovery.prepare(live)

    def task(self, live: LiveJob, execution: NodeExecution) -> NodeTask:
        """The unit of work for one node of a job."""
        return self._jobs.task(live, execution)

    def dispatch(self, live: LiveJob, execution: NodeExecution) -> None:
        """Let a WORKFLOW's execution wait for a backend, unless it waits or runs already."""
        self._jobs.dispatch(live, execution)

    def give_up(self, task: NodeTask, message: str) -> None:
        """End a waiting task's node as failed."""
        self._jobs.give_up(task, message)

    async def end_node(
        self, live: LiveJob, execution: NodeExecution, status: JobStatus, message: str | None
    ) -> None:
        """End a node that has no prompt out."""
        await self._jobs.end_node(live, execution, status, message)

    async def finish_if_over(self, live: LiveJob) -> None:
        """End the job if all its nodes have ended."""
        await self._jobs.finish_if_over(live)

    def spawn(self, coroutine: Awaitable[Any], name: str) -> "asyncio.Task[Any]":
        """Run something in the background; its errors are reported."""
        return self._background.spawn(coroutine, name)

    def report(self, error: BaseException) -> None:
        """An error in the background that nobody waits for."""
        self._report(error)

    # Questions --------------------------------------------------------------------------------

    async def answer(self, job_id: str, execution_id: str, backend_id: str | None) -> None:
        """Choose a backend for a node that waits for one; None lets the node fail.

        Raises:
            UsageError: nothing is asked, or there is no such backend.
        """
        live = self._desk.active.get(job_id)
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
            self._jobs.over(live)

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
        while self._desk.active or self._fleet.watchers:
            await asyncio.sleep(TICK)
            work = Slice()
            for live in list(self._desk.active.values()):
                if live.dirty:
                    live.tell(self._report)
                    await work.rest()
            self._handing_out.again()
            await work.rest()
            self._fleet.tell()
            await work.rest()
            self._noting.note(time.monotonic())

    # The end ----------------------------------------------------------------------------------

    def stop(self) -> list[asyncio.Task[Any]]:
        """End everything here; prompts stay on their backends for the next kernel to adopt.

        The tasks that are returned clean up when the loop runs again.
        """
        tasks = self._background.stop()
        self._fleet.clear()
        return tasks

    async def close(self) -> None:
        """As :meth:`stop`, and wait until all is cleaned up."""
        await asyncio.gather(*self.stop(), return_exceptions=True)
