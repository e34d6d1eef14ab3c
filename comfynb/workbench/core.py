"""``Workbench``: the one object that a person makes; everything else hangs on it."""

import asyncio
import contextlib
import functools
import logging
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from comfynb.comfy import input_ref
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.engine import Engine, Recovered
from comfynb.engine.heap import settle_heap
from comfynb.engine.host import Doing, LoopHost
from comfynb.engine.inputs import InputFolder
from comfynb.engine.live import LiveJob
from comfynb.engine.plan import RUNS_PROJECT, RunPlan, make_jobs
from comfynb.errors import BackendError, ComfynbError, NotFound
from comfynb.models import (
    Job,
    JobStatus,
    Project,
)
from comfynb.store import Store, Table, open_store
from comfynb.workbench.backends import Backends
from comfynb.workbench.graphs import Graphs
from comfynb.workbench.jobs import JobHandle, JobList, Jobs
from comfynb.workbench.known_backends import KnownBackends
from comfynb.workbench.library import Workflows
from comfynb.workbench.metrics import Metrics
from comfynb.workbench.node_classes import NodeClasses
from comfynb.workbench.sweeps import Score, Study, Sweep, Sweepable, Sweeps, start_study
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.deploy.catalogue import Catalogue
    from comfynb.workbench.deploy.deployments import Deployments
    from comfynb.workbench.deploy.people import People
    from comfynb.workbench.deploy.session import DeploySession
    from comfynb.workbench.deploy.tokens import Tokens

__all__ = ["Workbench"]

logger = logging.getLogger("comfynb")


CLOSE_TIMEOUT = 10.0
"""Seconds that closing waits for connections to end."""


