"""The keys that tokens are encrypted with: from the environment, the OS keyring, or a file."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from comfynb.deploy.tokens.keyfile import KeyFile
from comfynb.deploy.tokens.sealing import Key
from comfynb.errors import SecretError

__all__ = ["VARIABLE", "KeyStore", "Keyring"]

VARIABLE = "COMFYNB_TOKEN_KEY"
"""One key or several with commas between; the first one encrypts."""

_SERVICE = "comfynb"
_USER = "token-keys"


class Keyring(Protocol):
    """What is used of a backend of the ``keyring`` library."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a password, or None."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""


class KeyStore:
    """All keys of this machine, and where a new one goes.

    A token is read with whichever key it was encrypted with; new ones are encrypted with the
    first key of the environment, else of the keyring, else of the file. Calls block.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        file: KeyFile | None = None,
        keyring: Keyring | None = None,
        use_keyring: bool = True,
    ) -> None:
        self._environ = environ
        self.file = file or KeyFile()
        self._keyring = keyring
        self._use_keyring = use_keyring

    def load(self) -> list[Key]:
        """Return every key, the one that encrypts first; raises SecretError."""
        keys = [*self._from_environment(), *self._from_keyring(), *self.file.load()]
        return list({key.id: key for key in keys}.values())

    def load_or_make(self, store: str) -> list[Key]:
        """Return every key, and make one where there is none; to be called under the lock.

        ``store`` is where the database lies: the key goes elsewhere.
        """
        keys = self.load()
        return keys or self._keep([Key.new()], store)

    def add(self, store: str) -> list[Key]:
        """Make a key that encrypts from now on, and keep the former ones; under the lock.

        With keys in the environment, the first of these is that key: nothing is made.
        """
        if self._from_environment():
            return self.load()
        return self._keep([Key.new(), *self.load()], store)

    def forget_all_but(self, key: Key, store: str) -> None:
        """Keep ``key`` alone, where keys are kept; the environment is its owner's."""
        if not self._from_environment():
            self._keep([key], store)
            return
        if self._backend() is not None and self._from_keyring():
            self._to_keyring([])
        if self.file.load():
            self.file.save([])

    @contextlib.contextmanager
    def lock(self, *, shared: bool) -> Iterator[None]:
        """Keep a rotation and other changes apart, between processes too."""
        with self.file.lock(shared=shared):
            yield

    @property
    def place(self) -> str:
        """Where the key that encrypts is, or would be; for people."""
        if self._from_environment():
            return f"the environment variable {VARIABLE}"
        return "the keyring" if self._backend() is not None else f"the file {self.file.path}"

    def _keep(self, keys: Sequence[Key], store: str) -> list[Key]:
        if self._backend() is not None:
            self._to_keyring(keys)
        else:
            self.file.check_apart_from(store)
            self.file.save(keys)
        return list(keys)

    def _from_environment(self) -> list[Key]:
        text = self._environ.get(VARIABLE, "").strip()
        try:
            return [Key.of(part.strip()) for part in text.split(",")] if text else []
        except ValueError:
            pass
        raise SecretError(
            f"{VARIABLE} holds no key: it takes 44 characters of URL-safe base64, as "
            "cryptography.fernet.Fernet.generate_key() makes them, several with commas between."
        )

    def _backend(self) -> Keyring | None:
        if not self._use_keyring:
            return None
        if self._keyring is None:
            self._keyring = _system_keyring()
            self._use_keyring = self._keyring is not None
        return self._keyring

    def _from_keyring(self) -> list[Key]:
        backend = self._backend()
        if backend is None:
            return []
        try:
            text = backend.get_password(_SERVICE, _USER)
        except Exception as error:  # noqa: BLE001 - backends raise whatever their systems do
            problem = f"it raised {type(error).__name__}"
        else:
            try:
                return [Key.of(part) for part in json.loads(text)] if text else []
            except (ValueError, TypeError):
                problem = f"what it keeps for {_SERVICE} is no key"
        raise SecretError(f"The keyring cannot be read ({problem}): unlock it, or set {VARIABLE}.")

    def _to_keyring(self, keys: Sequence[Key]) -> None:
        backend = self._backend()
        assert backend is not None
        content = json.dumps([key.secret.get_secret_value() for key in keys])
        try:
            backend.set_password(_SERVICE, _USER, content)
        except Exception as error:  # noqa: BLE001 - backends raise whatever their systems do
            problem = type(error).__name__
        else:
            return
        raise SecretError(
            f"The keyring takes no key (it raised {problem}): unlock it, or set {VARIABLE}."
        )


def _system_keyring() -> Keyring | None:
    """Return the system's keyring if there is a real one: no stand-in, nothing in plain text."""
    import keyring

    backend: Any = keyring.get_keyring()
    module = type(backend).__module__
    if backend.priority < 1 or module.startswith(
        ("keyring.backends.fail", "keyring.backends.null")
    ):
        return None
    if module.startswith("keyrings.alt"):
        return None
    return backend  # type: ignore[no-any-return]
