"""What a sync costs beside the bare parse of the same files, and what a page of a search costs.

    python benchmarks/catalogue.py [--quick]

6,000 packs and 10,000 models in ComfyUI-Manager's form from a folder, and 10,000 models of CivitAI
page by page from a server on this machine. Ratios are what to trust: this machine may be busy.
CPU seconds are this process's, all threads; the server is another process.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.sync import CivitaiModels, ManagerLists, SyncRunner, SyncSource
from comfynb.models import CustomNode, Model, SyncStatus
from comfynb.store import Store, open_store

WORDS = [
    *("image", "video", "mask", "face", "upscale", "sampler", "latent", "prompt", "style"),
    *("depth", "pose", "edge", "tile", "batch", "text", "audio", "colour", "noise", "light"),
    *("layer", "crop", "resize", "loader", "flux", "anime", "detail", "motion", "scene"),
]


def sentence(chance: random.Random, number: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(number))


def write_lists(folder: Path, nodes: int, models: int) -> list[Path]:
    """Files in ComfyUI-Manager's form, about as long for each entry as its own."""
    chance = random.Random(1)
    urls = [f"https://github.com/author{n % 1500}/ComfyUI-{n}" for n in range(nodes)]
    data: dict[str, Any] = {
        "custom-node-list": {
            "custom_nodes": [
                {
                    "author": f"author{n % 1500}",
                    "title": f"{sentence(chance, 3)} {n}",
                    "id": f"comfyui-{n}",
                    "reference": url,
                    "files": [url],
                    "install_type": "git-clone",
                    "description": sentence(chance, 25),
                }
                for n, url in enumerate(urls)
            ]
        },
        "extension-node-map": {
            url: [
                [f"{sentence(chance, 2)} {n}-{k}" for k in range(8)],
                {"title_aux": f"pack {n}"},
            ]
            for n, url in enumerate(urls)
        },
        "github-stats": {
            url: {
                "stars": n % 3000,
                "last_update": "2025-01-02 03:04:05",
                "author_account_age_days": n,
            }
            for n, url in enumerate(urls)
        },
        "alter-list": {"items": []},
        "model-list": {
            "models": [
                {
                    "name": f"{sentence(chance, 3)} {n}",
                    "type": chance.choice(["checkpoint", "lora", "vae", "controlnet", "upscale"]),
                    "base": chance.choice(["SDXL", "SD1.5", "FLUX.1"]),
                    "save_path": "default",
                    "description": sentence(chance, 12),
                    "reference": f"https://huggingface.co/owner{n % 700}/repo{n}",
                    "filename": f"file-{n}.safetensors",
                    "url": f"https://huggingface.co/owner{n % 700}/repo{n}/resolve/main/"
                    f"file-{n}.safetensors",
                    "size": "4.71GB",
                }
                for n in range(models)
            ]
        },
    }
    paths = []
    for name, value in data.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(value, indent=4))
        paths.append(path)
    return paths


def civitai_pages(models: int, limit: int = 100) -> list[bytes]:
    chance = random.Random(2)
    pages = []
    for start in range(0, models, limit):
        items = [
            {
                "id": n,
                "name": f"{sentence(chance, 3)} {n}",
                "type": "LORA",
                "description": f"<p>{sentence(chance, 60)}</p>",
                "tags": [chance.choice(WORDS) for _ in range(5)],
                "stats": {"downloadCount": n, "thumbsUpCount": n % 90},
                "modelVersions": [
                    {
                        "id": n * 10 + k,
                        "name": f"v{k}",
                        "baseModel": "SDXL 1.0",
                        "publishedAt": "2025-01-02T03:04:05.000Z",
                        "files": [
                            {
                                "id": n * 10 + k,
                                "name": f"lora-{n}-{k}.safetensors",
                                "type": "Model",
                                "sizeKB": 223_100.5,
                                "metadata": {"format": "SafeTensor"},
                                "pickleScanResult": "Success",
                                "virusScanResult": "Success",
                                "hashes": {"SHA256": f"{n * 10 + k:064X}"},
                                "primary": True,
                            }
                        ],
                        "images": [
                            {"url": f"https://image.civitai.com/{n}/{i}.jpeg", "meta": {"seed": i}}
                            for i in range(5)
                        ],
                    }
                    for k in range(2)
                ],
            }
            for n in range(start, min(start + limit, models))
        ]
        metadata = {"nextCursor": str(start + limit)} if start + limit < models else {}
        pages.append(json.dumps({"items": items, "metadata": metadata}).encode())
    return pages


