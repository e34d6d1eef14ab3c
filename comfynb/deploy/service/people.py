"""Commands about people: who there are, their roles, and who may work here no more."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import ClassVar

from comfynb.deploy.service.command import Command, Desk, reads, writes
from comfynb.deploy.service.permission import Permission
from comfynb.errors import NotFound, UsageError
from comfynb.models import Role, User, utcnow
from comfynb.store import Transaction, View

__all__ = ["ListPeople", "SetActive", "SetRole", "WhoAmI"]

ADMINISTERS = Permission(role=Role.ADMIN)


class WhoAmI(Command[User]):
    """Look at one's own record."""

    permission: ClassVar = Permission()


class ListPeople(Command[list[User]]):
    """List everybody who has worked in this store."""

    permission: ClassVar = ADMINISTERS


class SetRole(Command[User]):
    """Make somebody USER, CURATOR or ADMIN."""

    permission: ClassVar = ADMINISTERS

    userId: str
    role: Role


class SetActive(Command[User]):
    """Keep somebody out of this store, or let them in again; what is theirs stays."""

    permission: ClassVar = ADMINISTERS

    userId: str
    active: bool


@reads(WhoAmI)
def _me(desk: Desk[View], _: WhoAmI) -> User:
    return desk.actor


@reads(ListPeople)
def _people(desk: Desk[View], _: ListPeople) -> list[User]:
    return desk.tx.find(User, order_by="email")


@writes(SetRole)
def _role(desk: Desk[Transaction], command: SetRole) -> User:
    return _change(desk, command.userId, role=command.role)


@writes(SetActive)
def _active(desk: Desk[Transaction], command: SetActive) -> User:
    return _change(desk, command.userId, isActive=command.active)


def _change(desk: Desk[Transaction], user_id: str, **fields: object) -> User:
    tx = desk.tx
    if tx.dialect == "postgres":
        # Two ADMINs who demote one another at once would leave none.
        tx.execute("lock table users in share row exclusive mode")
    user = tx.get(User, user_id)
    if user is None:
        raise NotFound(f"There is nobody with the id {user_id!r:.80}; wb.people lists everybody.")
    user = user.model_copy(update={**fields, "updatedAt": utcnow()})
    tx.put(user)
    if not tx.count(User, {"role": Role.ADMIN, "isActive": True}):
        raise UsageError(
            f"{user.email} is the only ADMIN: make somebody else ADMIN first, or nobody could "
            "change a role any more."
        )
    return user
