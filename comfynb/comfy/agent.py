"""Asks a metrics agent: one snapshot, or a stream of them that says where it broke off."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from comfynb.comfy.agent_snapshot import SCHEMA_VERSION, AgentSnapshot
from comfynb.comfy.answers import Reply, first_line
from comfynb.comfy.connection import Connection
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    InvalidValue,
    NotFound,
    ServerError,
)

__all__ = ["AGENT_PORT", "AgentClient"]

AGENT_PORT = 8189
"""Where ``comfynb-agent`` listens by default when it stands alone."""

SHORTEST_INTERVAL = 0.25
LONGEST_INTERVAL = 60.0

_SNAPSHOT = "/comfynb/metrics.json"
_STREAM = "/comfynb/metrics/stream"
_MOST_BYTES = 4 * 2**20


class AgentClient(Connection):
    """An agent at ``base_url``: its own address, or that of the ComfyUI in which it runs.

    ``auth`` is usually `BearerAuth` with the agent's token; for the rest see ``Connection``::

        async with AgentClient("http://gpu1:8189", auth=BearerAuth(token)) as agent:
            async for snapshot in agent.stream(interval=1.0):
                ...
    """

    async def snapshot(self) -> AgentSnapshot:
        """Give the machine as it is now (at most half a second ago).

        Raises NotFound where no agent is there, AuthenticationRequired where it wants another
        token, BackendUnreachable where nobody answers.
        """
        reply = await self._transport.get(_SNAPSHOT)
        self._check(reply)
        return self._read(reply.content)

    async def stream(self, interval: float = 1.0) -> AsyncGenerator[AgentSnapshot]:
        """Give snapshots ``interval`` seconds apart (0.25 to 60) until the agent ends.

        Returns when the agent ends the stream in order; raises BackendUnreachable where the
        connection breaks off or nothing comes for longer than it should, so that the caller can
        record the gap. Close it (``aclosing``) when leaving early.
        """
        if not SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL:
            raise InvalidValue(
                f"An agent sends snapshots {SHORTEST_INTERVAL} to {LONGEST_INTERVAL:.0f} seconds "
                f"apart, not {interval}."
            )
        # Between two events nothing comes, which is no silence yet.
        wait = self._transport.timeout + interval
        asked = {"interval": f"{interval:g}"}
        pieces = self._transport.stream(_STREAM, asked, self._check, wait=wait)
        try:
            async for data in _events(pieces):
                yield self._read(data)
        except _TooLongError:
            raise self._transport.judge.not_comfyui("an event without end", _STREAM) from None
        finally:
            await pieces.aclose()

    def _check(self, reply: Reply) -> None:
        """Raise what a status other than 200 means of an agent."""
        status = reply.status
        if status == 200:
            return
        label = self._transport.judge.label
        if status == 404:
            raise NotFound(
                f"{label} has no metrics agent: copy the agent into ComfyUI's custom_nodes and "
                f"start ComfyUI again, or run comfynb-agent there and give its own address."
            )
        said = self._sentence(reply)
        if status == 401 or (status == 403 and said):
            raise AuthenticationRequired(
                f"The metrics agent at {label} refuses (HTTP {status}): "
                f"{said or 'it wants a token'}",
                backend=self.name,
            )
        if status in {400, 503} and said:
            raise ServerError(
                f"The metrics agent at {label} refuses (HTTP {status}): {said}",
                backend=self.name,
                status=status,
            )
        self._transport.judge.check(reply, _SNAPSHOT)
        raise self._transport.judge.not_comfyui(f"HTTP {status}", _SNAPSHOT)

    @staticmethod
    def _sentence(reply: Reply) -> str:
        try:
            answer: Any = reply.json()
        except ValueError:
            return ""
        said = answer.get("error") if isinstance(answer, dict) else None
        return first_line(said.encode("utf-8", "replace")) if isinstance(said, str) else ""

    def _read(self, text: bytes) -> AgentSnapshot:
        try:
            raw: Any = json.loads(text)
        except (ValueError, RecursionError):
            raw = None
        snapshot = AgentSnapshot.parse(raw)
        if snapshot is not None:
            return snapshot
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version != SCHEMA_VERSION:
            raise BackendError(
                f"The metrics agent at {self._transport.judge.label} speaks version {version} of "
                f"its snapshots, and this comfynb version {SCHEMA_VERSION}: update the older one.",
                backend=self.name,
            )
        raise self._transport.judge.not_comfyui("what is no snapshot of an agent", _SNAPSHOT)


class _TooLongError(Exception):
    """One event is longer than any snapshot."""


async def _events(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Give the data of each server-sent event in a body that comes in pieces."""
    rest = b""
    data: list[bytes] = []
    size = 0
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for ended in lines:
            line = ended.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
                size += len(line)
            elif not line and data:
                yield b"\n".join(data)
                data, size = [], 0
        if size + len(rest) > _MOST_BYTES:
            raise _TooLongError
