"""The answer of resolving: each class and model resolved, ambiguous or unknown, and why."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from comfynb.deploy.resolve.index import ModelFile
from comfynb.deploy.resolve.needs import ClassNeed, ModelNeed, Needs, PackHint
from comfynb.models import CustomNode, NodeFacts

__all__ = [
    "ClassRule",
    "ModelCandidate",
    "ModelRule",
    "PackCandidate",
    "PackUse",
    "Resolution",
    "ResolvedClass",
    "ResolvedModel",
    "Status",
]

ClassRule = Literal["core", "metadata", "preemption", "owner", "pattern", "chosen", ""]
ModelRule = Literal["hash", "url", "workflow", "name", "chosen", ""]


class Status(StrEnum):
    """How sure it is where something comes from."""

    RESOLVED = "resolved"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PackCandidate:
    """A pack that may bring a class; ``node`` is None where the catalogue does not have it."""

    node: CustomNode | None
    reason: str
    """Why it is one, as the end of a sentence."""
    hint: PackHint | None = None

    @property
    def label(self) -> str:
        """A name for people."""
        if self.node is not None:
            return self.node.name
        return (self.hint.aux_id or self.hint.cnr_id or "?") if self.hint is not None else "?"


@dataclass(frozen=True, slots=True)
class ResolvedClass:
    """What became of a node class."""

    need: ClassNeed
    status: Status
    by: ClassRule = ""
    """The rule that decided."""
    pack: CustomNode | None = None
    """None where it is ComfyUI's own, or not resolved."""
    candidates: tuple[PackCandidate, ...] = ()
    remarks: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    """Backends that have it."""

    @property
    def is_core(self) -> bool:
        """Whether ComfyUI itself brings it."""
        return self.by == "core"


@dataclass(frozen=True, slots=True)
class PackUse:
    """A pack that the workflow needs."""

    node: CustomNode
    facts: NodeFacts | None
    classes: tuple[str, ...]
    versions: tuple[str, ...] = ()
    """Releases or commits that the workflow was saved with."""


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A file that may be the one; ``known`` is None where only the workflow names it."""

    url: str
    known: ModelFile | None
    reason: str


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What became of a model file."""

    need: ModelNeed
    status: Status
    by: ModelRule = ""
    url: str | None = None
    known: ModelFile | None = None
    """What the catalogue knows; None where the workflow's own address is all there is."""
    sha256: str | None = None
    size: int | None = None
    """Bytes."""
    path: str | None = None
    """Its folder below ComfyUI's, e.g. models/loras."""
    candidates: tuple[ModelCandidate, ...] = ()
    remarks: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    """Backends that have it: nothing is downloaded there."""


@dataclass(frozen=True)
class Resolution:
    """What a workflow needs, and where that comes from."""

    needs: Needs
    classes: tuple[ResolvedClass, ...]
    models: tuple[ResolvedModel, ...]
    packs: tuple[PackUse, ...] = ()
    comfyui: str | None = None
    """The release that folders were judged by."""
    saved_with: str | None = None
    """The newest ComfyUI that the workflow's core nodes were saved with."""
    backends: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def items(self) -> tuple[ResolvedClass | ResolvedModel, ...]:
        """All classes, then all models."""
        found: list[ResolvedClass | ResolvedModel] = [*self.classes]
        return (*found, *self.models)

    def _of(self, status: Status) -> tuple[ResolvedClass | ResolvedModel, ...]:
        return tuple(item for item in self.items if item.status is status)

    @property
    def ambiguous(self) -> tuple[ResolvedClass | ResolvedModel, ...]:
        """What a person has to choose."""
        return self._of(Status.AMBIGUOUS)

    @property
    def unknown(self) -> tuple[ResolvedClass | ResolvedModel, ...]:
        """What nobody knows."""
        return self._of(Status.UNKNOWN)

    @property
    def complete(self) -> bool:
        """Whether everything is resolved, and everything could be read."""
        return not self.ambiguous and not self.unknown and not self.needs.problems

    def missing(self, backend: str) -> tuple[ResolvedClass | ResolvedModel, ...]:
        """What a backend lacks; a class of ComfyUI's own counts as any other."""
        return tuple(item for item in self.items if backend not in item.on)

    def counts(self) -> dict[str, int]:
        """Numbers for a line of a report."""
        found = {"packs": len(self.packs)}
        for status in Status:
            found[f"classes {status}"] = sum(item.status is status for item in self.classes)
            found[f"models {status}"] = sum(item.status is status for item in self.models)
        found["problems"] = len(self.needs.problems)
        return found

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(resolution: Resolution) -> list[str]:
    core = sum(item.is_core for item in resolution.classes)
    lines = [f"{core} of {len(resolution.classes)} node classes are ComfyUI's own."]
    lines += [f"Pack {use.node.name}: {', '.join(use.classes)}." for use in resolution.packs]
    for item in resolution.classes:
        if item.status is not Status.RESOLVED:
            named = "; ".join(f"{c.label} ({c.reason})" for c in item.candidates)
            lines.append(f"Class {item.need.class_type}: {item.status}{named and f': {named}'}.")
    for model in resolution.models:
        size = f", {model.size / 2**30:.2f} GiB" if model.size is not None else ""
        named = "; ".join(f"{c.url} ({c.reason})" for c in model.candidates)
        if model.status is Status.RESOLVED:
            named = f"from {model.url}{size}, by {model.by}"
        have = f" (already on {', '.join(model.on)})" if model.on else ""
        where = f"{model.path}/" if model.path else ""
        lines.append(f"Model {where}{model.need.filename}: {model.status}, {named}{have}.")
    for remark in (*resolution.remarks, *resolution.needs.problems):
        lines.append(remark)
    for entry in resolution.items:
        lines += entry.remarks
    return lines
