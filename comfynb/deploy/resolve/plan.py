"""What to put into a deployment so that a workflow runs: rows of the catalogue, and what lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.deploy.catalogue import FileEntry, ModelEntry
from comfynb.deploy.catalogue.urls import huggingface_file
from comfynb.deploy.resolve.resolution import Resolution, ResolvedModel, Status
from comfynb.models import CustomNode, ModelType, Source

__all__ = ["Plan", "PlannedModel", "PlannedNode", "plan_of"]

_TYPES = {
    "checkpoints": ModelType.CHECKPOINT,
    "clip_vision": ModelType.OTHER,
    "controlnet": ModelType.CONTROLNET,
    "diffusion_models": ModelType.UNET,
    "embeddings": ModelType.EMBEDDING,
    "hypernetworks": ModelType.HYPERNETWORK,
    "ipadapter": ModelType.IPADAPTER,
    "loras": ModelType.LORA,
    "text_encoders": ModelType.CLIP,
    "upscale_models": ModelType.UPSCALER,
    "vae": ModelType.VAE,
}


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A pack, with the configuration that a deployment gives it: the classes it is wanted for."""

    node: CustomNode
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model: its row's id, or, where only the workflow names it, an entry for the catalogue."""

    target_path: str
    custom_name: str | None
    model_id: str | None = None
    entry: ModelEntry | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sure; ``open`` are sentences about what a person has to decide or find."""

    nodes: tuple[PlannedNode, ...]
    models: tuple[PlannedModel, ...]
    open: tuple[str, ...]


def plan_of(resolution: Resolution, *, but_on: Sequence[str] = ()) -> Plan:
    """Make the plan of a resolution, leaving out models that all of these backends have."""
    nodes = tuple(
        PlannedNode(use.node, {"classes": sorted(use.classes)}) for use in resolution.packs
    )
    models: list[PlannedModel] = []
    left: list[str] = []
    for model in resolution.models:
        if but_on and set(but_on) <= set(model.on):
            continue
        if model.status is not Status.RESOLVED or model.url is None:
            left.append(f"Model {model.need.name!r:.120} is {model.status}.")
        elif model.path is None:
            left.append(f"Model {model.need.name!r:.120}: nobody knows which folder it belongs in.")
        else:
            models.append(_planned(model, model.path, model.url))
    left += [
        f"Node class {item.need.class_type!r:.120} is {item.status}."
        for item in resolution.classes
        if item.status is not Status.RESOLVED
    ]
    return Plan(nodes, tuple(models), (*left, *resolution.needs.problems))


def _planned(model: ResolvedModel, path: str, url: str) -> PlannedModel:
    name = model.need.filename
    if model.known is not None:
        row = model.known.model
        return PlannedModel(path, name if name != row.filename else None, model_id=row.id)
    folder = path.removeprefix("models/")
    place = huggingface_file(url)
    source = Source.HUGGINGFACE if place is not None else Source.DIRECT
    if "civitai" in url.partition("://")[2].partition("/")[0]:
        source = Source.CIVITAI
    file = FileEntry(name, url, sha256=model.sha256, size=model.size)
    entry = ModelEntry(
        label=name,
        source=source,
        name=name,
        type=_TYPES.get(folder.partition("/")[0], ModelType.OTHER),
        downloadUrl=url,
        filename=name,
        sourceId=place[0] if place is not None else None,
        directory=folder,
        files=(file,),
    )
    return PlannedModel(path, None, entry=entry)
