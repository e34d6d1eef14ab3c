"""Every fault of the sandbox, before, during and after a prompt runs: nothing lost, nothing twice.

A row is a fault switch, what is run (one prompt by itself, or a small sweep) and the moment at
which the fault strikes. In each one all jobs must end as they should, and what a server has done
well must not be done again: counted on the servers.
"""

import asyncio
from collections import Counter

import pytest

from comfynb.models import JobStatus, new_id
from comfynb.sandbox import Sandbox

LIMIT = 45.0
"""Seconds in which each row ends, on a busy machine too."""

FAULTS = {
    "slow": {"latency": 0.3, "factor": 2.0, "duration": 1.5},
    "dead": {"duration": 1.0},
    "dead-refuse": {"duration": 1.0, "mode": "refuse"},
    "restart": {"down": 0.3},
    "deaf": {"duration": 2.0},
    "drop": {},
    "oom": {"count": 1},
    "stuck": {"duration": 1.5, "node_class": "LabSampler"},
    "refuse": {"count": 1, "status": 503},
    "cut": {"count": 2},
    "lost": {"count": 1},
    "hang": {"count": 1, "duration": 1.0, "path": "/prompt", "method": "POST"},
}
MOMENTS = ["before", "during", "after"]
RUNS = {"one": 1, "sweep": 5}


@pytest.fixture(scope="module")
def pair():
    """Two servers, the second with more memory than the first."""
    with Sandbox(vram=8) as small, Sandbox(vram=24) as large:
        yield small, large


class Watched:
    """A sandbox that is asked without blocking the loop."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.url = sandbox.url

    async def fault(self, name):
        kind = name.partition("-")[0]
        await asyncio.to_thread(self.sandbox.fault, kind, **FAULTS[name])

    async def clear(self):
        await asyncio.to_thread(self.sandbox.clear_faults)

    async def stats(self):
        return await asyncio.to_thread(self.sandbox.stats)


async def started(server, prompts_before):
    """Return when the server has begun to run something new."""
    while True:
        stats = await server.stats()
        if sum(p["executions"] for p in stats["prompts"].values()) > prompts_before:
            return
        await asyncio.sleep(0.02)  # the sandbox tells of starts only when it is asked


async def executions(server):
    return sum(p["executions"] for p in (await server.stats())["prompts"].values())


def done_well(before, after):
    """Prompt ids that a server ended well, with how often it executed them."""
    found = Counter()
    for prompt_id, entry in after["prompts"].items():
        if prompt_id not in before["prompts"] and entry["status"] == "success":
            found[prompt_id] = entry["executions"]
    return found


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost_and_nothing_done_twice(  # noqa: PLR0917
    kernel, pair, prompts, fault, run, moment
):
    servers = [Watched(sandbox) for sandbox in pair]
    small, large = servers
    try:
        async with asyncio.timeout(LIMIT):
            await kernel.add(small, "small")
            await kernel.add(large, "large")
            before = [await server.stats() for server in servers]
            began = await executions(small)
            if moment == "before":
                await small.fault(fault)
            group = new_id() if run == "sweep" else None
            what = [prompts.sampling(steps=3, seconds=0.05) for _ in range(RUNS[run])]
            lives = await kernel.run(*what, group=group)
            if moment == "during":
                await started(small, began)
                await small.fault(fault)
            await asyncio.gather(*(live.wait() for live in lives))
            if moment == "after":
                await small.fault(fault)
                more = await kernel.run(prompts.sampling(steps=1, seconds=0.05), group=group)
                lives += more
                await asyncio.gather(*(live.wait() for live in more))
            after = [await server.stats() for server in servers]
    finally:
        for server in servers:
            await server.clear()
    for live in lives:
        assert live.job.status is JobStatus.COMPLETED, live.job.error_message
        stored = await kernel.stored(live)
        assert stored.status is JobStatus.COMPLETED
        (output,) = await kernel.store.journal.outputs_of([live.id])
        assert output.sha256
    well = Counter()
    for earlier, later in zip(before, after, strict=True):
        well += done_well(earlier, later)
    # As many prompts ended well as there are jobs: none is missing, none was done again.
    assert sum(well.values()) == len(lives), well
