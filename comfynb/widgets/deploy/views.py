"""What the widgets of deployments are told, and what they ask for: frozen, and without a store."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, TypeVar

from comfynb.deploy.lock import LockDiff, LockReport
from comfynb.deploy.resolve import Resolution
from comfynb.deploy.service import DeploymentContents
from comfynb.models import Lock, ModelType, PackageType, Source

__all__ = [
    "Answer",
    "BuilderActions",
    "CatalogueQuery",
    "DeploymentState",
    "ReportState",
    "ScriptState",
    "What",
]

T = TypeVar("T")
Answer: TypeAlias = T | Awaitable[T]
"""What a callback gives back, at once or later."""
What = Literal["models", "nodes"]


@dataclass(frozen=True, slots=True)
class CatalogueQuery:
    """What somebody looks for in the catalogue; ``nodes`` have no type, source or base model."""

    what: What = "models"
    words: str = ""
    type: ModelType | None = None
    source: Source | None = None
    base_model: str = ""
    tags: tuple[str, ...] = ()
    verified: bool = False
    """Only what a person has looked at."""
    page: int = 1
    limit: int = 10


@dataclass(frozen=True, slots=True)
class ReportState:
    """What making a lock found out, and what the lock changes in the one before."""

    report: LockReport
    diff: LockDiff | None = None
    """None where there was no lock before, or there is none now."""


@dataclass(frozen=True, slots=True)
class ScriptState:
    """The files of one target."""

    target: str
    files: Mapping[str, str]
    main: str
    tokens: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeploymentState:
    """A deployment as it is now."""

    contents: DeploymentContents
    resolution: Resolution | None = None
    left_out: tuple[str, ...] = ()
    report: ReportState | None = None
    """What this kernel's last attempt to lock it found; also if that failed."""
    locked: Lock | None = None
    """The newest lock."""
    may_change: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)
    """What scripts can be made for: a title for people by name."""


class BuilderActions(Protocol):
    """What a builder does; each gives the deployment as it is then. All may raise ComfynbError."""

    def choose(self, name: str, candidate: int) -> Answer[DeploymentState]:
        """Take a candidate (from 0) for an ambiguous node class or model file."""

    def enable(self, item_id: str, on: bool) -> Answer[DeploymentState]:
        """Install a pack or model, or leave it out."""

    def remove(self, item_id: str) -> Answer[DeploymentState]:
        """Take a pack, model or package out."""

    def add_package(
        self, kind: PackageType, name: str, version: str | None
    ) -> Answer[DeploymentState]:
        """Put a package in."""

    def set_environment(self, variables: Mapping[str, str]) -> Answer[DeploymentState]:
        """Replace its environment variables."""

    def set_settings(self, settings: Mapping[str, str | None]) -> Answer[DeploymentState]:
        """Set some settings; None takes one away."""

    def lock(self, update: bool) -> Answer[DeploymentState]:
        """Pin everything; ``update`` brings up to date what is pinned already."""

    def script(self, target: str) -> Answer[ScriptState]:
        """Make the script of the newest lock."""

    def preview(self, target: str) -> Answer[ScriptState]:
        """Give what that script would be, to look at."""

    def save(self, target: str, folder: str) -> Answer[str]:
        """Write the script's files into a folder beside the notebook; gives the main one's path."""
