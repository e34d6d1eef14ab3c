"""A server for the client's tests: the sandbox, or the one that COMFYNB_TEST_URL names."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.comfy import ComfyClient
from comfynb.sandbox import Sandbox

SERVER = os.environ.get("COMFYNB_TEST_URL")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ServeApp = Callable[[web.Application], Awaitable[str]]
ServeRoutes = Callable[[dict[str, Handler]], Awaitable[str]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ServeRaw = Callable[[Talk], Awaitable[int]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `recording` once for each recorded scenario."""
    if "recording" not in metafunc.fixturenames:
        return
    shared = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).parents[3] / "shared"))
    found = sorted((shared / "comfyui" / "recordings").glob("*/*.json"))
    absent = pytest.param(None, marks=pytest.mark.skip(reason=f"no recordings in {shared}"))
    metafunc.parametrize(
        "recording",
        found or [absent],
        indirect=True,
        ids=[f"{path.parent.name}-{path.stem}" for path in found] or ["none"],
    )


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One recorded scenario: requests, answers and frames in order."""
    loaded: dict[str, Any] = json.loads(request.param.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=5.0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, for tests that switch faults on; they are off again afterwards."""
    yield running_sandbox
    running_sandbox.clear_faults()


@pytest.fixture(scope="session")
def comfy_server(request: pytest.FixtureRequest) -> str:
    """The address of a server that runs prompts: a real one if COMFYNB_TEST_URL names it."""
    if SERVER:
        return SERVER
    sandbox: Sandbox = request.getfixturevalue("running_sandbox")
    return sandbox.url


@pytest.fixture
async def client(comfy_server: str) -> AsyncIterator[ComfyClient]:
    """A client of `comfy_server` that has probed it, so that it uses all that the server can."""
    async with ComfyClient(comfy_server, name="PC1") as client:
        await client.probe()
        yield client


@pytest.fixture
async def serve_app() -> AsyncIterator[ServeApp]:
    """Start an application of the test's own on this loop; gives its address."""
    runners: list[web.AppRunner] = []

    async def start(app: web.Application) -> str:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def serve(serve_app: ServeApp) -> ServeRoutes:
    """Start a server of these routes: ``{"GET /path": handler}``."""

    async def start(routes: dict[str, Handler]) -> str:
        app = web.Application()
        for route, handler in routes.items():
            method, _, path = route.partition(" ")
            app.router.add_route(method, path, handler)
        return await serve_app(app)

    return start


@pytest.fixture
async def serve_raw() -> AsyncIterator[ServeRaw]:
    """Start a TCP server that talks as it likes; gives its port."""
    servers: list[asyncio.Server] = []
    talks: set[asyncio.Task[None]] = set()

    async def start(talk: Talk) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()
                talks.discard(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()
    waiting = list(talks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
