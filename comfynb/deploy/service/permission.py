"""Who may do what: the least role a command needs, and what it does to which deployment."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from comfynb.errors import NotAllowed, NotFound
from comfynb.models import Deployment, Role, User
from comfynb.store import View

__all__ = ["Access", "Permission", "check", "may_change", "may_see"]

_RANK: Mapping[Role, int] = {Role.USER: 0, Role.CURATOR: 1, Role.ADMIN: 2}


class Access(Enum):
    """What a command does to the deployment that its ``deploymentId`` names."""

    NONE = "names none"
    SEE = "looks at it"  # one's own, and those that are public or templates
    CHANGE = "changes it"  # one's own


@dataclass(frozen=True, slots=True)
class Permission:
    """The one rule of a command; an ADMIN sees and changes every deployment."""

    role: Role = Role.USER
    access: Access = Access.NONE


def may_see(actor: User, deployment: Deployment) -> bool:
    """Whether somebody knows of a deployment at all."""
    return deployment.isPublic or deployment.isTemplate or may_change(actor, deployment)


def may_change(actor: User, deployment: Deployment) -> bool:
    """Whether somebody may change a deployment, delete or publish it."""
    return deployment.userId == actor.id or actor.role is Role.ADMIN


def check(
    view: View, person_id: str, permission: Permission, what: str, deployment_id: str | None
) -> tuple[User, Deployment | None]:
    """Look a person and a deployment up, and refuse what is not theirs to do.

    Raises:
        NotAllowed: their role, or somebody else's deployment that they can see.
        NotFound: there is no such deployment, or none that they can see; nobody can tell which.
    """
    actor = view.get(User, person_id)
    if actor is None or not actor.isActive:
        raise NotAllowed(
            "This account may not work in this store any more: an ADMIN can activate it again."
        )
    if _RANK[actor.role] < _RANK[permission.role]:
        others = " or ".join(role.value for role in _RANK if _RANK[role] >= _RANK[permission.role])
        raise NotAllowed(
            f"{what} is for {others}, and {actor.email} is {actor.role.value}: "
            "an ADMIN can change that."
        )
    if permission.access is Access.NONE:
        return actor, None
    deployment = view.get(Deployment, deployment_id)
    if deployment is None or not may_see(actor, deployment):
        raise NotFound(
            f"There is no deployment {deployment_id!r:.80} that {actor.email} can see; "
            "wb.deployments lists those that there are."
        )
    if permission.access is Access.CHANGE and not may_change(actor, deployment):
        raise NotAllowed(
            f"{deployment.name:.80} belongs to somebody else: clone it, and change your own copy."
        )
    return actor, deployment
