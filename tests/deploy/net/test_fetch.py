"""The fetcher against servers that behave and servers that do not."""

import asyncio
import contextlib
import gzip
import json
import ssl
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.errors import AddressRefused, FetchError, InvalidValue, SecretError, UsageError

PUBLIC_2 = "151.101.1.6"
URL = "https://models.example"
SECRET = "s3cr3t"
# Not asked over, but reading the system's certificates for each example would take long.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def raw(*parts: bytes, stay: asyncio.Event | None = None) -> Talk:
    """A server that answers every request with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
            if stay is None:
                return
            await stay.wait()

    return talk


async def endless(request: web.Request) -> web.StreamResponse:
    """Send for as long as somebody takes it (and, lest a test hang, not for ever)."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        if request.transport is None or request.transport.is_closing():
            break
        await response.write(b"x" * 65536)
        await asyncio.sleep(0)
    return response


# ---- what is asked and answered


async def test_json_goes_out_and_comes_in(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        sent = await request.json() if request.method == "POST" else None
        response = web.json_response(
            {
                "method": request.method,
                "path": request.raw_path,
                "sent": sent,
                "accept": request.headers["Accept"],
                "agent": request.headers["User-Agent"],
                "cookie": request.headers.get("Cookie"),
                "long": "x" * 5000,
            }
        )
        response.enable_compression()
        response.set_cookie("who", "me")
        return response

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.get_json(f"{URL}/a%2Fb?x=1", params={"q": "ä &=", "tag": ["a", "b"]})
        assert got["path"] == "/a%2Fb?x=1&q=%C3%A4+%26%3D&tag=a&tag=b"
        assert (got["method"], got["accept"], got["agent"]) == (
            "GET",
            "application/json",
            "comfynb",
        )
        assert got["cookie"] is None
        assert len(got["long"]) == 5000
        got = await fetcher.post_json(URL, {"a": [1, "ä"]})
        assert (got["method"], got["sent"]) == ("POST", {"a": [1, "ä"]})
        # No cookie jar: what one host sets is not sent, not even to itself.
        assert got["cookie"] is None
        with pytest.raises(InvalidValue, match="JSON"):
            await fetcher.post_json(URL, {"a": float("nan")})
        for headers in ({"X": "a\r\nY: 1"}, {"a b": "c"}, {"X": "ü"}, {"": "a"}):
            with pytest.raises(UsageError, match="no header can carry"):
                await fetcher.get(URL, headers=headers)
        with pytest.raises(UsageError, match="secrets="):
            await fetcher.get(URL, headers={"authorization": "Bearer x"})


async def test_it_is_used_open(world: Any) -> None:
    fetcher = world.fetcher()
    with pytest.raises(UsageError, match="async with"):
        await fetcher.get(URL)
    async with fetcher:
        pass
    with pytest.raises(UsageError, match="async with"):
        await fetcher.get(URL)
    assert "closed" in repr(fetcher)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 429, 500, 503])
async def test_a_status_is_an_answer_and_an_error_where_json_was_wanted(
    world: Any, status: int
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "17"}, text='{"a": 1}')

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.get(f"{URL}/x?token={SECRET}")
        assert (got.status, got.body, got.retry_after) == (status, b'{"a": 1}', 17.0)
        assert got.headers["retry-after"] == "17"
        assert SECRET not in repr(got)
        for ask in (fetcher.get_json, lambda url: fetcher.post_json(url, {})):
            with pytest.raises(FetchError, match=str(status)) as caught:
                await ask(f"{URL}/x?token={SECRET}")
            assert (caught.value.status, caught.value.retry_after) == (status, 17.0)
            assert caught.value.url == f"{URL}/x"
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":'])
async def test_what_is_not_json_is_named(world: Any, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="not JSON"):
            await fetcher.get_json(URL)


# ---- HEAD


