"""Tokens that the environment holds already: found, used, never written anywhere."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comfynb.deploy.tokens.secret import Secret, last_four
from comfynb.models import Service

__all__ = ["VARIABLES", "EnvironmentToken", "find_tokens"]

VARIABLES: Mapping[Service, tuple[str, ...]] = {
    Service.HUGGINGFACE: ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    Service.CIVITAI: ("CIVITAI_TOKEN", "CIVITAI_API_TOKEN", "CIVITAI_API_KEY"),
}
"""Names by service, the one that counts most first."""

_TOKEN = re.compile(r"[!-~]{1,4096}")
_MOST = 8192


@dataclass(frozen=True, slots=True)
class EnvironmentToken:
    """A token in a variable or in Hugging Face's own file; ``place`` names it for people."""

    service: Service
    place: str
    secret: Secret = field(repr=False)

    @property
    def last4(self) -> str:
        """What may be shown of it."""
        return last_four(self.secret.get_secret_value())


def find_tokens(environ: Mapping[str, str] = os.environ) -> list[EnvironmentToken]:
    """Return what is there, the one that counts most for its service first; blocks shortly.

    Text that cannot be a token (empty, with blanks inside) is none.
    """
    found = []
    for service, names in VARIABLES.items():
        for name in names:
            text = environ.get(name, "").strip()
            if _TOKEN.fullmatch(text):
                found.append(EnvironmentToken(service, name, Secret(text)))
        if service is Service.HUGGINGFACE:
            path = _token_file(environ)
            if path is not None and (text := _read(path)):
                found.append(EnvironmentToken(service, str(path), Secret(text)))
    return found


def _token_file(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HF_TOKEN_PATH"):
        return Path(environ["HF_TOKEN_PATH"]).expanduser()
    if environ.get("HF_HOME"):
        return Path(environ["HF_HOME"]).expanduser() / "token"
    home = environ.get("HOME")
    cache = environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None)
    return Path(cache).expanduser() / "huggingface" / "token" if cache else None


def _read(path: Path) -> str:
    """Read a token file; one that cannot be read is as good as none, as the Hub's library says."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            text = file.read(_MOST).decode().strip()
    except (OSError, ValueError):
        return ""
    return text if _TOKEN.fullmatch(text) else ""
