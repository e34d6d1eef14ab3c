"""What the syncs' tests share: a service on loopback with faults, a store, a clock that obeys."""

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.sync import SyncRunner
from comfynb.models import CustomNode, Model, ModelVersion, NodeFacts, NodeVersion
from comfynb.store import Store, open_store

REPO = Path(__file__).resolve().parents[3]

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """Answers what it is told to; the faults come first, one for each request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Mapping[str, str]], Any]] = {}
        """What each path answers to a query: JSON, bytes, or a response."""
        self.faults: deque[Fault | None] = deque()
        self.asked: list[str] = []
        self.base = ""

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            return await fault(request)
        answer = self.answers.get(request.path)
        if answer is None:
            return web.json_response({"error": "not found"}, status=404)
        value = answer(request.query)
        if isinstance(value, web.Response):
            return value
        if isinstance(value, bytes):
            return web.Response(body=value)
        return web.json_response(value)

    def say(self, path: str, value: Any) -> None:
        self.answers[path] = lambda _: value


def status(code: int, **headers: str) -> Fault:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"error": "no"}, status=code, headers=named)

    return answer


def says(body: str, kind: str = "text/html") -> Fault:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type=kind)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    """Begin an answer and hang up in its midst."""
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b'{"nodes": [')
    assert request.transport is not None
    request.transport.close()
    return response


class Faults:
    """The faults that a service may have."""

    status = staticmethod(status)
    says = staticmethod(says)
    cut = staticmethod(cut)
    html = staticmethod(lambda: says("<html><body>Just a moment...</body></html>"))


@pytest.fixture(scope="session")
def fault() -> type[Faults]:
    return Faults


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def waits(self) -> list[int]:
        """What was waited for beyond the spacing of requests."""
        return [round(seconds) for seconds in self.slept if seconds > 0.9]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def fetcher(service: Service) -> AsyncIterator[Fetcher]:
    async with Fetcher(policy=NetPolicy(allow=frozenset({service.host})), timeout=5) as fetcher:
        yield fetcher


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lab.duckdb")
    yield store
    store.close().result(30)


@pytest.fixture
async def runner(store: Store, fetcher: Fetcher, clock: Clock) -> AsyncIterator[SyncRunner]:
    runner = SyncRunner(store, fetcher, sleep=clock.sleep, clock=clock)
    yield runner
    await runner.aclose()


TABLES = (CustomNode, NodeFacts, NodeVersion, Model, ModelVersion)


@pytest.fixture(scope="session")
def rows() -> Callable[[Store], dict[str, list[Any]]]:
    """All rows of the catalogue's tables, time stamps included."""

    def read(store: Store) -> dict[str, list[Any]]:
        return {
            model.table_name: store.sql(f"select * from {model.table_name} order by 1")
            .result(60)
            .rows
            for model in TABLES
        }

    return read


@pytest.fixture(scope="session")
def manager(shared: Path) -> Path:
    """ComfyUI-Manager's own lists."""
    folder = shared / "catalogue"
    found = sorted(folder.glob("comfyui-manager-*"))
    if not found:
        pytest.skip(f"ComfyUI-Manager's lists are not in {folder}: its real data is NOT TESTED")
    return found[-1]


@pytest.fixture
def lists(tmp_path: Path) -> Callable[..., Path]:
    """Writes lists of ComfyUI-Manager's form into a folder."""

    def write(
        nodes: Any = None,
        classes: Any = None,
        stats: Any = None,
        alter: Any = None,
        models: Any = None,
    ) -> Path:
        folder = tmp_path / "lists"
        folder.mkdir(exist_ok=True)
        for name, value in (
            ("custom-node-list", None if nodes is None else {"custom_nodes": nodes}),
            ("extension-node-map", classes),
            ("github-stats", stats),
            ("alter-list", None if alter is None else {"items": alter}),
            ("model-list", None if models is None else {"models": models}),
        ):
            if value is not None:
                (folder / f"{name}.json").write_text(json.dumps(value))
        return folder

    return write
