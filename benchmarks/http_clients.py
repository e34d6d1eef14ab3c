"""Compare HTTP and websocket libraries on what comfynb does: small GETs and POSTs, many frames.

One aiohttp server runs in a process of its own; each library is measured in a fresh process, in
turn, several times. Prints the median of each figure, by the clock and in processor time of the
client alone (which other programs on the machine disturb less):

    python benchmarks/http_clients.py [--rounds 5] [--requests 1500] [--frames 20000]

GET answers 300 bytes of JSON, POST takes a prompt of 1.5 kB and answers 100 bytes, and a websocket
frame is a progress_state of 600 bytes. "transport" is the library's own layer below its client.
RSS is the process's peak after everything, including the interpreter and the imports.
"""

import argparse
import asyncio
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

PROMPT = {
    "prompt": {
        str(i): {"class_type": "KSampler", "inputs": {"seed": i, "steps": 20, "model": ["4", 0]}}
        for i in range(16)
    },
    "prompt_id": "8df9812d-f211-4877-a5b1-9fddb8658771",
    "client_id": "42c1d946b408457da21d750af4fe0887",
}
BODY = json.dumps(PROMPT).encode()
HISTORY = {
    PROMPT["prompt_id"]: {"outputs": {"9": {"images": [{"filename": "x.png"}]}}, "pad": "x" * 200}
}
STATE = {"value": 3, "max": 20, "state": "running", "node_id": "3", "real_node_id": "3"}
FRAME = json.dumps(
    {
        "type": "progress_state",
        "data": {"prompt_id": PROMPT["prompt_id"], "nodes": {str(i): STATE for i in range(5)}},
    }
)
STATUS = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "x"}
HEADERS = {"Content-Type": "application/json"}


def serve() -> None:
    """Answer until stdin closes; print the port."""
    from aiohttp import web

    async def get(_request: web.Request) -> web.Response:
        return web.json_response(HISTORY)

    async def queue(_request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": 3}})

    async def post(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}})

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "status", "data": STATUS})
        await socket.receive()
        for _ in range(int(request.query.get("clientId", "0"))):
            await socket.send_str(FRAME)
        await socket.receive()
        return socket

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/history/x", get)
        app.router.add_get("/prompt", queue)
        app.router.add_post("/prompt", post)
        app.router.add_get("/ws", websocket)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()

    asyncio.run(run())


@dataclass
class Library:
    """GET and POST, each to be awaited; ``listen`` receives that many frames or is absent."""

    get: Callable[[], Awaitable[object]]
    post: Callable[[], Awaitable[object]]
    listen: Callable[[int], Awaitable[None]] | None = None


def _httpx_client(module: object) -> Callable[[str], object]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Library]:
        async with module.AsyncClient(base_url=url) as client:

            async def get() -> object:
                return (await client.get("/history/x")).json()

            async def post() -> object:
                answer = await client.post("/prompt", content=BODY, headers=HEADERS)
                return answer.json()

            async def listen(frames: int) -> None:
                if module.__name__ == "httpx":
                    await _websockets(url, frames)
                    return
                where = f"{url.replace('http', 'ws')}/ws?clientId={frames}"
                async with client.websocket(where, queue_size=4096) as socket:
                    await socket.receive_text()
                    await socket.send_text("{}")
                    for _ in range(frames):
                        await socket.receive_text()

            yield Library(get, post, listen)

    return opened


def _httpx_transport(module: object) -> Callable[[str], object]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Library]:
        base = module.URL(url)
        host = [(b"Host", base.netloc)]
        extensions = {"timeout": {"connect": 5, "read": 5, "write": 5, "pool": 5}}
        async with module.AsyncHTTPTransport(verify=False) as transport:

            async def send(
                method: str, path: bytes, headers: list, content: bytes | None = None
            ) -> object:
                where = base.copy_with(raw_path=path)
                answer = await transport.handle_async_request(
                    module.Request(
                        method, where, headers=headers, content=content, extensions=extensions
                    )
                )
                try:
                    return json.loads(await answer.aread())
                finally:
                    await answer.aclose()

            async def get() -> object:
                return await send("GET", b"/history/x", host)

            async def post() -> object:
                return await send(
                    "POST", b"/prompt", [*host, (b"Content-Type", b"application/json")], BODY
                )

            yield Library(get, post)

    return opened


