"""Resolves what a workflow needs against a catalogue and against backends."""

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfynb.comfy.load import LoadedWorkflow
from comfynb.deploy.catalogue import Catalogue, KnownNode
from comfynb.deploy.catalogue.classes import CORE_KEYS
from comfynb.deploy.catalogue.entries import OWN, TEMPLATES
from comfynb.deploy.resolve.backends import BackendFacts
from comfynb.deploy.resolve.collect import needs_of
from comfynb.deploy.resolve.index import ModelFile, ModelIndex, PackIndex, url_key
from comfynb.deploy.resolve.models import resolve_model
from comfynb.deploy.resolve.needs import Needs
from comfynb.deploy.resolve.packs import CORE_ID, is_newer, packs_of, resolve_class, saved_with
from comfynb.deploy.resolve.resolution import Resolution, ResolvedClass, Status
from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model

__all__ = ["Choice", "Knowledge", "look_up", "resolve", "resolve_needs"]

_COMFYUI = tuple(f"https://{key}" for key in CORE_KEYS)
_HALF_KNOWN = (
    "Not all of ComfyUI's own node classes are known here, so some of the unknown ones may be its "
    'own: wb.catalogue.sync("manager") brings the list, and so does a backend in wb.backends.'
)

Choice = CustomNode | Model | ModelFile | str
"""A person's word on what a node class or a model file comes from."""


@dataclass(frozen=True)
class Knowledge:
    """What the catalogue says about the packs and models of one workflow, or of many."""

    packs: PackIndex = field(default_factory=PackIndex)
    models: ModelIndex = field(default_factory=ModelIndex)


async def look_up(catalogue: Catalogue, *needs: Needs) -> Knowledge:
    """Ask the catalogue about all that workflows need, in as few questions as there are kinds."""
    classes = {need.class_type for one in needs for need in one.classes}
    hints = {hint for one in needs for need in one.classes for hint in need.hints}
    ids = sorted({hint.cnr_id for hint in hints if hint.cnr_id not in {None, CORE_ID}} - {None})
    places = sorted({hint.aux_id for hint in hints if hint.aux_id is not None})
    matches = await catalogue.nodes_by_class(*sorted(classes)) if classes else {}
    by_id = await catalogue.nodes_by_registry_id(*ids) if ids else {}
    by_url = await catalogue.nodes_by_url(*places, *_COMFYUI)
    core = [found for found in map(by_url.pop, _COMFYUI) if found is not None]
    known = [node for node in (*by_id.values(), *by_url.values()) if node is not None]
    packs = PackIndex(
        matches,
        {key: found.node if found is not None else None for key, found in by_id.items()},
        {key: found.node if found is not None else None for key, found in by_url.items()},
        {found.node.id: found.facts for found in known if found.facts is not None},
        any(map(_has_all_classes, core)),
    )
    return Knowledge(packs, await _models(catalogue, needs))


def _has_all_classes(core: KnownNode) -> bool:
    """Whether somebody with all of ComfyUI's classes told them; its templates use about half."""
    told = set(core.facts.sources if core.facts is not None else ()) - {OWN}
    return bool(core.node.nodeClasses) and told != {TEMPLATES}


async def _models(catalogue: Catalogue, needs: Sequence[Needs]) -> ModelIndex:
    wanted = [need for one in needs for need in one.models]
    hashes = sorted({value for need in wanted for value in need.sha256})
    urls = sorted({url for need in wanted for url in need.urls})
    names = sorted({need.filename for need in wanted})
    answers = [
        await catalogue.models_by_filename(*names) if names else {},
        await catalogue.models_by_url(*urls) if urls else {},
        await catalogue.models_by_sha256(*hashes) if hashes else {},
    ]
    known = [item for answer in answers for found in answer.values() for item in found]
    return ModelIndex.of(
        (item.model for item in known), {item.model.id: item.versions for item in known}
    )