def serve(pages: list[bytes], pipe: Connection) -> None:
    from aiohttp import web

    async def models(request: web.Request) -> web.Response:
        page = pages[int(request.query.get("cursor", 0)) // 100]
        return web.Response(body=page, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/api/v1/models", models)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await runner.cleanup()

    asyncio.run(main())


async def cpu(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.process_time()
    result = await work()
    return time.process_time() - began, result


def parse(bodies: list[bytes], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        for body in bodies:
            json.loads(body)
        spent.append(time.process_time() - began)
    return statistics.median(spent)


async def syncs(
    store: Store, runner: SyncRunner, source: SyncSource, bodies: list[bytes], rounds: int
) -> None:
    bare = parse(bodies, rounds)
    size = sum(map(len, bodies)) / 2**20
    print(f"\n{source.name}: {size:.1f} MiB of JSON; bare parse {bare:.3f} s CPU")
    for word in ("first", "second"):
        spent, job = await cpu(lambda: runner.run(source))
        assert job.status is SyncStatus.COMPLETED, job.errorLog
        print(
            f"  {word} sync: {job.processedItems} entries, {spent:.2f} s CPU, "
            f"{job.processedItems / spent:,.0f} entries per CPU second, "
            f"{spent / bare:.1f} times the bare parse  ({job.results['counts']})"
        )
    counts = [await store.count(model) for model in (CustomNode, Model)]
    print(f"  in the store: {counts[0]} packs, {counts[1]} models")


async def pages(catalogue: Catalogue, rounds: int) -> None:
    print("\na page of 20: page 1, the middle one, the last one (ms CPU, median)")
    for what, search in (
        ("packs", catalogue.search_nodes),
        ("models", catalogue.search_models),
    ):
        for query in ("", "flux", "flux image"):
            last = (await search(query)).pages
            places = (1, max(1, last // 2), last)
            spent: dict[int, list[float]] = {place: [] for place in places}
            for _ in range(rounds):
                for place, some in spent.items():
                    seconds, _ = await cpu(partial(search, query, page=place))
                    some.append(1000 * seconds)
            times = [statistics.median(spent[place]) for place in places]
            print(
                f"  {what:7}{query or '(everything)':14}{last:4} pages: "
                f"{times[0]:6.1f} {times[1]:6.1f} {times[2]:6.1f}   "
                f"last / first = {times[2] / times[0]:.2f}"
            )


async def measure(folder: Path, port: int, civitai: list[bytes], quick: bool) -> None:
    nodes, models = (600, 1000) if quick else (6000, 10_000)
    rounds = 3 if quick else 9
    paths = write_lists(folder, nodes, models)
    store = open_store(folder / "lab.duckdb")
    await store.ready()
    policy = NetPolicy(allow=frozenset({f"127.0.0.1:{port}"}))
    try:
        async with Fetcher(policy=policy) as fetcher:
            runner = SyncRunner(store, fetcher)
            bodies = [path.read_bytes() for path in paths]
            await syncs(store, runner, ManagerLists(folder), bodies, rounds)
            await pages(Catalogue(store), rounds)
            source = CivitaiModels(f"http://127.0.0.1:{port}")
            source.spacing = 0.0  # type: ignore[misc]  # the server is ours
            await syncs(store, runner, source, civitai, rounds)
            await pages(Catalogue(store), rounds)
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    quick = parser.parse_args().quick
    civitai = civitai_pages(1000 if quick else 10_000)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(civitai, theirs))
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), ours.recv(), civitai, quick))
    finally:
        ours.send("end")
        server.join(10)


if __name__ == "__main__":
    main()
