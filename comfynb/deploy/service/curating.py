"""Commands about the catalogue: add node packs and models, put them right, verify and withdraw."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import Any, ClassVar

from pydantic import Field

from comfynb.deploy.catalogue import Catalogue, model_url, repository
from comfynb.deploy.catalogue.nodes import IDENTITY
from comfynb.deploy.net import shown
from comfynb.deploy.net.naming import file_name, name_in
from comfynb.deploy.resolve.folders import is_model_file
from comfynb.deploy.service.command import Command, Desk, Run, steps, writes
from comfynb.deploy.service.parts import needed
from comfynb.deploy.service.paths import check_file
from comfynb.deploy.service.permission import Permission
from comfynb.deploy.sync.manager_models import source_of
from comfynb.errors import FetchError, InvalidValue, UsageError
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
    """Add a model to the catalogue by hand, not verified.

    Without ``filename`` the file is called as its URL says, or as its server says (which is asked
    for it); without ``name`` the model is called as its file. ``source`` and ``sourceId`` are what
    the URL tells, if they are not given.
    """

    permission: ClassVar = CURATES

    downloadUrl: str
    type: ModelType
    name: str | None = None
    source: Source | None = None
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


@steps(RegisterModel)
async def _list_model(run: Run[RegisterModel]) -> Model:
    await run.enter()
    command = run.command
    try:
        url = model_url(command.downloadUrl)
    except ValueError as error:
        raise InvalidValue(f"The downloadUrl {error}.") from None
    filename = command.filename or await _file_name(run, url)

    def put(desk: Desk[Transaction]) -> Model:
        for known in desk.tx.find(Model, where={"downloadUrl": url, "filename": filename}):
            raise UsageError(f"{known.name:.80} is in the catalogue already: edit it.")
        source, source_id, _ = source_of(url, command.sourceUrl, filename)
        if command.source not in {None, source}:
            source, source_id = command.source or source, None
        values = {
            **command.model_dump(),
            "source": source,
            "sourceId": command.sourceId or source_id,
            "name": command.name or filename.rpartition(".")[0],
            "downloadUrl": url,
            "filename": filename,
        }
        model = Model(**values)
        desk.tx.put(model)
        return model

    return await run.write(put)


async def _file_name(run: Run[RegisterModel], url: str) -> str:
    """The name of the file at a URL, as the URL or else its server says; raises InvalidValue."""
    name = name_in(url)
    if name is None or not is_model_file(name):
        open_fetcher = needed(run.parts.fetcher, "a way out")
        try:
            async with open_fetcher() as fetcher:
                name = await file_name(url, fetcher)
        except FetchError as error:
            raise InvalidValue(
                f"The URL names no file, and {str(error).removesuffix('.')}: give filename=, such "
                "as 'style.safetensors'."
            ) from None
    if name is None:
        raise InvalidValue(
            f"{shown(url)} does not say what its file is called: give filename=, such as "
            "'style.safetensors'."
        )
    return check_file(name)


def _fields(command: Command[Any]) -> dict[str, Any]:
    """What a command sets in the catalogue's row."""
    if isinstance(command, VerifyNode | VerifyModel):
        return {"isVerified": command.verified}
    if isinstance(command, DeactivateNode | DeactivateModel):
        return {"isActive": command.active}
    assert isinstance(command, EditNode | EditModel), "these are all"
    for name, other in _ELSEWHERE.items():
        if name in command.fields:
            raise UsageError(f"{name} is set by {other}.")
    return command.fields


async def _curate(run: Run[Any]) -> Any:
    # Nobody owns the catalogue: the role is what counts, and it is asked for first.
    await run.enter()
    catalogue, command = Catalogue(run.store), run.command
    fields = _fields(command)
    if "customNodeId" in type(command).model_fields:
        return await catalogue.curate_node(command.customNodeId, **fields)
    return await catalogue.curate_model(command.modelId, **fields)


for _command in (EditNode, VerifyNode, DeactivateNode, EditModel, VerifyModel, DeactivateModel):
    steps(_command)(_curate)
