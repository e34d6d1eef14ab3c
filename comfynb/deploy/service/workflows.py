"""The workflow that a deployment was made from: kept with it, and shown to who may change it.

A workflow holds prompts and whatever else its author typed into it, so that others who can see a
deployment, or copy it, do not get it.
"""

# ruff: noqa: N815 - fields that are the models' have the models' names

from typing import ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, reads
from comfynb.deploy.service.permission import Access, Permission, may_change
from comfynb.models import ComfynbModel, Deployment, DeploymentWorkflow, JsonObject, User
from comfynb.store import Transaction, View

__all__ = ["MadeFrom", "ReadWorkflow", "copy_workflow", "keep_workflow"]


class MadeFrom(ComfynbModel):
    """A workflow in the forms that are known of it, and what a person decided about its needs."""

    name: str = ""
    workflowJson: JsonObject = Field(default_factory=dict)
    apiJson: JsonObject = Field(default_factory=dict)
    choices: dict[str, str] = Field(default_factory=dict)


class ReadWorkflow(Command[DeploymentWorkflow | None]):
    """Look at the workflow that one's own deployment was made from; None if it has none."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str


def keep_workflow(tx: Transaction, deployment: Deployment, made_from: MadeFrom) -> None:
    """Store what a deployment was made from, in place of what was there."""
    tx.put(DeploymentWorkflow(deploymentId=deployment.id, **made_from.model_dump()))


def copy_workflow(desk: Desk[Transaction], clone: Deployment) -> None:
    """Give the copy of a deployment its workflow, if that is for the one who copies it."""
    known = _workflow(desk.tx, desk.actor, desk.deployment)
    if known is not None:
        desk.tx.put(known.model_copy(update={"deploymentId": clone.id}))


def _workflow(view: View, actor: User, deployment: Deployment) -> DeploymentWorkflow | None:
    return view.get(DeploymentWorkflow, deployment.id) if may_change(actor, deployment) else None


@reads(ReadWorkflow)
def _read(desk: Desk[View], _: ReadWorkflow) -> DeploymentWorkflow | None:
    return _workflow(desk.tx, desk.actor, desk.deployment)
