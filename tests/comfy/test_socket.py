"""The event stream: it reconnects, survives whatever is sent, and never holds the server up."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSCloseCode, web

from comfynb.comfy import (
    ComfyClient,
    Connected,
    Disconnected,
    Event,
    EventStream,
    Executed,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Preview,
    Progress,
    Unknown,
)
from comfynb.comfy import socket as socket_module
from comfynb.errors import AuthenticationRequired
from comfynb.sandbox import Sandbox

from .conftest import ServeApp, ServeRaw, ServeRoutes

PNG = b"\x89PNG\r\n\x1a\n"


class Speaker:
    """A ComfyUI that speaks on its websockets what a test tells it to.

    As ComfyUI does, it forgets the newer socket of a client when the older one's handler ends.
    """

    def __init__(self) -> None:
        self.app = web.Application()
        self.app.router.add_get("/ws", self.handle)
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.opened = 0
        self.open_now = 0
        self.most_open = 0
        self.greet = True
        self.received: list[Any] = []
        self.requests: list[web.Request] = []
        self.connected = asyncio.Event()
        self.closed_at: list[float] = []
        self.opened_at: list[float] = []

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.requests.append(request)
        sid = request.query["clientId"]
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.opened_at.append(asyncio.get_running_loop().time())
        self.opened += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        self.sockets[sid] = socket
        try:
            if self.greet:
                await socket.send_json(status(0, sid))
            self.connected.set()
            async for message in socket:
                self.received.append(json.loads(message.data))
        finally:
            self.sockets.pop(sid, None)
            self.open_now -= 1
            self.closed_at.append(asyncio.get_running_loop().time())
        return socket

    @property
    def socket(self) -> web.WebSocketResponse:
        (only,) = self.sockets.values()
        return only

    async def say(self, kind: str, **data: Any) -> None:
        await self.socket.send_json({"type": kind, "data": data})

    async def hang_up(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        self.connected.clear()
        await self.socket.close(code=code)

    def cut(self) -> None:
        self.connected.clear()
        for request in self.requests[-1:]:
            assert request.transport is not None
            request.transport.abort()


def status(remaining: int, sid: str | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return {"type": "status", "data": data if sid is None else {**data, "sid": sid}}


@asynccontextmanager
async def listening(
    speaker: Speaker, serve_app: ServeApp, **options: Any
) -> AsyncIterator[tuple[ComfyClient, EventStream]]:
    url = await serve_app(speaker.app)
    async with ComfyClient(url, name="PC1", **options) as client:
        stream = client.events()
        if speaker.greet:
            event = await anext(stream)
            assert isinstance(event, Connected)
            assert event.sid == client.client_id
        yield client, stream


async def until(stream: EventStream, kind: type[Event]) -> Any:
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError("the stream ended")


async def test_it_introduces_itself_first_and_gives_typed_events(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (client, stream):
        await speaker.say("feature_flags", max_upload_size=5)
        await speaker.say("execution_start", prompt_id="p", timestamp=0)
        assert await anext(stream) == FeatureFlags({"max_upload_size": 5})
        assert isinstance(await anext(stream), ExecutionStart)
        assert client._events is stream
        assert stream.is_connected
    assert speaker.received == [
        {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    ]
    assert "Origin" not in speaker.requests[0].headers


@pytest.mark.parametrize("how", ["hang_up", "cut"])
async def test_it_reconnects_after_the_old_socket_is_gone(how: str, serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        for _ in range(2):
            if how == "cut":
                speaker.cut()
            else:
                await speaker.hang_up()
            gone = await until(stream, Disconnected)
            assert "PC1" in gone.reason
            assert isinstance(await until(stream, Connected), Connected)
            await speaker.say("execution_success", prompt_id="p", timestamp=0)
            await until(stream, ExecutionSuccess)
    assert speaker.opened == 3
    assert speaker.most_open == 1
    for closed, opened in zip(speaker.closed_at, speaker.opened_at[1:], strict=False):
        assert opened - closed >= 0.29


async def test_a_deaf_socket_is_closed_before_another_is_opened(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (client, stream):
        client.reopen_events()
        client.reopen_events()
        gone = await until(stream, Disconnected)
        assert "silent" in gone.reason
        await until(stream, Connected)
        # Not deaf any more: an older handler that ended late would have taken this socket away.
        await speaker.say("execution_start", prompt_id="p", timestamp=0)
        await until(stream, ExecutionStart)
    assert speaker.opened == 2
    assert speaker.most_open == 1


async def test_a_second_stream_ends_the_first_before_it_opens(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (client, first):
        waiting = asyncio.ensure_future(anext(first))
        second = client.events()
        assert isinstance(await until(second, Connected), Connected)
        with pytest.raises(StopAsyncIteration):
            await waiting
        await speaker.say("execution_start", prompt_id="p", timestamp=0)
        await until(second, ExecutionStart)
        third = client.events()
        await second.aclose()
        assert isinstance(await until(third, Connected), Connected)
    assert speaker.opened == 3
    assert speaker.most_open == 1
    for closed, opened in zip(speaker.closed_at, speaker.opened_at[1:], strict=False):
        assert opened - closed >= 0.29


async def test_a_loop_that_is_left_and_begun_again(serve_app: ServeApp) -> None:
    speaker = Speaker()
    client = ComfyClient(await serve_app(speaker.app))
    async with client:
        for _ in range(2):
            async for event in client.events():
                assert isinstance(event, Connected)
                break
    assert speaker.opened == 2
    assert speaker.most_open == 1
    assert speaker.open_now == 0


async def test_streams_that_nobody_listens_to_leave_no_socket_behind(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (client, first):
        client.events()
        third = client.events()
        await until(third, Connected)
        assert not first.is_connected
        assert speaker.most_open == 1
        client.events()
    assert not third.is_connected
    assert speaker.open_now == 0


async def test_closing_twice_at_once_waits_for_the_same_end(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        await asyncio.gather(stream.aclose(), stream.aclose())
        assert not stream.is_connected
        assert speaker.open_now == 0
        await stream.aclose()


async def test_the_end_comes_with_the_client(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
    with pytest.raises(StopAsyncIteration):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert not stream.is_connected
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "comfynb events"]


async def test_a_cancelled_consumer_may_come_back(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await speaker.say("execution_start", prompt_id="p", timestamp=0)
        assert isinstance(await anext(stream), ExecutionStart)
    assert speaker.opened == 1


async def test_nothing_that_is_sent_ends_the_stream(serve_app: ServeApp) -> None:
    speaker = Speaker()
    texts = ["", "{", "[]", '{"type": "executed", "data": 5}', '{"type": "new", "data": {}}']
    blobs = [b"", b"\0", struct.pack(">II", 4, 2**31), struct.pack(">I", 99), b"\xff" * 9]
    async with listening(speaker, serve_app) as (_, stream):
        for text in texts:
            await speaker.socket.send_str(text)
        for blob in blobs:
            await speaker.socket.send_bytes(blob)
        # A text frame that is not UTF-8.
        await speaker.socket._writer.send_frame(b'{"type": "\xff"}', 1)  # type: ignore[union-attr]
        await speaker.say("execution_success", prompt_id="p", timestamp=0)
        events = []
        async for event in stream:
            events.append(event)
            if isinstance(event, ExecutionSuccess):
                break
    assert len(events) == len(texts) + len(blobs) + 2
    assert all(isinstance(event, Unknown) for event in events[:-1])
    assert speaker.opened == 1


async def test_a_broken_websocket_protocol_costs_a_reconnection(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        assert speaker.requests[-1].transport is not None
        speaker.requests[-1].transport.write(b"\xff\xff\xff\xff")
        gone = await until(stream, Disconnected)
        assert "no websocket message" in gone.reason
        await until(stream, Connected)


async def test_large_pictures_come_whole_and_monsters_do_not_come(
    serve_app: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "_MAX_MESSAGE", 8 * 2**20)
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        picture = PNG + bytes(6 * 2**20)
        await speaker.socket.send_bytes(struct.pack(">II", 1, 2) + picture)
        event = await until(stream, Preview)
        assert event.data == picture
        sending = asyncio.ensure_future(speaker.socket.send_bytes(bytes(9 * 2**20)))
        gone = await until(stream, Disconnected)
        assert "larger than 8 MiB" in gone.reason
        await asyncio.gather(sending, return_exceptions=True)
        await until(stream, Connected)


async def test_a_slow_consumer_holds_nobody_up_and_misses_no_result(serve_app: ServeApp) -> None:
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        for value in range(5000):
            await speaker.say("progress", prompt_id="p", node="1", value=value, max=5000)
            if value % 500 == 0:
                await speaker.say("executed", prompt_id="p", node=str(value), output={})
        await speaker.say("execution_success", prompt_id="p", timestamp=0)
        # It takes none of them before all have been read.
        while len(stream._mailbox) + stream.dropped < 5011:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        events = []
        async for event in stream:
            events.append(event)
            if isinstance(event, ExecutionSuccess):
                break
    assert [e.node for e in events if isinstance(e, Executed)] == [
        str(v) for v in range(0, 5000, 500)
    ]
    progress = [e.value for e in events if isinstance(e, Progress)]
    assert progress == sorted(progress)
    assert progress[-1] == 4999
    assert len(events) + stream.dropped == 5011
    assert stream.dropped > 4000


async def test_a_consumer_that_stops_is_cut_off_and_may_go_on(
    serve_app: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "_PATIENCE_WITH_CONSUMER", 0.05)
    speaker = Speaker()
    async with listening(speaker, serve_app) as (_, stream):
        stream._mailbox._max_bytes = 2**20
        for _ in range(3):
            # Results: they are not thinned out, so they pile up.
            await speaker.socket.send_bytes(struct.pack(">II", 1, 2) + PNG + bytes(2**19))
        while stream.is_connected:  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)
        pictures = 0
        async for event in stream:
            pictures += isinstance(event, Preview)
            if isinstance(event, Disconnected):
                assert "not taken fast enough" in event.reason
            if isinstance(event, Connected):
                break
    # The third was not read any more: whoever connects again asks over HTTP.
    assert pictures == 2
    assert speaker.opened == 2


async def test_a_server_that_says_nothing_is_left(serve_app: ServeApp) -> None:
    speaker = Speaker()
    speaker.greet = False
    async with listening(speaker, serve_app, timeout=0.1) as (_, stream):
        gone = await until(stream, Disconnected)
        assert "said nothing" in gone.reason
        speaker.greet = True
        await until(stream, Connected)


async def test_a_half_open_connection_is_noticed(
    serve_raw: ServeRaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side's machine is gone: no frame, no close, no answer to a ping."""
    import base64
    import hashlib

    monkeypatch.setattr(socket_module.Socket.__init__, "__kwdefaults__", {"heartbeat": 0.1})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(v for k, _, v in (h.partition(": ") for h in head.splitlines()) if "Key" in k)
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        accept = base64.b64encode(digest).decode()
        text = json.dumps(status(0, "me")).encode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            + bytes([0x81, len(text)])
            + text
        )
        await writer.drain()
        await reader.read()

    async with ComfyClient(f"http://127.0.0.1:{await serve_raw(talk)}") as client:
        stream = client.events()
        await until(stream, Connected)
        gone = await until(stream, Disconnected)
    assert "stopped answering" in gone.reason


