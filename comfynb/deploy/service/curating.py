"""Commands about the catalogue: add node packs and models, put them right, verify and withdraw."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import Any, ClassVar

from pydantic import Field

from comfynb.deploy.catalogue import Catalogue, model_url, repository
from comfynb.deploy.catalogue.nodes import IDENTITY
from comfynb.deploy.service.command import Command, Desk, Run, steps, writes
from comfynb.deploy.service.permission import Permission
from comfynb.errors import InvalidValue, UsageError
from comfynb.models import (
    CustomNode,
    JsonObject,
    Model,
    ModelType,
    Role,
    Source,
)
from comfynb.store import Transaction

__all__ = [
    "DeactivateModel",
    "DeactivateNode",
    "EditModel",
    "EditNode",
    "RegisterModel",
    "RegisterNode",
    "VerifyModel",
    "VerifyNode",
]

CURATES = Permission(role=Role.CURATOR)


class RegisterNode(Command[CustomNode]):
    """Add a node pack to the catalogue by hand, not verified."""

    permission: ClassVar = CURATES

    githubUrl: str
    name: str | None = None
    branch: str | None = None
    description: str | None = None
    author: str | None = None
    installType: str = "git"
    tags: list[str] = Field(default_factory=list)
    nodeClasses: list[str] = Field(default_factory=list)


class EditNode(Command[CustomNode]):
    """Put fields of a node pack right; no sync changes them again."""

    permission: ClassVar = CURATES

    customNodeId: str
    fields: JsonObject


class VerifyNode(Command[CustomNode]):
    """Say that a person has looked at a node pack, or take that back."""

    permission: ClassVar = CURATES

    customNodeId: str
    verified: bool = True


class DeactivateNode(Command[CustomNode]):
    """Take a node pack out of searches and new deployments, or put it back."""

    permission: ClassVar = CURATES

    customNodeId: str
    active: bool = False


class RegisterModel(Command[Model]):
    """Add a model to the catalogue by hand, not verified."""

    permission: ClassVar = CURATES

    name: str
    type: ModelType
    downloadUrl: str
    source: Source = Source.DIRECT
    sourceId: str | None = None
    sourceUrl: str | None = None
    filename: str | None = None
    category: str | None = None
    baseModel: str | None = None
    fileSize: int | None = None
    authRequired: bool = False
    metadata: JsonObject = Field(default_factory=dict)


class EditModel(Command[Model]):
    """Put fields of a model right; no sync changes them again. ``metadata`` key by key."""

    permission: ClassVar = CURATES

    modelId: str
    fields: JsonObject


class VerifyModel(Command[Model]):
    """Say that a person has looked at a model, or take that back."""

    permission: ClassVar = CURATES

    modelId: str
    verified: bool = True


class DeactivateModel(Command[Model]):
    """Take a model out of searches and new deployments, or put it back."""

    permission: ClassVar = CURATES

    modelId: str
    active: bool = False


_ELSEWHERE = {"isVerified": "VerifyNode or VerifyModel", "isActive": "DeactivateNode or -Model"}


@writes(RegisterNode)
def _list_node(desk: Desk[Transaction], command: RegisterNode) -> CustomNode:
    try:
        place = repository(command.githubUrl)
    except ValueError as error:
        raise InvalidValue(f"{command.githubUrl!r:.80} {error}.") from None
    known = desk.tx.execute(
        f"select name from custom_nodes where {IDENTITY} = $1",  # noqa: S608
        [place.key],
    )
    if known:
        raise UsageError(f"{known[0][0]:.80} is in the catalogue already: edit it.")
    node = CustomNode(
        name=command.name or place.url.rpartition("/")[2],
        githubUrl=place.url,
        branch=command.branch or place.branch or "main",
        description=command.description,
        author=command.author,
        installType=command.installType,
        tags=command.tags,
        nodeClasses=command.nodeClasses,
    )
    desk.tx.put(node)
    return node


@writes(RegisterModel)
def _list_model(desk: Desk[Transaction], command: RegisterModel) -> Model:
    try:
        url = model_url(command.downloadUrl)
    except ValueError as error:
        raise InvalidValue(f"The downloadUrl {error}.") from None
    for known in desk.tx.find(Model, where={"downloadUrl": url}):
        if known.filename == command.filename:
            raise UsageError(f"{known.name:.80} is in the catalogue already: edit it.")
    model = Model(**{**command.model_dump(), "downloadUrl": url})
    desk.tx.put(model)
    return model


async def _curate(run: Run[Any], kind: str, row_id: str, fields: dict[str, Any]) -> Any:
    # Nobody owns the catalogue: the role is what counts, and it is asked for first.
    await run.enter()
    catalogue = Catalogue(run.store)
    curate = catalogue.curate_node if kind == "node" else catalogue.curate_model
    return await curate(row_id, **fields)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    for name, command in _ELSEWHERE.items():
        if name in fields:
            raise UsageError(f"{name} is set by {command}.")
    return fields


@steps(EditNode)
async def _edit_node(run: Run[EditNode]) -> CustomNode:
    fields = _plain(run.command.fields)
    made: CustomNode = await _curate(run, "node", run.command.customNodeId, fields)
    return made


@steps(EditModel)
async def _edit_model(run: Run[EditModel]) -> Model:
    fields = _plain(run.command.fields)
    made: Model = await _curate(run, "model", run.command.modelId, fields)
    return made


@steps(VerifyNode)
async def _verify_node(run: Run[VerifyNode]) -> CustomNode:
    fields = {"isVerified": run.command.verified}
    made: CustomNode = await _curate(run, "node", run.command.customNodeId, fields)
    return made


@steps(VerifyModel)
async def _verify_model(run: Run[VerifyModel]) -> Model:
    fields = {"isVerified": run.command.verified}
    made: Model = await _curate(run, "model", run.command.modelId, fields)
    return made


@steps(DeactivateNode)
async def _deactivate_node(run: Run[DeactivateNode]) -> CustomNode:
    fields = {"isActive": run.command.active}
    made: CustomNode = await _curate(run, "node", run.command.customNodeId, fields)
    return made


@steps(DeactivateModel)
async def _deactivate_model(run: Run[DeactivateModel]) -> Model:
    fields = {"isActive": run.command.active}
    made: Model = await _curate(run, "model", run.command.modelId, fields)
    return made
