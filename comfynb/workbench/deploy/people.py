"""``wb.people``: who works in this store, and who may what."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from comfynb.deploy.service import ListPeople, SetActive, SetRole, WhoAmI
from comfynb.errors import NotFound
from comfynb.models import Role, User
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.showing import Shown, day, one_of

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["People"]


class People(Shown):
    """``wb.people``: a table where it is shown; ``wb.people.me`` is you.

    There is no login: who somebody is comes from ``Workbench(user=...)``, COMFYNB_USER, JupyterHub,
    git or the account. Roles keep colleagues out of one another's way; who can open the store's
    file is not kept out by them.
    """

    def __init__(self, session: "DeploySession") -> None:
        self._session = session

    @property
    def me(self) -> User:
        """Your record in the store, as it is now."""
        return self._session.run(WhoAmI())

    def set_role(self, email: str, role: Role | str) -> User:
        """Make somebody USER, CURATOR or ADMIN; for an ADMIN.

        Raises:
            NotAllowed: you are none.
            NotFound: nobody has this address.
            UsageError: there is no such role, or there would be no ADMIN left.
        """
        return self._session.run(SetRole(userId=self[email].id, role=one_of(Role, role, "role")))

    def deactivate(self, email: str) -> User:
        """Keep somebody out of this store; what is theirs stays. For an ADMIN."""
        return self._session.run(SetActive(userId=self[email].id, active=False))

    def activate(self, email: str) -> User:
        """Let somebody in again; for an ADMIN."""
        return self._session.run(SetActive(userId=self[email].id, active=True))

    def __getitem__(self, email: str) -> User:
        """Somebody by address, id or name; for an ADMIN."""
        for user in self:
            if email in {user.email, user.id, user.name}:
                return user
        raise NotFound(f"Nobody here is called {email!r:.80}; wb.people lists everybody.")

    def __iter__(self) -> Iterator[User]:
        people = self._session.run(ListPeople())
        return iter(people)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _seen(self) -> list[User]:
        """Everybody for an ADMIN, else only yourself."""
        me = self.me
        return list(self) if me.role is Role.ADMIN else [me]

    def _ipython_key_completions_(self) -> list[str]:
        return [user.email for user in self._seen()]

    def _heading(self) -> str:
        me = self.me
        return f"You are {me.email}, {me.role.value}"

    def _table(self) -> StaticTable:
        rows = [
            (one.email, one.role.value, "" if one.isActive else "deactivated", day(one.lastLoginAt))
            for one in self._seen()
        ]
        return StaticTable(["e-mail", "role", "state", "last here (UTC)"], rows, limit=200)