async def _websockets(url: str, frames: int) -> None:
    from websockets.asyncio.client import connect

    where = f"{url.replace('http', 'ws')}/ws?clientId={frames}"
    async with connect(where, compression=None, proxy=None) as socket:
        await socket.recv()
        await socket.send("{}")
        for _ in range(frames):
            await socket.recv()


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Library]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

        async def get() -> object:
            async with session.get(f"{url}/history/x") as answer:
                return await answer.json()

        async def post() -> object:
            async with session.post(f"{url}/prompt", data=BODY, headers=HEADERS) as answer:
                return await answer.json()

        async def listen(frames: int) -> None:
            async with session.ws_connect(f"{url}/ws?clientId={frames}") as socket:
                await socket.receive_str()
                await socket.send_str("{}")
                for _ in range(frames):
                    await socket.receive_str()

        yield Library(get, post, listen)


@asynccontextmanager
async def _comfynb(url: str) -> AsyncIterator[Library]:
    from comfynb.comfy import ComfyClient, NodeProgress

    async with ComfyClient(url) as client:

        async def post() -> object:
            return await client.submit(PROMPT["prompt"], prompt_id=PROMPT["prompt_id"])

        async def listen(frames: int) -> None:
            async with ComfyClient(url, client_id=str(frames)) as listener:
                stream = listener.events()
                seen = 0
                async for event in stream:
                    seen += isinstance(event, NodeProgress)
                    if seen + stream.dropped >= frames:
                        return

        yield Library(client.queue_remaining, post, listen)


def _library(name: str) -> Callable[[str], object]:
    if name == "aiohttp":
        return _aiohttp
    if name == "comfynb":
        return _comfynb
    module = importlib.import_module(name.partition(" ")[0])
    return _httpx_transport(module) if name.endswith("transport") else _httpx_client(module)


NAMES = [
    name
    for name in ["httpx", "httpx transport", "httpx2", "httpx2 transport", "aiohttp", "comfynb"]
    if importlib.util.find_spec(name.partition(" ")[0])
]


async def measure(name: str, url: str, requests: int, frames: int) -> dict[str, float | None]:
    """Measure one library in this process: requests and frames per second, MiB."""
    figures: dict[str, float | None] = {}
    async with _library(name)(url) as library:
        for kind, send in (("GET", library.get), ("POST", library.post)):
            for width in (1, 16):

                async def some(count: int, send: Callable[[], Awaitable[object]] = send) -> None:
                    for _ in range(count):
                        await send()

                await some(20)
                begin, busy = time.perf_counter(), time.process_time()
                await asyncio.gather(*(some(requests // width) for _ in range(width)))
                figures[f"{kind} x{width}"] = requests / (time.perf_counter() - begin)
                figures[f"cpu {kind} x{width}"] = requests / (time.process_time() - busy)
        figures["frames"] = figures["cpu frames"] = None
        if library.listen is not None:
            begin, busy = time.perf_counter(), time.process_time()
            try:
                await library.listen(frames)
                figures["frames"] = frames / (time.perf_counter() - begin)
                figures["cpu frames"] = frames / (time.process_time() - busy)
            except ImportError as error:
                print(f"{name}: {error}", file=sys.stderr)
    figures["RSS"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", default=NAMES)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.measure:
        name, url = options.measure
        print(json.dumps(asyncio.run(measure(name, url, options.requests, options.frames))))
        return

    me = [sys.executable, __file__]
    sizes = ["--requests", str(options.requests), "--frames", str(options.frames)]
    figures: dict[str, list[dict[str, float | None]]] = {name: [] for name in options.only}
    with subprocess.Popen(
        [*me, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for _ in range(options.rounds):
                for name in options.only:
                    run = subprocess.run(
                        [*me, "--measure", name, url, *sizes],
                        stdout=subprocess.PIPE,
                        text=True,
                        check=True,
                    )
                    figures[name].append(json.loads(run.stdout))
        finally:
            server.stdin.close()

    columns = ["GET x1", "GET x16", "POST x1", "POST x16", "frames"]
    for title, prefix in (("by the clock", ""), ("per second of processor time", "cpu ")):
        print(f"\n{title}, median of {options.rounds} rounds")
        print(f"{'':18}" + "".join(f"{column:>10}" for column in [*columns, "RSS MiB"]))
        for name, runs in figures.items():
            cells = [median(runs, prefix + column) for column in columns]
            print(f"{name:18}" + "".join(cells) + median(runs, "RSS"))


def median(runs: list[dict[str, float | None]], column: str) -> str:
    """Format the median of one figure; a dash where the library cannot do it."""
    values = [run[column] for run in runs if run[column] is not None]
    return f"{statistics.median(values):10.0f}" if values else f"{'-':>10}"


if __name__ == "__main__":
    main()
