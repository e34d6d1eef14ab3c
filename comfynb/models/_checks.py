"""Checks for the URLs, paths and names that deployments are made of, and their types."""

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator

__all__ = [
    "Commit",
    "FileName",
    "Folder",
    "Url",
    "check_commit",
    "check_env_names",
    "check_file_name",
    "check_relative_folder",
    "check_url",
    "runs_other_code",
    "url_checker",
]

_SECRET_PARAMETERS = frozenset({"token", "access_token", "api_key", "apikey"})
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Variables each of which makes some program run other code than its own.
_CODE = frozenset(
    {
        "BASHOPTS",
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "IFS",
        "NODE_OPTIONS",
        "PATH",
        "PERL5LIB",
        "PERL5OPT",
        "PROMPT_COMMAND",
        "PS4",
        "SHELLOPTS",
        "VIRTUAL_ENV",
    }
)
_CODE_STARTS = ("BASH_", "COMFYNB_", "DYLD_", "GIT_", "LD_", "PYTHON")
_HARMLESS_PYTHON = frozenset(
    {"PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONUTF8"}
)


def url_checker(*schemes: str) -> Callable[[str], str]:
    """Return a validator for absolute URLs of these schemes, with a host and without secrets."""
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(url: str) -> str:
        # Nothing is quoted: a refused URL may be refused for the secret in it.
        if not url.isprintable() or " " in url or "\\" in url:
            raise ValueError("must be a URL without spaces, backslashes and control characters")
        try:
            parts = urlsplit(url)
            host = parts.hostname
            _ = parts.port
        except ValueError:
            raise ValueError(f"must be a URL with {allowed} and a host") from None
        if parts.scheme.lower() not in schemes or not host:
            raise ValueError(f"must be a URL with {allowed} and a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must be a URL without user name and password")
        if any(key.lower() in _SECRET_PARAMETERS for key, _ in parse_qsl(parts.query)):
            raise ValueError("must be a URL without a token: tokens are kept as ApiToken")
        return url

    return check


check_url = url_checker("http", "https")


def check_relative_folder(path: str) -> str:
    """Refuse whatever is no plain relative path with / between its segments."""
    segments = path.split("/")
    if (
        not path.isprintable()
        or any(segment.strip() in {"", ".", ".."} for segment in segments)
        or any(character in path for character in "\\:")
        or path.startswith(("~", "-"))
    ):
        raise ValueError(
            "must be a folder below ComfyUI's, such as models/checkpoints: relative, "
            "with / between its parts, none of them . or .. or empty"
        )
    return path


def check_file_name(name: str) -> str:
    """Refuse whatever is no plain file name."""
    if (
        name.strip() in {"", ".", ".."}
        or not name.isprintable()
        or any(character in name for character in "/\\:")
        or name.startswith("-")
    ):
        raise ValueError("must be a file name without a folder, not starting with a hyphen")
    return name


def check_env_names(variables: dict[str, str]) -> dict[str, str]:
    """Refuse names that no shell takes, and values that no environment holds."""
    for name, value in variables.items():
        if not _ENV.fullmatch(name):
            raise ValueError(
                f"{name!r:.60} is no name of an environment variable: letters, digits and "
                "underscores, not starting with a digit"
            )
        if "\0" in value:
            raise ValueError(f"the value of {name} holds a NUL character, which no shell can pass")
    return variables


def runs_other_code(name: str) -> bool:
    """Whether an environment variable makes programs run other code than their own."""
    return name in _CODE or (name.startswith(_CODE_STARTS) and name not in _HARMLESS_PYTHON)


def check_commit(commit: str) -> str:
    """Refuse whatever is no whole commit id: a branch moves, a short id may become ambiguous."""
    if not _COMMIT.fullmatch(commit):
        raise ValueError(f"must be a whole commit id, 40 hexadecimal digits, not {commit!r:.60}")
    return commit


Url = Annotated[str, AfterValidator(check_url)]
"""http:// or https:// with a host, and no secret in it."""

Commit = Annotated[str, AfterValidator(check_commit)]
"""Forty hexadecimal digits."""

FileName = Annotated[str, AfterValidator(check_file_name)]
"""A file's name without a folder."""

Folder = Annotated[str, AfterValidator(check_relative_folder)]
"""A folder below ComfyUI's, with / between its parts."""
