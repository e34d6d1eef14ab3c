"""A lock as the scripts see it: plain records with ids and content hashes, all of it checked."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from comfynb.deploy.scripts.checks import (
    check_environment,
    check_file,
    check_folders,
    check_model,
    check_workspace,
    clean_url,
)
from comfynb.errors import DeploymentError
from comfynb.models import content_sha256
from comfynb.models.lock import Lock, LockedModel, LockedNode, LockedRequirement

__all__ = ["Contents", "File", "InstallScript", "Node", "RequirementSet", "Unpack", "contents_of"]

_TORCH = frozenset(
    {
        "torch",
        "torchvision",
        "torchaudio",
        "torchao",
        "triton",
        "pytorch-triton",
        "pytorch-triton-rocm",
        "xformers",
    }
)
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Node:
    """A node pack that is cloned."""

    id: str
    label: str
    folder: str
    url: str
    commit: str


@dataclass(frozen=True)
class Unpack:
    """A node pack that is unpacked from archives."""

    id: str
    label: str
    folder: str
    content: str
    archives: tuple[str, ...]


@dataclass(frozen=True)
class InstallScript:
    """An install.py of a node pack."""

    id: str
    label: str
    folder: str
    content: str


@dataclass(frozen=True)
class File:
    """A file to fetch."""

    id: str
    content: str
    """Hash of what the lock says about its bytes."""
    label: str
    folder: str
    """Below ComfyUI's folder, or, with ``@/`` in front, below the script's own."""
    name: str
    url: str
    size: int
    """Bytes; 0 where nobody knows."""
    sha256: str
    service: str


@dataclass(frozen=True)
class RequirementSet:
    """Python packages that are installed in one go."""

    name: str
    from_torch_index: bool
    hashed: bool
    content: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """All that a template needs."""

    name: str
    python_name: str
    """The name as a literal of Python."""
    digest: str
    """What the lock says, in 12 hexadecimal digits; when it was made does not count."""
    workspace: str
    environment_name: str
    comfyui: tuple[str, str, str]
    """Version, URL, commit."""
    python: tuple[str, str, str, str]
    """Version, CUDA, index, torch's index; empty where there is none."""
    python_bytes: int
    """What the packages need on disk, estimated."""
    nodes: tuple[Node, ...]
    unpacks: tuple[Unpack, ...]
    installs: tuple[InstallScript, ...]
    files: tuple[File, ...]
    requirements: tuple[RequirementSet, ...]
    constraints: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]
    environment: tuple[str, ...]
    """NAME=VALUE."""
    from_outside: tuple[str, ...]
    """Variables that the machine itself must have."""
    model_folders: tuple[str, ...]
    """Folders below models, as extra_model_paths.yaml names them."""

    @property
    def pack_files(self) -> tuple[File, ...]:
        """Files of node packs."""
        return tuple(file for file in self.files if file.id.startswith("pack"))

    @property
    def models(self) -> tuple[File, ...]:
        """Files that are models."""
        return tuple(file for file in self.files if not file.id.startswith("pack"))

    @property
    def services(self) -> tuple[str, ...]:
        """Services whose tokens are wanted."""
        return tuple(sorted({file.service for file in self.files if file.service}))


def _short(*values: object) -> str:
    return content_sha256(*values)[:16]


