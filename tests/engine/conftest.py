"""An engine with backends, each test on a store of its own.

The backends are two sandboxes, or the real servers that COMFYNB_TEST_URLS names, divided by spaces
(or COMFYNB_TEST_URL;
one server is taken twice).
"""

import asyncio
import itertools
import os
import random
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from comfynb.comfy import ComfyClient
from comfynb.engine.engine import Engine
from comfynb.engine.host import LoopHost
from comfynb.engine.live import LiveJob
from comfynb.engine.plan import RUNS_PROJECT, RunPlan, make_job, version_of
from comfynb.models import (
    BackendConfig,
    FallbackStrategy,
    JobStatus,
    Project,
    WorkflowDefinition,
    new_id,
)
from comfynb.sandbox import Sandbox
from comfynb.store import open_store

REAL_SERVERS = (
    os.environ.get("COMFYNB_TEST_URLS") or os.environ.get("COMFYNB_TEST_URL") or ""
).split()
REAL_SERVER = REAL_SERVERS[0] if REAL_SERVERS else None
# A real server outlives the tests: what an earlier run made is still in its cache.
COLORS = itertools.count(random.randrange(0xF00000) if REAL_SERVER else 1)
LAB_CLASSES = ("LabLoader", "LabSampler", "LabFail")


class Server:
    """A sandbox process whose questions do not block the loop."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        self.url = sandbox.url

    async def fault(self, kind, **options):
        return await asyncio.to_thread(self.sandbox.fault, kind, **options)

    async def clear_faults(self):
        await asyncio.to_thread(self.sandbox.clear_faults)

    async def stats(self):
        return await asyncio.to_thread(self.sandbox.stats)

    async def executions(self):
        """How often prompts were executed, all together."""
        prompts = (await self.stats())["prompts"]
        return sum(entry["executions"] for entry in prompts.values())


class RealServer:
    """A server that COMFYNB_TEST_URLS names: it has no fault switches and no statistics."""

    def __init__(self, url: str):
        self.url = url
        self.asked = 0

    async def clear_faults(self):
        """Do nothing: nothing can be switched on."""

    async def executions(self):
        """How many prompts were sent to it, all together.

        It numbers what is posted to it, so that a small prompt's number tells; ours are taken off.
        """
        async with ComfyClient(self.url) as client:
            accepted = await client.submit(picture(width=1, height=1), prompt_id=new_id())
            await client.cancel(accepted.prompt_id)
        self.asked += 1
        return int(accepted.number) + 1 - self.asked

    async def lacks(self, node_classes):
        """Those of ``node_classes`` that it does not have."""
        async with ComfyClient(self.url) as client:
            return sorted(set(node_classes) - set(await client.object_info()))


class Kernel:
    """What one kernel has: an engine on a store, with backends."""

    def __init__(self, store, engine, folder):
        self.store = store
        self.engine = engine
        self.folder = folder
        self.errors: list[BaseException] = []
        self.workflow_id = None

    async def add(self, server, name, **options):
        parts = urlsplit(server.url)
        config = BackendConfig(
            id=options.pop("id", None) or new_id(),
            name=name,
            host=parts.hostname,
            port=parts.port,
            **options,
        )
        await self.store.put(config)
        backend = self.engine.add_backend(config, None)
        await backend.checked()
        return backend

    async def run(self, *prompts, backend=None, fallback=FallbackStrategy.NONE, **plan):
        """Start one job for each prompt; returns them live."""
        lives = []
        jobs = []
        for prompt in prompts:
            workflow = WorkflowDefinition(
                id=new_id(), name="test", workflow_json={}, api_json=prompt
            )
            version = version_of(workflow.id, 1, {}, prompt)
            await self.store.put(workflow, version)
            self.engine.know_version(version)
            values = {}
            job = make_job(
                RunPlan(
                    version,
                    "test",
                    values,
                    {},
                    backend_id=backend.id if backend else None,
                    fallback=fallback,
                    **plan,
                )
            )
            jobs.append(job)
        await self.store.journal.create_jobs(jobs, self.store.owner_id)
        for job in jobs:
            node = job.canvas_snapshot.nodes[0]
            lives.append(LiveJob(job, name="test", titles={node.id: "test"}))
        self.engine.launch(lives)
        return lives

    async def stored(self, live):
        """The job as the store has it."""
        return await self.store.journal.load_job(live.id)

    async def events(self, live):
        return [event.kind for event in await self.store.journal.events_of(live.id)]

    async def close(self):
        await self.engine.close()
        await asyncio.to_thread(self.store.close)


@asynccontextmanager
async def a_kernel(folder: Path):
    store = await asyncio.to_thread(open_store, str(folder / "test.duckdb"))
    kernel = Kernel(store, None, folder)
    kernel.engine = Engine(store, LoopHost(), folder / "outputs", report=kernel.errors.append)
    if await store.get(Project, RUNS_PROJECT) is None:
        await store.put(Project(id=RUNS_PROJECT, name="Runs"))
    try:
        yield kernel
    finally:
        await kernel.close()
    assert kernel.errors == []


@pytest.fixture(scope="session")
def both_servers():
    """Two sandbox processes for the whole run, or the real server twice."""
    if REAL_SERVER:
        servers = [RealServer(url) for url in REAL_SERVERS[:2]]
        yield servers[0], servers[-1]
        return
    with Sandbox() as one, Sandbox(version="0.3.64") as two:
        yield Server(one), Server(two)


@pytest.fixture
async def servers(both_servers):
    """The servers, without faults before and after."""
    for server in both_servers:
        await server.clear_faults()
    yield both_servers
    for server in both_servers:
        await server.clear_faults()


@pytest.fixture(scope="session")
def missing_classes():
    """The bench's node classes that the real server does not have."""
    if not REAL_SERVER:
        return []
    lacking = (asyncio.run(RealServer(url).lacks(LAB_CLASSES)) for url in REAL_SERVERS[:2])
    return sorted(set().union(*lacking))


