"""Sandbox servers of given speeds, a Workbench that knows them, and one run of some sweeps."""

import asyncio
import contextlib
import dataclasses
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from comfynb import Workbench
from comfynb.models import new_id
from comfynb.sandbox import Sandbox
from fleets.timeline import Account, Server, account, read

__all__ = ["URLS", "Outcome", "Servers", "prompt"]

URLS = [url for url in os.environ.get("COMFYNB_TEST_URLS", "").split(",") if url]


def prompt(sample: float, load: float = 0.0, lora: float = 0.0, encode: float = 0.0) -> dict:
    """A checkpoint, a LoRA, a text, and a sampler that takes ``sample`` seconds at speed 1."""
    return {
        "ckpt": {
            "class_type": "LabLoader",
            "inputs": {"name": "small.safetensors", "seconds": load},
        },
        "lora": {
            "class_type": "LabLora",
            "inputs": {"model": ["ckpt", 0], "name": "detail.safetensors", "seconds": lora},
        },
        "text": {
            "class_type": "LabEncode",
            "inputs": {"model": ["ckpt", 0], "text": "a", "seconds": encode},
        },
        "draw": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["lora", 0],
                "seed": 0,
                "steps": 1,
                "seconds_per_step": sample,
                "text": ["text", 0],
                "width": 32,
                "height": 32,
            },
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["draw", 0], "filename_prefix": f"fleet/{new_id()[:8]}"},
        },
    }


@dataclasses.dataclass
class Outcome:
    """What a scenario took, and where the time went."""

    seconds: float
    account: Account
    ends: dict[str, float]
    """When each sweep was done."""
    processor: float
    """Seconds of processor time of this process for each point."""
    noticed: float | None = None
    """Seconds from a server's death until the last of its prompts had been sent elsewhere."""

    @property
    def loads(self) -> Counter:
        """How often each model was loaded."""
        return self.account.loads

    @property
    def shares(self) -> list[int]:
        """How many prompts each server ran."""
        return [len(server.runs) for server in self.account.servers]


class Servers:
    """Servers, and a Workbench with a store of its own that knows them."""

    def __init__(self, speeds: list[float], *, real: bool = False) -> None:
        self.speeds = speeds
        self._stack = contextlib.ExitStack()
        self._real = real and len(URLS) >= len(speeds)
        self._sandboxes: list[Sandbox] = []
        self._store = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "f.duckdb"

    def __enter__(self):
        if not self._real:
            self._sandboxes = [self._stack.enter_context(Sandbox(speed=s)) for s in self.speeds]
        return self

    def __exit__(self, *args):
        self._stack.close()

    @property
    def urls(self):
        return URLS[: len(self.speeds)] if self._real else [s.url for s in self._sandboxes]

    def run(
        self,
        api: dict,
        sweeps: dict[str, list[dict]],
        *,
        turns: bool = False,
        kill: tuple[float, int] | None = None,
    ) -> Outcome:
        """Run sweeps at the same time; ``turns`` deals the points out in turns beforehand.

        ``kill`` says after how many seconds which server is killed.
        """
        return asyncio.run(self._run(api, sweeps, turns=turns, kill=kill))

    async def _run(self, api, sweeps, *, turns, kill):
        servers = [Server(f"gpu{n}", speed) for n, speed in enumerate(self.speeds)]
        async with Workbench(self._store) as wb:
            for server, url in zip(servers, self.urls, strict=True):
                wb.backends.add(url, name=server.name)
            wf = wb.workflows.load(api, name="fleet")
            for key in ("ckpt.name", "lora.name", "text.text", "draw.seed"):
                wf.expose(key, name=key.replace(".", "_"))
            await wb.check_backends()
            backends = [backend.id for backend in wb.backends]
            plans = []
            for name, points in sweeps.items():
                for number, plan in enumerate(wf.plans(points)):
                    if turns:
                        chosen = backends[number % len(backends)]
                        plans.append(dataclasses.replace(plan, backend_id=chosen))
                    else:
                        plans.append(dataclasses.replace(plan, group=name))
            names = [name for name, points in sweeps.items() for _ in points]
            spent = time.process_time()
            clock, start = time.time(), time.perf_counter()
            jobs = wb.submit(plans)
            ends: dict[str, float] = {}

            async def wait(job, name):
                await job
                ends[name] = time.perf_counter() - start

            waiting = [asyncio.create_task(wait(j, n)) for j, n in zip(jobs, names, strict=True)]
            if kill is not None:
                await asyncio.sleep(kill[0] - (time.perf_counter() - start))
                await asyncio.to_thread(self._kill, servers[kill[1]], kill[1], clock)
            await asyncio.gather(*waiting)
            seconds = max(ends.values())
            spent = time.process_time() - spent
            failed = [job for job in jobs if job.error]
            assert not failed, failed[:3]
            for number, (server, url) in enumerate(zip(servers, self.urls, strict=True)):
                if kill is None or number != kill[1]:
                    server.runs = await asyncio.to_thread(read, url, clock)
            done = sum(len(server.runs) for server in servers)
            # The one that was killed may have ended one more after it was asked.
            assert len(jobs) <= done + (kill is not None), (done, len(jobs))
            noticed = None
            if kill is not None:
                noticed = _noticed(wb, servers[kill[1]])
            found = account(servers, clock, clock + seconds)
            return Outcome(seconds, found, ends, spent / len(jobs), noticed)

    def _kill(self, server: Server, number: int, clock: float) -> None:
        server.runs = read(self.urls[number], clock)
        server.until = time.time()
        self._sandboxes[number].kill()


def _noticed(wb: Workbench, dead: Server) -> float | None:
    """When the last of what a dead server had was sent elsewhere."""
    rows = wb.sql(
        "select epoch(max(again.created_at)) as at from prompts lost "
        "join backends b on b.id = lost.backend_id "
        "join prompts again on again.job_id = lost.job_id and again.state = 'completed' "
        f"where lost.state = 'lost' and b.name = '{dead.name}'"
    )
    at = dict(next(iter(rows)))["at"]
    return None if at is None or dead.until is None else float(at) - dead.until
