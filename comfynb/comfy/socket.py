"""The websocket of one server as one endless stream of events: it reconnects by itself."""

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Awaitable
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
)

from comfynb.comfy.answers import Judge, why_no_connection
from comfynb.comfy.credentials import Credentials
from comfynb.comfy.events import Connected, Disconnected, Event, parse_frame
from comfynb.comfy.mailbox import Mailbox
from comfynb.errors import AuthenticationRequired

__all__ = ["EventStream", "Socket"]

_HELLO = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
_MAX_MESSAGE = 64 * 2**20
# The server forgets a client's socket when the handler of an older one with the same id ends, even
# if a newer one is open by then: so the old one is closed, and given time to be gone, first.
_GONE = 0.3
_LONGEST_PAUSE = 5.0
# A connection that lived shorter than this does not count as a recovery.
_STEADY = 10.0
_PATIENCE_WITH_CONSUMER = 5.0

# Of its own and below every configuration: websockets logs the handshake's URL and headers, with
# the secrets in them, at DEBUG.
_LOGGER = logging.Logger("comfynb.comfy.socket", logging.CRITICAL)  # noqa: LOG001


class _Connect(connect):
    """Connects to the one address that it was given."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow no redirect: the credentials were given for this server."""
        return exc


class Socket:
    """How to connect: everything that a connection attempt needs. ``timeout`` in seconds."""

    def __init__(
        self,
        judge: Judge,
        *,
        client_id: str,
        credentials: Credentials | None,
        ssl_context: ssl.SSLContext | None,
        proxy: str | None,
        timeout: float = 10.0,
        ping_interval: float = 10.0,
        ping_timeout: float = 30.0,
    ) -> None:
        self.judge = judge
        self.client_id = client_id
        self.timeout = timeout
        self._credentials = credentials
        self._ssl = ssl_context
        self._proxy = proxy
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout

    async def connect(self) -> ClientConnection | str | AuthenticationRequired:
        """Return a connection, or why there is none; nothing of the library's is raised."""
        try:
            return await self._handshake()
        except InvalidStatus as error:
            status = error.response.status_code
            if status in {401, 403}:
                challenge = error.response.headers.get("WWW-Authenticate", "")
                return self.judge.refused(status, challenge)
            said = "check that the proxy in front of it passes websockets on"
            return f"{self.judge.label} answered the websocket with HTTP {status}: {said}."
        except (ProxyError, InvalidProxy):
            said = "the proxy that the environment names lets no websocket through"
            return f"{self.judge.label} cannot be reached: {said}."
        except InvalidHandshake:
            said = "check that ComfyUI itself listens there"
            return f"{self.judge.label} does not answer as a websocket should: {said}."
        except TimeoutError:
            said = "check whether it is overloaded, and the network"
            return f"{self.judge.label} did not answer the websocket in time: {said}."
        except OSError as error:
            return f"{self.judge.label} {why_no_connection(error, self.judge.address)}."
        except asyncio.CancelledError as error:
            cancelled = asyncio.CancelledError(*error.args)
        # Raised anew, without the frames that hold the signed request.
        raise cancelled

    def _handshake(self) -> Awaitable[ClientConnection]:
        query = {"clientId": self.client_id}
        headers = {}
        if self._credentials is not None:
            query |= self._credentials.query()
            headers = self._credentials.headers()
        return _handshake(
            _Connect(
                f"{self.judge.address.ws_url}?{urlencode(query)}",
                additional_headers=headers,
                user_agent_header="comfynb",
                # Nothing on a local network is worth the time that compressing takes.
                compression=None,
                proxy=self._proxy,
                open_timeout=self.timeout,
                ping_interval=self._ping_interval,
                ping_timeout=self._ping_timeout,
                close_timeout=1.0,
                max_size=_MAX_MESSAGE,
                logger=_LOGGER,
                ssl=self._ssl,
            )
        )


async def _handshake(connecting: connect) -> ClientConnection:
    return await connecting


