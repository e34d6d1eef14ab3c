"""What the handles of one Workbench share: the person, the service, and the way out."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.catalogue.entries import BACKEND, TEMPLATES
from comfynb.deploy.lock import LockOptions, LockReport, make_lock
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.net.validation import UrlChecks
from comfynb.deploy.people import Person, current_user
from comfynb.deploy.resolve import BackendFacts, Resolution, resolve
from comfynb.deploy.scripts import render
from comfynb.deploy.service import Access, Command, DeployService, Parts
from comfynb.deploy.service.contents import DeploymentContents
from comfynb.deploy.sync import (
    BackendContents,
    CivitaiModels,
    HuggingFaceModels,
    ManagerLists,
    RegistryNodes,
    SyncRunner,
    TemplateModels,
)
from comfynb.deploy.sync.templates import core_entry
from comfynb.deploy.tokens import TokenVault
from comfynb.engine.host import Doing, run_blocking
from comfynb.models import Lock
from comfynb.workbench.deploy.following import Followers
from comfynb.workbench.deploy.report import Report
from comfynb.workbench.deploy.resolving import Needed

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["DeploySession"]

R = TypeVar("R")


class DeploySession:
    """Made with a Workbench, and idle until something of it is used.

    ``user`` is who works here (see :func:`comfynb.deploy.people.current_user`). COMFYNB_ALLOW may
    name servers (``host:port``, with commas) that may be private and speak plain HTTP.
    """

    def __init__(self, workbench: "Workbench", user: str | None = None) -> None:
        self.workbench = workbench
        self.rows = Catalogue(workbench.store)
        """The catalogue itself, below the service: for looking things up."""
        self.lock_options = LockOptions()
        """How locks are made: which git, uv, services and release of ComfyUI."""
        self.reports: dict[str, Report] = {}
        """What the last attempt to lock a deployment found, by its id."""
        self.needed: dict[str, Needed] = {}
        """What the workflow of a deployment needed when it was last resolved here, by its id."""
        self.followers = Followers()
        """What shows a deployment, and is told when it has changed."""
        self.sources: Mapping[str, Any] = {
            "manager": ManagerLists,
            "registry": RegistryNodes,
            "civitai": CivitaiModels,
            "huggingface": HuggingFaceModels,
            "templates": TemplateModels,
            "backend": _OfBackend(self),
            "urls": _Urls(self),
        }
        """What the catalogue can be filled from, by name; each with options of its own."""
        self._user = user
        self._service: DeployService | None = None
        self._vault: TokenVault | None = None
        self._fetcher: Fetcher | None = None
        self._opening = asyncio.Lock()
        self._runner: SyncRunner | None = None
        self._filled = False

    # People and commands ----------------------------------------------------------------------

    @property
    def person(self) -> Person:
        """Who works here; raises NotAllowed if an ADMIN has deactivated the account."""
        return self.service.person

    @property
    def service(self) -> DeployService:
        """What carries commands out; its first use says who works here."""
        if self._service is None:
            store = self.workbench.store
            person = run_blocking(current_user(store, self._user))
            self._vault = TokenVault(store, person.id)
            parts = Parts(
                lock=self._lock,
                script=render,
                vault=self._vault,
                syncs=self.runner,
                sources=self.sources,
                fetcher=self.own_fetcher,
            )
            self._service = DeployService(store, person, parts)
        return self._service

    def run(self, command: Command[R]) -> R:
        """Carry out a command that needs nothing but the store, and wait for it."""
        made = run_blocking(self.service.run(command))
        self._told(command)
        return made

    def do(self, command: Command[R], name: str) -> Doing[R]:
        """Begin a command that takes its time; ``await`` it or ``.wait()``.

        Whether it is allowed is asked at once, so that a refusal shows in the cell that asked.
        """
        run_blocking(self.service.check(command))

        async def work() -> R:
            try:
                return await self.service.run(command)
            finally:
                # A lock that could not be made has left a report.
                self._told(command)

        return self.workbench.host.do(work(), name)

    def _told(self, command: Command[Any]) -> None:
        if command.permission.access is Access.CHANGE:
            self.followers.tell(command.deploymentId)  # type: ignore[attr-defined]

    def resolve(
        self,
        workflow: Any,
        *,
        choices: Mapping[str, Any] | None = None,
        comfyui: str | None = None,
    ) -> Resolution:
        """Say what a workflow needs, by the catalogue and by the backends whose nodes are known."""
        self.fill()
        backends = [
            BackendFacts(live.name, info) for live, info in self.workbench.node_classes.known()
        ]
        return run_blocking(
            resolve(workflow, self.rows, backends=backends, comfyui=comfyui, choices=choices)
        )

    # Things that live on the Workbench's loop ---------------------------------------------------

    async def fetcher(self) -> Fetcher:
        """The way out; closed with the Workbench."""
        # Two that come at once must not open two, of which one would stay open.
        async with self._opening:
            if self._fetcher is None:
                self._fetcher = await (await self._new_fetcher()).__aenter__()
            return self._fetcher

    async def _new_fetcher(self) -> Fetcher:
        assert self._vault is not None, "the service is made first"
        allowed = os.environ.get("COMFYNB_ALLOW", "").replace(",", " ").split()
        vault = await self._vault.refresh()
        return Fetcher(policy=NetPolicy(frozenset(allowed)), secrets=vault.secret_for)

    @contextlib.asynccontextmanager
    async def own_fetcher(self) -> AsyncIterator[Fetcher]:
        """A way out for one command, on whatever loop it runs."""
        async with await self._new_fetcher() as fetcher:
            yield fetcher

    async def runner(self) -> SyncRunner:
        """What runs syncs."""
        fetcher = await self.fetcher()
        if self._runner is None:
            self._runner = SyncRunner(self.workbench.store, fetcher)
        return self._runner

    async def _lock(
        self, contents: DeploymentContents, former: Lock | None, upgrade: Collection[str] | bool
    ) -> LockReport:
        options = replace(self.lock_options, upgrade=upgrade)
        made = await make_lock(
            contents, self.rows, await self.fetcher(), former=former, options=options
        )
        report = Report.of(made, former, upgrade)
        self.reports[contents.deployment.id] = report
        return report

    async def aclose(self) -> None:
        """End syncs, which can be resumed, and close every connection."""
        runner, self._runner = self._runner, None
        fetcher, self._fetcher = self._fetcher, None
        if runner is not None:
            await runner.aclose()
        if fetcher is not None:
            await fetcher.aclose()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to close."""
        return self._fetcher is None

    # The catalogue ----------------------------------------------------------------------------

    def fill(self) -> None:
        """Bring in the small catalogue that ships with comfynb, if there is none at all yet."""
        if not self._filled:
            run_blocking(self._seed())
            self._filled = True

    async def _seed(self) -> None:
        nodes = await self.rows.search_nodes(active=None, limit=1)
        models = await self.rows.search_models(active=None, limit=1)
        if not nodes.total and not models.total:
            await self.rows.seed()
            core = await asyncio.to_thread(core_entry)
            if core is not None:
                await self.rows.upsert_nodes([core], source=TEMPLATES)


class _Urls:
    """Whether what the catalogue names is still there."""

    name = UrlChecks.name

    def __init__(self, session: DeploySession) -> None:
        self._session = session

    def __call__(
        self, models: bool = True, nodes: bool = True, fresh_for_s: float = 86400
    ) -> UrlChecks:
        return UrlChecks(
            self._session.workbench.store,
            models=models,
            nodes=nodes,
            fresh_for=timedelta(seconds=fresh_for_s),
        )


class _OfBackend:
    """What a backend of the Workbench has installed, by the backend's name."""

    name = BACKEND

    def __init__(self, session: DeploySession) -> None:
        self._session = session

    async def __call__(self, backend: str) -> BackendContents:
        found = self._session.workbench.backends[backend]
        live = self._session.workbench.engine.backends[found.id]
        return await BackendContents.of(live.name, live.client)
