"""Credentials for one backend, and the wrapper that keeps their secrets out of every text."""

import base64
import hmac
import re
from dataclasses import dataclass
from typing import NoReturn, Self

from comfynb.errors import InvalidValue

__all__ = ["BasicAuth", "BearerAuth", "Credentials", "HeaderAuth", "Secret", "TokenAuth"]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Headers that frame the request itself: a credential there would change what is sent, not by whom.
_FRAMING = frozenset(
    {"connection", "content-length", "content-type", "expect", "host", "origin", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


class Secret:
    """A string that shows itself only to :meth:`reveal`: not in repr, str, format, pickle, JSON."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the secret in plain text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # surrogatepass: a lone surrogate is odd in a password, but comparing must not raise.
        mine = self._value.encode("utf-8", "surrogatepass")
        theirs = other._value.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is never pickled: store the name of an environment variable.")


def _secret(value: "str | Secret") -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _check_header(name: str, value: str, *, what: str) -> None:
    """Refuse what would break out of its header line; the value never enters the message."""
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidValue(f"{name!r} cannot be the name of an HTTP header.")
    if name.lower() in _FRAMING:
        raise InvalidValue(f"The header {name} belongs to HTTP itself and cannot carry {what}.")
    if not (value.isascii() and value.isprintable()):
        message = (
            f"The {what} for header {name} holds a character that HTTP headers cannot carry"
            " (a line break, say): check that it was copied without one."
        )
        raise InvalidValue(message)


@dataclass(frozen=True, slots=True, init=False)
class BasicAuth:
    """HTTP Basic: ``username`` and ``password``."""

    username: str
    password: Secret

    def __init__(self, username: str, password: "str | Secret") -> None:
        if ":" in username:
            raise InvalidValue("A Basic auth user name cannot contain a colon.")
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", _secret(password))

    def headers(self) -> dict[str, str]:
        """Give the headers to send; they hold the secret in plain text."""
        pair = f"{self.username}:{self.password.reveal()}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}

    def query(self) -> dict[str, str]:
        """Give the query parameters to send."""
        return {}


@dataclass(frozen=True, slots=True, init=False)
class BearerAuth:
    """``Authorization: Bearer`` with ``token``."""

    token: Secret

    def __init__(self, token: "str | Secret") -> None:
        object.__setattr__(self, "token", _secret(token))
        _check_header("Authorization", self.token.reveal(), what="token")

    def headers(self) -> dict[str, str]:
        """Give the headers to send; they hold the secret in plain text."""
        return {"Authorization": f"Bearer {self.token.reveal()}"}

    def query(self) -> dict[str, str]:
        """Give the query parameters to send."""
        return {}


@dataclass(frozen=True, slots=True, init=False)
class HeaderAuth:
    """A header of any name, ``X-API-Key`` say, with ``value`` as the secret."""

    name: str
    value: Secret

    def __init__(self, name: str, value: "str | Secret") -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "value", _secret(value))
        _check_header(name, self.value.reveal(), what="secret")

    def headers(self) -> dict[str, str]:
        """Give the headers to send; they hold the secret in plain text."""
        return {self.name: self.value.reveal()}

    def query(self) -> dict[str, str]:
        """Give the query parameters to send."""
        return {}


@dataclass(frozen=True, slots=True, init=False)
class TokenAuth:
    """``?token=`` in every URL, as several ComfyUI hosting services want it."""

    token: Secret

    def __init__(self, token: "str | Secret") -> None:
        object.__setattr__(self, "token", _secret(token))

    def headers(self) -> dict[str, str]:
        """Give the headers to send."""
        return {}

    def query(self) -> dict[str, str]:
        """Give the query parameters to send; they hold the secret in plain text."""
        return {"token": self.token.reveal()}


Credentials = BasicAuth | BearerAuth | HeaderAuth | TokenAuth
