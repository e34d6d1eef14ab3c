"""What a source says about a pack or a model, in one form, and what became of it."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from comfynb.models import ModelType, Source

__all__ = [
    "BACKEND",
    "CIVITAI",
    "HUGGINGFACE",
    "MANAGER",
    "OWN",
    "PEOPLE",
    "REGISTRY",
    "TEMPLATES",
    "FileEntry",
    "ModelEntry",
    "NodeEntry",
    "Outcome",
    "ReleaseEntry",
    "Tally",
    "rank",
]

MANAGER = "comfyui-manager"
REGISTRY = "comfy-registry"
CIVITAI = "civitai"
HUGGINGFACE = "huggingface"
TEMPLATES = "comfyui-workflow-templates"
BACKEND = "backend"
OWN = "comfynb"
PEOPLE = "people"

# Who is believed where two sources disagree: whoever keeps the thing itself, then whoever looks
# through what others hand in, then what somebody happens to have installed.
_RANKS: Mapping[str, int] = {
    CIVITAI: 60,
    HUGGINGFACE: 60,
    TEMPLATES: 55,
    MANAGER: 50,
    REGISTRY: 40,
    BACKEND: 20,
    OWN: 10,
}


def rank(source: str) -> int:
    """Return how much a source is believed; one with a slash is a lesser part of another."""
    if source in _RANKS:
        return _RANKS[source]
    whole, slash, _ = source.partition("/")
    return _RANKS.get(whole, 30) - (5 if slash else 0)


@dataclass(slots=True)
class ReleaseEntry:
    """One release of a pack, as a registry says."""

    version: str
    commit: str | None = None
    dependencies: list[str] = field(default_factory=list)
    download_url: str | None = None
    status: str | None = None


@dataclass(slots=True)
class NodeEntry:
    """What one entry of one source says about a pack; None is "says nothing".

    ``keys`` are those of the repository (see :func:`~comfynb.deploy.catalogue.urls.repository`),
    its own first. An entry that ``adds_only`` cannot bring a pack into the catalogue.
    """

    label: str
    """How the entry is called in reports."""
    url: str = ""
    keys: tuple[str, ...] = ()
    adds_only: bool = False
    name: str | None = None
    description: str | None = None
    author: str | None = None
    branch: str | None = None
    installType: str | None = None
    pipRequirements: list[str] | None = None
    jsFiles: list[str] | None = None
    tags: list[str] | None = None
    nodeClasses: list[str] | None = None
    isVerified: bool = False
    registryId: str | None = None
    latestVersion: str | None = None
    status: str | None = None
    license: str | None = None
    channel: str | None = None
    stars: int | None = None
    authorAgeDays: int | None = None
    lastUpdate: datetime | None = None
    nodenamePattern: str | None = None
    """'' is "it has none"."""
    preempts: list[str] | None = None
    aptPackages: list[str] | None = None
    files: list[str] | None = None
    releases: tuple[ReleaseEntry, ...] = ()
    gone: bool = False
    """The source says that it does not have it any more."""
    note: str | None = None
    """What was repaired in it, for the report."""


@dataclass(slots=True)
class FileEntry:
    """One file of one version of a model."""

    filename: str
    url: str
    name: str = "main"
    revision: str | None = None
    size: int | None = None
    sha256: str | None = None
    format: str | None = None
    base_model: str | None = None
    scan: str | None = None
    published_at: datetime | None = None
    active: bool = True


@dataclass(slots=True)
class ModelEntry:
    """What one entry of one source says about a model; None is "says nothing".

    Models of CivitAI are the same if their ``sourceId`` is; others if ``downloadUrl`` and
    ``filename`` are.
    """

    label: str
    source: Source
    name: str
    type: ModelType
    downloadUrl: str
    filename: str | None = None
    sourceId: str | None = None
    sourceUrl: str | None = None
    category: str | None = None
    baseModel: str | None = None
    fileSize: int | None = None
    authRequired: bool | None = None
    isActive: bool = True
    isVerified: bool = False
    directory: str | None = None
    """Folder below models/."""
    metadata: dict[str, Any] = field(default_factory=dict)
    files: tuple[FileEntry, ...] = ()
    whole: bool = False
    """``files`` are all that there are: others that this source brought are gone."""
    note: str | None = None


Kind = Literal["new", "changed", "same", "merged", "refused", "note"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: taken (new, changed, same), merged into another, or refused.

    A "note" is about something that is no entry, and counts as none.
    """

    kind: Kind
    label: str
    into: str | None = None
    """Id of the row that it became, or went into."""
    reason: str | None = None
    """Why it was refused or merged, or what was repaired."""


@dataclass
class Tally:
    """How many entries came to which end, and what there is to say about single ones."""

    counts: Counter[str] = field(default_factory=Counter)
    notes: list[Outcome] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Tally":
        """Count outcomes."""
        tally = cls()
        for outcome in outcomes:
            tally.counts[outcome.kind] += 1
            if outcome.reason is not None:
                tally.notes.append(outcome)
        return tally

    @property
    def total(self) -> int:
        """All of them."""
        return self.counts.total()

    @property
    def refused(self) -> int:
        """Those that went nowhere."""
        return self.counts["refused"]

    def __str__(self) -> str:
        kinds = ("new", "changed", "same", "merged", "refused")
        return ", ".join(f"{self.counts[kind]} {kind}" for kind in kinds if self.counts[kind])
