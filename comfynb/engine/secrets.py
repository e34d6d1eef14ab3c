"""Backend passwords and tokens: kept beside the user's settings, never in the store."""

import json
import os
import stat
from pathlib import Path

import platformdirs

from comfynb.errors import UsageError

__all__ = ["SecretFile"]


class SecretFile:
    """A small JSON file that only its owner may read (0600, in a folder 0700).

    Someone who runs programs as the same user can read it; it keeps secrets out of the store,
    out of notebooks and out of whatever is copied or shared from them. A secret may also be named
    by an environment variable, and then nothing is written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(
            os.environ.get("COMFYNB_SECRETS")
            or platformdirs.user_config_path("comfynb") / "secrets.json"
        )

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def get(self, key: str) -> str | None:
        """The secret stored under ``key``, or None."""
        return self._read().get(key)

    def set(self, key: str, secret: str) -> None:
        """Store ``secret`` under ``key``."""
        secrets = self._read()
        secrets[key] = secret
        self._write(secrets)

    def remove(self, key: str) -> None:
        """Forget ``key``; nothing happens if it is not known."""
        secrets = self._read()
        if secrets.pop(key, None) is not None:
            self._write(secrets)

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        if os.name == "posix" and stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            raise UsageError(
                f"{self.path} can be read by others: run chmod 600 on it and change the secrets."
            )
        try:
            secrets = json.loads(text)
        except ValueError:
            secrets = None
        if not isinstance(secrets, dict) or not all(
            isinstance(value, str) for value in secrets.values()
        ):
            raise UsageError(f"{self.path} is damaged: repair it or move it away.") from None
        return secrets

    def _write(self, secrets: dict[str, str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(secrets, file)
        partial.replace(self.path)
