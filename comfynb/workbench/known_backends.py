"""What is remembered of backends: rows in the store, secrets in their file, lives in the engine."""

import asyncio
import os
from collections import Counter
from typing import Any

from pydantic import ValidationError

from comfynb.comfy import (
    BasicAuth,
    BearerAuth,
    Credentials,
    HeaderAuth,
    TokenAuth,
)
from comfynb.engine.backend import LiveBackend
from comfynb.engine.engine import Engine
from comfynb.engine.host import Doing, LoopHost
from comfynb.engine.secrets import SecretFile
from comfynb.errors import ComfynbError, UsageError
from comfynb.models import (
    AuthConfig,
    AuthKind,
    BackendConfig,
    ObjectInfoRecord,
    PromptRecord,
    PromptStatus,
    explain,
    utcnow,
)
from comfynb.store import Store
from comfynb.workbench.metrics import agent_secret

__all__ = ["KnownBackends", "auth_config", "backend_config", "credentials_for", "secret_of"]


class KnownBackends:
    """Adds, changes and forgets backends: in the store, in the secret file and in the engine."""

    def __init__(self, store: Store, engine: Engine, host: LoopHost) -> None:
        self._store = store
        self._engine = engine
        self._host = host
        self.secrets = SecretFile()

    def open(self) -> list[str]:
        """Know what the store knows; on the loop's thread. Returns what is wrong with some."""
        problems: list[str] = []
        configs = self._store.find(BackendConfig, order_by="created_at").result()
        if not configs:
            return problems
        infos = {i.backend_id: i.data for i in self._store.find(ObjectInfoRecord).result()}
        client_ids = self._former_client_ids()
        for config in configs:
            try:
                credentials = credentials_for(config.auth, self.secrets.get(config.id))
            except ComfynbError as error:
                credentials = None
                problems.append(str(error))
            self._engine.add_backend(
                config,
                credentials,
                client_id=client_ids.get(config.id),
                object_info=infos.get(config.id),
            )
        return problems

    def _former_client_ids(self) -> dict[str, str]:
        """The client id that dead kernels' prompts were sent with, for each backend.

        Taking it over lets the server tell us their progress; two living clients must not share
        one, so a living kernel's is never taken.
        """
        alive = self._store.live_owners().result()
        found: dict[str, Counter[str]] = {}
        for state in (PromptStatus.SENDING, PromptStatus.QUEUED, PromptStatus.RUNNING):
            for record in self._store.find(PromptRecord, where={"state": state.value}).result():
                owner = self._store.journal.owner_of(record.job_id).result()
                if record.client_id and owner not in alive:
                    found.setdefault(record.backend_id, Counter())[record.client_id] += 1
        return {backend: counts.most_common(1)[0][0] for backend, counts in found.items()}

    def add(
        self, config: BackendConfig, credentials: Credentials | None, *, store_secret: bool
    ) -> LiveBackend:
        """Store a backend and know it from now on; the same id replaces its former settings."""
        if credentials is not None and store_secret:
            self.secrets.set(config.id, secret_of(credentials))
        else:
            self.secrets.remove(config.id)
        self._store.put(config).result()
        return self._host.ask(self._engine.put_backend, config, credentials)

    def change(self, live: LiveBackend, **changes: Any) -> None:
        """Change some settings of a backend, here and in the store.

        Raises:
            UsageError: a value that is not allowed.
        """
        config = backend_config(**{**live.config.model_dump(), **changes, "updated_at": utcnow()})
        self._store.put(config).result()
        self._host.ask(self._engine.put_backend, config, live.credentials)

    def remove(self, live: LiveBackend) -> Doing[None]:
        """Forget a backend, here and in the store."""

        async def remove() -> None:
            await self._engine.remove_backend(live.id)
            self.secrets.remove(agent_secret(live.id))
            await self._store.delete(ObjectInfoRecord, live.id)
            await self._store.delete(BackendConfig, live.id)
            self.secrets.remove(live.id)

        return self._host.do(remove(), f"remove {live.name}")

    def check(self) -> Doing[None]:
        """Ask every backend for its health now."""

        async def check() -> None:
            await asyncio.gather(*(b.check() for b in list(self._engine.backends.values())))

        return self._host.do(check(), "check backends")


def backend_config(**settings: Any) -> BackendConfig:
    """Make a backend's settings out of what a person gave.

    Raises:
        UsageError: a value that is not allowed.
    """
    try:
        return BackendConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError(explain(error)) from None


# Credentials ----------------------------------------------------------------------------------


def auth_config(credentials: Credentials | None, env: str | None) -> AuthConfig | None:
    """What the store may know of credentials: everything but the secret."""
    match credentials:
        case None:
            return None
        case BasicAuth(username=username):
            return AuthConfig(kind=AuthKind.BASIC, username=username, env=env)
        case BearerAuth():
            return AuthConfig(kind=AuthKind.BEARER, env=env)
        case HeaderAuth(name=header):
            return AuthConfig(kind=AuthKind.HEADER, header=header, env=env)
        case TokenAuth():
            return AuthConfig(kind=AuthKind.TOKEN, env=env)


def credentials_for(config: AuthConfig | None, secret: str | None) -> Credentials | None:
    """Put a stored reference and its secret together again; None where either is missing."""
    if config is None:
        return None
    if config.env is not None:
        secret = os.environ.get(config.env)
    if secret is None:
        return None
    match config.kind:
        case AuthKind.BASIC:
            return BasicAuth(config.username or "", secret)
        case AuthKind.BEARER:
            return BearerAuth(secret)
        case AuthKind.HEADER:
            return HeaderAuth(config.header or "", secret)
        case AuthKind.TOKEN:
            return TokenAuth(secret)


def secret_of(credentials: Credentials) -> str:
    """The secret itself, for the secret file alone."""
    match credentials:
        case BasicAuth(password=secret) | HeaderAuth(value=secret):
            return secret.reveal()
        case BearerAuth(token=secret) | TokenAuth(token=secret):
            return secret.reveal()