class EventStream:
    """``async for event in stream``: the events of one server, for as long as you listen.

    The socket is opened with the first event asked for, and is read whether or not you keep up.
    It ends by :meth:`aclose` and by :class:`AuthenticationRequired`, which is raised; every other
    trouble is a :class:`Disconnected` event, and it goes on trying. ``after`` is an older stream
    with the same client id: it is closed first.
    """

    def __init__(self, socket: Socket, *, after: "EventStream | None" = None) -> None:
        self._socket = socket
        self._after = after
        self._mailbox = Mailbox()
        self._task: asyncio.Task[None] | None = None
        self._connection: ClientConnection | None = None
        self._closing: asyncio.Task[None] | None = None
        self._reopening: str | None = None
        self._hurry = asyncio.Event()
        self._ended_at = -_GONE
        self._closed = False

    @property
    def is_connected(self) -> bool:
        """Whether a socket is open right now (it may be deaf all the same)."""
        return self._connection is not None

    @property
    def dropped(self) -> int:
        """How many progress events were replaced by newer ones because you were slow."""
        return self._mailbox.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._run(), name="comfynb events")
            self._task.add_done_callback(self._end)
        return await self._mailbox.get()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def reopen(self, reason: str = "the socket was silent while the queue changed") -> None:
        """Open another socket in place of one that seems deaf; where there is none, try now."""
        if self._connection is None:
            self._hurry.set()
        elif self._closing is None:
            self._reopening = reason
            self._closing = asyncio.create_task(self._connection.close())

    async def aclose(self) -> None:
        """Close the socket and end the iteration."""
        self._closed = True
        self._mailbox.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # Waits for the closing handshake too; what the task raised went to the mailbox.
            await asyncio.wait([task])

    def _end(self, task: asyncio.Task[None]) -> None:
        """Tell the consumer how the task ended, so that nobody waits for what never comes."""
        error = None if task.cancelled() else task.exception()
        self._mailbox.close(error.with_traceback(None) if error is not None else None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        if self._after is not None:
            older, self._after = self._after, None
            await older.aclose()
            self._ended_at = older._ended_at  # noqa: SLF001
        told: str | None = None
        failures = 0
        while True:
            await asyncio.sleep(self._ended_at + _GONE - loop.time())
            since = loop.time()
            connection = await self._socket.connect()
            if isinstance(connection, AuthenticationRequired):
                raise connection
            if isinstance(connection, str):
                reason, was_connected = connection, False
            else:
                reason, was_connected = await self._read(connection)
                self._ended_at = loop.time()
            if was_connected or reason != told:
                self._mailbox.put(Disconnected(reason))
                told = reason
            if self._reopening is not None or (was_connected and loop.time() - since > _STEADY):
                failures = 0
            else:
                failures += 1
            self._reopening = None
            await self._pause(failures)
            if self._mailbox.is_full:
                await self._mailbox.wait_for_room()

    async def _read(self, connection: ClientConnection) -> tuple[str, bool]:
        """Read until the socket closes; say why it did, and whether it had spoken at all."""
        self._connection = connection
        spoken = False
        try:
            await connection.send(_HELLO)
            async with asyncio.timeout(self._socket.timeout):
                spoken = self._receive(await connection.recv(decode=False))
            while True:
                # Not decoded there: a text that is not UTF-8 would end the connection.
                spoken = self._receive(await connection.recv(decode=False)) or spoken
                if self._mailbox.is_full:
                    async with asyncio.timeout(_PATIENCE_WITH_CONSUMER):
                        await self._mailbox.wait_for_room()
        except ConnectionClosed as error:
            reason = self._reopening or _why_closed(error)
        except TimeoutError:
            # A reader that stops would hold up every client of this server, so it goes instead.
            reason = "events were not taken fast enough" if spoken else "the server said nothing"
        finally:
            self._connection = None
            closing, self._closing = self._closing, None
            await connection.close()
            if closing is not None:
                await closing
            self._ended_at = asyncio.get_running_loop().time()
        return f"{self._socket.judge.label}: {reason}.", spoken

    def _receive(self, frame: bytes) -> bool:
        event = parse_frame(frame)
        self._mailbox.put(event)
        return isinstance(event, Connected)

    async def _pause(self, failures: int) -> None:
        """Wait 0.3 s after a drop and up to 5 s while it fails, never in step with other clients.

        :meth:`reopen` cuts it short.
        """
        if failures == 0:
            return
        longest = min(_LONGEST_PAUSE, _GONE * 2.0**failures)
        self._hurry.clear()
        try:
            async with asyncio.timeout(longest * random.uniform(0.5, 1.0)):  # noqa: S311
                await self._hurry.wait()
        except TimeoutError:
            return


def _why_closed(error: ConnectionClosed) -> str:
    if error.sent is not None and error.sent.code == 1009:
        return f"a message was larger than {_MAX_MESSAGE // 2**20} MiB"
    if error.sent is not None and error.sent.code == 1011:
        return "the server stopped answering on the websocket"
    if error.rcvd is not None:
        return f"the server closed the websocket (code {error.rcvd.code})"
    return "the websocket broke off"
