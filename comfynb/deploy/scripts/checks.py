"""What a lock may ask of a script: what would make it unsafe is refused before it is written."""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import quote, urlsplit, urlunsplit

from comfynb.errors import DeploymentError
from comfynb.models._checks import runs_other_code
from comfynb.models.lock import Lock, LockedModel

__all__ = [
    "TOKEN_NAMES",
    "check_environment",
    "check_file",
    "check_folders",
    "check_model",
    "check_workspace",
    "clean_url",
    "is_secret_name",
]

TOKEN_NAMES = {"HUGGINGFACE": "HF_TOKEN", "CIVITAI": "CIVITAI_TOKEN"}

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|API_?KEY|ACCESS_KEY|"
    r"SECRET_KEY|PRIVATE_KEY)$"
)
_SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|"
    r"sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16})(?![A-Za-z0-9])"
)
_RUNPOD_SECRET = re.compile(r"\{\{ *RUNPOD_SECRET_\w+ *\}\}")

# One value of an environment may have 128 KiB on Linux; beyond, no program can be started.
_LONGEST_VALUE = 128 * 1024 - 1
_LONGEST_ENVIRONMENT = 1024 * 1024

# The longest name of a file is 255 bytes, and it has a longer one while it is being fetched.
_LONGEST_NAME = 200
_LONGEST_PATH = 1000

_CODE = (".py", ".pyc", ".pyd", ".pyw", ".so", ".dll", ".sh", ".js", ".mjs")
_FOLDERS = frozenset({"models", "input", "custom_nodes"})


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return _SECRET_NAME.search(name.upper()) is not None


def check_environment(
    variables: dict[str, str], allowed: Collection[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables to set, and the names of those that the machine must have itself.

    The latter are those with a secret's name and no value, or with RunPod's reference to a secret.

    Raises:
        DeploymentError: a variable would make programs run other code (unless its name is in
            ``allowed``), holds a secret, or is too long for Linux.
    """
    values: dict[str, str] = {}
    outside = []
    for name, value in sorted(variables.items()):
        if runs_other_code(name) and name not in allowed:
            raise DeploymentError(
                f"The variable {name} would make programs on the machine run other code: remove "
                f"it from the deployment, or allow it by name."
            )
        if _RUNPOD_SECRET.fullmatch(value.strip()) or (is_secret_name(name) and not value):
            outside.append(name)
            continue
        if is_secret_name(name) or _SECRET_VALUE.search(value):
            raise DeploymentError(
                f"The variable {name} seems to hold a secret, and scripts are no place for one: "
                f"leave its value empty, and set {name} on the machine."
            )
        if len(f"{name}={value}".encode()) > _LONGEST_VALUE:
            raise DeploymentError(
                f"The variable {name} has more than 128 KiB, with which Linux starts no program: "
                "put it into a file."
            )
        values[name] = value
    if sum(len(f"{name}={value}".encode()) for name, value in values.items()) > (
        _LONGEST_ENVIRONMENT
    ):
        raise DeploymentError(
            "The variables have more than 1 MiB together, with which Linux starts no program: "
            "put some of them into files."
        )
    return values, tuple(outside)


def check_workspace(workspace: str | None, default: str) -> str:
    """Return the folder on the machine.

    Raises:
        DeploymentError: it is no plain absolute path (or one that begins with ``~/``).
    """
    if workspace is None:
        return default
    parts = workspace.split("/")
    if (
        not workspace.startswith(("/", "~/"))
        or not workspace.isprintable()
        or any(part in {".", ".."} for part in parts)
        or not workspace.strip("/~ ")
        or len(workspace.encode()) > _LONGEST_PATH
    ):
        raise DeploymentError(
            f"The workspace {workspace!a:.80} must be an absolute path, or one that begins with "
            "~/, such as /workspace: without . and .. in it, and not / itself."
        )
    return workspace


def clean_url(url: str, what: str, *, http: bool = False) -> str:
    """Return the URL in the ASCII that programs send, with nothing in it that anybody expands.

    pip and uv replace ``${NAME}`` in a list of requirements by the variable, so a ``$`` would let
    an address ask for a token.

    Raises:
        DeploymentError: it is not https (or http, where that is allowed), or has an odd host.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if scheme != "https" and not (http and scheme == "http"):
        raise DeploymentError(
            f"The address of {what} must begin with https://: anybody on the way can change what "
            "comes over http."
        )
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
        port = parts.port
        if ":" in host:
            host = f"[{ipaddress.IPv6Address(host)}]"
        elif not re.fullmatch(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?\.?", host) or ".." in host:
            raise ValueError("odd")
    except ValueError:
        raise DeploymentError(
            f"The address of {what} has no host that can be looked up: correct it."
        ) from None
    place = host if port is None else f"{host}:{port}"
    return urlunsplit(
        (
            scheme,
            place,
            quote(parts.path, safe="/%:@!&'()*+,;=~") or "/",
            quote(parts.query, safe="/%:@!&'()*+,;=~?"),
            quote(parts.fragment, safe="/%:@!&'()*+,;=~?"),
        )
    )


def check_file(folder: str, name: str, what: str) -> None:
    """Refuse a file that would be code, lie hidden, or have too long a name.

    Raises:
        DeploymentError: with the reason.
    """
    path = f"{folder}/{name}"
    parts = path.split("/")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts) or (
        len(path.encode()) > _LONGEST_PATH
    ):
        raise DeploymentError(
            f"The path {path!a:.60}... of {what} is too long: a name may have {_LONGEST_NAME} "
            f"bytes, a path {_LONGEST_PATH}."
        )
    for part in parts:
        if part.lower() in {".git", "__pycache__"} or part.lower().startswith(".comfynb"):
            raise DeploymentError(
                f"The path {path!a:.80} of {what} lies in a folder of git, Python or comfynb: "
                "choose another one."
            )
        if part != part.strip() or part.endswith("."):
            raise DeploymentError(
                f"The path {path!a:.80} of {what} has a part with a space at an end, or a dot "
                "behind, which some file systems drop: choose another name."
            )


def check_model(model: LockedModel, packs: Collection[str]) -> None:
    """Refuse a model that would land outside the folders for models, or as code.

    Args:
        model: What the lock says.
        packs: The folders of the lock's node packs.

    Raises:
        DeploymentError: with the reason.
    """
    what = f"model {model.name!a:.60}"
    first, *rest = model.folder.split("/")
    if first not in _FOLDERS:
        raise DeploymentError(
            f"The folder {model.folder!a:.80} of {what} is none for models: it must begin with "
            "models/, input/, or custom_nodes/ and the folder of one of the deployment's packs."
        )
    if first == "custom_nodes" and (not rest or rest[0] not in packs):
        raise DeploymentError(
            f"The folder {model.folder!a:.80} of {what} belongs to no node pack of the "
            "deployment: add the pack, or choose a folder below models/."
        )
    if model.filename.lower().endswith(_CODE):
        raise DeploymentError(
            f"The file {model.filename!a:.80} of {what} would be program code: a model is not."
        )
    check_file(model.folder, model.filename, what)


def check_folders(lock: Lock) -> None:
    """Refuse folders that would lie on one another.

    Raises:
        DeploymentError: with the reason.
    """
    name = (lock.environment_name or "venv").lower()
    if name in {"comfyui", ".comfynb"}:
        raise DeploymentError(
            f"The environment's name {lock.environment_name!a} is taken by a folder of the "
            "deployment: choose another one, such as venv."
        )
    check_file("x", lock.environment_name or "venv", "the virtual environment")
    for node in lock.nodes:
        check_file("custom_nodes", node.folder, f"node pack {node.name!a:.60}")