@pytest.fixture
async def kernel(tmp_path):
    async with a_kernel(tmp_path) as kernel:
        yield kernel


@pytest.fixture
async def new_kernel(tmp_path):
    """Call it for one more kernel on the same store; ends them all."""
    async with AsyncExitStack() as stack:

        async def make():
            return await stack.enter_async_context(a_kernel(tmp_path))

        yield make


def picture(**inputs):
    """A small prompt that saves one picture; each call another one, so that nothing is cached."""
    color = next(COLORS)
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": color, **inputs},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "engine"},
            "_meta": {"title": "Keep"},
        },
    }


def sampling(steps=4, seconds=0.05, load=0.0):
    """A prompt that takes ``steps * seconds`` and reports progress."""
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": load}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": next(COLORS),
                "steps": steps,
                "seconds_per_step": seconds,
                "text": "",
                "width": 32,
                "height": 32,
            },
            "_meta": {"title": "Sampler"},
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "engine"},
        },
    }


def failing(kind="error"):
    prompt = picture()
    prompt["3"] = {
        "class_type": "LabFail",
        "inputs": {"image": ["1", 0], "key": new_id(), "times": 99, "kind": kind},
        "_meta": {"title": "Trouble"},
    }
    prompt["2"]["inputs"]["images"] = ["3", 0]
    return prompt


class Makers:
    """Makers of prompts; those of the bench's classes skip where the server has none."""

    def __init__(self, missing):
        self.missing = missing
        self.picture = picture

    def needs(self, *node_classes):
        for name in node_classes:
            if name in self.missing:
                pytest.skip(f"the server that COMFYNB_TEST_URL names has no node class {name}")

    def sampling(self, *args, **options):
        self.needs("LabLoader", "LabSampler")
        return sampling(*args, **options)

    def failing(self, kind="error"):
        self.needs("LabFail")
        return failing(kind)


@pytest.fixture
def prompts(missing_classes):
    """Makers of prompts: picture, sampling, failing."""
    return Makers(missing_classes)


async def until(live, condition):
    """Return when ``condition(view)`` holds; woken by the engine's own notices."""
    done = asyncio.Event()

    def look(view):
        if condition(view):
            done.set()

    stop = live.watch(look)
    look(live.view)
    live.touch()
    try:
        await done.wait()
    finally:
        stop()


@pytest.fixture(name="until")
def until_fixture():
    return until


@pytest.fixture
def running(until):
    """Wait until a job runs on a backend."""

    async def wait(live):
        await until(live, lambda view: view.status is JobStatus.RUNNING and view.step)

    return wait
