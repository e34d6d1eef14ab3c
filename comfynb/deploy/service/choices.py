"""Commands about what is in a deployment: node packs, models, packages, environment, settings."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, writes
from comfynb.deploy.service.deployments import changed
from comfynb.deploy.service.environment import check_environment, check_no_secrets, is_risky
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

    ``risky`` allows those that change which programs and libraries the machine runs; the setting
    ``allowed_variables`` then names them.
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


T = TypeVar("T", CustomNode, Model)
Choice = DeploymentNode | DeploymentModel


def _offered(desk: Desk[Transaction], kind: type[T], item_id: str) -> T:
    """A pack or model of the catalogue that may be put into a deployment."""
    found = desk.tx.get(kind, item_id)
    if found is None:
        method = "nodes" if kind is CustomNode else "models"
        raise NotFound(
            f"The catalogue has no {_WORDS[kind]} {item_id!r:.80}: "
            f"wb.catalogue.{method}() finds those that there are."
        )
    if not found.isActive:
        raise UsageError(
            f"{found.name:.80} is not active in the catalogue (withdrawn, banned or never looked "
            "at): a CURATOR can activate it."
        )
    return found


_WORDS: Mapping[type, str] = {
    CustomNode: "node pack",
    DeploymentNode: "node pack",
    Model: "model",
    DeploymentModel: "model",
}


@writes(AddNode)
def _add_node(desk: Desk[Transaction], command: AddNode) -> DeploymentNode:
    node = _offered(desk, CustomNode, command.customNodeId)
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


@writes(AddModel)
def _add_model(desk: Desk[Transaction], command: AddModel) -> DeploymentModel:
    model = _offered(desk, Model, command.modelId)
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


def _chosen(
    desk: Desk[Transaction], command: RemoveNode | EnableNode | RemoveModel | EnableModel
) -> tuple[type[Choice], str, Choice]:
    """What a command names in the desk's deployment: its table, its id, and the row."""
    kind: type[Choice]
    if isinstance(command, RemoveNode | EnableNode):
        kind, item_id = DeploymentNode, command.customNodeId
    else:
        kind, item_id = DeploymentModel, command.modelId
    choice = desk.tx.get(kind, desk.deployment.id, item_id)
    if choice is None:
        raise NotFound(f"{desk.deployment.name:.80} has no {_WORDS[kind]} {item_id!r:.80}.")
    return kind, item_id, choice


def _remove(desk: Desk[Transaction], command: RemoveNode | RemoveModel) -> None:
    kind, item_id, _ = _chosen(desk, command)
    desk.tx.delete(kind, desk.deployment.id, item_id)
    changed(desk.tx, desk.deployment)


def _enable(desk: Desk[Transaction], command: EnableNode | EnableModel) -> Choice:
    _, _, choice = _chosen(desk, command)
    choice.isEnabled = command.isEnabled
    desk.tx.put(choice)
    changed(desk.tx, desk.deployment)
    return choice


writes(RemoveNode)(_remove)
writes(RemoveModel)(_remove)
writes(EnableNode)(_enable)
writes(EnableModel)(_enable)


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
    settings = dict(desk.deployment.customSettings)
    # A lock says by name what was meant, so that its scripts need nobody's word.
    allowed = sorted(name for name in command.variables if is_risky(name))
    settings.pop("allowed_variables", None)
    if allowed:
        settings["allowed_variables"] = allowed
    return changed(
        desk.tx, desk.deployment, environmentVars=command.variables, customSettings=settings
    )


@writes(SetSettings)
def _settings(desk: Desk[Transaction], command: SetSettings) -> Deployment:
    check_no_secrets(command.settings)
    return changed(desk.tx, desk.deployment, customSettings=command.settings)