async def test_head_tells_the_headers(world: Any) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        response = web.Response(body=b"x" * 1000, headers={"ETag": '"1"'})
        # Sizes must be those of the file, not of what a server packs.
        response.enable_compression()
        return response

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.head(URL)
    assert (got.status, got.headers["content-length"], got.body) == (200, "1000", b"")
    assert asked == ["HEAD"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
async def test_where_head_is_refused_the_first_byte_is_asked_for(world: Any, status: int) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.method, request.headers.get("Range")))
        if request.method == "HEAD":
            return web.Response(status=status)
        return web.Response(status=206, body=b"x", headers={"Content-Range": "bytes 0-0/1000"})

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.head(URL)
    assert (got.status, got.headers["content-range"], got.body) == (206, "bytes 0-0/1000", b"x")
    assert asked == [("HEAD", None), ("GET", "bytes=0-0")]


async def test_a_server_that_sends_everything_is_cut_off(world: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405) if request.method == "HEAD" else await endless(request)

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.head(URL)
    assert got.status == 200
    assert len(got.body) == 16 * 1024


async def test_a_redirect_can_itself_be_the_answer(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Location": "https://cdn.example/f?X-Amz-Signature=abc", "X-Linked-Size": "7"}
        return web.Response(status=302, headers=headers)

    async def cdn(request: web.Request) -> web.Response:
        return web.Response(body=b"1234567")

    await world.serve("models.example", answer)
    await world.serve("cdn.example", cdn, address=PUBLIC_2)
    async with world.fetcher() as fetcher:
        got = await fetcher.head(URL, follow=False)
        assert (got.status, got.headers["x-linked-size"], got.history) == (302, "7", ())
        got = await fetcher.head(URL)
    assert (got.status, got.headers["content-length"]) == (200, "7")
    assert got.url == "https://cdn.example/f"
    assert [(one.status, one.url, one.headers["x-linked-size"]) for one in got.history] == [
        (302, f"{URL}/", "7")
    ]


# ---- redirects


async def test_redirects_end(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/a":
            raise web.HTTPFound("/b")
        if request.path == "/b":
            raise web.HTTPFound("/a")
        if request.path == "/self":
            raise web.HTTPFound("")
        left = int(request.path[1:])
        if left:
            raise web.HTTPFound(f"/{left - 1}")
        return web.Response(text="there")

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        got = await fetcher.get(f"{URL}/5")
        assert (got.body, len(got.history), got.url) == (b"there", 5, f"{URL}/0")
        with pytest.raises(FetchError, match="more than 5"):
            await fetcher.get(f"{URL}/6")
        with pytest.raises(FetchError, match="circle"):
            await fetcher.get(f"{URL}/a")


async def test_what_is_posted_goes_nowhere_else(world: Any) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/there")

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="elsewhere"):
            await fetcher.post_json(f"{URL}/here", {"a": 1})
    assert asked == ["/here"]


async def test_no_redirect_leads_from_https_to_http_not_even_where_http_is_allowed(
    world: Any,
) -> None:
    async def plain(request: web.Request) -> web.Response:
        raise AssertionError("asked in the clear")

    url, allow = await world.plain(plain)

    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound(url)

    await world.serve("models.example", answer)
    async with world.fetcher(policy=allow) as fetcher:
        with pytest.raises(AddressRefused, match="plain http"):
            await fetcher.get(URL)


# ---- secrets


def secrets_of(*hosts: str) -> Callable[[str], str | None]:
    return lambda host: SECRET if host in hosts else None


async def test_a_token_goes_to_its_own_host_and_no_further(world: Any) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.host, request.path, request.headers.get("Authorization")))
        if request.path == "/out":
            raise web.HTTPTemporaryRedirect("https://cdn.example/back")
        if request.path == "/back":
            raise web.HTTPTemporaryRedirect("https://models.example/end")
        if request.path == "/near":
            raise web.HTTPFound("/end")
        return web.Response(text="ok")

    await world.serve("models.example", answer)
    await world.serve("cdn.example", answer, address=PUBLIC_2)
    await world.serve("sub.models.example", answer, address="151.101.1.7")
    async with world.fetcher(secrets=secrets_of("models.example", "cdn.example")) as fetcher:
        await fetcher.get(f"{URL}/near")
        await fetcher.get("https://MODELS.example./end".replace("./", "/"))
        await fetcher.get("https://sub.models.example/end")
        assert seen == [
            ("models.example", "/near", f"Bearer {SECRET}"),
            ("models.example", "/end", f"Bearer {SECRET}"),
            ("models.example", "/end", f"Bearer {SECRET}"),
            ("sub.models.example", "/end", None),
        ]
        seen.clear()
        # Not to another host, although it has a token too, nor when it leads back.
        await fetcher.get(f"{URL}/out")
        assert seen == [
            ("models.example", "/out", f"Bearer {SECRET}"),
            ("cdn.example", "/back", None),
            ("models.example", "/end", None),
        ]


