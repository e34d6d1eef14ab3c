"""Pins ComfyUI itself: a release, its commit, and what it requires."""

import re
from dataclasses import dataclass

from comfynb.deploy.lock.git import Git, Refs
from comfynb.deploy.resolve import parse_version
from comfynb.errors import DeploymentError
from comfynb.models.lock import LockedComfyUI

__all__ = ["COMFYUI", "PinnedComfyUI", "pin_comfyui"]

COMFYUI = "https://github.com/comfyanonymous/ComfyUI"


@dataclass(frozen=True, slots=True)
class PinnedComfyUI:
    """ComfyUI at one commit, with the lines of its requirements file."""

    locked: LockedComfyUI
    requirements: tuple[str, ...]


async def pin_comfyui(
    wish: str | None, git: Git, *, repository: str = COMFYUI, former: LockedComfyUI | None = None
) -> PinnedComfyUI:
    """Pin a release (``0.3.64``, ``latest``) or a commit; None keeps the former one, or the latest.

    Raises DeploymentError where there is no such release.
    """
    if former is not None and (wish is None or wish.removeprefix("v") == former.version):
        locked = former
    else:
        refs = await git.refs(repository)
        version, commit = _chosen(wish or "latest", refs)
        locked = LockedComfyUI(version=version, repository=refs.url, commit=commit)
    async with git.checkout(locked.repository, locked.commit) as checkout:
        text = await checkout.text("requirements.txt")
    if text is None:
        raise DeploymentError(
            f"Commit {locked.commit[:12]} of {locked.repository!r:.100} has no requirements.txt: "
            "is it ComfyUI?"
        )
    return PinnedComfyUI(locked, tuple(text.splitlines()))


def _chosen(wish: str, refs: Refs) -> tuple[str, str]:
    releases = {
        version: (tag.removeprefix("v"), commit)
        for tag, commit in refs.tags.items()
        if (version := parse_version(tag)) is not None
    }
    if wish == "latest":
        if not releases:
            raise DeploymentError(f"{refs.url!r:.100} has no releases: give a commit.")
        return releases[max(releases)]
    if re.fullmatch(r"[0-9a-f]{40}", wish):
        named = next((name for name, commit in releases.values() if commit == wish), None)
        return named or wish[:12], wish
    wanted = parse_version(wish)
    if wanted is None:
        raise DeploymentError(
            f"ComfyUI {wish!r:.60} cannot be pinned: give a release such as 0.3.64, 'latest', or "
            "a whole commit id."
        )
    if wanted not in releases:
        near = [name for _, (name, _) in sorted(releases.items(), reverse=True)]
        raise DeploymentError(
            f"ComfyUI has no release {wish!r:.60}: the newest are {', '.join(near[:5]) or 'none'}."
        )
    return releases[wanted]
