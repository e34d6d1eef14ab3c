"""What commands need beyond the store, handed in: makers of locks and scripts, tokens, syncs."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from comfynb.deploy.service.contents import DeploymentContents
from comfynb.errors import UsageError
from comfynb.models import Lock

if TYPE_CHECKING:
    from comfynb.deploy.net import Fetcher
    from comfynb.deploy.sync import SyncRunner, SyncSource
    from comfynb.deploy.tokens import TokenVault

__all__ = ["LockMaker", "LockReportLike", "Parts", "RenderedLike", "ScriptMaker", "needed"]

T = TypeVar("T")


class LockReportLike(Protocol):
    """What making a lock gives; see :class:`comfynb.deploy.lock.LockReport`."""

    @property
    def lock(self) -> Lock:
        """The lock itself; raises Conflict or DeploymentError where there is none."""


class RenderedLike(Protocol):
    """A script: texts by relative file name, and which of them is run."""

    @property
    def files(self) -> Mapping[str, str]:
        """Texts by file name."""

    @property
    def main(self) -> str:
        """The name of the file that does it all."""


LockMaker = Callable[
    [DeploymentContents, Lock | None, Collection[str] | bool], Awaitable[LockReportLike]
]
"""Pins all that is in a deployment; what a former lock has stays, but for what is upgraded."""

ScriptMaker = Callable[[Lock, str], RenderedLike]
"""Writes the script of a lock for a target."""

SourceMaker = Callable[..., "SyncSource | Awaitable[SyncSource]"]
"""Makes a sync's source of its options."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service can do; a part that is not there makes its commands fail in words."""

    lock: LockMaker | None = None
    script: ScriptMaker | None = None
    vault: "TokenVault | None" = None
    """The person's own tokens."""
    syncs: Callable[[], Awaitable["SyncRunner"]] | None = None
    sources: Mapping[str, SourceMaker] = field(default_factory=dict)
    """What a sync can be of, by name."""
    fetcher: "Callable[[], AbstractAsyncContextManager[Fetcher]] | None" = None
    """Opens a way out for one command, on the loop that the command runs on."""


def needed(part: T | None, what: Any) -> T:
    """Return a part, or say that this service was made without it; raises UsageError."""
    if part is None:
        raise UsageError(f"This service was made without {what}: hand them in as its parts.")
    return part
