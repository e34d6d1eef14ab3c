"""A person's tokens: added and replaced, never shown again, and given to their own hosts alone."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn, Self, TypeVar

from pydantic import SecretStr

from comfynb.deploy.tokens.environment import EnvironmentToken, find_tokens
from comfynb.deploy.tokens.keys import KeyStore
from comfynb.deploy.tokens.sealing import Key, Sealed, seal, unseal
from comfynb.deploy.tokens.secret import Secret
from comfynb.errors import InvalidValue, NotFound, SecretError, UsageError
from comfynb.models import ApiToken, Service, utcnow
from comfynb.store import Store, Transaction

__all__ = ["HOSTS", "Rotation", "TokenInfo", "TokenVault"]

T = TypeVar("T")

HOSTS: Mapping[str, Service] = {
    "huggingface.co": Service.HUGGINGFACE,
    "civitai.com": Service.CIVITAI,
    "civitai.red": Service.CIVITAI,
}
"""Exactly these hosts get a token; none below them, none like them."""

_SHORTEST, _LONGEST = 8, 4096
# How often it is written down that a token is in use.
_TOUCH = timedelta(minutes=1)
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What is shown of a token: everything but the token.

    One of the environment has no ``id``: it can be used, but neither changed nor removed here.
    """

    id: str | None
    name: str
    service: Service
    last4: str
    isActive: bool  # noqa: N815 - as in ApiToken
    source: Literal["stored", "environment"]
    lastUsed: datetime | None = None  # noqa: N815
    createdAt: datetime | None = None  # noqa: N815
    problem: str | None = None
    """Why it cannot be read, in a sentence; None where it can."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that is complete: how many rows were encrypted anew, and with which key."""

    rows: int
    key_id: str
    place: str