async def resolve(
    workflow: LoadedWorkflow | Mapping[str, Any] | str | os.PathLike[str] | bytes,
    catalogue: Catalogue,
    *,
    backends: Sequence[BackendFacts] = (),
    comfyui: str | None = None,
    core: Collection[str] = (),
    choices: Mapping[str, Choice] | None = None,
) -> Resolution:
    """Resolve what a workflow needs: packs and models, each resolved, ambiguous or unknown.

    ``backends`` say what they have already, and what their inputs are. ``comfyui`` is the release
    whose folders count; that of the only backend where none is given. ``core`` are classes that
    ComfyUI brings, besides those that the catalogue and the backends know. ``choices`` are a
    person's: packs, their URLs or ``comfy-core`` by class; models, files or addresses by the
    model's name (``ModelNeed.name``).
    Raises what :func:`~comfynb.deploy.resolve.needs_of` raises, and UsageError for a choice that
    is of another kind, or a pack that the catalogue does not have.
    """
    info = backends[0].info if backends else None
    needs = await asyncio.to_thread(needs_of, workflow, info)
    knowledge = await look_up(catalogue, needs)
    decided = await _decided(catalogue, needs, choices or {})
    return resolve_needs(
        needs, knowledge, backends=backends, comfyui=comfyui, core=core, choices=decided
    )


async def _decided(
    catalogue: Catalogue, needs: Needs, choices: Mapping[str, Choice]
) -> dict[str, CustomNode | ModelFile | str]:
    """What a person chose, as the catalogue has it."""
    decided: dict[str, CustomNode | ModelFile | str] = {}
    classes = {need.class_type for need in needs.classes}
    for name, choice in choices.items():
        if name in classes and isinstance(choice, str) and choice != CORE_ID:
            known = (await catalogue.nodes_by_url(choice))[choice]
            if known is None:
                raise UsageError(
                    f"The catalogue has no node pack at {choice!r:.100} to take {name!r:.80} "
                    "from: wb.catalogue.add_node(url) adds one."
                )
            decided[name] = known.node
        elif name not in classes and isinstance(choice, Model | str):
            url = choice.downloadUrl if isinstance(choice, Model) else choice
            found = (await catalogue.models_by_url(url))[url]
            files = ModelIndex.of(
                (item.model for item in found), {item.model.id: item.versions for item in found}
            ).by_url.get(url_key(url), [])
            decided[name] = next((file for file in files if file.is_active), url)
        elif isinstance(choice, Model):
            raise UsageError(f"{name!r:.80} is a node class: choose a pack for it.")
        else:
            decided[name] = choice
    return decided


def resolve_needs(
    needs: Needs,
    knowledge: Knowledge,
    *,
    backends: Sequence[BackendFacts] = (),
    comfyui: str | None = None,
    core: Collection[str] = (),
    choices: Mapping[str, CustomNode | ModelFile | str] | None = None,
) -> Resolution:
    """Resolve needs against what is known; pure.

    ``comfyui`` is the release that will run them (a backend's, where only one is given), ``core``
    further classes that it has, ``choices`` what a person decided: packs by class, files or
    addresses by the model's name.
    """
    chosen = choices or {}
    if comfyui is None and len(backends) == 1:
        comfyui = backends[0].version
    own = set(core).union(*(backend.core_classes() for backend in backends))
    newer = is_newer(needs.classes, knowledge.packs, own)
    classes = []
    for need in needs.classes:
        on = tuple(b.name for b in backends if need.class_type in b.info)
        pick = chosen.get(need.class_type)
        if isinstance(pick, ModelFile) or (isinstance(pick, str) and pick != CORE_ID):
            raise UsageError(f"{need.class_type!r:.80} is a node class: choose a pack for it.")
        classes.append(
            resolve_class(need, knowledge.packs, core=own, on=on, chosen=pick, newer=newer)
        )
    models = []
    for model in needs.models:
        on = tuple(b.name for b in backends if b.has_model(model))
        file = chosen.get(model.name)
        if isinstance(file, CustomNode):
            raise UsageError(f"{model.name!r:.80} is a model: choose a file or an address for it.")
        models.append(resolve_model(model, knowledge.models, comfyui=comfyui, on=on, chosen=file))
    return Resolution(
        needs,
        tuple(classes),
        tuple(models),
        packs_of(classes, knowledge.packs),
        comfyui,
        saved_with(needs.classes),
        tuple(backend.name for backend in backends),
        _remarks(classes, knowledge, backends),
    )


def _remarks(
    classes: Sequence[ResolvedClass], knowledge: Knowledge, backends: Sequence[BackendFacts]
) -> tuple[str, ...]:
    # A prompt in API format does not say of a node whose it is.
    unknown = any(one.status is Status.UNKNOWN and not one.need.hints for one in classes)
    return (_HALF_KNOWN,) if unknown and not knowledge.packs.core_is_whole and not backends else ()
