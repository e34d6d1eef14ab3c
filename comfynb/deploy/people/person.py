"""The person that a Workbench works for: their row in the store, made when they first come."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from comfynb.deploy.people.hub import CURATORS, HUB_TIMEOUT, HubAnswer, ask_hub
from comfynb.deploy.people.identity import Found, Identity, find_identity
from comfynb.errors import NotAllowed
from comfynb.models import Role, User, utcnow
from comfynb.store import Store, Transaction

__all__ = ["Person", "current_user"]


@dataclass(frozen=True, slots=True)
class Person:
    """Who a Workbench works for, as the store knew them when it was opened.

    ``found`` says where the name came from. ``is_new``: this was their first time in this store.
    """

    user: User
    found: Found
    is_new: bool = False
    hub: HubAnswer | None = None

    @property
    def id(self) -> str:
        """Their id in the store."""
        return self.user.id

    @property
    def email(self) -> str:
        """What they are told apart by."""
        return self.user.email

    @property
    def name(self) -> str:
        """What people call them."""
        return self.user.name or self.user.email

    @property
    def role(self) -> Role:
        """Their role when the Workbench was opened; every command looks it up anew."""
        return self.user.role


async def current_user(
    store: Store,
    explicit: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    hub_timeout: float = HUB_TIMEOUT,
) -> Person:
    """Return the person who works here, and note that they came (``lastLoginAt``).

    The name is ``explicit``, else COMFYNB_USER, JUPYTERHUB_USER, git's global user.email, or the
    account's. Whoever comes first into an empty store is its ADMIN, since somebody has to be. Who
    comes later is USER, or what JupyterHub says (see :meth:`HubAnswer.role`), asked for at most
    ``hub_timeout`` seconds; from then on the store's own record counts, and an ADMIN changes it.

    Raises:
        UsageError: a name that cannot be one was given.
        NotAllowed: an ADMIN has deactivated this person.
    """
    known = dict(os.environ if environ is None else environ)
    identity = await asyncio.to_thread(find_identity, explicit, environ=known)
    hub = None
    if identity.found == "JUPYTERHUB_USER":
        hub = await ask_hub(known, identity.name, seconds=hub_timeout)
    curators = known.get("COMFYNB_CURATORS", "").strip() or CURATORS
    role = hub.role(curators) if hub is not None else Role.USER
    user, is_new = await store.transact(lambda tx: _arrive(tx, identity, role))
    if not user.isActive:
        raise NotAllowed(
            f"{user.email} may not work in this store any more: an ADMIN has deactivated the "
            "account and can activate it again."
        )
    return Person(user, identity.found, is_new, hub)


def _arrive(tx: Transaction, identity: Identity, role: Role) -> tuple[User, bool]:
    if tx.dialect == "postgres":
        # Two who come at once must not both find the store empty, or themselves unknown.
        tx.execute("lock table users in share row exclusive mode")
    now = utcnow()
    found = tx.find(User, where={"email": identity.email})
    if found:
        (user,) = found
        if user.isActive:
            user.lastLoginAt = now
            tx.put(user)
        return user, False
    if tx.count(User) == 0:
        role = Role.ADMIN
    user = User(email=identity.email, role=role, lastLoginAt=now)
    if identity.name != identity.email and identity.name.isprintable():
        user.name = identity.name
    tx.put(user)
    return user, True
