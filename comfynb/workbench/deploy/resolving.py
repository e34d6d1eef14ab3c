"""From what a workflow needs to what is put into a deployment: only what is certain."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from comfynb.comfy.load import LoadedWorkflow
from comfynb.deploy.catalogue.urls import huggingface_file
from comfynb.deploy.resolve import Resolution, ResolvedModel, Status
from comfynb.deploy.service import BundledModel, FillDeployment, ModelChoice, NodeChoice
from comfynb.errors import InvalidValue
from comfynb.models import ModelType, Source, explain
from comfynb.workbench.workflows import Workflow

__all__ = ["filling", "loaded"]

_TYPES: Mapping[str, ModelType] = {
    "checkpoints": ModelType.CHECKPOINT,
    "loras": ModelType.LORA,
    "vae": ModelType.VAE,
    "vae_approx": ModelType.VAE,
    "controlnet": ModelType.CONTROLNET,
    "upscale_models": ModelType.UPSCALER,
    "embeddings": ModelType.EMBEDDING,
    "hypernetworks": ModelType.HYPERNETWORK,
    "diffusion_models": ModelType.UNET,
    "text_encoders": ModelType.CLIP,
    "ipadapter": ModelType.IPADAPTER,
}


def loaded(workflow: Any) -> Any:
    """Return what :func:`comfynb.deploy.resolve.resolve` reads; a handle gives its own source.

    No backend is asked for that: a workflow as it was saved says more than what it becomes.
    """
    if not isinstance(workflow, Workflow):
        return workflow
    source = workflow._source  # noqa: SLF001 - of the same package
    if source is not None:
        return source
    made = workflow._definition  # noqa: SLF001
    if made.workflow_json:
        return LoadedWorkflow("ui", made.workflow_json, made.api_json or None, made.name)
    return LoadedWorkflow("api", None, made.api_json, made.name)


def filling(
    deployment_id: str, resolution: Resolution, *, saved_versions: bool = False
) -> tuple[FillDeployment, list[str]]:
    """Return the command that puts in all that is resolved, and why other things are left out.

    ``saved_versions`` asks for the releases of packs that the workflow was saved with.
    """
    nodes, models, found, left = [], [], [], []
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
        try:
            if model.path is None:
                left.append(f"{model.need.filename}: nothing says which folder it belongs in.")
            elif model.known is not None:
                row = model.known.model
                other = model.need.filename if row.filename != model.need.filename else None
                models.append(ModelChoice(modelId=row.id, targetPath=model.path, customName=other))
            else:
                found.append(_found(model, model.path))
        except ValidationError as error:
            left.append(f"{model.need.filename}: {explain(error)}")
        except InvalidValue as error:
            left.append(f"{model.need.filename}: {error}")
    command = FillDeployment(deploymentId=deployment_id, nodes=nodes, models=models, found=found)
    return command, left


def _found(model: ResolvedModel, path: str) -> BundledModel:
    """A model that only the workflow names; its address may be anything."""
    url = model.url or ""
    place = huggingface_file(url)
    folder = path.split("/")[1] if "/" in path else path
    return BundledModel(
        name=model.need.filename,
        type=_TYPES.get(folder, ModelType.OTHER),
        source=Source.HUGGINGFACE if place is not None else Source.DIRECT,
        sourceId=place[0] if place is not None else None,
        downloadUrl=url,
        filename=model.need.filename,
        fileSize=model.size,
        targetPath=path,
    )
