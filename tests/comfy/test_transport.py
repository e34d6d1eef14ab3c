"""Requests over real sockets: what each failure is called, and what is sent how often."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.comfy import BasicAuth, ComfyClient, HeaderAuth, TokenAuth
from comfynb.comfy import transport as transport_module
from comfynb.comfy.address import parse_address
from comfynb.comfy.transport import Transport
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    NotComfyUI,
    ServerError,
    UsageError,
)

from .conftest import ServeRaw, ServeRoutes


def answering(**options: Any) -> Any:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(**options)

    return handler


async def problem_of(url: str, path: str = "/queue", **options: Any) -> BackendError:
    """What asking ``url`` for ``path`` raises."""
    async with ComfyClient(url, name="PC1", **options) as client:
        with pytest.raises(BackendError) as caught:
            await client._transport.get_dict(path)
    # One sentence, with the name and the address in it, and nothing of the library's behind it.
    message = str(caught.value)
    assert "PC1 (http" in message
    assert message.endswith(".")
    assert "\n" not in message
    assert caught.value.backend == "PC1"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return caught.value


# No connection: nothing was sent


async def test_a_name_that_does_not_exist() -> None:
    error = await problem_of("http://no-such-host.invalid:8188")
    assert isinstance(error, BackendUnreachable)
    assert not error.sent
    assert "no-such-host.invalid" in str(error)
    assert "spelling" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_a_port_where_nobody_listens(host: str, unused_tcp_port: int) -> None:
    error = await problem_of(f"http://{host}:{unused_tcp_port}")
    assert isinstance(error, BackendUnreachable)
    assert not error.sent
    assert "refuses connections" in str(error)
    assert str(unused_tcp_port) in str(error)


async def test_a_server_that_speaks_no_tls(serve: ServeRoutes) -> None:
    url = await serve({"GET /queue": answering(text="{}")})
    error = await problem_of(url.replace("http://", "https://"))
    assert isinstance(error, BackendUnreachable)
    assert not error.sent
    assert "http:// instead of https://" in str(error)


async def test_a_connection_that_is_never_taken() -> None:
    # A listening socket whose backlog is full takes no more connections: like a firewall that
    # drops them, and without leaving the machine.
    import socket

    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        error = await problem_of(f"http://127.0.0.1:{port}", timeout=0.2)
    assert isinstance(error, BackendUnreachable)
    assert not error.sent
    assert "firewall" in str(error)


# A connection, but no whole answer: nobody knows


async def test_a_server_that_hangs_up(serve_raw: ServeRaw) -> None:
    asked = []

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}")
    assert isinstance(error, BackendUnreachable)
    assert error.sent
    assert len(asked) == 2, "a GET is sent once more, and no oftener"


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": 1',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1,',
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
async def test_an_answer_cut_in_half(answer: bytes, serve_raw: ServeRaw) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}")
    assert isinstance(error, BackendUnreachable)
    assert error.sent
    assert "unknown" in str(error)


async def test_a_server_that_never_answers(serve_raw: ServeRaw) -> None:
    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}", timeout=0.5)
    assert isinstance(error, BackendUnreachable)
    assert error.sent
    assert "in time" in str(error)


async def test_an_answer_that_drips_for_ever(serve_raw: ServeRaw) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}", timeout=0.1)
    assert isinstance(error, BackendUnreachable)
    assert "in time" in str(error)


async def test_a_post_is_never_sent_twice(serve_raw: ServeRaw) -> None:
    asked = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The first answer is good, so that the second request goes over a kept connection.
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b""):
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.partition(b" ")[0])
            await reader.readexactly(int(head.lower().partition(b"length: ")[2].split()[0]))
            writer.write(answer)
            await writer.drain()

    port = await serve_raw(talk)
    async with ComfyClient(f"http://127.0.0.1:{port}") as client:
        assert (await client._transport.post_json("/prompt", {})).status == 200
        with pytest.raises(BackendUnreachable) as caught:
            await client._transport.post_json("/prompt", {})
        assert caught.value.sent
    assert asked == [b"POST", b"POST"]


async def test_a_get_over_a_connection_that_went_stale_is_sent_again(serve_raw: ServeRaw) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        if connections == 1:
            # Closed when the next request is on its way: the worst moment.
            await reader.readuntil(b"\r\n\r\n")
            return
        await reader.read()

    port = await serve_raw(talk)
    async with ComfyClient(f"http://127.0.0.1:{port}") as client:
        assert await client._transport.get_dict("/queue") == {}
        assert await client._transport.get_dict("/queue") == {}
    assert connections == 2


# Somebody else answers


async def test_something_that_is_not_http(serve_raw: ServeRaw) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await writer.drain()
        await asyncio.sleep(5)

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}")
    assert isinstance(error, NotComfyUI)
    assert "does not speak HTTP" in str(error)


async def test_a_web_page_a_text_and_other_json(serve: ServeRoutes) -> None:
    page = "<!doctype html><script>alert(1)</script>"
    url = await serve(
        {
            "GET /page": answering(text=page, content_type="text/html"),
            "GET /sly": answering(text="  <HTML>", content_type="application/json"),
            "GET /text": answering(text="hello"),
            "GET /list": answering(text="[]", content_type="application/json"),
            "GET /deep": answering(text="[" * 100_000, content_type="application/json"),
        }
    )
    for path, what in [
        ("/page", "a web page"),
        ("/sly", "a web page"),
        ("/text", "not JSON"),
        ("/list", "another shape"),
        ("/deep", "not JSON"),
    ]:
        error = await problem_of(url, path)
        assert isinstance(error, NotComfyUI)
        assert what in str(error)
        assert "script" not in str(error)


@pytest.mark.parametrize("status", [502, 503, 504, 521, 530])
async def test_a_proxy_without_its_server(status: int, serve: ServeRoutes) -> None:
    page = answering(status=status, text="<html>nginx", content_type="text/html")
    error = await problem_of(await serve({"GET /queue": page}))
    assert isinstance(error, BackendUnreachable)
    assert error.sent, "a gateway's time-out does not say whether the server got the request"
    assert str(status) in str(error)


async def test_the_servers_own_errors(serve: ServeRoutes) -> None:
    url = await serve(
        {
            "GET /a": answering(status=500, text="\n 500 Internal \x1b[31m Error\n\nmore\n"),
            "GET /b": answering(status=500, text="<html><b>x", content_type="text/html"),
            "GET /c": answering(status=418),
            "GET /d": answering(status=503, text="{}", content_type="application/json"),
            "GET /e": answering(status=500, body=b"\xff\xfe" + b"z" * 9000),
        }
    )
    for path, status, said in [
        ("/a", 500, "500 Internal [31m Error"),
        ("/b", 500, "a web page"),
        ("/c", 418, "no text"),
        ("/d", 503, "{}"),
        ("/e", 500, "zzz"),
    ]:
        error = await problem_of(url, path)
        assert isinstance(error, ServerError)
        assert error.status == status
        assert said in str(error)
        assert len(str(error)) < 400


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_without_end_is_not_swallowed(
    compressed: bool, serve: ServeRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.setattr(transport_module, "MAX_ANSWER_BYTES", 2**20)

    async def endless(request: web.Request) -> web.StreamResponse:
        if compressed:
            body = gzip.compress(bytes(2**24))
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        answer = web.StreamResponse()
        await answer.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await answer.write(bytes(2**16))
        return answer

    error = await problem_of(await serve({"GET /queue": endless}))
    assert isinstance(error, NotComfyUI)
    assert "without end" in str(error)


# Who are you


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_asks_who_you_are(status: int, serve: ServeRoutes) -> None:
    url = await serve({"GET /queue": answering(status=status, text="no")})
    error = await problem_of(url)
    assert isinstance(error, AuthenticationRequired)
    assert "asks who you are" in str(error)
    error = await problem_of(url, auth=BasicAuth("u", "wrong"))
    assert isinstance(error, AuthenticationRequired)
    assert "refuses the credentials" in str(error)


async def test_the_challenge_says_what_is_wanted(serve: ServeRoutes) -> None:
    for challenge, wanted in [
        ('Basic realm="x"', "a user name and password for"),
        ("Bearer", "a bearer token"),
        ("Weird", "a token or a header"),
    ]:
        refuse = answering(status=401, headers={"WWW-Authenticate": challenge})
        assert wanted in str(await problem_of(await serve({"GET /queue": refuse})))


async def test_no_origin_and_no_cookie_is_ever_sent(serve: ServeRoutes) -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers)
        answer = web.json_response({})
        answer.set_cookie("session", "1")
        return answer

    url = await serve({"GET /queue": handler, "POST /queue": handler})
    async with ComfyClient(url) as client:
        await client._transport.get_dict("/queue")
        await client._transport.post_json("/queue", {})
    assert len(seen) == 2
    assert not any("Origin" in headers or "Cookie" in headers for headers in seen)


# Redirects


async def test_redirects_within_the_server_are_followed(serve: ServeRoutes) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"path": request.raw_path, "auth": request.headers["X-Key"]})

    url = await serve(
        {
            "GET /queue": answering(status=307, headers={"Location": "/queue/?a=%2F&b=1"}),
            "GET /queue/": echo,
        }
    )
    async with ComfyClient(url, auth=HeaderAuth("X-Key", "v")) as client:
        answer = await client._transport.get_dict("/queue")
    assert answer == {"path": "/queue/?a=%2F&b=1", "auth": "v"}


@pytest.mark.parametrize("auth", [HeaderAuth("X-Key", "hunter2"), TokenAuth("hunter2"), None])
async def test_credentials_never_cross_to_another_server(auth: Any, serve: ServeRoutes) -> None:
    visits = []

    async def trap(request: web.Request) -> web.Response:
        visits.append(request.headers)
        return web.json_response({})

    other = await serve({"GET /{path:.*}": trap})
    place = f"{other}/elsewhere?state=secretstate"
    url = await serve({"GET /{path:.*}": answering(status=302, headers={"Location": place})})
    error = await problem_of(url, auth=auth)
    assert isinstance(error, NotComfyUI)
    assert f"{other}/elsewhere" in str(error)
    assert "secretstate" not in str(error)
    assert "hunter2" not in str(error)
    async with ComfyClient(url, auth=auth) as client:
        event = await anext(client.events())
    assert "redirects to" in event.reason
    assert "hunter2" not in event.reason
    assert visits == []


@pytest.mark.parametrize("place", ["/login?next=%2F", "/auth/realms/x", "https://sso.example/in"])
async def test_a_sign_in_page_is_called_one(place: str, serve: ServeRoutes) -> None:
    url = await serve({"GET /queue": answering(status=302, headers={"Location": place})})
    error = await problem_of(url)
    assert isinstance(error, NotComfyUI)
    assert ("sign-in" in str(error)) == ("example" not in place)


async def test_redirects_in_a_circle_end(serve: ServeRoutes) -> None:
    url = await serve({"GET /queue": answering(status=302, headers={"Location": "/queue"})})
    assert isinstance(await problem_of(url), NotComfyUI)


@pytest.mark.parametrize("place", ["http://[", "//", "http://u:pw@127.0.0.1/x", "\x7f"])
async def test_a_redirect_to_nowhere_is_no_surprise(place: str, serve_raw: ServeRaw) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head.encode())
            await writer.drain()

    error = await problem_of(f"http://127.0.0.1:{await serve_raw(talk)}")
    assert isinstance(error, NotComfyUI)
    assert "pw" not in str(error)


# The rest


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(UsageError, match="async with"):
        await ComfyClient("gpu1").queue()


async def test_a_large_body_is_sent_without_holding_up_the_loop(serve: ServeRoutes) -> None:
    async def length(request: web.Request) -> web.Response:
        return web.json_response({"length": len(await request.read())})

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/prompt", length)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    body = {"text": "x" * 5_000_000}
    async with ComfyClient(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        reply = await client._transport.post_json("/prompt", body)
    await runner.cleanup()
    assert reply.json() == {"length": len(json.dumps(body, separators=(",", ":")))}


async def test_a_path_prefix_is_in_front_of_everything(serve: ServeRoutes) -> None:
    async def path(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path_qs})

    url = await serve({"GET /{path:.*}": path})
    async with ComfyClient(f"{url}/gpu/1?token=a%2Fb") as client:
        answer = await client._transport.get_dict("/view", {"filename": "a b&c.png"})
    assert answer == {"path": "/gpu/1/view?filename=a+b%26c.png&token=a%2Fb"}


async def test_cancelling_a_request_cancels_it(serve_raw: ServeRaw) -> None:
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    async with ComfyClient(f"http://127.0.0.1:{await serve_raw(talk)}") as client:
        task = asyncio.ensure_future(client.queue())
        await arrived.wait()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.queue()


# Proxies and certificates


async def test_the_environments_proxy_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3129")
    monkeypatch.setenv("no_proxy", "gpu2")
    for text, proxy in [
        ("gpu1", "http://proxy.example:3128"),
        ("https://gpu1", "http://proxy.example:3129"),
        ("gpu2", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("[::1]", None),
    ]:
        assert Transport(parse_address(text)[0]).proxy == proxy


async def test_a_certificate_that_nobody_vouches_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_get("/queue", answering(text="{}"))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    error = await problem_of(url)
    assert isinstance(error, BackendUnreachable)
    assert not error.sent
    assert "SSL_CERT_FILE" in str(error)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with ComfyClient(url) as client:
        assert await client._transport.get_dict("/queue") == {}
    await runner.cleanup()


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost with its key, made by openssl."""
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    path = folder / "localhost.pem"
    key = folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(path)],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path
