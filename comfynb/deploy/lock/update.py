"""Brings a lock up to date, and says of every change why it came."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.lock.diff import Change, LockDiff, diff_locks
from comfynb.deploy.lock.maker import LockOptions, make_lock
from comfynb.deploy.lock.report import LockReport
from comfynb.deploy.net import Fetcher
from comfynb.models import Lock

if TYPE_CHECKING:
    # A service makes locks through a maker that it is given: neither needs the other to be there.
    from comfynb.deploy.service.contents import DeploymentContents

__all__ = ["LockUpdate", "explain_changes", "update_lock"]


@dataclass(frozen=True)
class LockUpdate:
    """The report of the new lock, and what it changes; none where nothing is newer."""

    report: LockReport
    changes: LockDiff

    @property
    def lock(self) -> Lock:
        """The new lock; raises as ``LockReport.lock`` does."""
        return self.report.lock

    def __str__(self) -> str:
        return f"{self.changes}\n{self.report}"


async def update_lock(
    former: Lock,
    contents: "DeploymentContents",
    catalogue: Catalogue,
    fetcher: Fetcher,
    *,
    what: Collection[str] | bool = True,
    options: LockOptions | None = None,
) -> LockUpdate:
    """Make a newer lock of a deployment.

    ``what``: names of packs and models, 'ComfyUI' and 'python'; True is everything, and False only
    what the deployment itself has changed. Raises as :func:`make_lock` does; where the newer parts
    do not fit together, the report has the conflicts and there are no changes.
    """
    chosen = replace(options or LockOptions(), upgrade=what)
    report = await make_lock(contents, catalogue, fetcher, former=former, options=chosen)
    if report.draft is None:
        return LockUpdate(report, LockDiff(()))
    return LockUpdate(report, explain_changes(former, report.draft, what))


def explain_changes(old: Lock, new: Lock, what: Collection[str] | bool = False) -> LockDiff:
    """Compare two locks of one deployment, with a reason for each change.

    ``what`` was to be brought up to date, as in :func:`update_lock`.
    """
    changes = diff_locks(old, new).changes
    moved = {change.name for change in changes if change.what == "node" and change.after}
    return LockDiff(
        tuple(replace(change, reason=_reason(change, old, new, what, moved)) for change in changes)
    )


def _reason(
    change: Change, old: Lock, new: Lock, what: Collection[str] | bool, moved: set[str]
) -> str:
    if change.what == "requirement":
        return _requirement(change, old, new, what, moved)
    if change.what in {"node", "model"}:
        if change.before is None:
            return "added to the deployment"
        if change.after is None:
            return "no longer in the deployment"
        return _node(change, old, new) if change.what == "node" else _model(change, old, new)
    if change.what == "comfyui":
        return _comfyui(old, new, asked=_renewed("ComfyUI", what))
    if change.what == "package":
        return (
            "wanted by the deployment or one of its packs" if change.after else "no longer wanted"
        )
    return "set in the deployment"


def _renewed(name: str, what: Collection[str] | bool) -> bool:
    return what if isinstance(what, bool) else name in what


def _comfyui(old: Lock, new: Lock, *, asked: bool) -> str:
    if old.comfyui.commit == new.comfyui.commit:
        return "its repository has moved"
    if old.comfyui.version == new.comfyui.version:
        return "the release's tag was moved to another commit"
    return "a newer release" if asked else "the deployment asks for this release"


def _node(change: Change, old: Lock, new: Lock) -> str:
    one = next(node for node in old.nodes if node.name == change.name or _same(node, new, change))
    other = next(node for node in new.nodes if node.name == change.name)
    if one.commit != other.commit:
        if other.version and one.version and other.version != one.version:
            return f"release {other.version} instead of {one.version}"
        return (
            "its branch has moved on"
            if one.repository == other.repository
            else "another repository"
        )
    if one.files != other.files:
        return "its files have changed at their source"
    if one.requirements != other.requirements:
        return "its requirements are read otherwise"
    return "the catalogue knows more about it" if one.kind == other.kind else "installed otherwise"


def _same(node: object, new: Lock, change: Change) -> bool:
    folder = getattr(node, "folder", "").lower()
    return any(n.folder.lower() == folder for n in new.nodes if n.name == change.name)


def _model(change: Change, old: Lock, new: Lock) -> str:
    path = change.name.lower()
    one = next(model for model in old.models if model.path.lower() == path)
    other = next(model for model in new.models if model.path.lower() == path)
    if one.sha256 != other.sha256 and None not in {one.sha256, other.sha256}:
        return "the file has changed at its source"
    if one.sha256 is None and other.sha256 is not None:
        return "its hash is known now"
    if one.revision != other.revision:
        return "another revision at its source, with the same bytes"
    if one.url != other.url:
        return "another address"
    return "the catalogue knows more about it"


def _requirement(
    change: Change, old: Lock, new: Lock, what: Collection[str] | bool, moved: set[str]
) -> str:
    one = next((r for r in old.python.requirements if r.name == change.name), None)
    other = next((r for r in new.python.requirements if r.name == change.name), None)
    if one is None and other is not None:
        return f"wanted by {_names(other.via)}"
    if other is None:
        return f"no longer wanted by {_names(one.via)}" if one is not None else ""
    assert one is not None
    if one.version == other.version:
        return "the index has other files of the same release"
    wanting = [name for name in other.via if name in moved or name not in one.via]
    if old.comfyui != new.comfyui and "ComfyUI" in other.via:
        wanting.append("ComfyUI")
    if _older(other.version, one.version):
        return f"an older release, to suit {_names(wanting or other.via)}"
    if wanting:
        return f"wanted otherwise by {_names(dict.fromkeys(wanting))}"
    if _renewed("python", what):
        return "a newer release"
    return f"to suit {_names(other.via)}"


def _older(version: str | None, than: str | None) -> bool:
    try:
        return Version(version or "") < Version(than or "")
    except InvalidVersion:
        return False


def _names(names: Collection[str] | dict[str, None]) -> str:
    return ", ".join(names) if names else "nobody any more"