async def test_a_token_is_dropped_at_another_port_of_the_same_address(world: Any) -> None:
    seen = []

    async def second(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text="ok")

    there, allow_2 = await world.plain(second)

    async def first(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        raise web.HTTPFound(there)

    here, allow_1 = await world.plain(first)
    both = type(allow_1)(allow_1.allow | allow_2.allow)
    async with world.fetcher(policy=both, secrets=secrets_of("127.0.0.1")) as fetcher:
        assert (await fetcher.get(here)).body == b"ok"
    assert seen == [f"Bearer {SECRET}", None]


async def test_no_error_shows_a_token(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        there = f"https://user:{SECRET}@models.example:bad/?sig={SECRET}"
        return web.Response(status=302, headers={"Location": there})

    await world.serve("models.example", answer)
    async with world.fetcher(secrets=secrets_of("models.example")) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.get(f"{URL}/x?token={SECRET}")
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__


async def test_a_token_with_a_line_break_is_not_sent(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        raise AssertionError("asked with a header that was injected")

    await world.serve("models.example", answer)
    async with world.fetcher(secrets=lambda host: "a\r\nX-Evil: 1") as fetcher:
        with pytest.raises(SecretError, match="token") as caught:
            await fetcher.get(URL)
    assert "Evil" not in str(caught.value)


# ---- bodies


async def test_a_huge_answer_is_cut_off(world: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/told":
            return web.Response(body=b"x" * 2_000_000)
        return await endless(request)

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        for path in ("/told", "/untold"):
            with pytest.raises(FetchError, match="larger than the 1,000,000 bytes"):
                await fetcher.get(URL + path, max_bytes=1_000_000)
        assert len((await fetcher.get(f"{URL}/told", max_bytes=2_000_000)).body) == 2_000_000


async def test_a_bomb_is_not_unpacked(world: Any) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = bytes(2**20)
    bomb = b"".join(pack.compress(zeros) for _ in range(40)) + pack.flush()
    assert len(bomb) < 100_000

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        await fetcher.head(URL)
        tracemalloc.start()
        try:
            with pytest.raises(FetchError, match="larger"):
                await fetcher.get(URL, max_bytes=1_000_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10_000_000


@pytest.mark.parametrize(
    ("coding", "body", "word"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "nobody asked"),
        ("br", b"\x0b\x00\x80{}\x03", "nobody asked"),
        ("zstd", b"x", "nobody asked"),
        ("gzip", b"not gzip", "cannot be unpacked"),
        ("gzip", gzip.compress(b'{"a": "' + b"x" * 1000 + b'"}', mtime=0)[:-20], "broke off"),
    ],
)
async def test_packing_that_is_wrong_is_named(
    world: Any, coding: str, body: bytes, word: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": coding})

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match=word):
            await fetcher.get_json(URL)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP", "identity"])
async def test_usual_packing_is_undone(world: Any, coding: str) -> None:
    plain = json.dumps(list(range(50_000))).encode()
    packed = {"deflate": zlib.compress(plain), "identity": plain}.get(
        coding, gzip.compress(plain, mtime=0)
    )

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": coding})

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        assert await fetcher.get_json(URL) == list(range(50_000))


async def test_an_answer_that_drips_ends(world: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    await world.serve("models.example", answer)
    async with world.fetcher(timeout=0.1) as fetcher:
        with pytest.raises(FetchError, match="in time"):
            await fetcher.get(URL)


@pytest.mark.parametrize("path", ["/headers", "/body"])
async def test_an_answer_that_stops_ends(world: Any, path: str) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n" + (
        b"" if path == "/headers" else b"\r\nx"
    )
    await world.serve_raw("models.example", raw(start, stay=asyncio.Event()))
    async with world.fetcher(timeout=0.1) as fetcher:
        with pytest.raises(FetchError, match="in time"):
            await fetcher.get(URL + path)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nshorts",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nshort",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 100,
        b"",
    ],
)
async def test_an_answer_that_is_wrong_is_an_error(world: Any, answer: bytes) -> None:
    await world.serve_raw("models.example", raw(answer))
    async with world.fetcher(timeout=5) as fetcher:
        for ask in (fetcher.get, fetcher.get_json, fetcher.probe):
            with pytest.raises(FetchError, match=r"models\.example"):
                await ask(URL)


async def test_bytes_beyond_the_promised_length_are_no_next_answer(world: Any) -> None:
    stay = asyncio.Event()
    stay.set()
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    honest = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
    await world.serve_raw("models.example", raw(honest + smuggled, stay=stay))
    async with world.fetcher(timeout=5) as fetcher:
        for _ in range(3):
            assert (await fetcher.get(URL)).body == b"good"


async def test_who_gives_up_gives_up(world: Any) -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    await world.serve("models.example", answer)
    async with world.fetcher(secrets=secrets_of("models.example")) as fetcher:
        task = asyncio.ensure_future(fetcher.get(URL))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_unknown_hosts_and_silent_ones_are_named(world: Any) -> None:
    async with Fetcher(lookup=world.lookup, tls=world.tls.client, timeout=0.2) as fetcher:
        with pytest.raises(FetchError, match=r"no host named models\.example"):
            await fetcher.get(f"{URL}/x?token={SECRET}")
        world.names["models.example"] = [["93.184.216.34"]]
        # Here it ends in a trap, which says nothing.
        with pytest.raises(FetchError, match=r"models\.example"):
            await fetcher.get(f"{URL}/x?token={SECRET}")


BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.0 206 \r\n"),
                *(b"HTTP/9.9 200\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\r\n\r\n"),
                *(b"Content-Length: 3\r\n", b"Content-Length: 99\r\n", b"Content-Length: -3\r\n"),
                *(b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n", b"abc"),
                *(b"Location: \xff\xfe\r\n", b"Location: //[\r\n", b"Location: /x\r\n"),
                *(b"Retry-After: \xe9\r\n", b"Content-Range: bytes 0-0/9\r\n", b"3\r\nabc\r\n"),
                *(b"Set-Cookie: a=b\r\n", b"Connection: upgrade\r\n", b": \r\n", b"\x00"),
            ]
        ),
        max_size=8,
    ).map(b"".join),
)


@settings(max_examples=60)
@given(BYTES)
@example(b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n")
@example(b"HTTP/1.1 302 Found\r\nLocation: //[\r\nContent-Length: 0\r\n\r\n")
def test_whatever_a_server_says_it_is_an_answer_or_an_error_in_words(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await writer.drain()
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        policy = NetPolicy(frozenset({f"127.0.0.1:{port}"}))
        async with server, Fetcher(policy=policy, timeout=5, tls=TLS) as fetcher:
            for attempt in (fetcher.get, fetcher.probe, fetcher.get_json):
                try:
                    answer = await attempt(f"http://127.0.0.1:{port}/x?token={SECRET}")
                except FetchError as error:
                    assert SECRET not in f"{error} {error.url}"  # noqa: PT017 - either is right
                else:
                    assert SECRET not in repr(answer)

    asyncio.run(ask())