class Workbench:
    """Backends, workflows, jobs and the store that remembers them.

    ``store`` is the path of a DuckDB file; without it, the environment variable COMFYNB_STORE, or
    ``comfynb.duckdb`` in the current folder; or ``postgresql://...`` where several machines share
    one store. Pictures are kept in the folder ``files``: by default beside the store, in
    ``<name>_files``; for PostgreSQL, in ``comfynb_files`` in the current folder. Several notebooks
    may use one store at the same time.

    Jobs that had not ended when an earlier kernel was stopped are picked up again, unless
    ``resume`` is False; ``wb.recovered`` says what was found.

    ``user`` is a name or an e-mail address that deployments belong to; without it COMFYNB_USER,
    JupyterHub, git or the account say who works here (``wb.people``).
    """

    def __init__(
        self,
        store: str | Path | None = None,
        *,
        files: str | Path | None = None,
        resume: bool = True,
        user: str | None = None,
    ) -> None:
        path = str(store or os.environ.get("COMFYNB_STORE") or "comfynb.duckdb")
        self._user = user
        self._closed = False
        self._cleanups = contextlib.ExitStack()
        # First, since it may fail: then there is nothing else to clean up.
        self.store: Store = open_store(path)
        self.host = LoopHost()
        self.files = Path(files).absolute() if files else _files_beside(path)
        self.report = _reporter(weakref.ref(self))
        self.engine = Engine(self.store, self.host, self.files / "outputs", report=self.report)
        self.inputs = InputFolder(self.files / "inputs")
        self.node_classes = NodeClasses(self.engine, self.host)
        self.known_backends = KnownBackends(self.store, self.engine, self.host)
        self.secrets = self.known_backends.secrets
        self.problems: list[str] = []
        """Errors in the background that belong to no job; the log has them with tracebacks."""
        self.backends = Backends(self)
        self.workflows = Workflows(self)
        self.graphs = Graphs(self)
        self.jobs = Jobs(self)
        self.sweeps = Sweeps(self)
        self.metrics = Metrics(self)
        self._resuming: Doing[Recovered] | None = None
        try:
            self._ensure_project()
            settle_heap()
            self.problems += self.host.ask(self.known_backends.open)
        except BaseException:
            # A store that is damaged or newer says so only now.
            self.close()
            raise
        self.host.ask(self.metrics.collector.start)
        if resume:
            self._resuming = self.resume()

    @classmethod
    def demo(cls, store: str | Path | None = None, *, backends: int = 2) -> "Workbench":
        """A Workbench with sandbox backends: small servers that speak ComfyUI's protocol and
        really run nodes that need no model. No GPU, no ComfyUI, nothing to set up."""
        from comfynb.workbench.demo import open_demo

        return open_demo(cls, store, backends)

    # Deployments ------------------------------------------------------------------------------
    # Imported when first asked for: what locks and scripts need takes a quarter of the time in
    # which all of comfynb is imported, and many notebooks make no deployment. Completion with Tab
    # looks into cached properties, as it does not into others.

    @functools.cached_property
    def _deploy(self) -> "DeploySession":
        from comfynb.workbench.deploy.session import DeploySession

        return DeploySession(self, self._user)

    @functools.cached_property
    def catalogue(self) -> "Catalogue":
        """Node packs and models that deployments are made of."""
        from comfynb.workbench.deploy.catalogue import Catalogue

        return Catalogue(self._deploy)

    @functools.cached_property
    def deployments(self) -> "Deployments":
        """From a workflow to a lock, a script and a machine."""
        from comfynb.workbench.deploy.deployments import Deployments

        return Deployments(self._deploy)

    @functools.cached_property
    def tokens(self) -> "Tokens":
        """Tokens of services that models come from, encrypted."""
        from comfynb.workbench.deploy.tokens import Tokens

        return Tokens(self._deploy)

    @functools.cached_property
    def people(self) -> "People":
        """Who works with this store, and what they may do."""
        from comfynb.workbench.deploy.people import People

        return People(self._deploy)

    # Opening ----------------------------------------------------------------------------------

    def _ensure_project(self) -> None:
        if self.store.get(Project, RUNS_PROJECT).result() is None:
            self.store.put(
                Project(id=RUNS_PROJECT, name="Runs", description="Single runs of workflows.")
            ).result()

    def resume(self) -> Doing[Recovered]:
        """Pick up jobs that no living kernel looks after; ``await`` it or ``.wait()``."""
        return self.host.do(self._resume(), "resume")

    async def _resume(self) -> Recovered:
        try:
            recovered = await self.engine.resume()
            await self.sweeps.pick_up()
            return recovered
        except ComfynbError as error:
            # At the start nobody awaits this, and a job that was not picked up must not be silent.
            self.problems.append(f"Could not pick up earlier jobs: {error}")
            raise

    @property
    def recovered(self) -> Recovered | None:
        """What was picked up at the start; None while it is being looked for, or was not asked."""
        if self._resuming is None or not self._resuming.done or self._resuming.failed:
            return None
        return self._resuming.result

    # For the parts -----------------------------------------------------------------------------

    def check_backends(self) -> Doing[None]:
        """Ask every backend for its health now; ``await`` it or ``.wait()``."""
        return self.known_backends.check()

    async def keep_upload(self, name: str, content: bytes) -> str:
        """Keep a file that was uploaded in a form; returns its path on the kernel's machine."""
        return str(await asyncio.to_thread(self.inputs.keep_bytes, name, content))

    async def fetch_input(self, name: str) -> bytes | None:
        """A small copy of a picture that a parameter names: kept here, or on a backend."""
        kept = Path(name)
        if kept.is_relative_to(self.inputs.root):
            return await asyncio.to_thread(kept.read_bytes)
        ref = input_ref(name)
        for live in self.engine.backends.values():
            if live.online:
                try:
                    return await live.client.view(ref, preview="webp;80")
                except BackendError as error:
                    logger.info("%s does not show %s: %s", live.name, name, error)
        return None

    def submit(self, plans: Sequence[RunPlan]) -> list[JobHandle]:
        """Store jobs, then start them: when this returns, they survive a killed kernel."""
        jobs = make_jobs(plans)
        self.store.journal.create_jobs(jobs, self.store.owner_id).result()
        crash_point("job stored")
        lives = []
        for job, plan in zip(jobs, plans, strict=True):
            node = job.canvas_snapshot.nodes[0]
            lives.append(LiveJob(job, name=plan.name, titles={node.id: plan.name}))
            self.engine.know_version(plan.version)
        self.host.call(self.engine.launch, lives)
        return [JobHandle(self, live) for live in lives]

    def load_jobs(self, n: int, status: JobStatus | None) -> JobList:
        """The newest jobs, live where this process runs them."""
        jobs = self.store.journal.jobs_last(n, status).result()
        return JobList([self._handle(job) for job in jobs])

    def load_job(self, job_id: str) -> JobHandle:
        """One job by id.

        Raises:
            NotFound: the store has no such job.
        """
        live = self.engine.live(job_id)
        if live is not None:
            return JobHandle(self, live)
        job = self.store.journal.load_job(job_id).result()
        if job is None:
            raise NotFound(f"The store has no job {job_id!r}; wb.jobs.last() lists the newest.")
        return self._handle(job)

    def count_jobs(self) -> int:
        """How many jobs the store has."""
        return self.store.count(Job).result()

    def _handle(self, job: Job) -> JobHandle:
        live = self.engine.live(job.id)
        if live is None:
            live = self.engine.attach_with(job, self.store.journal.outputs_of([job.id]).result())
            self.host.call(self.engine.follow, live)
        return JobHandle(self, live)

    # For people --------------------------------------------------------------------------------

    def sweep(
        self,
        workflow: Sweepable | Sequence[Sweepable],
        grid: Mapping[str, Any] | None = None,
        **how: Any,
    ) -> Sweep:
        """Run many points of a workflow: every combination of the lists in ``grid``.

        ``wb.sweep(wf, grid={"seed": "1..16", "cfg": [3, 5, 7]})`` makes 48 points; the first axis
        varies slowest. It returns when they are stored; they survive a killed kernel. Further:

        * ``zip={"width": [512, 768], "height": [768, 512]}``: lists that go hand in hand; several
          such dicts in a list. Each group is combined with everything else.
        * ``sample={"denoise": uniform(0.2, 0.9)}``: drawn for each point; also ``loguniform``,
          ``integers``, ``choice`` and lists. ``n=200`` is the number of points then; without
          ``sample`` it takes that many of the combinations. ``seed=7`` draws the same again.
        * ``where="cfg < 6 or steps > 20"`` or a function of a dict: skips other points.
        * ``values={"steps": 20}``: the same for all points.
        * ``"backend"``, ``"workflow"`` and ``"dynamic_seed"`` can be axes too; a list of
          workflows in the place of one is such an axis. ``wf.dynamic_choices["text"]`` is a list.
        * A graph in the place of a workflow: each point is a job of the whole graph. Its axes are
          nodes' parameters, ``{"sample.steps": [10, 20]}``, and inputs by name,
          ``{"picture": [Path("a.png"), Path("b.png")]}``.
        * ``backend``, ``fallback``: as for ``wf.run``. ``weight=2``: its share among sweeps.
        * ``again=True`` computes what was computed before; otherwise such points are linked to
          the job that did it. See ``comfynb.engine.sweeps.keys`` for what makes points equal.
        * ``name="faces"``: what ``wb.sweeps["faces"]`` finds it by.

        Raises:
            UsageError, NotFound, InvalidValue: something that cannot be run; nothing was stored.
        """
        return self.sweeps.start(workflow, grid, **how)

    def optimize(
        self,
        workflow: Workflow,
        space: Mapping[str, Any],
        score: Score | None = None,
        **how: Any,
    ) -> Study:
        """Look for the best values: Optuna chooses ``n`` points one after the other.

        ``wb.optimize(wf, space={"cfg": uniform(1, 12), "steps": "10..40"}, score=fn, n=100)``:
        ``fn(job)`` gives a number for a completed job; it may be ``async``, else it runs in a
        thread. Without it, the stars that you give in the grid are the scores. Trials are points
        of a sweep, so all that a sweep shows and stores is there too; ``study.best`` is the best.

        ``direction`` is "maximize" or "minimize", ``parallel`` how many points are out at once (as
        many as keep the backends busy), ``sampler`` one of Optuna's, ``values`` what all points
        have; ``seed``, ``name``, ``again``, ``backend``, ``fallback`` and ``weight`` are as for
        :meth:`sweep`. The name of a study that is there goes on with it, up to ``n`` points.

        Raises:
            UsageError: Optuna is not installed, or something cannot be run; nothing was stored.
        """
        return start_study(self, workflow, space, score, **how)

    def sql(self, query: str, params: Sequence[Any] | None = None) -> Table:
        """Ask the store anything; read-only. Tables: jobs, node_executions, prompts,
        output_files, backends, workflows, job_events and more (``show tables``).

        ``params`` fill ``$1``, ``$2`` and so on: never put foreign text into ``query`` itself.
        """
        return self.store.sql(query, params).result()

    def close(self) -> None:
        """Let go of everything; prompts that are out stay out and can be picked up again."""
        if self._closed:
            return
        self._closed = True
        if self.host.on_loop or not self.host.usable:
            self.metrics.collector.stop()
        else:
            self.host.ask(self.metrics.collector.stop)
        if self.host.on_loop:
            # A cell cannot wait for the loop that runs it; what is cancelled here cleans up later.
            self.engine.stop()
            if "_deploy" in vars(self) and not self._deploy.idle:
                self.host.start(self._deploy.aclose(), "close connections")
        elif self.host.usable:
            if "_deploy" in vars(self):
                self.host.wait(self._deploy.aclose(), CLOSE_TIMEOUT)
            self.host.wait(self.engine.close(), CLOSE_TIMEOUT)
        self.store.close()
        self._cleanups.close()
        self.host.close()

    async def aclose(self) -> None:
        """As :meth:`close`, from a coroutine."""
        if not self._closed:
            if "_deploy" in vars(self):
                await self._deploy.aclose()
            await self.engine.close()
            self.close()

    def on_close(self, cleanup: Any) -> None:
        """Enter a context manager that ends with this Workbench."""
        self._cleanups.enter_context(cleanup)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        if self._closed:
            return f"<Workbench {self.store.path} (closed)>"
        lines = [
            f"<Workbench {self.store.path}: {len(self.backends)} backends, {len(self.jobs)} jobs>"
        ]
        if self.recovered is not None and self.recovered.jobs:
            lines.append(str(self.recovered))
        lines += self.problems[-3:]
        return "\n".join(lines)


def _files_beside(store: str) -> Path:
    if "://" in store:
        return Path("comfynb_files").absolute()
    path = Path(store).absolute()
    return path.with_name(f"{path.stem}_files")


def _reporter(workbench: "weakref.ref[Workbench]") -> Any:
    def report(error: BaseException) -> None:
        logger.error("An error in the background.", exc_info=error)
        alive = workbench()
        if alive is not None:
            alive.problems.append(f"{type(error).__name__}: {error}")
            del alive.problems[:-100]

    return report