async def test_nobody_there_is_told_once_and_tried_on(
    serve_app: ServeApp, unused_tcp_port: int
) -> None:
    async with ComfyClient(f"http://127.0.0.1:{unused_tcp_port}", name="PC1") as client:
        stream = client.events()
        gone = await anext(stream)
        assert isinstance(gone, Disconnected)
        assert "refuses connections" in gone.reason
        # Said once, and tried on: when somebody listens, it connects without being asked.
        speaker = Speaker()
        runner = web.AppRunner(speaker.app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
        client.reopen_events()
        assert isinstance(await anext(stream), Connected)
        await stream.aclose()
        await runner.cleanup()


@pytest.mark.parametrize("status_code", [401, 403])
async def test_a_refused_handshake_ends_the_stream_with_the_reason(
    status_code: int, serve: ServeRoutes
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status_code)

    async with ComfyClient(await serve({"GET /ws": refuse}), name="PC1") as client:
        stream = client.events()
        for _ in range(2):
            with pytest.raises(AuthenticationRequired, match="asks who you are"):
                await anext(stream)


@pytest.mark.parametrize("status_code", [200, 400, 404, 426, 500, 502])
async def test_a_proxy_that_passes_no_websockets_is_told(
    status_code: int, serve: ServeRoutes
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status_code, text="<html>")

    async with ComfyClient(await serve({"GET /ws": answer}), name="PC1") as client:
        gone = await anext(client.events())
    assert isinstance(gone, Disconnected)
    assert f"HTTP {status_code}" in gone.reason
    assert "proxy" in gone.reason


async def test_an_error_of_our_own_reaches_the_consumer(
    serve_app: ServeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Event:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(socket_module, "parse_frame", broken)
    async with ComfyClient(await serve_app(Speaker().app)) as client:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await anext(client.events())


def test_pauses_grow_to_five_seconds_and_differ() -> None:
    longest = [min(5.0, 0.3 * 2**failures) for failures in range(12)]
    for failures, limit in enumerate(longest):
        pauses = {socket_module.pause_after(failures) for _ in range(50)}
        assert all(limit / 2 <= pause <= limit for pause in pauses) or failures == 0
        assert len(pauses) > 1 or failures == 0
    assert socket_module.pause_after(0) == 0
    assert longest[-1] == 5.0


# The sandbox's faults


@pytest.mark.faults
async def test_a_dropped_sandbox_socket_comes_back(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        stream = client.events()
        await until(stream, Connected)
        sandbox.fault("drop", client_id=client.client_id)
        await until(stream, Disconnected)
        await until(stream, Connected)


@pytest.mark.faults
async def test_a_restarted_sandbox_is_found_again(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        stream = client.events()
        await until(stream, Connected)
        await asyncio.to_thread(sandbox.restart)
        await until(stream, Disconnected)
        connected = await until(stream, Connected)
        assert connected.remaining == 0


@pytest.mark.faults
async def test_a_deaf_sandbox_hears_again_after_reopening(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        stream = client.events()
        await until(stream, Connected)
        sandbox.fault("deaf", client_id=client.client_id)
        sandbox.clear_faults()
        client.reopen_events()
        await until(stream, Connected)
        assert isinstance(await until(stream, FeatureFlags), FeatureFlags)
