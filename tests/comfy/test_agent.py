"""The agent's client: with real agents, and with servers that are none or behave badly."""

import asyncio
import json
from contextlib import aclosing

import pytest
from aiohttp import web

from comfynb.comfy import BearerAuth
from comfynb.comfy.agent import AgentClient
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    InvalidValue,
    NotComfyUI,
    NotFound,
    ServerError,
)
from comfynb.sandbox import in_process

SECRET = "correct-horse-battery-staple"
SNAPSHOT = {"schema_version": 1, "timestamp": "2026-11-21T15:12:16.691745Z", "sequence": 1}


@pytest.fixture
def custom_nodes(repo, tmp_path):
    (tmp_path / "agent").symlink_to(repo / "agent", target_is_directory=True)
    return tmp_path


async def test_the_agent_inside_comfyui(custom_nodes):
    async with (
        in_process(samples=False, custom_nodes=custom_nodes) as server,
        AgentClient(server.url, name="PC1") as agent,
    ):
        snapshot = await agent.snapshot()
        assert (snapshot.online, snapshot.queue_depth, snapshot.prompt_id) == (True, 0, None)
        assert snapshot.ram_total > snapshot.ram_used > 0
        assert {disk.role for disk in snapshot.disks} == {"models", "output", "input", "temp"}
        async with asyncio.timeout(20), aclosing(agent.stream(0.25)) as stream:
            numbers = [one.sequence async for one in take(stream, 3)]
        assert numbers[2] > numbers[1] > numbers[0] >= snapshot.sequence


async def take(stream, count):
    async for one in stream:
        yield one
        count -= 1
        if count == 0:
            return


async def test_tokens(custom_nodes, monkeypatch):
    monkeypatch.setenv("COMFYNB_AGENT_TOKEN", SECRET)
    async with in_process(samples=False, custom_nodes=custom_nodes) as server:
        async with AgentClient(server.url, auth=BearerAuth(SECRET)) as agent:
            assert (await agent.snapshot()).online
            assert SECRET not in repr(agent)
        for auth in (None, BearerAuth("another-token-altogether")):
            async with AgentClient(server.url, auth=auth) as agent:
                with pytest.raises(AuthenticationRequired, match="token is missing or wrong"):
                    await agent.snapshot()
                with pytest.raises(AuthenticationRequired, match="token is missing or wrong"):
                    await anext(agent.stream())


async def test_a_wide_comfyui_without_a_token(custom_nodes):
    async with (
        in_process(samples=False, host="0.0.0.0", custom_nodes=custom_nodes) as server,
        AgentClient(server.url) as agent,
    ):
        with pytest.raises(AuthenticationRequired, match="set COMFYNB_AGENT_TOKEN"):
            await agent.snapshot()


async def test_a_comfyui_without_an_agent(sandbox):
    async with AgentClient(sandbox.url) as agent:
        with pytest.raises(NotFound, match="has no metrics agent: copy the agent into"):
            await agent.snapshot()
        with pytest.raises(NotFound):
            await anext(agent.stream())


def responding(status, body, **headers):
    async def handler(request):
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return handler


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (200, "<html>", NotComfyUI, "no snapshot of an agent"),
        (200, [], NotComfyUI, "no snapshot of an agent"),
        (200, "[" * 100_000, NotComfyUI, "no snapshot of an agent"),
        (200, SNAPSHOT | {"schema_version": 7}, BackendError, "speaks version 7"),
        (200, SNAPSHOT | {"timestamp": 5}, NotComfyUI, "no snapshot"),
        (403, "no", AuthenticationRequired, "HTTP 403"),
        (503, {"error": "16 streams are open\u202e\n<b>"}, ServerError, r"16 streams are open"),
        (500, "broken", ServerError, "HTTP 500"),
        (204, "", NotComfyUI, "HTTP 204"),
    ],
)
async def test_what_is_no_agent(serve, status, body, error, words):
    handler = responding(status, body)
    url = await serve(
        {"GET /comfynb/metrics.json": handler, "GET /comfynb/metrics/stream": handler}
    )
    async with AgentClient(url) as agent:
        with pytest.raises(error, match=words) as caught:
            await agent.snapshot()
        assert str(caught.value).isprintable()
        if status != 200:
            with pytest.raises(error):
                await anext(agent.stream())


async def test_a_stream_in_odd_pieces_ends_in_order(serve):
    text = "".join(
        f"id: {number}\r\nevent: snapshot\r\n"
        f"data: {json.dumps(SNAPSHOT | {'sequence': number})}\r\n\r\n"
        for number in range(3)
    )
    text = ": a comment\n\nretry: 5\n\n" + text + "data: {unfinished"

    async def handler(request):
        assert request.query["interval"] == "2.5"
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(text), 7):
            await response.write(text[start : start + 7].encode())
        return response

    url = await serve({"GET /comfynb/metrics/stream": handler})
    async with AgentClient(url) as agent, asyncio.timeout(20):
        assert [one.sequence async for one in agent.stream(2.5)] == [0, 1, 2]


async def test_a_stream_without_end_of_line_is_cut(serve):
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    url = await serve({"GET /comfynb/metrics/stream": handler})
    async with AgentClient(url) as agent, asyncio.timeout(20):
        with pytest.raises(NotComfyUI, match="an event without end"):
            await anext(agent.stream())


async def test_a_stream_that_breaks_off_or_falls_silent(serve_raw):
    event = f"data: {json.dumps(SNAPSHOT)}\n\n".encode()
    for ending in ("break", "silence"):

        async def talk(reader, writer, ending=ending):
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
            writer.write(head + event)
            await writer.drain()
            if ending == "silence":
                await reader.read()

        port = await serve_raw(talk)
        async with AgentClient(f"http://127.0.0.1:{port}", timeout=1.0) as agent:
            stream = agent.stream(0.25)
            assert (await anext(stream)).sequence == 1
            with pytest.raises(BackendUnreachable):
                await anext(stream)


async def test_nobody_there_and_intervals_out_of_bounds():
    async with AgentClient("http://127.0.0.1:9", timeout=5) as agent:
        with pytest.raises(BackendUnreachable):
            await agent.snapshot()
        for interval in (0.1, 61, float("nan")):
            with pytest.raises(InvalidValue, match="seconds apart"):
                await anext(agent.stream(interval))
