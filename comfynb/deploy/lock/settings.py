"""What a deployment's settings and packages say about Python, CUDA and Debian."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError

from comfynb.deploy.lock.requirements import OddLine, Wanted, read_requirements, read_url
from comfynb.errors import DeploymentError
from comfynb.models import CustomSettings, Deployment, PackageType, SystemPackage
from comfynb.models.lock import LockedPackage

__all__ = ["Wishes", "read_packages", "read_wishes"]

_BACKENDS: Final = (
    *((11, 8), (12, 1), (12, 4), (12, 6), (12, 8), (12, 9)),
    *((13, 0), (13, 2)),
)
DEFAULT_CUDA: Final = "12.8"
DEFAULT_PYTHON: Final = "3.12"
PYTORCH: Final = "https://download.pytorch.org/whl"
_NO_GPU: Final = frozenset({"cpu", "none", "no", "off"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the lock is made for."""

    python: str
    cuda: str | None
    backend: str
    """PyTorch's name for it: 'cpu', 'cu128'."""
    index: str | None
    comfyui: str | None
    workspace: str | None
    environment_name: str | None
    allowed_variables: tuple[str, ...] = ()
    """Variables of the environment that may make programs run other code."""
    notes: tuple[str, ...] = ()

    @property
    def torch_index(self) -> str:
        """Where PyTorch publishes its builds for this CUDA."""
        return f"{PYTORCH}/{self.backend}"


def read_wishes(deployment: Deployment) -> Wishes:
    """Read ``customSettings``. Raises DeploymentError for what cannot be understood."""
    try:
        settings = CustomSettings.model_validate(deployment.customSettings)
    except ValidationError:
        raise DeploymentError(
            f"The settings of {deployment.name!r:.80} are not readable."
        ) from None
    extra: dict[str, Any] = settings.model_extra or {}
    comfyui = extra.get("comfyui_version")
    if comfyui is not None and not isinstance(comfyui, str):
        raise DeploymentError("The setting comfyui_version must be a text, such as '0.3.64'.")
    allowed = extra.get("allowed_variables") or []
    if not isinstance(allowed, list):
        raise DeploymentError("The setting allowed_variables must be a list of names.")
    cuda, backend, notes = _cuda(settings.cuda_version)
    python = settings.python_version or DEFAULT_PYTHON
    if not re.fullmatch(r"3\.\d{1,2}(\.\d{1,2})?", python):
        raise DeploymentError(f"Python {python!r:.40} is none: give one such as 3.12.")
    return Wishes(
        python,
        cuda,
        backend,
        settings.custom_pip_index,
        comfyui or None,
        settings.workspace_path,
        settings.environment_name,
        tuple(name for name in allowed if name in deployment.environmentVars),
        notes,
    )


def _cuda(text: str | None) -> tuple[str | None, str, tuple[str, ...]]:
    if text is not None and text.strip().lower() in _NO_GPU:
        return None, "cpu", ()
    wanted = (text or DEFAULT_CUDA).strip()
    match = re.fullmatch(r"(\d{1,2})\.(\d{1,2})(?:\.\d{1,2})?", wanted)
    if match is None:
        raise DeploymentError(f"CUDA {wanted!r:.40} is none: give one such as 12.8, or 'cpu'.")
    version = (int(match[1]), int(match[2]))
    fitting = [one for one in _BACKENDS if one <= version]
    if not fitting:
        oldest = ".".join(map(str, _BACKENDS[0]))
        raise DeploymentError(f"CUDA {wanted} is older than PyTorch still serves: take {oldest}.")
    best = fitting[-1]
    backend = f"cu{best[0]}{best[1]}"
    if best == version:
        return wanted, backend, ()
    note = (
        f"PyTorch has no builds for CUDA {wanted}: those for {best[0]}.{best[1]} are taken, which "
        "run there too."
    )
    return wanted, backend, (note,)


def read_packages(
    packages: Sequence[SystemPackage],
) -> tuple[list[LockedPackage], Wanted, tuple[str, ...]]:
    """Split a deployment's own packages: Debian's, what Python wants, and notes."""
    debian: list[LockedPackage] = []
    lines: list[str] = []
    urls: dict[str, str] = {}
    odd: list[OddLine] = []
    notes: list[str] = []
    for package in packages:
        if package.packageType is PackageType.APT:
            debian.append(_debian(package, notes))
        elif package.installUrl is not None:
            try:
                urls[package.name] = read_url(package.installUrl)
            except ValueError as error:
                odd.append(
                    OddLine(f"{package.name} @ {package.installUrl}"[:200], "url", str(error))
                )
        else:
            lines.append(_line(package))
    wanted = read_requirements("deployment", lines, installs_torch=True)
    return debian, Wanted("deployment", wanted.lines, (), (*wanted.odd, *odd), urls), tuple(notes)


def _debian(package: SystemPackage, notes: list[str]) -> LockedPackage:
    version = (package.version or "").lstrip("= ") or None
    if version is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+!_~:-]*", version):
        notes.append(
            f"The Debian package {package.name} is wanted as {package.version!r:.40}, which apt "
            "cannot be told: it takes the release that the machine's Debian has."
        )
        version = None
    return LockedPackage(name=package.name, version=version)


def _line(package: SystemPackage) -> str:
    version = (package.version or "").strip()
    if version and version[0].isalnum():
        version = f"=={version}"
    line = f"{package.name}{version}"
    try:
        Requirement(line)
    except InvalidRequirement:
        raise DeploymentError(
            f"The Python package {line!r:.80} of the deployment is no requirement that pip "
            "understands: correct its version."
        ) from None
    return line
