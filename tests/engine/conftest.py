"""An engine with sandbox backends, each test on a store of its own."""

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

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

COLORS = itertools.count(1)


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
def sandboxes():
    """Two sandbox processes for the whole run."""
    with Sandbox() as one, Sandbox(version="0.3.64") as two:
        yield Server(one), Server(two)


@pytest.fixture
async def servers(sandboxes):
    """The sandboxes, without faults before and after."""
    for server in sandboxes:
        await server.clear_faults()
    yield sandboxes
    for server in sandboxes:
        await server.clear_faults()


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


@pytest.fixture
def prompts():
    """Makers of prompts: picture, sampling, failing."""

    class Makers:
        pass

    makers = Makers()
    makers.picture, makers.sampling, makers.failing = picture, sampling, failing
    return makers


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
