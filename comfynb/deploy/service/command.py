"""What all commands have in common: a permission, a handler, and a desk that the handler works at.

A command is a pydantic model: whatever a widget, a script or the command line hands in is checked
before anything happens. Its permission is checked by :class:`Run`, in the same transaction in which
its handler reads or writes, so no handler can forget it.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import ConfigDict

from comfynb.deploy.people import Person
from comfynb.deploy.service.parts import Parts
from comfynb.deploy.service.permission import Access, Permission, check
from comfynb.errors import UsageError
from comfynb.models import ComfynbModel, Deployment, User
from comfynb.store import Store, Transaction, View

__all__ = ["COMMANDS", "Command", "Desk", "Run", "handler_of", "reads", "steps", "writes"]

R = TypeVar("R")
T = TypeVar("T")
V = TypeVar("V", bound=View)
C = TypeVar("C", bound="Command[Any]")

COMMANDS: list[type["Command[Any]"]] = []
"""Every command there is, in the order of the modules."""


class Command(ComfynbModel, Generic[R]):
    """Something that a person wants done; ``DeployService.run`` does it and returns an R."""

    # Built when first used, and without their source being read: most kernels use none of them.
    model_config = ConfigDict(frozen=True, defer_build=True)

    permission: ClassVar[Permission]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Take note of every command, and insist on its permission."""
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__pydantic_generic_metadata__["origin"] is not None:
            return  # Command[Deployment] and its like
        wants = cls.__dict__.get("permission")
        if not isinstance(wants, Permission):
            raise TypeError(f"{cls.__name__} has no permission of its own")
        if (wants.access is not Access.NONE) != ("deploymentId" in cls.model_fields):
            raise TypeError(f"{cls.__name__}: access and deploymentId go together")
        COMMANDS.append(cls)

    @classmethod
    def title(cls) -> str:
        """What it is called in messages: ``MakeLock`` is "Make lock"."""
        return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", cls.__name__)


@dataclass(frozen=True, slots=True)
class Desk(Generic[V]):
    """Where a handler works: inside a transaction, for somebody who was found to be allowed."""

    tx: V
    actor: User
    _deployment: Deployment | None

    @property
    def deployment(self) -> Deployment:
        """The deployment that the command names, as it is now."""
        if self._deployment is None:
            raise UsageError("this command names no deployment")
        return self._deployment


class Run(Generic[C]):
    """One command on its way; every look at the store checks its permission anew."""

    def __init__(self, store: Store, person: Person, command: C, parts: Parts, client: str) -> None:
        self.store = store
        self.person = person
        self.command = command
        self.parts = parts
        self.client = client

    async def enter(self) -> User:
        """Ask only whether the person may, before work that takes its time; returns who it is."""
        return await self.read(lambda desk: desk.actor)

    async def read(self, fn: Callable[[Desk[View]], T]) -> T:
        """Run ``fn(desk)`` in a read-only transaction."""
        return await self.store.read(lambda view: fn(self._enter(view)), type(self.command).title())

    async def write(self, fn: Callable[[Desk[Transaction]], T]) -> T:
        """Run ``fn(desk)`` in a transaction: all of it is kept, or nothing."""
        return await self.store.transact(lambda tx: fn(self._enter(tx)))

    def _enter(self, view: V) -> Desk[V]:
        command = self.command
        actor, deployment = check(
            view,
            self.person.id,
            command.permission,
            command.title(),
            getattr(command, "deploymentId", None),
        )
        return Desk(view, actor, deployment)


Handler = Callable[[Run[Any]], Awaitable[Any]]

_handlers: dict[type[Command[Any]], Handler] = {}


def _register(command: type[Command[Any]], handler: Handler) -> None:
    if command in _handlers:
        raise TypeError(f"{command.__name__} has two handlers")
    _handlers[command] = handler


def reads(command: type[C]) -> Callable[[Callable[[Desk[View], C], T]], None]:
    """Make a function of (desk, command) the handler of a command that only looks."""

    def take(function: Callable[[Desk[View], C], T]) -> None:
        async def handle(run: Run[C]) -> T:
            return await run.read(lambda desk: function(desk, run.command))

        _register(command, handle)

    return take


def writes(command: type[C]) -> Callable[[Callable[[Desk[Transaction], C], T]], None]:
    """Make a function of (desk, command) the handler of a command that changes something."""

    def take(function: Callable[[Desk[Transaction], C], T]) -> None:
        async def handle(run: Run[C]) -> T:
            return await run.write(lambda desk: function(desk, run.command))

        _register(command, handle)

    return take


def steps(command: type[C]) -> Callable[[Callable[[Run[C]], Awaitable[T]]], None]:
    """Make a coroutine function the handler of a command that does more than one thing.

    It has to go through ``run.read`` or ``run.write`` before it does anything else.
    """

    def take(function: Callable[[Run[C]], Awaitable[T]]) -> None:
        _register(command, cast("Handler", function))

    return take


def handler_of(command: type[Command[Any]]) -> Handler:
    """Return what carries a command out."""
    return _handlers[command]
