"""The best bare loop over ComfyUI servers, which what comfynb does is measured against.

It knows nothing of stores, crashes, retries or people: pipelined POSTs, one websocket for each
server, outputs taken from its events, files written as they come.
"""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import aiohttp
import httpx

PARALLEL = 8
"""Requests at a time to each server."""


def prompt(color: int, folder: str) -> dict:
    """A prompt as small as they come; each one another, so that nothing is cached.

    Each run saves into a folder of its own: finding the next free name costs the server more with
    every file that is there.
    """
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"{folder}/overhead"},
        },
    }


class Http(Protocol):
    """What the loop needs of an HTTP client."""

    async def post(self, url: str, body: dict) -> None:
        """Send JSON."""

    async def get(self, url: str, params: dict) -> bytes:
        """Fetch bytes."""


class Aiohttp:
    """aiohttp: the fastest that there is for Python."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: dict) -> None:
        async with self._session.post(url, json=body) as answer:
            answer.raise_for_status()
            await answer.read()

    async def get(self, url: str, params: dict) -> bytes:
        async with self._session.get(url, params=params) as answer:
            answer.raise_for_status()
            return await answer.read()


class Httpx:
    """httpx: what most people would take."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def post(self, url: str, body: dict) -> None:
        (await self._client.post(url, json=body)).raise_for_status()

    async def get(self, url: str, params: dict) -> bytes:
        return (await self._client.get(url, params=params)).raise_for_status().content


async def bare(
    urls: Sequence[str], count: int, first_color: int, folder: Path, client: str = "aiohttp"
) -> float:
    """Send ``count`` prompts, dealt out evenly, and fetch what they made; returns the seconds.

    The servers are as fast as one another, so dealing all out in advance is the best there is.
    """
    name = uuid.uuid4().hex
    colors = range(first_color, first_color + count)
    start = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        # httpx has no websockets: those are aiohttp's in both.
        connector = aiohttp.TCPConnector(limit=2 * PARALLEL * len(urls))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        servers = []
        for number, url in enumerate(urls):
            http: Http = Aiohttp(session)
            if client == "httpx":
                # One for each server: a pool looks through all its connections at each request.
                limits = httpx.Limits(max_connections=PARALLEL)
                http = Httpx(
                    await stack.enter_async_context(
                        httpx.AsyncClient(limits=limits, timeout=None, verify=False)
                    )
                )
            servers.append(_Server(url, name, folder / str(number), http))
        shares = [colors[number :: len(urls)] for number in range(len(urls))]
        await asyncio.gather(
            *(server.run(session, share) for server, share in zip(servers, shares, strict=True))
        )
    fetched = sum(server.fetched for server in servers)
    assert fetched == count, f"{fetched} files of {count} prompts"
    return time.perf_counter() - start


class _Server:
    def __init__(self, url: str, name: str, folder: Path, http: Http) -> None:
        self._url = url
        self._name = name
        self._folder = folder
        self._http = http
        self.fetched = 0
        self._client_id = uuid.uuid4().hex
        self._waiting: dict[str, asyncio.Future] = {}
        self._limit = asyncio.Semaphore(PARALLEL)
        folder.mkdir(parents=True)

    async def run(self, session: aiohttp.ClientSession, colors: Sequence[int]) -> None:
        place = f"{self._url.replace('http', 'ws', 1)}/ws?clientId={self._client_id}"
        async with session.ws_connect(place) as socket:
            listening = asyncio.create_task(self._listen(socket))
            await asyncio.gather(*map(self._one, colors))
            listening.cancel()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            data = event["data"]
            if event["type"] == "executed":
                self._waiting[data["prompt_id"]].set_result(data["output"]["images"])

    async def _one(self, color: int) -> None:
        prompt_id = str(uuid.uuid4())
        ended = self._waiting[prompt_id] = asyncio.get_running_loop().create_future()
        what = {"prompt": prompt(color, self._name), "prompt_id": prompt_id}
        async with self._limit:
            await self._http.post(f"{self._url}/prompt", {**what, "client_id": self._client_id})
        for image in await ended:
            async with self._limit:
                data = await self._http.get(f"{self._url}/view", image)
                (self._folder / image["filename"]).write_bytes(data)
                self.fetched += 1
