"""What commands need beyond the store, handed in: makers of locks and scripts, tokens, syncs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from comfynb.deploy.service.contents import DeploymentContents
from comfynb.errors import UsageError
from comfynb.models import Lock

__all__ = ["LockMaker", "LockReportLike", "Parts", "RenderedLike", "ScriptMaker"]


class LockReportLike(Protocol):
    """What making a lock gives: the lock, and whatever else there is to say."""

    @property
    def lock(self) -> Lock:
        """The lock itself."""


class RenderedLike(Protocol):
    """A script: texts by relative file name, and which of them is run."""

    @property
    def files(self) -> Mapping[str, str]:
        """Texts by file name."""

    @property
    def main(self) -> str:
        """The name of the file that does it all."""


LockMaker = Callable[[DeploymentContents, Lock | None], Awaitable[LockReportLike]]
"""Pins all that is in a deployment; with a former lock, only what has to change does."""

ScriptMaker = Callable[[Lock, str], RenderedLike]
"""Writes the script of a lock for a target."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service can do; a part that is not there makes its commands fail in words."""

    lock: LockMaker | None = None
    script: ScriptMaker | None = None
    tokens: Any = None
    syncs: Any = None

    def need(self, name: str) -> Any:
        """Return a part, or raise UsageError."""
        part = getattr(self, name)
        if part is None:
            raise UsageError(f"This service was made without {name}: give it some.")
        return part
