"""What the handles of one Workbench share: the person, the service, and the way out."""

import os
from typing import TYPE_CHECKING, TypeVar

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.people import Person, current_user
from comfynb.deploy.service import Command, DeployService, Parts
from comfynb.engine.host import Doing, run_blocking

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["DeploySession"]

R = TypeVar("R")


class DeploySession:
    """Made with a Workbench and idle until something of it is used.

    ``user`` is who works here (see :func:`comfynb.deploy.people.current_user`). COMFYNB_ALLOW may
    name servers (``host:port``, with commas) that may be private and speak plain HTTP.
    """

    def __init__(self, workbench: "Workbench", user: str | None = None) -> None:
        self.workbench = workbench
        self._user = user
        self._service: DeployService | None = None
        self._fetcher: Fetcher | None = None
        self._filled = False
        self.rows = Catalogue(workbench.store)
        """The catalogue itself, below the service: for looking things up."""

    @property
    def person(self) -> Person:
        """Who works here; raises NotAllowed if an ADMIN has deactivated the account."""
        return self.service.person

    @property
    def service(self) -> DeployService:
        """What carries commands out; the first use says who works here."""
        if self._service is None:
            store = self.workbench.store
            person = run_blocking(current_user(store, self._user))
            self._service = DeployService(store, person, self._parts())
        return self._service

    def _parts(self) -> Parts:
        return Parts()

    def run(self, command: Command[R]) -> R:
        """Carry out a command that needs nothing but the store, and wait for it."""
        return run_blocking(self.service.run(command))

    def do(self, command: Command[R], name: str) -> Doing[R]:
        """Begin a command that takes its time; ``await`` it or ``.wait()``."""
        return self.workbench.host.do(self.service.run(command), name)

    async def fetcher(self) -> Fetcher:
        """The way out, on the Workbench's own loop; closed with it."""
        if self._fetcher is None:
            allowed = os.environ.get("COMFYNB_ALLOW", "").replace(",", " ").split()
            self._fetcher = await Fetcher(policy=NetPolicy(frozenset(allowed))).__aenter__()
        return self._fetcher

    def fill(self) -> None:
        """Bring in the small catalogue that ships with comfynb, if there is none at all yet."""
        if not self._filled:
            if not run_blocking(self._count()):
                run_blocking(self._seed())
            self._filled = True

    async def _count(self) -> int:
        page = await self.rows.search_nodes(active=None, limit=1)
        return page.total or (await self.rows.search_models(active=None, limit=1)).total

    async def _seed(self) -> None:
        await self.rows.seed()
