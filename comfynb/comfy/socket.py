"""The websocket of one server as one endless stream of events: it reconnects by itself."""

import asyncio
import json
import random
from types import TracebackType
from typing import Self

import aiohttp

from comfynb.comfy.events import Connected, Disconnected, Event, parse_frame
from comfynb.comfy.mailbox import Mailbox
from comfynb.comfy.transport import RefusedRedirectError, Transport
from comfynb.errors import AuthenticationRequired, BackendError

__all__ = ["EventStream", "Socket"]

Connection = aiohttp.ClientWebSocketResponse[bool]

_HELLO = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
_MAX_MESSAGE = 64 * 2**20
# Seconds of silence after which a ping is sent; its answer may take half as long. A node that
# hogs the server's interpreter keeps it from answering for many seconds.
_HEARTBEAT = 40.0
# The server forgets a client's socket when the handler of an older one with the same id ends, even
# if a newer one is open by then: so the old one is closed, and given time to be gone, first.
_GONE = 0.3
_LONGEST_PAUSE = 5.0
# A connection that lived shorter than this does not count as a recovery.
_STEADY = 10.0
_PATIENCE_WITH_CONSUMER = 5.0
# Frames that are read before others on the loop have their turn.
_AT_ONCE = 16
# How ComfyUI's json.dumps begins such a message; one that begins otherwise is read every time.
_PROGRESS_STATE = b'{"type": "progress_state"'
_PROGRESS_INTERVAL = 0.05


class Socket:
    """Opens the websocket of the server behind ``transport``, for one ``client_id``."""

    def __init__(
        self, transport: Transport, client_id: str, *, heartbeat: float = _HEARTBEAT
    ) -> None:
        self.transport = transport
        self.judge = transport.judge
        self._client_id = client_id
        self._heartbeat = heartbeat

    async def connect(self) -> Connection | str | AuthenticationRequired:
        """Return a connection, or why there is none; nothing of the library's is raised."""
        try:
            async with asyncio.timeout(self.transport.timeout):
                connection: Connection = await self.transport.websocket(
                    {"clientId": self._client_id},
                    heartbeat=self._heartbeat,
                    max_msg_size=_MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                    # A text that is not UTF-8 would end the connection.
                    decode_text=False,
                )
                return connection
        except RefusedRedirectError as error:
            try:
                self.judge.check(error.reply, "/ws")
            except BackendError as meaning:
                return str(meaning)
            return f"{self.judge.label} redirects the websocket: check its address."
        except aiohttp.WSServerHandshakeError as error:
            if error.status in {401, 403}:
                challenge = error.headers.get("WWW-Authenticate", "") if error.headers else ""
                return self.judge.refused(error.status, challenge)
            said = "check that the proxy in front of it passes websockets on"
            return f"{self.judge.label} answers the websocket with HTTP {error.status}: {said}."
        except TimeoutError:
            said = "check whether it is overloaded, and the network"
            return f"{self.judge.label} did not open the websocket in time: {said}."
        except aiohttp.ClientError as error:
            return str(self.judge.failure(error))
        except asyncio.CancelledError as error:
            cancelled = asyncio.CancelledError(*error.args)
        # Raised anew, without the frames that hold the signed request.
        raise cancelled


_CARRIES_DATA = {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}


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
        self._connection: Connection | None = None
        self._closing: asyncio.Task[bool] | None = None
        self._reopening: str | None = None
        self._hurry = asyncio.Event()
        self._ended_at = -_GONE
        self._closed = False
        self._progress_at = -_PROGRESS_INTERVAL
        self._thinned = 0

    @property
    def is_connected(self) -> bool:
        """Whether a socket is open right now (it may be deaf all the same)."""
        return self._connection is not None

    @property
    def dropped(self) -> int:
        """How many progress events were left out: replaced by newer ones, or too close together."""
        return self._mailbox.dropped + self._thinned

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
        task = self._task
        if not self._closed:
            self._closed = True
            self._mailbox.close()
            if task is not None:
                task.cancel()
        if task is not None:
            # Waits for the closing handshake too; what the task raised went to the mailbox.
            await asyncio.wait([task])
        await self._close_older()

    async def _close_older(self) -> None:
        if self._after is not None:
            await self._after.aclose()
            self._ended_at = max(self._ended_at, self._after._ended_at)  # noqa: SLF001
            self._after = None

    def _end(self, task: asyncio.Task[None]) -> None:
        """Tell the consumer how the task ended, so that nobody waits for what never comes."""
        error = None if task.cancelled() else task.exception()
        self._mailbox.close(error.with_traceback(None) if error is not None else None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await self._close_older()
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
            await self._pause(pause_after(failures))
            if self._mailbox.is_full:
                await self._mailbox.wait_for_room()

    async def _read(self, connection: Connection) -> tuple[str, bool]:
        """Read until the socket closes; say why it did, and whether it had spoken at all."""
        self._connection = connection
        spoken = False
        try:
            await connection.send_str(_HELLO)
            async with asyncio.timeout(self._socket.transport.timeout):
                message = await connection.receive()
            frames = 0
            while isinstance(message.data, bytes) and message.type in _CARRIES_DATA:
                frames += 1
                if frames % _AT_ONCE == 0:  # receive() does not wait while there are more
                    await asyncio.sleep(0)
                spoken = self._receive(message.data) or spoken
                if self._mailbox.is_full:
                    async with asyncio.timeout(_PATIENCE_WITH_CONSUMER):
                        await self._mailbox.wait_for_room()
                message = await connection.receive()
            reason = self._reopening or _why_closed(connection, message.data)
        except aiohttp.ClientError:
            reason = "the websocket broke off"
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
        if frame.startswith(_PROGRESS_STATE):
            # Each carries the state of every node so far, several of them for each node that runs:
            # people look ten times a second, so twice as often is enough to read them.
            now = asyncio.get_running_loop().time()
            if now - self._progress_at < _PROGRESS_INTERVAL:
                self._thinned += 1
                return False
            self._progress_at = now
        event = parse_frame(frame)
        self._mailbox.put(event)
        return isinstance(event, Connected)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless :meth:`reopen` cuts it short."""
        if seconds == 0:
            return
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: up to 5, out of step with other clients."""
    if failures == 0:
        return 0.0
    return min(_LONGEST_PAUSE, _GONE * 2.0**failures) * random.uniform(0.5, 1.0)  # noqa: S311


def _why_closed(connection: Connection, error: object) -> str:
    """Say why there are no more messages; ``error`` is what came instead of the next one."""
    if isinstance(error, aiohttp.WebSocketError):
        if error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            return f"a message was larger than {_MAX_MESSAGE // 2**20} MiB"
        return "what the server sent is no websocket message"
    if isinstance(error, TimeoutError):
        return "the server stopped answering on the websocket"
    if connection.close_code in {None, aiohttp.WSCloseCode.ABNORMAL_CLOSURE}:
        return "the websocket broke off"
    return f"the server closed the websocket (code {connection.close_code})"
