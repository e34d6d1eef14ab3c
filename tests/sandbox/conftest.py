"""A sandbox on the test's own event loop, and a client that keeps what it receives."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from comfynb.sandbox import SandboxServer, in_process

PATIENCE = 20.0


class Client:
    """A ComfyUI client: HTTP, and a websocket whose messages it keeps."""

    def __init__(self, session: aiohttp.ClientSession, url: str, client_id: str) -> None:
        self.session, self.url, self.client_id = session, url, client_id
        self.frames: list[dict[str, Any]] = []
        self.binary: list[bytes] = []
        self._news = asyncio.Condition()
        self.ended = asyncio.Event()

    async def open(self, **options: Any) -> "Client":
        address = f"{self.url}/ws?clientId={self.client_id}"
        self.ws = await self.session.ws_connect(address, **options)
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda frames: frames)
        return self

    async def close(self) -> None:
        await self.ws.close()
        await self._reader

    async def _read(self) -> None:
        async for message in self.ws:
            async with self._news:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.frames.append(json.loads(message.data))
                else:
                    self.binary.append(bytes(message.data))
                self._news.notify_all()
        self.ended.set()

    async def until(self, condition: Callable[[list[dict[str, Any]]], Any]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: condition(self.frames))

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **options) as answer:
            body = await answer.read()
            if "json" in answer.headers.get("Content-Type", ""):
                return answer.status, json.loads(body)
            return answer.status, body

    async def get(self, path: str, **options: Any) -> Any:
        status, body = await self.request("GET", path, **options)
        assert status == 200, body
        return body

    async def submit(self, prompt: dict[str, Any], **body: Any) -> Any:
        body = {"prompt": prompt, "client_id": self.client_id, **body}
        status, answer = await self.request("POST", "/prompt", json=body)
        assert status == 200, answer
        return answer["prompt_id"]

    async def done(self, prompt_id: str) -> None:
        await self.until(lambda frames: any(is_end(frame, prompt_id) for frame in frames))

    async def run(self, prompt: dict[str, Any], **body: Any) -> dict[str, Any]:
        """Submit a prompt, wait for its end, return its history entry."""
        prompt_id = await self.submit(prompt, **body)
        await self.done(prompt_id)
        return (await self.get(f"/history/{prompt_id}"))[prompt_id]

    def seen(self, kind: str) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.frames if frame["type"] == kind]


def is_end(frame: dict[str, Any], prompt_id: str) -> bool:
    data = frame["data"]
    return frame["type"] == "executing" and data["node"] is None and data["prompt_id"] == prompt_id


class Graphs:
    """Prompts that the tests share."""

    @staticmethod
    def picture(colour: int = 1, *, prefix: str = "test", **image: Any) -> dict[str, Any]:
        size = {"width": 16, "height": 8, "batch_size": 1, "color": colour} | image
        return {
            "1": {"class_type": "EmptyImage", "inputs": size},
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": prefix},
            },
        }

    @staticmethod
    def sampling(steps: int = 3, *, seconds: float = 0.0, seed: int = 1) -> dict[str, Any]:
        sampler = {"seed": seed, "steps": steps, "seconds_per_step": seconds, "text": "a"}
        return {
            "1": {
                "class_type": "LabLoader",
                "inputs": {"name": "small.safetensors", "seconds": 0},
            },
            "2": {
                "class_type": "LabSampler",
                "inputs": {"model": ["1", 0], "width": 16, "height": 16, **sampler},
            },
            "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        }


@pytest.fixture
def graphs() -> type[Graphs]:
    return Graphs


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[SandboxServer]]]:
    """Start sandboxes: ``server = await serve(version="0.3.64")``."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> SandboxServer:
            settings.setdefault("samples", False)
            return await stack.enter_async_context(in_process(**settings))

        yield start


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def connect(
    session: aiohttp.ClientSession,
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Open clients: ``client = await connect(server)``."""
    clients: list[Client] = []

    async def open_client(server: SandboxServer, client_id: str | None = None) -> Client:
        client = Client(session, server.url, client_id or uuid.uuid4().hex)
        clients.append(client)
        return await client.open()

    yield open_client
    for client in clients:
        await client.close()


@pytest.fixture
async def server(serve: Callable[..., Awaitable[SandboxServer]]) -> SandboxServer:
    return await serve()


@pytest.fixture
async def client(connect: Callable[..., Awaitable[Client]], server: SandboxServer) -> Client:
    return await connect(server)
