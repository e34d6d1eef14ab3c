"""Pins node packs: the commit of what is cloned, hashes of what is copied, what each requires."""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from comfynb.deploy.catalogue import KnownNode
from comfynb.deploy.lock.git import Checkout, Git, Refs
from comfynb.deploy.net import Fetcher
from comfynb.errors import DeploymentError, FetchError
from comfynb.models import CustomNode, Lock, NodeFacts
from comfynb.models._checks import check_file_name
from comfynb.models.lock import LockedFile, LockedNode

__all__ = ["PinnedPack", "folder_of_pack", "pin_pack"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_LARGEST = 256 * 2**20
_DEEPEST_FILES = 5


@dataclass(frozen=True, slots=True)
class PinnedPack:
    """A pack that is pinned: what the catalogue knows, the lock's entry, and what it requires."""

    known: KnownNode
    locked: LockedNode
    requirements: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def node(self) -> CustomNode:
        """The catalogue's row."""
        return self.known.node


def folder_of_pack(node: CustomNode, config: Mapping[str, Any]) -> str:
    """The pack's folder in custom_nodes: the repository's name, unless ``config`` has another."""
    given = config.get("folder")
    if isinstance(given, str) and given:
        name = given
    else:
        path = unquote(urlsplit(node.githubUrl).path).rstrip("/")
        name = path.rpartition("/")[2].removesuffix(".git").removesuffix(".py")
    try:
        return check_file_name(name)
    except ValueError as error:
        raise DeploymentError(
            f"The folder {name!r:.80} of node pack {node.name!r:.80} {error}: give it another one."
        ) from None


async def pin_pack(
    known: KnownNode,
    config: Mapping[str, Any],
    git: Git,
    fetcher: Fetcher,
    *,
    former: Lock | None = None,
    upgrade: bool = False,
) -> PinnedPack:
    """Pin one pack. ``config`` may have ``commit``, ``version`` or ``branch``, and ``folder``.

    A pack of the ``former`` lock keeps its commit unless ``upgrade``, or ``config`` says another.
    Raises DeploymentError, naming the pack.
    """
    kind = _kind(known.node.installType)
    try:
        if kind == "git":
            return await _cloned(known, config, git, former=former, upgrade=upgrade)
        return await _copied(known, config, kind, fetcher)
    except (DeploymentError, FetchError) as error:
        raise DeploymentError(f"Node pack {known.node.name!r:.80}: {error}") from None


def _kind(install_type: str) -> Literal["git", "copy", "unzip"]:
    plain = install_type.lower()
    if plain == "copy":
        return "copy"
    return "unzip" if plain in {"unzip", "zip"} else "git"


# Cloned -----------------------------------------------------------------------------------------


async def _cloned(
    known: KnownNode,
    config: Mapping[str, Any],
    git: Git,
    *,
    former: Lock | None,
    upgrade: bool,
) -> PinnedPack:
    node, facts = known.node, known.facts
    notes: list[str] = []
    before = _former(former, known) if not upgrade else None
    wish = _text(config, "commit") or _text(config, "version") or _text(config, "branch")
    if before is not None and wish in {None, before.commit, before.version}:
        url, commit, version = before.repository or node.githubUrl, before.commit, before.version
    else:
        refs = await git.refs(node.githubUrl)
        url = refs.url
        commit, version = _commit(known, config, refs)
        if url != node.githubUrl:
            notes.append(f"Node pack {node.name!r:.80} has moved to {url!r:.100}.")
    if commit is None:
        raise DeploymentError("the repository is empty.")
    async with git.checkout(url, commit) as checkout:
        project = await _project(checkout)
        lines = await _lines(checkout, project)
        install = "install.py" in checkout.files
    declared = [line for line in node.pipRequirements if line not in lines]
    locked = LockedNode(
        name=node.name,
        folder=folder_of_pack(node, config),
        repository=url,
        commit=commit,
        version=version or _text(project, "version"),
        registry_id=facts.registryId if facts is not None else None,
        license=_license(facts, project),
        classes=_classes(config),
        requirements=[],
        install_script=install,
    )
    return PinnedPack(known, locked, (*lines, *declared), tuple(notes))


def _commit(
    known: KnownNode, config: Mapping[str, Any], refs: Refs
) -> tuple[str | None, str | None]:
    """The commit that is wanted, and the release that it is, if it is one."""
    commit = _text(config, "commit")
    if commit is not None:
        if not _COMMIT.fullmatch(commit):
            raise DeploymentError(f"{commit!r:.60} is no whole commit id.")
        return commit, _release_at(commit, refs)
    version = _text(config, "version")
    if version is not None:
        return _of_version(known, version, refs), version
    branch = _text(config, "branch")
    if branch is not None and branch not in refs.branches:
        raise DeploymentError(f"it has no branch {branch!r:.60}.")
    # "main" is what the catalogue says where nobody told: the repository knows its own default.
    if branch is None and known.node.branch != "main":
        branch = known.node.branch
    found = refs.branches.get(branch or "", refs.head)
    return found, _release_at(found, refs)


def _of_version(known: KnownNode, version: str, refs: Refs) -> str:
    if _COMMIT.fullmatch(version):
        return version
    for release in known.versions:
        if release.version == version and release.commit is not None:
            return release.commit
    plain = version.removeprefix("v")
    for tag in (version, plain, f"v{plain}"):
        if tag in refs.tags:
            return refs.tags[tag]
    raise DeploymentError(
        f"it has no release {version!r:.60} that names a commit: give a commit instead."
    )


def _release_at(commit: str | None, refs: Refs) -> str | None:
    tags = sorted(tag for tag, at in refs.tags.items() if at == commit)
    return tags[-1] if tags else None


def _former(lock: Lock | None, known: KnownNode) -> LockedNode | None:
    wanted = known.node.githubUrl.lower().removesuffix(".git")
    for node in lock.nodes if lock is not None else ():
        if node.kind == "git" and (node.repository or "").lower().removesuffix(".git") == wanted:
            return node
        if (
            known.facts is not None
            and node.registry_id
            and node.registry_id == known.facts.registryId
        ):
            return node
    return None


async def _project(checkout: Checkout) -> Mapping[str, Any]:
    text = await checkout.text("pyproject.toml")
    try:
        project = tomllib.loads(text or "").get("project")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
    return project if isinstance(project, dict) else {}


async def _lines(checkout: Checkout, project: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines of the requirements file, or what the project file depends on where there is none."""
    text = await checkout.text("requirements.txt")
    if text is None:
        depends = project.get("dependencies")
        return tuple(d for d in depends if isinstance(d, str)) if isinstance(depends, list) else ()
    seen = {"requirements.txt"}
    lines: list[str] = []
    for line in text.splitlines():
        name = _included(line)
        if name is None or name in seen or len(seen) > _DEEPEST_FILES:
            lines.append(line)
            continue
        seen.add(name)
        more = await checkout.text(name)
        # One level only: what an included file includes is named as not followed.
        lines += more.splitlines() if more is not None else [line]
    return tuple(lines)


def _included(line: str) -> str | None:
    """The name of a file beside requirements.txt that a line includes."""
    match = re.fullmatch(r"\s*(?:-r|--requirement)[ =]\s*(?:\./)?([A-Za-z0-9._-]+)\s*", line)
    return match[1] if match is not None else None


# Copied or unpacked -----------------------------------------------------------------------------


async def _copied(
    known: KnownNode, config: Mapping[str, Any], kind: Literal["copy", "unzip"], fetcher: Fetcher
) -> PinnedPack:
    node, facts = known.node, known.facts
    urls = (facts.files if facts is not None else []) or [node.githubUrl]
    notes = []
    files = [await _file(url, fetcher) for url in urls]
    modules = [file for file in files if file.path.endswith(".py")]
    if kind == "copy" and len(modules) == 1:
        # A folder is a module by its __init__.py; the single file becomes that.
        files = [
            file.model_copy(update={"path": "__init__.py"}) if file is modules[0] else file
            for file in files
        ]
    elif kind == "copy" and not any(file.path == "__init__.py" for file in modules):
        notes.append(
            f"Node pack {node.name!r:.80} has {len(modules)} modules and no __init__.py: ComfyUI "
            "will not load it from a folder."
        )
    locked = LockedNode(
        name=node.name,
        folder=folder_of_pack(node, config),
        kind=kind,
        files=files,
        registry_id=facts.registryId if facts is not None else None,
        license=_license(facts, {}),
        classes=_classes(config),
    )
    return PinnedPack(known, locked, tuple(node.pipRequirements), tuple(notes))


async def _file(url: str, fetcher: Fetcher) -> LockedFile:
    url = re.sub(r"^(https://github\.com/[^/]+/[^/]+)/blob/", r"\1/raw/", url)
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    answer = (await fetcher.get(url, max_bytes=_LARGEST)).check()
    # What runs as code is pinned by its content, since a file's address is no promise.
    sha256 = hashlib.sha256(answer.body).hexdigest()
    return LockedFile(url=url, path=check_file_name(name), size=len(answer.body), sha256=sha256)


# Common -----------------------------------------------------------------------------------------


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value.strip() if isinstance(value, str) and value.strip() else None


def _classes(config: Mapping[str, Any]) -> list[str]:
    classes = config.get("classes")
    return sorted({c for c in classes if isinstance(c, str)}) if isinstance(classes, list) else []


def _license(facts: NodeFacts | None, project: Mapping[str, Any]) -> str | None:
    found: Any = facts.license if facts is not None and facts.license else project.get("license")
    if isinstance(found, str) and found.lstrip().startswith("{"):
        match = re.search(r'"(?:text|name|spdx_id)"\s*:\s*"([^"]+)"', found)
        found = match[1] if match is not None else found
    if isinstance(found, dict):
        found = found.get("text") or found.get("file")
    lines: Sequence[str] = found.strip().splitlines() if isinstance(found, str) else ()
    return lines[0][:100] if lines else None
