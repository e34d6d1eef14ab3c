"""Commands about whole deployments: make, find, change, publish, copy and delete them."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, reads, writes
from comfynb.deploy.service.contents import DeploymentContents, contents_of, copy_contents
from comfynb.deploy.service.environment import check_environment, check_no_secrets
from comfynb.deploy.service.permission import Access, Permission
from comfynb.deploy.service.workflows import copy_workflow
from comfynb.models import (
    Deployment,
    JsonObject,
    LockRecord,
    Role,
    new_id,
    utcnow,
)
from comfynb.models._base import Name
from comfynb.store import Transaction, View

__all__ = [
    "CloneDeployment",
    "CreateDeployment",
    "DeleteDeployment",
    "DeploymentLine",
    "DeploymentPage",
    "ListDeployments",
    "MakeTemplate",
    "PublishDeployment",
    "ReadDeployment",
    "UpdateDeployment",
    "changed",
]

PageNumber = Annotated[int, Field(ge=1, le=1_000_000)]
PageSize = Annotated[int, Field(ge=1, le=500)]
Text = Annotated[str, Field(max_length=10_000)]
ShortName = Annotated[Name, Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class DeploymentLine:
    """A deployment in a list: its owner's name, and how many packs and models are in it."""

    deployment: Deployment
    owner: str
    nodes: int
    models: int
    mine: bool


@dataclass(frozen=True, slots=True)
class DeploymentPage:
    """One page of a list of deployments; ``total`` counts all of it, pages count from 1."""

    items: tuple[DeploymentLine, ...]
    page: int
    limit: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-self.total // self.limit)


class CreateDeployment(Command[Deployment]):
    """Make a deployment of one's own, private and empty."""

    permission: ClassVar = Permission()

    name: ShortName
    description: Text | None = None
    scriptType: ShortName = "runpod"
    environmentVars: dict[str, str] = Field(default_factory=dict)
    customSettings: JsonObject = Field(default_factory=dict)


