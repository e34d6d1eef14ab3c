"""The lock: everything a deployment installs, pinned, and nothing that is secret."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from comfynb.models._base import ComfynbModel, Count, Name, Sha256, UtcDatetime, utcnow
from comfynb.models._checks import Commit, FileName, Folder, Url, check_env_names
from comfynb.models.deployment import Service

__all__ = [
    "Lock",
    "LockedComfyUI",
    "LockedFile",
    "LockedModel",
    "LockedNode",
    "LockedPackage",
    "LockedPython",
    "LockedRequirement",
]

_HASH = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_APT = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_~:-]*")
# No \d: it takes the digits of every script, and no installer does.
_PYTHON = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
_CUDA = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]{1,2})?")
_PIP_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {what}, not {value!r:.60}")
        return value

    return AfterValidator(check)


Version = Annotated[str, _matching(_VERSION, "one exact version, such as 1.2.3")]


def _twice(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


class LockedComfyUI(ComfynbModel):
    """ComfyUI itself."""

    version: Version
    """Its release, e.g. '0.3.64'."""
    repository: Url = "https://github.com/comfyanonymous/ComfyUI"
    commit: Commit


class LockedRequirement(ComfynbModel):
    """One Python package, resolved together with all others."""

    name: Annotated[str, _matching(_PIP_NAME, "a Python package's name")]
    version: Version | None = None
    """None where it comes from ``url``."""
    extras: list[Annotated[str, _matching(_PIP_NAME, "an extra's name")]] = Field(
        default_factory=list
    )
    url: Url | None = None
    """A wheel or archive that is installed instead of the index's."""
    hashes: list[
        Annotated[
            str, _matching(_HASH, "a hash, such as sha256: and 64 lower-case hexadecimal digits")
        ]
    ] = Field(default_factory=list)
    via: list[str] = Field(default_factory=list)
    """Who wants it: names of node packs, 'ComfyUI', 'deployment', or other packages."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if (self.version is None) == (self.url is None):
            raise ValueError("must have either a version or a url")
        return self


class LockedPython(ComfynbModel):
    """The interpreter and what pip installs."""

    version: Annotated[str, _matching(_PYTHON, "a version of Python, such as 3.12")] = "3.12"
    cuda: Annotated[str, _matching(_CUDA, "a version of CUDA, such as 12.8")] | None = None
    """None for machines without an NVIDIA GPU."""
    index: Url | None = None
    """The package index; None is the installer's own."""
    torch_index: Url | None = None
    """Where torch and its relatives come from."""
    requirements: list[LockedRequirement] = Field(default_factory=list)


class LockedFile(ComfynbModel):
    """A single file of a node pack that is not cloned."""

    url: Url
    path: Folder
    """Below the pack's folder, with / between its parts."""
    size: Count | None = None
    sha256: Sha256 | None = None


class LockedNode(ComfynbModel):
    """One node pack."""

    name: Name
    folder: FileName
    """Its folder in custom_nodes."""
    kind: Literal["git", "copy", "unzip"] = "git"
    repository: Url | None = None
    """What is cloned, where kind is git."""
    commit: Commit | None = None
    files: list[LockedFile] = Field(default_factory=list)
    """What is copied or unpacked, where kind is not git."""
    version: str | None = None
    """Its release, for people."""
    registry_id: str | None = None
    license: str | None = None
    classes: list[str] = Field(default_factory=list)
    """Node classes that the deployment wants it for."""
    requirements: list[str] = Field(default_factory=list)
    """Lines of its requirements file, as they were resolved."""
    install_script: bool = False
    """It has an install.py, which runs code of its own."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.kind == "git":
            if self.repository is None or self.commit is None:
                raise ValueError("a pack that is cloned needs a repository and a commit")
        elif not self.files:
            raise ValueError(f"a pack of kind {self.kind} needs files")
        if self.folder.lower() in {"__pycache__", ".git"}:
            raise ValueError("must not be folder __pycache__ or .git")
        return self


class LockedModel(ComfynbModel):
    """One model file."""

    name: Name
    filename: FileName
    folder: Folder
    """Below ComfyUI's folder, e.g. models/checkpoints."""
    url: Url
    revision: str | None = None
    """The source's commit or version id that ``url`` is pinned to."""
    size: Count | None = None
    """Bytes; None where no source says."""
    sha256: Sha256 | None = None
    auth: Service | None = None
    """Whose token the download wants."""
    license: str | None = None

    @property
    def path(self) -> str:
        """Where it lies below ComfyUI's folder."""
        return f"{self.folder}/{self.filename}"


class LockedPackage(ComfynbModel):
    """A Debian package."""

    name: Annotated[str, _matching(_APT, "a Debian package's name")]
    version: Version | None = None


class Lock(ComfynbModel):
    """All that a machine needs to run a deployment; the same lock gives the same machine."""

    format: Literal[1] = 1
    name: Name
    """The deployment's name, for people."""
    comfyui: LockedComfyUI
    python: LockedPython = Field(default_factory=LockedPython)
    nodes: list[LockedNode] = Field(default_factory=list)
    models: list[LockedModel] = Field(default_factory=list)
    packages: list[LockedPackage] = Field(default_factory=list)
    environment: Annotated[dict[str, str], AfterValidator(check_env_names)] = Field(
        default_factory=dict
    )
    allowed_variables: list[str] = Field(default_factory=list)
    """Names in ``environment`` that scripts take although they make programs run other code."""
    workspace: str | None = None
    """Folder on the machine; None takes the target's own."""
    environment_name: FileName | None = None
    """Name of the virtual environment's folder."""
    created_at: UtcDatetime = Field(default_factory=utcnow)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        # Case does not count: a network volume may sit on a file system that ignores it.
        for folder in _twice(node.folder.lower() for node in self.nodes):
            raise ValueError(f"two node packs want the folder {folder!r:.60}")
        for path in _twice(model.path.lower() for model in self.models):
            raise ValueError(f"two models want the file {path!r:.100}")
        for name in self.allowed_variables:
            if name not in self.environment:
                raise ValueError(f"allowed_variables names {name!r:.60}, which is not set")
        return self

    @property
    def secrets(self) -> tuple[Service, ...]:
        """The services whose tokens the downloads want, each once."""
        return tuple(sorted({m.auth for m in self.models if m.auth is not None}))

    @property
    def download_size(self) -> int:
        """Bytes of all models whose size is known."""
        return sum(model.size or 0 for model in self.models)

    def hosts(self) -> tuple[str, ...]:
        """The hosts that a script of this lock talks to, sorted, each once."""
        urls = [self.comfyui.repository]
        urls += [node.repository for node in self.nodes if node.repository]
        urls += [file.url for node in self.nodes for file in node.files]
        urls += [model.url for model in self.models]
        return tuple(sorted({urlsplit(url).hostname or "" for url in urls}))
