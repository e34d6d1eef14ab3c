"""How much comfynb costs: 400 small prompts through it, beside the best bare loop.

Both send the same prompts to the same server and fetch the same files. The bare loop knows nothing
of stores, crashes, retries or people: pipelined POSTs, one websocket, files written as they come.
Both are run in turn several times; what counts is the median of the ratios.

    python benchmarks/overhead.py [--prompts 400] [--rounds 5]

Against a sandbox of its own, or the server named in COMFYNB_TEST_URL.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import aiohttp

from comfynb import Workbench
from comfynb.sandbox import Sandbox


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


async def bare(url: str, count: int, first_color: int, folder: Path) -> float:
    """The best bare loop: 8 requests at a time, outputs from the websocket, files to disk."""
    client_id = name = uuid.uuid4().hex
    waiting: dict[str, asyncio.Future] = {}
    limit = asyncio.Semaphore(8)
    start = time.perf_counter()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16)) as session,
        session.ws_connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}") as socket,
    ):

        async def listen() -> None:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                event = json.loads(message.data)
                data = event["data"]
                if event["type"] == "executed":
                    waiting[data["prompt_id"]].set_result(data["output"]["images"])

        async def one(color: int) -> None:
            prompt_id = str(uuid.uuid4())
            waiting[prompt_id] = asyncio.get_running_loop().create_future()
            body = {"prompt": prompt(color, name), "prompt_id": prompt_id, "client_id": client_id}
            async with limit, session.post(f"{url}/prompt", json=body) as answer:
                answer.raise_for_status()
                await answer.read()
            for image in await waiting[prompt_id]:
                async with limit, session.get(f"{url}/view", params=image) as answer:
                    answer.raise_for_status()
                    (folder / image["filename"]).write_bytes(await answer.read())

        listening = asyncio.create_task(listen())
        await asyncio.gather(*(one(first_color + n) for n in range(count)))
        listening.cancel()
    return time.perf_counter() - start


async def ours(url: str, count: int, first_color: int, store: Path) -> float:
    """The same through a Workbench: every prompt a job in the store, every file recorded."""
    async with Workbench(store) as workbench:
        workbench.backends.add(url)
        workflow = workbench.workflows.load(prompt(0, uuid.uuid4().hex), name="overhead")
        workflow.expose("1.color", name="color")
        await workbench.check_backends()
        start = time.perf_counter()
        jobs = workflow.run_many([{"color": first_color + n} for n in range(count)])
        await jobs
        elapsed = time.perf_counter() - start
        assert all(len(job.files.paths) == 1 for job in jobs), [job for job in jobs if job.error]
        (stored,) = workbench.sql(
            "select count(*) as jobs, (select count(*) from output_files) as files "
            "from jobs where status = 'completed'"
        )
        assert stored == {"jobs": count, "files": count}, stored
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as cleanup:
        url = os.environ.get("COMFYNB_TEST_URL")
        if not url:
            url = cleanup.enter_context(Sandbox()).url
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        color = int(time.time()) % 5_000_000
        ratios = []
        print(f"{options.prompts} prompts on {url}")
        for number in range(options.rounds):
            files = folder / f"bare-{number}"
            files.mkdir()
            theirs = asyncio.run(bare(url, options.prompts, color, files))
            assert len(list(files.iterdir())) == options.prompts
            color += options.prompts
            mine = asyncio.run(ours(url, options.prompts, color, folder / f"{number}.duckdb"))
            color += options.prompts
            ratios.append(mine / theirs)
            print(f"  bare {theirs:.2f} s   comfynb {mine:.2f} s   ratio {ratios[-1]:.2f}")
        print(f"median ratio {statistics.median(ratios):.2f} (at most 1.20 wanted)")


if __name__ == "__main__":
    main()
