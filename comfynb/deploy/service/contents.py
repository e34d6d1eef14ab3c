"""A deployment with all that is in it, as commands give it back and locks are made of it."""

from dataclasses import dataclass

from comfynb.models import (
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    Model,
    StoredModel,
    SystemPackage,
    User,
)
from comfynb.store import Transaction, View

__all__ = ["ChosenModel", "ChosenNode", "DeploymentContents", "contents_of", "copy_contents"]


@dataclass(frozen=True, slots=True)
class ChosenNode:
    """A node pack in a deployment: what was chosen, and the catalogue's row."""

    choice: DeploymentNode
    node: CustomNode


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """A model in a deployment: what was chosen, and the catalogue's row."""

    choice: DeploymentModel
    model: Model


@dataclass(frozen=True, slots=True)
class DeploymentContents:
    """A deployment and its owner's name, with node packs, models and packages in order of names."""

    deployment: Deployment
    owner: str
    nodes: tuple[ChosenNode, ...] = ()
    models: tuple[ChosenModel, ...] = ()
    packages: tuple[SystemPackage, ...] = ()


def contents_of(view: View, deployment: Deployment) -> DeploymentContents:
    """Read all that is in a deployment."""
    mine = {"deploymentId": deployment.id}
    node_choices = view.find(DeploymentNode, where=mine)
    model_choices = view.find(DeploymentModel, where=mine)
    node_ids = [choice.customNodeId for choice in node_choices]
    model_ids = [choice.modelId for choice in model_choices]
    nodes = {one.id: one for one in view.find(CustomNode, where={"id": node_ids})}
    models = {one.id: one for one in view.find(Model, where={"id": model_ids})}
    owner = view.get(User, deployment.userId)
    return DeploymentContents(
        deployment=deployment,
        owner=(owner.name or owner.email) if owner is not None else "",
        nodes=tuple(
            sorted(
                (ChosenNode(one, nodes[one.customNodeId]) for one in node_choices),
                key=lambda one: (one.node.name.lower(), one.node.id),
            )
        ),
        models=tuple(
            sorted(
                (ChosenModel(one, models[one.modelId]) for one in model_choices),
                key=lambda one: (one.choice.targetPath, one.model.name.lower(), one.model.id),
            )
        ),
        packages=tuple(
            sorted(
                view.find(SystemPackage, where=mine),
                key=lambda one: (one.packageType.value, one.name),
            )
        ),
    )


def copy_contents(tx: Transaction, source: DeploymentContents, target: Deployment) -> None:
    """Put a new deployment into the store, with copies of another one's choices."""
    mine = {"deploymentId": target.id}
    rows: list[StoredModel] = [target]
    rows += [one.choice.model_copy(update=mine) for one in source.nodes]
    rows += [one.choice.model_copy(update=mine) for one in source.models]
    for package in source.packages:
        values = package.model_dump(exclude={"id", "deploymentId", "createdAt"})
        rows.append(SystemPackage(deploymentId=target.id, **values))
    tx.put(*rows)
