"""No secret in a message, a chain, a traceback with its variables, a log, or a repr."""

import asyncio
import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web

from comfynb.comfy import (
    BasicAuth,
    BearerAuth,
    ComfyClient,
    Connected,
    Credentials,
    Disconnected,
    FileRef,
    HeaderAuth,
    TokenAuth,
    new_prompt_id,
)
from comfynb.errors import AuthenticationRequired, BackendError
from comfynb.sandbox import in_process

from .conftest import ServeRaw, ServeRoutes

SECRET = "hunter2/Tr0ub4dor+3"
FORMS = [
    SECRET,
    quote(SECRET, safe=""),
    quote_plus(SECRET),
    base64.b64encode(f"user:{SECRET}".encode()).decode(),
]
KINDS: list[Credentials] = [
    BasicAuth("user", SECRET),
    BearerAuth(SECRET),
    HeaderAuth("X-API-Key", SECRET),
    TokenAuth(SECRET),
]
every_kind = pytest.mark.parametrize("credentials", KINDS, ids=lambda c: type(c).__name__)


def frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def everything_about(error: BaseException | None) -> Iterator[str]:
    """All that a log, a debugger or a notebook's verbose traceback may show of an exception."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
        for frame in frames(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                for name, value in frame.f_locals.items():
                    yield f"{frame.f_code.co_name}.{name} = {value!r}"
        assert not error.__suppress_context__ or error.__context__ is None
        error = error.__cause__ or error.__context__


def assert_silent(texts: Iterator[str] | list[str]) -> None:
    checked = 0
    for text in texts:
        checked += 1
        assert not any(form in text for form in FORMS), text
    assert checked


@pytest.fixture(autouse=True)
def _logs_are_silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything that any library logs during these tests, down to DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in ["aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio", "comfynb"]:
        caplog.set_level(logging.DEBUG, name)
    yield
    for record in caplog.get_records("call"):
        assert_silent([record.getMessage(), repr(vars(record))])


async def requests(client: ComfyClient) -> list[BaseException]:
    """What every kind of request raises."""
    prompt_id = new_prompt_id()
    caught: list[BaseException] = []
    for request in [
        client.probe(),
        client.queue(),
        client.find(prompt_id),
        client.cancel(prompt_id),
        client.submit({"1": {"class_type": "A", "inputs": {}}}, prompt_id=prompt_id),
        client.upload(b"x", filename="x.bin"),
        client.view(FileRef("x.png")),
        client.download(FileRef("x.png"), Path("/nowhere/x.png")),
        client.object_info("A"),
    ]:
        try:
            await request
        except BackendError as error:
            caught.append(error)
    return caught


@every_kind
async def test_credentials_are_accepted_on_http_and_websocket(credentials: Credentials) -> None:
    auth = {
        BasicAuth: f"basic:user:{SECRET}",
        BearerAuth: f"bearer:{SECRET}",
        HeaderAuth: f"header:X-API-Key:{SECRET}",
        TokenAuth: f"token:{SECRET}",
    }[type(credentials)]
    async with in_process(auth=auth) as server, ComfyClient(server.url, auth=credentials) as client:
        assert (await client.probe()).version
        stream = client.events()
        assert isinstance(await anext(stream), Connected)
        ref = await client.upload(b"x", filename="x.bin")
        assert await client.view(ref) == b"x"
        assert_silent([repr(client), repr(vars(client)), repr(stream), repr(vars(stream))])
        assert_silent([repr(vars(client._transport)), repr(client._transport.judge)])


@every_kind
async def test_wrong_credentials_are_refused_without_being_shown(credentials: Credentials) -> None:
    async with (
        in_process(auth="bearer:another") as server,
        ComfyClient(server.url, auth=credentials) as client,
    ):
        caught = await requests(client)
        assert len(caught) == 9
        with pytest.raises(AuthenticationRequired) as on_socket:
            await anext(client.events())
        caught.append(on_socket.value)
    for error in caught:
        assert isinstance(error, AuthenticationRequired)
        assert_silent(everything_about(error))


@every_kind
async def test_a_server_that_hangs_up(credentials: Credentials, serve_raw: ServeRaw) -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    port = await serve_raw(talk)
    async with ComfyClient(f"http://127.0.0.1:{port}", auth=credentials) as client:
        caught = await requests(client)
        assert len(caught) == 9
        event = await anext(client.events())
    assert isinstance(event, Disconnected)
    assert_silent([event.reason, repr(event)])
    for error in caught:
        assert_silent(everything_about(error))


@every_kind
async def test_a_download_that_breaks_off(
    credentials: Credentials, serve_raw: ServeRaw, tmp_path: Path
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(2_000_000))
        await writer.drain()

    url = f"http://127.0.0.1:{await serve_raw(talk)}"
    async with ComfyClient(url, auth=credentials) as client:
        with pytest.raises(BackendError) as caught:
            await client.download(FileRef("x.png"), tmp_path / "x.png")
    assert_silent(everything_about(caught.value))


@every_kind
async def test_nobody_listens(credentials: Credentials, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with ComfyClient(url, auth=credentials) as client:
        caught = await requests(client)
        assert len(caught) == 9
        event = await anext(client.events())
    assert isinstance(event, Disconnected)
    assert_silent([event.reason])
    for error in caught:
        assert_silent(everything_about(error))


@every_kind
async def test_it_is_not_comfyui(credentials: Credentials, serve: ServeRoutes) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    url = await serve({"* /{path:.*}": page})
    async with ComfyClient(url, auth=credentials) as client:
        caught = await requests(client)
        event = await anext(client.events())
    assert len(caught) >= 6
    assert isinstance(event, Disconnected)
    assert "HTTP 200" in event.reason
    assert_silent([event.reason])
    for error in caught:
        assert_silent(everything_about(error))


@every_kind
async def test_a_request_that_was_cancelled(credentials: Credentials, serve_raw: ServeRaw) -> None:
    arrived = asyncio.Queue[None]()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.put_nowait(None)
        await reader.read()

    url = f"http://127.0.0.1:{await serve_raw(talk)}"
    async with ComfyClient(url, auth=credentials) as client:
        waiting: list[Any] = [client.queue(), client.events()._socket.connect()]
        for request in waiting:
            task = asyncio.ensure_future(request)
            await arrived.get()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert_silent(everything_about(caught.value))


async def test_a_password_in_the_address_goes_where_credentials_go(
    unused_tcp_port: int,
) -> None:
    text = f"http://user:{quote(SECRET, safe='')}@127.0.0.1:{unused_tcp_port}"
    async with ComfyClient(text) as client:
        assert client.base_url == f"http://127.0.0.1:{unused_tcp_port}"
        caught = await requests(client)
        assert_silent([repr(client), client.base_url, client.name, repr(vars(client))])
    for error in caught:
        assert_silent(everything_about(error))


async def test_credentials_given_overrule_those_in_the_address(serve: ServeRoutes) -> None:
    async def who(request: web.Request) -> web.Response:
        return web.json_response({"who": request.headers["Authorization"]})

    url = (await serve({"GET /queue": who})).replace("http://", "http://a:b@")
    async with ComfyClient(url, auth=BearerAuth("mine")) as client:
        assert (await client._transport.get_dict("/queue")) == {"who": "Bearer mine"}
