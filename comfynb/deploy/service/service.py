"""``DeployService``: the one way to deployments, catalogue, tokens and people, for everybody."""

from importlib import metadata
from typing import Any, TypeVar

from pydantic import ValidationError

from comfynb.deploy.people import Person
from comfynb.deploy.service.command import Command, Run, handler_of
from comfynb.deploy.service.parts import Parts
from comfynb.errors import InvalidValue
from comfynb.models import explain
from comfynb.store import Store

__all__ = ["DeployService", "client_name"]

R = TypeVar("R")


def client_name() -> str:
    """Return what is kept as ``userAgent``: programs and their versions, nothing of a person."""
    return " ".join(f"{name}/{metadata.version(name)}" for name in ("comfynb", "ipykernel"))


class DeployService:
    """Carries out commands for one person; safe to use from any event loop.

    Widgets, scripts and the command line all come this way, so that one rule holds for all:
    ``await service.run(CreateDeployment(name="portrait"))``. Roles keep colleagues out of one
    another's way; they do not keep out who can open the store's file.
    """

    def __init__(
        self, store: Store, person: Person, parts: Parts | None = None, *, client: str | None = None
    ) -> None:
        self.store = store
        self.person = person
        self.parts = parts or Parts()
        self._client = client_name() if client is None else client

    async def run(self, command: Command[R]) -> R:
        """Carry out a command and return what it gives.

        Raises:
            NotAllowed: the person's role, or somebody else's deployment that they can see.
            NotFound: what it names is not there, or not for this person to see.
            InvalidValue: a value that does not fit; nothing was changed.
        """
        run = Run(self.store, self.person, command, self.parts, self._client)
        try:
            made: Any = await handler_of(type(command))(run)
        except ValidationError as error:
            raise InvalidValue(explain(error)) from None
        return made  # type: ignore[no-any-return]

    async def check(self, command: Command[Any]) -> None:
        """Ask whether the person may run a command, without running it; raises as :meth:`run`."""
        await Run(self.store, self.person, command, self.parts, self._client).enter()

    def __repr__(self) -> str:
        return f"<DeployService for {self.person.email}, {self.person.role.value}>"