def _label(text: str) -> str:
    """Text for a terminal: nothing in it moves the cursor or turns the direction."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _model(model: LockedModel, packs: Collection[str], *, http: bool) -> File:
    check_model(model, packs)
    url = clean_url(model.url, f"model {model.name!a:.60}", http=http)
    # Where the bytes are known by their hash, it does not matter where they came from.
    content = _short(model.sha256) if model.sha256 else _short(url, model.size)
    return File(
        id=f"model-{_short(model.path)}",
        content=content,
        label=_label(model.path),
        folder=model.folder,
        name=model.filename,
        url=url,
        size=model.size or 0,
        sha256=model.sha256 or "",
        service=model.auth.value if model.auth else "",
    )


def _pack_files(node: LockedNode, *, http: bool) -> list[File]:
    what = f"node pack {node.name!a:.60}"
    files = []
    for each in node.files:
        below, _, name = each.path.rpartition("/")
        if node.kind == "unzip":
            root = f"@/archives/unpack-{_short(node.folder)}"
            if below:
                raise DeploymentError(
                    f"The archive {each.path!a:.60} of {what} must be a file name without folder."
                )
        else:
            root = f"custom_nodes/{node.folder}"
        folder = f"{root}/{below}" if below else root
        check_file(folder.removeprefix("@/"), name, what)
        url = clean_url(each.url, what, http=http)
        content = _short(each.sha256) if each.sha256 else _short(url, each.size)
        files.append(
            File(
                id=f"pack-{_short(folder, name)}",
                content=content,
                label=_label(f"{node.name}: {each.path}"),
                folder=folder,
                name=name,
                url=url,
                size=each.size or 0,
                sha256=each.sha256 or "",
                service="",
            )
        )
    return files


def _install_script(node: LockedNode, archives: Sequence[File]) -> InstallScript:
    return InstallScript(
        id=f"install-{_short(node.folder)}",
        label=_label(node.name),
        folder=node.folder,
        content=_short(node.commit, [file.content for file in archives]),
    )


def _from_torch_index(name: str) -> bool:
    plain = name.lower().replace("_", "-").replace(".", "-")
    return plain in _TORCH or plain.startswith("nvidia-")


def _line(requirement: LockedRequirement) -> str:
    extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
    name = f"{requirement.name}{extras}"
    if requirement.url is not None:
        url = clean_url(requirement.url, f"Python package {requirement.name}")
        pinned = f"{name} @ {url}"
    else:
        pinned = f"{name}=={requirement.version}"
    return " ".join([pinned, *(f"--hash={value}" for value in requirement.hashes)])


def _requirement_sets(lock: Lock, index: str, torch_index: str) -> list[RequirementSet]:
    sets = []
    groups = [
        ("torch", True, True),
        ("torch-unhashed", True, False),
        ("packages", False, True),
        ("packages-unhashed", False, False),
    ]
    for name, torch, hashed in groups:
        # Without an index of its own torch comes from where all comes from.
        lines = tuple(
            _line(each)
            for each in lock.python.requirements
            if (bool(torch_index) and _from_torch_index(each.name)) is torch
            and bool(each.hashes) is hashed
        )
        if lines:
            content = _short(lines, lock.python.version, index, torch_index if torch else "")
            sets.append(RequirementSet(name, torch, hashed, content, lines))
    return sets


def _estimated_bytes(lock: Lock) -> int:
    """Bytes of the installed packages and their cache, from experience: no index says it."""
    names = {each.name.lower() for each in lock.python.requirements}
    torch = (10_000 if lock.python.cuda else 1_500) if "torch" in names else 0
    return (torch + 20 * len(names)) * _MIB


def _nothing_twice(files: Iterable[File], cloned: Collection[str]) -> None:
    seen: set[str] = set()
    for file in files:
        path = f"{file.folder}/{file.name}".lower()
        if path in seen:
            raise DeploymentError(f"Two files want the path {path!a:.80}: rename one of them.")
        if path.startswith("custom_nodes/") and path.split("/")[1] in cloned:
            below = path.split("/", 2)[2] if path.count("/") > 1 else ""
            if not below:
                raise DeploymentError(f"The file {path!a:.80} is a node pack's folder: rename it.")
        seen.add(path)
    for path in seen:
        folder = path
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in seen:
                raise DeploymentError(
                    f"The path {folder!a:.80} is a file and the folder of another: rename one."
                )


def contents_of(
    lock: Lock, *, workspace: str, http: bool = False, allow: Collection[str] = ()
) -> Contents:
    """Check a lock, and make the records of it that templates print.

    Args:
        lock: What is installed.
        workspace: The folder on the machine, where the lock names none.
        http: Take addresses that are http (the script then asks for ``--allow-http``).
        allow: Variables that would be refused, by name; the lock may allow some itself.

    Raises:
        DeploymentError: a script of it would be unsafe; it names the culprit and the cure.
    """
    lock = Lock.model_validate(lock.model_dump())
    check_folders(lock)
    values, outside = check_environment(lock.environment, {*allow, *lock.allowed_variables})
    packs = {node.folder for node in lock.nodes}
    nodes, unpacks, installs, files = [], [], [], []
    for node in lock.nodes:
        pack_files = _pack_files(node, http=http) if node.kind != "git" else []
        files += pack_files
        if node.kind == "git" and node.repository and node.commit:
            url = clean_url(node.repository, f"node pack {node.name!a:.60}")
            nodes.append(
                Node(
                    f"node-{_short(node.folder)}",
                    _label(node.name),
                    node.folder,
                    url,
                    node.commit,
                )
            )
        elif node.kind == "unzip":
            content = _short([file.content for file in pack_files])
            archives = tuple(file.name for file in pack_files)
            unpacks.append(
                Unpack(
                    f"unpack-{_short(node.folder)}",
                    _label(node.name),
                    node.folder,
                    content,
                    archives,
                )
            )
        if node.install_script:
            installs.append(_install_script(node, pack_files))
    models = [_model(model, packs, http=http) for model in lock.models]
    _nothing_twice([*files, *models], {node.folder.lower() for node in lock.nodes})
    index = clean_url(lock.python.index, "the package index") if lock.python.index else ""
    torch_index = (
        clean_url(lock.python.torch_index, "torch's package index")
        if lock.python.torch_index
        else ""
    )
    return Contents(
        name=_label(lock.name),
        python_name=ascii(lock.name),
        digest=content_sha256(lock.model_dump(mode="json", exclude={"created_at"}))[:12],
        workspace=check_workspace(lock.workspace, workspace),
        environment_name=lock.environment_name or "venv",
        comfyui=(
            lock.comfyui.version,
            clean_url(lock.comfyui.repository, "ComfyUI"),
            lock.comfyui.commit,
        ),
        python=(lock.python.version, lock.python.cuda or "", index, torch_index),
        python_bytes=_estimated_bytes(lock),
        nodes=tuple(nodes),
        unpacks=tuple(unpacks),
        installs=tuple(installs),
        files=(*files, *models),
        requirements=tuple(_requirement_sets(lock, index, torch_index)),
        constraints=tuple(
            f"{each.name}=={each.version}" for each in lock.python.requirements if each.version
        ),
        packages=tuple((each.name, each.version or "") for each in lock.packages),
        environment=tuple(f"{name}={value}" for name, value in values.items()),
        from_outside=outside,
        model_folders=tuple(
            sorted(
                {
                    model.folder.split("/")[1]
                    for model in lock.models
                    if model.folder.startswith("models/")
                }
            )
        ),
    )