class TokenVault:
    """The tokens of one person in a store; ``Fetcher(secrets=vault.secret_for)`` uses them.

    A stored token that is active counts before one of the environment, a newer one before an
    older one. Call :meth:`refresh` once before :meth:`secret_for`, and again to see what other
    programs changed; this object's own changes are seen at once.
    """

    def __init__(
        self,
        store: Store,
        user_id: str,
        *,
        keys: KeyStore | None = None,
        environ: Mapping[str, str] = os.environ,
        hosts: Mapping[str, Service] = HOSTS,
        now: Callable[[], datetime] = utcnow,
    ) -> None:
        self.user_id = user_id
        self._store = store
        self._environ = environ
        self._keys = keys or KeyStore(environ=environ)
        self._hosts = {host.lower(): service for host, service in hosts.items()}
        self._now = now
        self._rows: list[ApiToken] | None = None
        self._known: list[Key] = []
        self._found: list[EnvironmentToken] = []
        self._touched: dict[str, datetime] = {}

    def for_user(self, user_id: str) -> "TokenVault":
        """Return the vault of another person in the same store, with the same keys."""
        return TokenVault(
            self._store,
            user_id,
            keys=self._keys,
            environ=self._environ,
            hosts=self._hosts,
            now=self._now,
        )

    # ---- using

    async def refresh(self) -> Self:
        """Read rows, keys and environment; raises SecretError where keys cannot be read.

        A row whose key is missing is no error here: :meth:`tokens` shows it, and using it raises.
        """
        rows = await self._store.find(
            ApiToken, where={"userId": self.user_id}, order_by="-createdAt"
        )

        def look() -> tuple[list[Key], list[EnvironmentToken]]:
            # Without a row there may be no keyring to unlock and no key to be missing.
            return (self._keys.load() if rows else []), find_tokens(self._environ)

        self._known, self._found = await asyncio.to_thread(look)
        self._rows = rows
        return self

    def secret_for(self, host: str) -> str | None:
        """Return the bearer token for exactly this host over HTTPS, or None.

        ``host`` may carry the port 443 and no other. Raises SecretError where the token that
        counts cannot be read: asking without it would look as if the file were not there.
        """
        name, colon, port = host.partition(":")
        service = self._hosts.get(name.lower())
        if service is None or (colon and port != "443"):
            return None
        if self._rows is None:
            raise UsageError("The tokens have not been read yet: call 'await vault.refresh()'.")
        for row in self._rows:
            if row.service is service and row.isActive:
                secret = unseal(row, self._known)
                self._touch(row)
                return secret.get_secret_value()
        for found in self._found:
            if found.service is service:
                return found.secret.get_secret_value()
        return None

    async def tokens(self) -> list[TokenInfo]:
        """Return what may be shown of all tokens, the stored ones first, newest first."""
        await self.refresh()
        assert self._rows is not None
        stored = [self._info(row) for row in self._rows]
        return stored + [
            TokenInfo(None, found.place, found.service, found.last4, True, "environment")
            for found in self._found
        ]

    # ---- changing

    async def add(
        self, name: str, service: Service, token: str | SecretStr, *, active: bool = True
    ) -> TokenInfo:
        """Encrypt and keep a token; raises InvalidValue, SecretError."""
        secret = _checked(token)
        now = self._now()
        row = ApiToken(
            name=name,
            service=service,
            token="-",  # noqa: S106 - replaced below, before anything is written
            isActive=active,
            userId=self.user_id,
            createdAt=now,
            updatedAt=now,
        )

        def put(tx: Transaction, key: Key) -> ApiToken:
            sealed = seal(row, secret, key)
            tx.put(sealed)
            return sealed

        return await self._sealed(put)

    async def replace(self, token_id: str, token: str | SecretStr) -> TokenInfo:
        """Put another token into a row, say after the old one was withdrawn."""
        secret = _checked(token)

        def put(tx: Transaction, key: Key) -> ApiToken:
            row = self._mine(tx, token_id).model_copy(
                update={"updatedAt": self._now(), "lastUsed": None}
            )
            sealed = seal(row, secret, key)
            tx.put(sealed)
            return sealed

        return await self._sealed(put)

    async def rename(self, token_id: str, name: str) -> TokenInfo:
        """Give a token another name."""
        return await self._change(token_id, {"name": name})

    async def set_active(self, token_id: str, active: bool) -> TokenInfo:
        """Use a token, or leave it aside."""
        return await self._change(token_id, {"isActive": active})

    async def remove(self, token_id: str) -> None:
        """Forget a token."""

        def delete(tx: Transaction) -> None:
            self._mine(tx, token_id)
            tx.delete(ApiToken, token_id)

        await self._store.transact(delete)
        await self.refresh()

    async def rotate(self, *, forget: bool = False) -> Rotation:
        """Make a new key and encrypt every row of the store with it, everybody's, at once.

        The former keys stay where keys are kept, since other stores on this machine may be
        encrypted with them; ``forget=True`` drops them once all rows here are encrypted anew. Where
        the keys come from COMFYNB_TOKEN_KEY, its first key is the new one. Raises SecretError, and
        changes nothing, where a row cannot be read. Killed at any point, it loses nothing.
        """

        def work() -> Rotation:
            with self._keys.lock(shared=False):
                known = self._keys.load()
                for row in self._store.find(ApiToken).result(_WAIT_S):
                    unseal(row, known)
                # The new key is safe before any row needs it, the old ones until none does.
                keys = self._keys.add(self._store.path)

                def rewrite(tx: Transaction) -> int:
                    rows = tx.find(ApiToken)
                    tx.put(*(seal(row, unseal(row, keys), keys[0]) for row in rows))
                    return len(rows)

                count = self._store.transact(rewrite).result(_WAIT_S)
                if forget:
                    self._keys.forget_all_but(keys[0], self._store.path)
                return Rotation(count, keys[0].id, self._keys.place)

        done = await asyncio.to_thread(work)
        await self.refresh()
        return done

    # ---- within

    async def _sealed(self, put: Callable[[Transaction, Key], ApiToken]) -> TokenInfo:
        """Write a row with the key that counts now: no rotation comes between."""

        def work() -> ApiToken:
            with self._keys.lock(shared=False):
                key = self._keys.load_or_make(self._store.path)[0]
                return self._store.transact(lambda tx: put(tx, key)).result(_WAIT_S)

        row = await asyncio.to_thread(work)
        await self.refresh()
        return self._info(row)

    async def _change(self, token_id: str, values: Mapping[str, Any]) -> TokenInfo:
        def write(tx: Transaction) -> ApiToken:
            row = self._mine(tx, token_id)
            row = ApiToken.model_validate({**row.model_dump(), **values, "updatedAt": self._now()})
            tx.put(row)
            return row

        row = await self._store.transact(write)
        await self.refresh()
        return self._info(row)

    def _mine(self, tx: Transaction, token_id: str) -> ApiToken:
        row = tx.get(ApiToken, token_id)
        if row is None or row.userId != self.user_id:
            raise NotFound(f"There is no token with the id {token_id!r:.60} among yours.")
        return row

    def _info(self, row: ApiToken) -> TokenInfo:
        last4, problem = "", None
        try:
            last4 = Sealed.of(row).last4
            unseal(row, self._known)
        except SecretError as error:
            problem = str(error)
        return TokenInfo(
            row.id,
            row.name,
            row.service,
            last4,
            row.isActive,
            "stored",
            row.lastUsed,
            row.createdAt,
            problem,
        )

    def _touch(self, row: ApiToken) -> None:
        now = self._now()
        before = self._touched.get(row.id)
        if before is not None and now - before < _TOUCH:
            return
        self._touched[row.id] = now
        # Nobody waits for it; the store says in its log if it fails.
        self._store.transact(
            lambda tx: tx.execute(
                "update api_tokens set last_used = $1 where id = $2 "
                "and (last_used is null or last_used < $1)",
                [now, row.id],
            )
        )

    def __repr__(self) -> str:
        count = "not read" if self._rows is None else f"{len(self._rows)} stored"
        return f"<TokenVault of {self.user_id}: {count}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a vault is not pickled: open one where it is needed")


def _checked(token: str | SecretStr) -> Secret:
    """Read what somebody pasted; the message never holds it."""
    text = token.get_secret_value() if isinstance(token, SecretStr) else token
    text = text.strip()
    if not _SHORTEST <= len(text) <= _LONGEST:
        raise InvalidValue(f"A token has {_SHORTEST} to {_LONGEST} characters: paste all of it.")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise InvalidValue("A token has no blanks and no letters beyond ASCII: paste it alone.")
    return Secret(text)
