"""Commands that put a deployment into a bundle, and make a deployment of one."""

# ruff: noqa: N815 - fields that are the models' have the models' names

import asyncio
from typing import Annotated, ClassVar

from pydantic import Field

from comfynb.deploy.catalogue import repository
from comfynb.deploy.catalogue.nodes import IDENTITY
from comfynb.deploy.service.bundle import (
    MOST_ITEMS,
    Bundle,
    BundledModel,
    BundledNode,
    pack,
    unpack,
)
from comfynb.deploy.service.command import Command, Desk, Run, reads, steps, writes
from comfynb.deploy.service.contents import DeploymentContents, contents_of
from comfynb.deploy.service.deployments import changed
from comfynb.deploy.service.environment import check_no_secrets
from comfynb.deploy.service.locks import keep_lock, newest_lock
from comfynb.deploy.service.paths import check_file, check_folder
from comfynb.deploy.service.permission import Access, Permission
from comfynb.deploy.service.workflows import MadeFrom, keep_workflow
from comfynb.errors import NotFound
from comfynb.models import (
    ComfynbModel,
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    JsonObject,
    Lock,
    Model,
    StoredModel,
    SystemPackage,
)
from comfynb.models._base import Name
from comfynb.store import Transaction, View

__all__ = ["ExportBundle", "FillDeployment", "ImportBundle", "ModelChoice", "NodeChoice"]


class ExportBundle(Command[Bundle]):
    """Put a deployment and its newest lock into a bundle, without tokens and anybody's id."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str


class ImportBundle(Command[Deployment]):
    """Make a private deployment of one's own of a bundle, JSON as text or bytes.

    Packs and models that the catalogue does not have become rows of it that are neither active nor
    verified: no search finds them, and no workflow is resolved by them, until a CURATOR has looked.
    """

    permission: ClassVar = Permission()

    bundle: str | bytes = Field(repr=False)
    name: Annotated[Name, Field(max_length=200)] | None = None


class ModelChoice(ComfynbModel):
    """A model of the catalogue, and where it goes."""

    modelId: str
    targetPath: str
    customName: str | None = None


class NodeChoice(ComfynbModel):
    """A node pack of the catalogue, and what it is to be in this deployment."""

    customNodeId: str
    config: JsonObject = Field(default_factory=dict)


class FillDeployment(Command[DeploymentContents]):
    """Put many things into a deployment at once: all of them, or none.

    ``nodes`` and ``models`` are of the catalogue; ``found`` are models that only a workflow names:
    rows of the catalogue that are neither active nor verified, as for a bundle.
    """

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str
    nodes: Annotated[list[NodeChoice], Field(max_length=MOST_ITEMS)] = Field(default_factory=list)
    models: Annotated[list[ModelChoice], Field(max_length=MOST_ITEMS)] = Field(default_factory=list)
    found: Annotated[list[BundledModel], Field(max_length=MOST_ITEMS)] = Field(default_factory=list)
    workflow: MadeFrom | None = Field(default=None, repr=False)
    """What all of it was found in; None leaves what is known of that."""


@writes(FillDeployment)
def _fill(desk: Desk[Transaction], command: FillDeployment) -> DeploymentContents:
    tx, deployment_id = desk.tx, desk.deployment.id
    node_ids = {one.customNodeId for one in command.nodes}
    missing = node_ids - {row.id for row in tx.find(CustomNode, where={"id": sorted(node_ids)})}
    model_ids = {one.modelId for one in command.models}
    missing |= model_ids - {row.id for row in tx.find(Model, where={"id": sorted(model_ids)})}
    if missing:
        raise NotFound(f"The catalogue has nothing with the id {min(missing)!r:.80}.")
    rows: list[StoredModel] = []
    for node in command.nodes:
        check_no_secrets(node.config)
        rows.append(
            DeploymentNode(
                deploymentId=deployment_id, customNodeId=node.customNodeId, config=node.config
            )
        )
    rows += [
        DeploymentModel(
            deploymentId=deployment_id,
            modelId=model.modelId,
            targetPath=check_folder(model.targetPath),
            customName=check_file(model.customName) if model.customName else None,
        )
        for model in command.models
    ]
    for found in command.found:
        row = _model_row(tx, found)
        rows += [
            row,
            DeploymentModel(
                deploymentId=deployment_id,
                modelId=row.id,
                targetPath=found.targetPath,
                customName=found.customName,
            ),
        ]
    tx.put(*rows)
    if command.workflow is not None:
        keep_workflow(tx, desk.deployment, command.workflow)
    changed(tx, desk.deployment)
    return contents_of(tx, desk.deployment)


@reads(ExportBundle)
def _export(desk: Desk[View], _: ExportBundle) -> Bundle:
    record = newest_lock(desk.tx, desk.deployment.id)
    lock = Lock.model_validate(record.content) if record is not None else None
    return pack(contents_of(desk.tx, desk.deployment), lock)


@steps(ImportBundle)
async def _import(run: Run[ImportBundle]) -> Deployment:
    await run.enter()
    bundle = await asyncio.to_thread(unpack, run.command.bundle)
    return await run.write(lambda desk: _bring_in(desk, bundle, run.command.name))


def _bring_in(desk: Desk[Transaction], bundle: Bundle, name: str | None) -> Deployment:
    deployment = Deployment(
        name=name or bundle.name,
        description=bundle.description,
        userId=desk.actor.id,
        scriptType=bundle.scriptType,
        environmentVars=bundle.environmentVars,
        customSettings=bundle.customSettings,
    )
    rows: list[StoredModel] = [deployment]
    for node in bundle.nodes:
        pack_row = _node_row(desk.tx, node)
        rows += [
            pack_row,
            DeploymentNode(
                deploymentId=deployment.id,
                customNodeId=pack_row.id,
                isEnabled=node.isEnabled,
                config=node.config,
            ),
        ]
    for model in bundle.models:
        model_row = _model_row(desk.tx, model)
        rows += [
            model_row,
            DeploymentModel(
                deploymentId=deployment.id,
                modelId=model_row.id,
                targetPath=model.targetPath,
                customName=model.customName,
                isEnabled=model.isEnabled,
            ),
        ]
    for package in bundle.packages:
        rows.append(SystemPackage(deploymentId=deployment.id, **package.model_dump()))
    desk.tx.put(*rows)
    if bundle.lock is not None:
        keep_lock(desk.tx, deployment.id, bundle.lock, "came with the bundle")
    return deployment


def _node_row(tx: Transaction, node: BundledNode) -> CustomNode:
    """The catalogue's own row, as it is, or a new one that nobody has looked at."""
    rows = tx.execute(
        f"select id from custom_nodes where {IDENTITY} = $1 order by id",  # noqa: S608
        [repository(node.githubUrl).key],
    )
    known = tx.get(CustomNode, rows[0][0]) if rows else None
    # Node classes that a bundle claims for its packs are not taken: they would decide which pack
    # other people's workflows get.
    return known or CustomNode(
        name=node.name,
        githubUrl=node.githubUrl,
        branch=node.branch,
        installType=node.installType,
        isActive=False,
    )


def _model_row(tx: Transaction, model: BundledModel) -> Model:
    known = tx.find(
        Model, where={"downloadUrl": model.downloadUrl, "filename": model.filename}, limit=1
    )
    values = model.model_dump(exclude={"targetPath", "customName", "isEnabled"})
    return known[0] if known else Model(**values, isActive=False)
