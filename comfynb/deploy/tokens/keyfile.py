"""Where keys are kept when there is no keyring: one file that only its owner reads."""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from comfynb.deploy.tokens.sealing import Key
from comfynb.errors import SecretError

__all__ = ["KeyFile"]

_VERSION = 1


class KeyFile:
    """``keys/tokens.json`` below the user's configuration folder: 0600, in a folder of 0700.

    The first key is the one that encrypts. All calls block.
    """

    place = "the key file"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_config_path("comfynb") / "keys"
        self.path = self.folder / "tokens.json"

    def load(self) -> list[Key]:
        """Return the keys; none where there is no file. Raises SecretError."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error.strerror or type(error).__name__) from None
        with os.fdopen(fd, "rb") as file:
            self._check_mode(os.fstat(file.fileno()), self.path, "chmod 600")
            content = file.read(2**20)
        self._check_mode(self.folder.stat(), self.folder, "chmod 700")
        return self._parse(content)

    def save(self, keys: Sequence[Key]) -> None:
        """Write the keys, all of them or none; raises SecretError."""
        entries = [{"id": key.id, "key": key.secret.get_secret_value()} for key in keys]
        content = json.dumps({"version": _VERSION, "keys": entries}).encode()
        spare = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self._make_folder()
            # A rest of a process that had this number and was killed.
            spare.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(spare, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            spare.replace(self.path)
            self._sync_folder()
        except OSError as error:
            problem = error.strerror or type(error).__name__
        else:
            return
        raise SecretError(
            f"The key file {self.path} cannot be written ({problem}): mend that, or set "
            "COMFYNB_TOKEN_KEY."
        )

    @contextlib.contextmanager
    def lock(self, *, shared: bool) -> Iterator[None]:
        """Keep a rotation and other changes apart, between processes too; raises SecretError."""
        try:
            self._make_folder()
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self.folder / "lock", flags, 0o600)
        except OSError as error:
            raise self._unreadable(error.strerror or type(error).__name__) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def check_apart_from(self, store: str) -> None:
        """Raise SecretError where the key would lie beside the database: both would be copied."""
        if "://" in store:
            return
        database, folder = Path(store).resolve().parent, self.folder.resolve()
        if database in {folder, folder.parent}:
            raise SecretError(
                f"The key for tokens would lie beside the database ({store}): keep the database "
                "elsewhere, or set COMFYNB_TOKEN_KEY."
            )

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_mode(self.folder.stat(), self.folder, "chmod 700")

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    @staticmethod
    def _check_mode(found: os.stat_result, path: Path, cure: str) -> None:
        if found.st_uid != os.geteuid():
            raise SecretError(f"{path} belongs to somebody else: keys are read from one's own.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SecretError(
                f"{path} is open to other people: run {cure} {path}, and change the tokens if "
                "somebody may have read it."
            )

    def _parse(self, content: bytes) -> list[Key]:
        try:
            found: Any = json.loads(content)
            if found["version"] == _VERSION:
                return [Key.of(entry["key"]) for entry in found["keys"]]
            problem = "it is of another comfynb"
        except (ValueError, KeyError, TypeError):
            problem = "it is damaged"
        raise self._unreadable(problem)

    def _unreadable(self, problem: str) -> SecretError:
        return SecretError(
            f"The key file {self.path} cannot be read ({problem}): bring it back from a copy, or "
            "move it away and enter the tokens anew."
        )
