"""Fetching from URLs: limits, redirects and errors in one sentence, and secrets for nobody else."""

import asyncio
import base64
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from comfynb.comfy import web as fetching
from comfynb.comfy.credentials import BearerAuth, TokenAuth
from comfynb.comfy.web import fetch_url, is_url, without_secrets
from comfynb.errors import NotAWorkflow

PROMPT = b'{"1": {"class_type": "Load", "inputs": {}}}'
SECRET = "s3cr3t-word"
ServeRoutes = Callable[[dict[str, Any]], Awaitable[str]]


async def plain(_: web.Request) -> web.Response:
    return web.Response(body=PROMPT, content_type="application/json")


def with_user(url: str) -> str:
    return url.replace("http://", f"http://me:{SECRET}@")


async def test_a_file_is_fetched_and_named(serve: ServeRoutes) -> None:
    url = await serve({"GET /sub/{name}": plain})
    found = await fetch_url(f"{url}/sub/my%20portrait.json?token={SECRET}#x")
    assert found.content == PROMPT
    assert found.name == "my portrait"
    assert found.shown == f"{url}/sub/my%20portrait.json"


async def test_a_view_url_is_asked_for_the_file_itself(serve: ServeRoutes) -> None:
    asked = []

    async def view(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return await plain(request)

    url = await serve({"GET /view": view})
    query = "filename=a+b_00001_.png&type=output&subfolder=x%2Fy&preview=webp%3B90&channel=rgb"
    found = await fetch_url(f"{url}/view?{query}")
    assert found.name == "a b_00001_"
    assert asked == [{"filename": "a b_00001_.png", "type": "output", "subfolder": "x/y"}]


async def test_names_in_userdata_urls_keep_their_encoding(serve: ServeRoutes) -> None:
    asked = []

    async def userdata(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        return await plain(request)

    url = await serve({"GET /userdata/{file}": userdata})
    found = await fetch_url(f"{url}/userdata/workflows%2Fportrait.json")
    assert asked == ["/userdata/workflows%2Fportrait.json"]
    assert found.name == "portrait"


async def test_credentials_reach_their_own_origin_only(serve: ServeRoutes) -> None:
    seen: dict[str, list[str | None]] = {"home": [], "away": []}

    async def away(request: web.Request) -> web.Response:
        seen["away"].append(request.headers.get("Authorization"))
        return await plain(request)

    other = await serve({"GET /there": away})

    async def home(request: web.Request) -> web.Response:
        seen["home"].append(request.headers.get("Authorization"))
        if request.path == "/start":
            raise web.HTTPFound("/next")
        raise web.HTTPFound(f"{other}/there")

    url = await serve({"GET /start": home, "GET /next": home})
    found = await fetch_url(with_user(f"{url}/start"))
    basic = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert seen == {"home": [basic, basic], "away": [None]}
    assert found.shown == f"{other}/there"
    await fetch_url(f"{other}/there", credentials=BearerAuth(SECRET))
    assert seen["away"][-1] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "is not there"),
        (401, "asks who you are"),
        (500, "answered with HTTP 500"),
    ],
)
async def test_refusals_are_one_sentence(serve: ServeRoutes, status: int, said: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    url = await serve({"GET /x": refuse})
    with pytest.raises(NotAWorkflow, match=said):
        await fetch_url(f"{url}/x")
    if status == 401:
        with pytest.raises(NotAWorkflow, match="refuses the credentials") as refused:
            await fetch_url(with_user(f"{url}/x"))
        assert_no_secret(refused.value)
        with pytest.raises(NotAWorkflow, match="refuses the credentials") as refused:
            await fetch_url(f"{url}/x", credentials=TokenAuth(SECRET))
        assert_no_secret(refused.value)


def assert_no_secret(error: BaseException) -> None:
    """Neither the message nor anything that a traceback shows holds the secret."""
    assert SECRET not in "".join(traceback.format_exception(error)).replace('fetch_url(f"{url}', "")
    chain: BaseException | None = error
    while chain is not None:
        assert SECRET not in str(chain)
        assert SECRET not in repr(chain)
        chain = chain.__cause__ or chain.__context__


async def test_a_web_page_is_said_to_be_one(serve: ServeRoutes) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!DOCTYPE html><html></html>", content_type="text/html")

    url = await serve({"GET /blob/x.json": page})
    with pytest.raises(NotAWorkflow, match="is a web page, not a workflow"):
        await fetch_url(f"{url}/blob/x.json")


async def test_endless_redirects_end(serve: ServeRoutes) -> None:
    count = 0

    async def again(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        raise web.HTTPFound(f"/x?n={count}")

    url = await serve({"GET /x": again})
    with pytest.raises(NotAWorkflow, match="redirected again and again"):
        await fetch_url(f"{url}/x")
    assert count == 6


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://x/y", "javascript:1"])
async def test_redirects_lead_to_http_only(serve: ServeRoutes, to: str) -> None:
    async def away(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": to})

    url = await serve({"GET /x": away})
    with pytest.raises(NotAWorkflow, match="nothing else is fetched"):
        await fetch_url(f"{url}/x")


async def test_what_is_too_large_is_not_read_to_its_end(
    serve: ServeRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 1000)

    async def declared(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5000)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b"x" * 100)
        return response

    url = await serve({"GET /declared": declared, "GET /endless": endless})
    for path in ("declared", "endless"):
        with pytest.raises(NotAWorkflow, match="is larger than"):
            await fetch_url(f"{url}/{path}")


async def test_silence_and_closed_doors_are_one_sentence(
    serve: ServeRoutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_READ_SECONDS", 0.05)
    never = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    url = await serve({"GET /x": silent})
    with pytest.raises(NotAWorkflow, match="does not answer in time") as late:
        await fetch_url(with_user(f"{url}/x"))
    assert_no_secret(late.value)
    never.set()
    with pytest.raises(NotAWorkflow, match="cannot be reached") as closed:
        await fetch_url(f"http://me:{SECRET}@127.0.0.1:9/x?token={SECRET}")
    assert_no_secret(closed.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///x",
        "http://a:b:c:d/x",
        "http://[::1/x",
        "http://x:99999/",
        "https://exa mple/",
        "http://\udc80/",
    ],
)
async def test_what_is_no_url_is_said_in_one_sentence(url: str) -> None:
    with pytest.raises(NotAWorkflow) as refused:
        await fetch_url(url)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


def test_secrets_are_taken_off() -> None:
    for url in (
        f"http://me:{SECRET}@gpu1/x?token={SECRET}#{SECRET}",
        f"http://me:{SECRET}/{SECRET}@gpu1/x",
        f"https://{SECRET}@gpu1",
    ):
        assert SECRET not in without_secrets(url)
        assert "gpu1" in without_secrets(url)
    assert is_url(" HTTPS://x/y ")
    assert not is_url("portrait.json")
    assert not is_url("http://x\nand more")
