"""The secret that a client must show: read, compared in constant time, and never printed."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["TOKEN_FILE_VARIABLE", "TOKEN_VARIABLE", "SettingsError", "Token", "find_token"]

TOKEN_VARIABLE = "COMFYNB_AGENT_TOKEN"  # noqa: S105 - the name of a variable, not a token
TOKEN_FILE_VARIABLE = "COMFYNB_AGENT_TOKEN_FILE"  # noqa: S105 - likewise

SHORTEST = 16
"""Characters; a random token of that length cannot be guessed over a network."""

_MOST_BYTES = 4096


class SettingsError(ValueError):
    """The agent cannot start as it was told to; the message names what to change."""


class Token:
    """A bearer token, kept as its hash: neither a repr nor a traceback can show it."""

    __slots__ = ("_digest",)

    def __init__(self, text: str) -> None:
        text = text.strip()
        if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
            raise SettingsError(
                f"the agent's token must have at least {SHORTEST} visible ASCII characters and "
                "no spaces: make one with python -c 'import secrets; print(secrets.token_hex())'"
            )
        self._digest = _digest(text)

    def admits(self, authorization: str) -> bool:
        """Say whether this ``Authorization`` header shows the token.

        Digests of equal length are compared in constant time, so the answer's time tells neither
        how much of a guess is right nor how long the token is.
        """
        scheme, _, shown = authorization.partition(" ")
        same = hmac.compare_digest(_digest(shown.strip()), self._digest)
        return same and scheme.lower() == "bearer"

    def __repr__(self) -> str:
        return "Token(...)"


def _digest(text: str) -> bytes:
    # A header may hold any bytes, which arrive as lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def find_token(environment: Mapping[str, str], path: str | os.PathLike[str] | None) -> Token | None:
    """Read the token from a file or from COMFYNB_AGENT_TOKEN; None where neither is given.

    ``path`` goes before COMFYNB_AGENT_TOKEN_FILE, and a file before COMFYNB_AGENT_TOKEN. Raises
    `SettingsError` when a file that is named cannot be read or holds no token.
    """
    named = path or environment.get(TOKEN_FILE_VARIABLE)
    if named:
        return Token(_read(Path(named)))
    text = environment.get(TOKEN_VARIABLE)
    return Token(text) if text else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
        return content.decode()
    except OSError as error:
        raise SettingsError(
            f"the token file {path} cannot be read ({error.strerror}): name one that this user "
            f"may read, or set {TOKEN_VARIABLE}"
        ) from None
    except UnicodeDecodeError:
        # "from None": the error quotes what the file holds
        raise SettingsError(f"the token file {path} is not a text file") from None
