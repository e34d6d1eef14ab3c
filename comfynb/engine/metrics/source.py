"""Where the values of one backend come from: its agent, wherever that is, or ComfyUI itself."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from comfynb.comfy import BearerAuth, Credentials
from comfynb.comfy.agent import AGENT_PORT, AgentClient
from comfynb.comfy.agent_snapshot import AgentSnapshot
from comfynb.engine.backend import LiveBackend
from comfynb.errors import AuthenticationRequired, BackendError, BackendUnreachable, NotFound

__all__ = ["Source"]

LOOK_AGAIN: Final = 60.0
"""Seconds between two looks for an agent where there was none."""
AGENT_TIMEOUT: Final = 2.5


class Source:
    """Asks one backend's machine; finds the agent by itself and again when it went away."""

    def __init__(self, backend: LiveBackend, token: Callable[[str], str | None]) -> None:
        self._backend = backend
        self._token = token
        self._agent: AgentClient | None = None
        self._found_for: tuple[object, ...] = ()
        self._look_at = 0.0
        self.note: str | None = None
        """Why there is no agent, if that is for somebody to mend."""

    @property
    def address(self) -> str | None:
        """Where the agent answers; None without one."""
        return self._agent.address.base_url if self._agent is not None else None

    def look_now(self) -> None:
        """Look for an agent at the next sample."""
        self._look_at = 0.0

    async def ask(self) -> AgentSnapshot:
        """Give the machine as it is now.

        Raises BackendError where neither an agent nor ComfyUI answers.
        """
        backend = self._backend
        standing = (backend.config.base_url, backend.config.agent_url, backend.online)
        if standing != self._found_for:
            # It moved, or came back: perhaps with an agent this time.
            if standing[:2] != self._found_for[:2]:
                await self.close()
            self._found_for = standing
            self._look_at = 0.0
        if self._agent is None and time.monotonic() >= self._look_at:
            snapshot = await self._look()
            if snapshot is not None:
                return self._own_queue(snapshot)
        if self._agent is not None:
            try:
                return self._own_queue(await self._agent.snapshot())
            except (BackendError, NotFound) as error:
                await self.close()
                self._look_at = time.monotonic() + (
                    LOOK_AGAIN if isinstance(error, AuthenticationRequired) else 0.0
                )
                self.note = _for_people(error)
        return await self._plain()

    def _own_queue(self, snapshot: AgentSnapshot) -> AgentSnapshot:
        """An agent beside several ComfyUIs knows the queue of one of them; we know ours."""
        backend = self._backend
        if not backend.online or self.address == backend.config.base_url:
            return snapshot
        return replace(snapshot, queue_depth=backend.status.queue_depth)

    async def _plain(self) -> AgentSnapshot:
        backend = self._backend
        if not backend.online:
            raise BackendUnreachable(
                backend.error or f"{backend.name} has not answered yet.", backend=backend.name
            )
        stats = await backend.client.system_stats()
        return AgentSnapshot.from_system_stats(stats, queue_depth=backend.status.queue_depth)

    async def _look(self) -> AgentSnapshot | None:
        """Try the places where an agent may be; keep the first that answers."""
        self._look_at = time.monotonic() + LOOK_AGAIN
        self.note = None
        for url, auth in self._places():
            agent = AgentClient(url, name=self._backend.name, auth=auth, timeout=AGENT_TIMEOUT)
            await agent.open()
            try:
                snapshot = await agent.snapshot()
            except (BackendError, NotFound) as error:
                self.note = self.note or _for_people(error)
                await asyncio.shield(agent.aclose())
                continue
            except BaseException:
                await asyncio.shield(agent.aclose())
                raise
            self._agent = agent
            self.note = None
            return snapshot
        return None

    def _places(self) -> list[tuple[str, Credentials | None]]:
        config = self._backend.config
        token = self._token(config.id)
        own = BearerAuth(token) if token else None
        if config.agent_url:
            return [(config.agent_url, own)]
        host = f"[{config.host}]" if ":" in config.host else config.host
        # ComfyUI's own credentials go to ComfyUI's own port only.
        beside = (f"http://{host}:{AGENT_PORT}", own)
        if not self._backend.online:
            return [beside]
        return [(config.base_url, own or self._backend.credentials), beside]

    async def close(self) -> None:
        """Let the connection go."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await asyncio.shield(agent.aclose())


def _for_people(error: BackendError | NotFound) -> str | None:
    """No agent at all is no trouble; one that refuses, or speaks otherwise, is."""
    if isinstance(error, NotFound | BackendUnreachable):
        return None
    return str(error)
