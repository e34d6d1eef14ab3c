"""How a token lies in its row: ``v1:KEY:LAST4:CIPHERTEXT``, bound to the row that it belongs to."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from comfynb.deploy.tokens.secret import Secret, last_four
from comfynb.errors import SecretError
from comfynb.models import ApiToken

__all__ = ["Key", "Sealed", "seal", "unseal"]

_SEALED = re.compile(r"v1:([0-9a-f]{12}):([!-~]{0,4}):([A-Za-z0-9_-]+=*)")
_NEWER = re.compile(r"v[0-9]+:")


@dataclass(frozen=True, slots=True)
class Key:
    """A Fernet key; ``id`` names it in rows and tells nothing about it."""

    id: str
    secret: Secret = field(repr=False)

    @classmethod
    def of(cls, text: str) -> "Key":
        """Read a key (44 characters of URL-safe base64); raises ValueError, which is silent."""
        try:
            Fernet(text)
        except (ValueError, TypeError):
            pass
        else:
            digest = hashlib.sha256(b"comfynb token key\0" + text.encode()).hexdigest()
            return cls(digest[:12], Secret(text))
        raise ValueError("not a key")

    @classmethod
    def new(cls) -> "Key":
        """Make a key."""
        return cls.of(Fernet.generate_key().decode())

    @property
    def fernet(self) -> Fernet:
        """What encrypts with it."""
        return Fernet(self.secret.get_secret_value())


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row's token column, taken apart."""

    key_id: str
    last4: str
    ciphertext: str = field(repr=False)

    @classmethod
    def of(cls, row: ApiToken) -> "Sealed":
        """Take a row's column apart; raises SecretError."""
        match = _SEALED.fullmatch(row.token)
        if match is not None:
            return cls(match[1], match[2], match[3])
        if _NEWER.match(row.token) and not row.token.startswith("v1:"):
            raise SecretError(
                f"The token {row.name!r:.60} was kept by a newer comfynb: upgrade this one."
            )
        raise SecretError(
            f"The token {row.name!r:.60} was not encrypted by comfynb: enter it anew."
        )

    def __str__(self) -> str:
        return f"v1:{self.key_id}:{self.last4}:{self.ciphertext}"


def seal(row: ApiToken, token: Secret, key: Key) -> ApiToken:
    """Return the row with ``token`` encrypted in it."""
    text = token.get_secret_value()
    inside = json.dumps({**_place(row), "token": text})
    ciphertext = key.fernet.encrypt(inside.encode()).decode()
    sealed = Sealed(key.id, last_four(text), ciphertext)
    return row.model_copy(update={"token": str(sealed)})


def unseal(row: ApiToken, keys: Sequence[Key]) -> Secret:
    """Return a row's token; raises SecretError, which says what is wrong with key or row."""
    sealed = Sealed.of(row)
    fitting = [key.fernet for key in keys if key.id == sealed.key_id]
    if not fitting:
        raise SecretError(
            f"The token {row.name!r:.60} cannot be read: its key ({sealed.key_id}) is not on this "
            "machine; bring the key back, or enter the token anew."
        )
    try:
        inside = json.loads(MultiFernet(fitting).decrypt(sealed.ciphertext))
    except (InvalidToken, ValueError):
        inside = None
    # Whoever can write rows must not get a token, or get it sent elsewhere, by moving it.
    if (
        isinstance(inside, dict)
        and {name: inside.get(name) for name in _place(row)} == _place(row)
        and isinstance(inside.get("token"), str)
        and last_four(inside["token"]) == sealed.last4
    ):
        return Secret(inside["token"])
    raise SecretError(f"The token {row.name!r:.60} has been changed or damaged: enter it anew.")


def _place(row: ApiToken) -> dict[str, str]:
    return {"row": row.id, "user": row.userId, "service": row.service.value}
