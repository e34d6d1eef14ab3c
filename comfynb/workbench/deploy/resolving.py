"""From what a workflow needs to what is put into a deployment: only what is certain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from comfynb.comfy.load import LoadedWorkflow, load_workflow
from comfynb.deploy.catalogue.folders import type_of_folder
from comfynb.deploy.catalogue.urls import huggingface_file
from comfynb.deploy.resolve import ModelFile, Resolution, ResolvedModel, Status
from comfynb.deploy.service import (
    BundledModel,
    FillDeployment,
    MadeFrom,
    ModelChoice,
    NodeChoice,
)
from comfynb.errors import InvalidValue
from comfynb.models import (
    CustomNode,
    DeploymentWorkflow,
    Model,
    Source,
    explain,
)
from comfynb.workbench.workflows import Workflow

__all__ = ["Needed", "filling", "loaded", "made_from", "restored"]


@dataclass(frozen=True, slots=True)
class Needed:
    """What a deployment's workflow needs, and why some of it was not put in."""

    resolution: Resolution
    left_out: tuple[str, ...]


def loaded(workflow: Any) -> LoadedWorkflow:
    """Read a workflow: a handle, a file, JSON. Raises NotAWorkflow.

    No backend is asked for that: a workflow as it was saved says more than what it becomes.
    """
    if isinstance(workflow, LoadedWorkflow):
        return workflow
    if not isinstance(workflow, Workflow):
        return load_workflow(workflow)
    source = workflow._source  # noqa: SLF001 - of the same package
    if source is not None:
        return source
    made = workflow._definition  # noqa: SLF001
    if made.workflow_json:
        return LoadedWorkflow("ui", made.workflow_json, made.api_json or None, made.name)
    return LoadedWorkflow("api", None, made.api_json, made.name)


def made_from(source: LoadedWorkflow, choices: Mapping[str, Any]) -> MadeFrom:
    """What is stored of a workflow and of a person's choices."""
    return MadeFrom(
        name=source.name,
        workflowJson=source.workflow or {},
        apiJson=source.prompt or {},
        choices={name: _told(choice) for name, choice in choices.items()},
    )


def _told(choice: Any) -> str:
    if isinstance(choice, CustomNode):
        return choice.githubUrl
    if isinstance(choice, Model):
        return choice.downloadUrl
    return choice.url if isinstance(choice, ModelFile) else str(choice)


def restored(row: DeploymentWorkflow) -> LoadedWorkflow:
    """The workflow that was stored."""
    workflow, prompt = row.workflowJson or None, row.apiJson or None
    return LoadedWorkflow("ui" if prompt is None else "api", workflow, prompt, row.name)


def filling(
    deployment_id: str, resolution: Resolution, *, saved_versions: bool = False
) -> tuple[FillDeployment, list[str]]:
    """Return the command that puts in all that is resolved, and why other things are left out.

    ``saved_versions`` asks for the releases of packs that the workflow was saved with.
    """
    nodes, models, found, left = [], [], [], []
    places: dict[str, str] = {}
    for use in resolution.packs:
        if not use.node.isActive:
            left.append(f"{use.node.name} is not active in the catalogue: a CURATOR can say why.")
            continue
        config = {}
        if saved_versions and len(use.versions) == 1:
            config["version"] = use.versions[0]
        nodes.append(NodeChoice(customNodeId=use.node.id, config=config))
    for model in resolution.models:
        if model.status is not Status.RESOLVED:
            continue
        name = model.need.filename
        try:
            if model.path is None:
                left.append(f"{name}: nothing says which folder it belongs in.")
                continue
            key = model.known.model.id if model.known is not None else f"{name} {model.url}"
            if places.setdefault(key, model.path) != model.path:
                left.append(
                    f"{name} is wanted in {model.path} too, but a deployment puts a model into one "
                    f"folder: {places[key]}."
                )
            elif model.known is not None:
                row = model.known.model
                other = name if row.filename != name else None
                models.append(ModelChoice(modelId=row.id, targetPath=model.path, customName=other))
            else:
                found.append(_found(model, model.path))
        except ValidationError as error:
            left.append(f"{name}: {explain(error)}")
        except InvalidValue as error:
            left.append(f"{name}: {error}")
    command = FillDeployment(deploymentId=deployment_id, nodes=nodes, models=models, found=found)
    return command, left


def _found(model: ResolvedModel, path: str) -> BundledModel:
    """A model that only the workflow names; its address may be anything."""
    url = model.url or ""
    place = huggingface_file(url)
    return BundledModel(
        name=model.need.filename,
        type=type_of_folder(path.removeprefix("models/")),
        source=Source.HUGGINGFACE if place is not None else Source.DIRECT,
        sourceId=place[0] if place is not None else None,
        downloadUrl=url,
        filename=model.need.filename,
        fileSize=model.size,
        targetPath=path,
    )
