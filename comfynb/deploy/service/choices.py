"""Commands about what is in a deployment: node packs, models, packages, environment, settings."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import Annotated, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, writes
from comfynb.deploy.service.deployments import changed
from comfynb.deploy.service.environment import check_environment, check_no_secrets
from comfynb.deploy.service.paths import check_file, check_folder, folder_of
from comfynb.deploy.service.permission import Access, Permission
from comfynb.errors import NotFound, UsageError
from comfynb.models import (
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    JsonObject,
    Model,
    PackageType,
    SystemPackage,
)
from comfynb.store import Transaction

__all__ = [
    "AddModel",
    "AddNode",
    "AddPackage",
    "EnableModel",
    "EnableNode",
    "RemoveModel",
    "RemoveNode",
    "RemovePackage",
    "SetEnvironment",
    "SetSettings",
]

CHANGES = Permission(access=Access.CHANGE)


class AddNode(Command[DeploymentNode]):
    """Put a node pack of the catalogue into a deployment, or give one in it this ``config``."""

    permission: ClassVar = CHANGES

    deploymentId: str
    customNodeId: str
    config: JsonObject = Field(default_factory=dict)
    isEnabled: bool = True


class RemoveNode(Command[None]):
    """Take a node pack out of a deployment."""

    permission: ClassVar = CHANGES

    deploymentId: str
    customNodeId: str


class EnableNode(Command[DeploymentNode]):
    """Install a node pack of a deployment, or leave it out without forgetting it."""

    permission: ClassVar = CHANGES

    deploymentId: str
    customNodeId: str
    isEnabled: bool = True


class AddModel(Command[DeploymentModel]):
    """Put a model of the catalogue into a deployment; without ``targetPath``, where it belongs."""

    permission: ClassVar = CHANGES

    deploymentId: str
    modelId: str
    targetPath: str | None = None
    customName: str | None = None
    isEnabled: bool = True


class RemoveModel(Command[None]):
    """Take a model out of a deployment."""

    permission: ClassVar = CHANGES

    deploymentId: str
    modelId: str


class EnableModel(Command[DeploymentModel]):
    """Download a model of a deployment, or leave it out without forgetting it."""

    permission: ClassVar = CHANGES

    deploymentId: str
    modelId: str
    isEnabled: bool = True


class AddPackage(Command[SystemPackage]):
    """Put a Debian or Python package into a deployment; one of that name is replaced."""

    permission: ClassVar = CHANGES

    deploymentId: str
    packageType: PackageType
    name: str
    version: str | None = None
    installUrl: str | None = None


class RemovePackage(Command[None]):
    """Take a package out of a deployment."""

    permission: ClassVar = CHANGES

    deploymentId: str
    packageId: str


class SetEnvironment(Command[Deployment]):
    """Set the environment variables of a deployment, all of them.

    ``risky`` allows those that change which programs and libraries the machine runs.
    """

    permission: ClassVar = CHANGES

    deploymentId: str
    variables: Annotated[dict[str, str], Field(max_length=1000)]
    risky: bool = False


class SetSettings(Command[Deployment]):
    """Set the settings of a deployment, all of them; see :class:`comfynb.models.CustomSettings`."""

    permission: ClassVar = CHANGES

    deploymentId: str
    settings: JsonObject


@writes(AddNode)
def _add_node(desk: Desk[Transaction], command: AddNode) -> DeploymentNode:
    node = desk.tx.get(CustomNode, command.customNodeId)
    if node is None:
        raise NotFound(
            f"The catalogue has no node pack {command.customNodeId!r:.80}: "
            "wb.catalogue.search() finds those that there are."
        )
    if not node.isActive:
        raise UsageError(_inactive(node.name))
    check_no_secrets(command.config)
    choice = DeploymentNode(
        deploymentId=desk.deployment.id,
        customNodeId=node.id,
        config=command.config,
        isEnabled=command.isEnabled,
    )
    desk.tx.put(choice)
    changed(desk.tx, desk.deployment)
    return choice


def _inactive(name: str) -> str:
    return (
        f"{name:.80} is not active in the catalogue (withdrawn, banned or never looked at): "
        "a CURATOR can activate it."
    )


def _node(desk: Desk[Transaction], node_id: str) -> DeploymentNode:
    choice = desk.tx.get(DeploymentNode, desk.deployment.id, node_id)
    if choice is None:
        raise NotFound(f"{desk.deployment.name:.80} has no node pack {node_id!r:.80}.")
    return choice


@writes(RemoveNode)
def _remove_node(desk: Desk[Transaction], command: RemoveNode) -> None:
    choice = _node(desk, command.customNodeId)
    desk.tx.delete(DeploymentNode, choice.deploymentId, choice.customNodeId)
    changed(desk.tx, desk.deployment)


@writes(EnableNode)
def _enable_node(desk: Desk[Transaction], command: EnableNode) -> DeploymentNode:
    choice = _node(desk, command.customNodeId)
    choice.isEnabled = command.isEnabled
    desk.tx.put(choice)
    changed(desk.tx, desk.deployment)
    return choice


@writes(AddModel)
def _add_model(desk: Desk[Transaction], command: AddModel) -> DeploymentModel:
    model = desk.tx.get(Model, command.modelId)
    if model is None:
        raise NotFound(
            f"The catalogue has no model {command.modelId!r:.80}: "
            "wb.catalogue.search() finds those that there are."
        )
    if not model.isActive:
        raise UsageError(_inactive(model.name))
    choice = DeploymentModel(
        deploymentId=desk.deployment.id,
        modelId=model.id,
        targetPath=check_folder(command.targetPath) if command.targetPath else folder_of(model),
        customName=check_file(command.customName) if command.customName else None,
        isEnabled=command.isEnabled,
    )
    desk.tx.put(choice)
    changed(desk.tx, desk.deployment)
    return choice


def _model(desk: Desk[Transaction], model_id: str) -> DeploymentModel:
    choice = desk.tx.get(DeploymentModel, desk.deployment.id, model_id)
    if choice is None:
        raise NotFound(f"{desk.deployment.name:.80} has no model {model_id!r:.80}.")
    return choice


@writes(RemoveModel)
def _remove_model(desk: Desk[Transaction], command: RemoveModel) -> None:
    choice = _model(desk, command.modelId)
    desk.tx.delete(DeploymentModel, choice.deploymentId, choice.modelId)
    changed(desk.tx, desk.deployment)


@writes(EnableModel)
def _enable_model(desk: Desk[Transaction], command: EnableModel) -> DeploymentModel:
    choice = _model(desk, command.modelId)
    choice.isEnabled = command.isEnabled
    desk.tx.put(choice)
    changed(desk.tx, desk.deployment)
    return choice


@writes(AddPackage)
def _add_package(desk: Desk[Transaction], command: AddPackage) -> SystemPackage:
    mine = {
        "deploymentId": desk.deployment.id,
        "packageType": command.packageType,
        "name": command.name,
    }
    package = SystemPackage(**command.model_dump())
    for former in desk.tx.find(SystemPackage, where=mine):
        desk.tx.delete(SystemPackage, former.id)
    desk.tx.put(package)
    changed(desk.tx, desk.deployment)
    return package


@writes(RemovePackage)
def _remove_package(desk: Desk[Transaction], command: RemovePackage) -> None:
    package = desk.tx.get(SystemPackage, command.packageId)
    if package is None or package.deploymentId != desk.deployment.id:
        raise NotFound(f"{desk.deployment.name:.80} has no package {command.packageId!r:.80}.")
    desk.tx.delete(SystemPackage, package.id)
    changed(desk.tx, desk.deployment)


@writes(SetEnvironment)
def _environment(desk: Desk[Transaction], command: SetEnvironment) -> Deployment:
    check_environment(command.variables, risky=command.risky)
    return changed(desk.tx, desk.deployment, environmentVars=command.variables)


@writes(SetSettings)
def _settings(desk: Desk[Transaction], command: SetSettings) -> Deployment:
    check_no_secrets(command.settings)
    return changed(desk.tx, desk.deployment, customSettings=command.settings)