class ReadDeployment(Command[DeploymentContents]):
    """Look at a deployment and all that is in it."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str


class ListDeployments(Command[DeploymentPage]):
    """Find deployments: one's own, and those that are public or templates; the newest first.

    ``query`` is part of the name or the description. ``mine``, ``template`` and ``public``: only
    those that are, or are not.
    """

    permission: ClassVar = Permission()

    query: Annotated[str, Field(max_length=200)] = ""
    mine: bool | None = None
    template: bool | None = None
    public: bool | None = None
    page: PageNumber = 1
    limit: PageSize = 20


class UpdateDeployment(Command[Deployment]):
    """Rename a deployment, or describe it anew; what is not given stays."""

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str
    name: ShortName | None = None
    description: Text | None = None
    scriptType: ShortName | None = None


class DeleteDeployment(Command[None]):
    """Delete a deployment with its locks; that scripts were made of it stays known."""

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str


class CloneDeployment(Command[Deployment]):
    """Copy a deployment that one can see, with its newest lock, into a private one of one's own.

    The workflow that it was made from goes along only where one may change the deployment.
    """

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str
    name: ShortName | None = None


class PublishDeployment(Command[Deployment]):
    """Let others see a deployment, or no longer."""

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str
    public: bool = True


class MakeTemplate(Command[Deployment]):
    """Offer a deployment as something to start from, or no longer."""

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str
    template: bool = True
    category: ShortName | None = None


def changed(tx: Transaction, deployment: Deployment, **fields: Any) -> Deployment:
    """Store a deployment with some fields changed."""
    values = {**deployment.model_dump(), **fields, "updatedAt": utcnow()}
    made = Deployment.model_validate(values)
    tx.put(made)
    return made


@writes(CreateDeployment)
def _create(desk: Desk[Transaction], command: CreateDeployment) -> Deployment:
    check_environment(command.environmentVars)
    check_no_secrets(command.customSettings)
    deployment = Deployment(
        name=command.name,
        description=command.description,
        userId=desk.actor.id,
        scriptType=command.scriptType,
        environmentVars=command.environmentVars,
        customSettings=command.customSettings,
    )
    desk.tx.put(deployment)
    return deployment


@reads(ReadDeployment)
def _read(desk: Desk[View], _: ReadDeployment) -> DeploymentContents:
    return contents_of(desk.tx, desk.deployment)


@reads(ListDeployments)
def _list(desk: Desk[View], command: ListDeployments) -> DeploymentPage:
    params: list[Any] = [desk.actor.id]
    where = ["true"]
    if desk.actor.role is not Role.ADMIN:
        where.append("(d.user_id = $1 or d.is_public or d.is_template)")
    for column, wanted in (
        ("d.user_id = $1", command.mine),
        ("d.is_template", command.template),
        ("d.is_public", command.public),
    ):
        if wanted is not None:
            where.append(f"({column}) = {'true' if wanted else 'false'}")
    if command.query:
        params.append(command.query.lower())
        where.append("position($2 in lower(d.name || ' ' || coalesce(d.description, ''))) > 0")
    condition = " and ".join(where)
    # $1 is always there, since every statement has to use every parameter.
    total = desk.tx.execute(
        f"select count(*) from deployments as d where $1::text is not null and {condition}",  # noqa: S608
        params,
    )[0][0]
    offset = (command.page - 1) * command.limit
    rows = desk.tx.execute(
        f"""
        select d.id, coalesce(u.name, u.email),
            (select count(*) from deployment_nodes as n where n.deployment_id = d.id),
            (select count(*) from deployment_models as m where m.deployment_id = d.id)
        from deployments as d join users as u on u.id = d.user_id
        where $1::text is not null and {condition}
        order by d.updated_at desc, d.id limit {command.limit} offset {offset}
        """,  # noqa: S608 - whole numbers, checked by the command
        params,
    )
    found = desk.tx.find(Deployment, where={"id": [row[0] for row in rows]})
    by_id = {one.id: one for one in found}
    lines = [
        DeploymentLine(by_id[row[0]], row[1], row[2], row[3], by_id[row[0]].userId == desk.actor.id)
        for row in rows
    ]
    return DeploymentPage(tuple(lines), command.page, command.limit, int(total))


@writes(UpdateDeployment)
def _update(desk: Desk[Transaction], command: UpdateDeployment) -> Deployment:
    given = command.model_dump(exclude={"deploymentId"}, exclude_unset=True)
    fields = {
        name: value for name, value in given.items() if value is not None or name == "description"
    }
    return changed(desk.tx, desk.deployment, **fields)


@writes(DeleteDeployment)
def _delete(desk: Desk[Transaction], _: DeleteDeployment) -> None:
    desk.tx.delete(Deployment, desk.deployment.id)


@writes(CloneDeployment)
def _clone(desk: Desk[Transaction], command: CloneDeployment) -> Deployment:
    tx, source = desk.tx, desk.deployment
    now = utcnow()
    clone = source.model_copy(
        update={
            "id": new_id(),
            "name": command.name or f"{source.name} (copy)",
            "userId": desk.actor.id,
            "isPublic": False,
            "isTemplate": False,
            "templateCategory": None,
            "generatedScript": None,
            "lastGenerated": None,
            "createdAt": now,
            "updatedAt": now,
        }
    )
    copy_contents(tx, contents_of(tx, source), clone)
    copy_workflow(desk, clone)
    newest = tx.find(LockRecord, where={"deploymentId": source.id}, order_by="-createdAt", limit=1)
    for lock in newest:
        tx.put(
            LockRecord(
                deploymentId=clone.id,
                content=lock.content,
                sha256=lock.sha256,
                reason=f"as in {source.name}",
            )
        )
    return clone


@writes(PublishDeployment)
def _publish(desk: Desk[Transaction], command: PublishDeployment) -> Deployment:
    return changed(desk.tx, desk.deployment, isPublic=command.public)


@writes(MakeTemplate)
def _template(desk: Desk[Transaction], command: MakeTemplate) -> Deployment:
    category = command.category or desk.deployment.templateCategory
    return changed(
        desk.tx,
        desk.deployment,
        isTemplate=command.template,
        templateCategory=category if command.template else None,
    )
