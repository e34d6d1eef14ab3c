"""Every fault of the sandbox, before, during and after a prompt runs: nothing lost, nothing twice.

A row is a fault switch and the moment at which it strikes; in each, three kinds of work go on
beside one another, each on two servers of its own: a run by itself, a graph whose second workflow
takes the first one's picture, and a sweep. All jobs must end as they should, and what a server has
done well must not be done again: counted on the servers, in the store and in the folder that the
graph delivers to.
"""

import itertools
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from comfynb import Workbench
from comfynb.sandbox import Sandbox

LIMIT = 45.0
"""Seconds in which all jobs of each row end, on a busy machine too."""

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
POINTS = 5

SAMPLING = {
    "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
    "2": {
        "class_type": "LabSampler",
        "inputs": {
            "model": ["1", 0],
            "seed": 0,
            "steps": 3,
            "seconds_per_step": 0.05,
            "text": "",
            "width": 32,
            "height": 32,
        },
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "matrix"}},
}
INVERTING = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
}


class Rig:
    """A Workbench in a thread of its own, two servers, and one kind of work."""

    prompts = 1
    """How many each job sends."""

    def __init__(self, stack, folder):
        # The second has more memory than the first, for what runs out of it.
        self.small = stack.enter_context(Sandbox(vram=8))
        self.large = stack.enter_context(Sandbox(vram=24))
        folder.mkdir()
        self.folder = folder
        self.wb = stack.enter_context(Workbench(folder / "matrix.duckdb"))
        self.seeds = itertools.count(1)
        self.sampler = self.wb.workflows.load(SAMPLING, name="sampling")
        self.prepare()

    def prepare(self):
        """Make what is needed besides the sampler."""

    def start(self):
        """Begin some work."""
        raise NotImplementedError

    def more(self, begun):
        """Begin a little more after some has ended."""
        return self.start()

    def jobs(self, begun):
        """The jobs of what was begun."""
        return [begun]

    def play(self, fault, moment):
        """One row: returns what is to be asserted, gathered without asserting anything."""
        deadline = time.monotonic() + LIMIT
        self._meet_anew()
        before = [server.stats() for server in (self.small, self.large)]
        try:
            if moment == "before":
                self._strike(fault)
            begun = [self.start()]
            if moment == "during":
                self._started(before[0], deadline)
                self._strike(fault)
            begun[0].wait(deadline - time.monotonic())
            if moment == "after":
                self._strike(fault)
                begun.append(self.more(begun[0]))
                begun[1].wait(deadline - time.monotonic())
            after = [server.stats() for server in (self.small, self.large)]
        finally:
            self.small.clear_faults()
        well = Counter()
        for earlier, later in zip(before, after, strict=True):
            well += done_well(earlier, later)
        jobs = {job.id: job for each in begun for job in self.jobs(each)}
        return list(jobs.values()), well

    def _meet_anew(self):
        """Both backends as if never seen, so that no row depends on those before it."""
        for backend in list(self.wb.backends):
            self.wb.backends.remove(backend.name).wait(LIMIT)
        # One that was dead or restarted in the row before may need a moment to listen again.
        listens(self.small.url)
        self.wb.backends.add(self.small.url, name="small")
        self.wb.backends.add(self.large.url, name="large")
        self.wb.check_backends().wait(LIMIT)

    def _strike(self, fault):
        self.small.fault(fault.partition("-")[0], **FAULTS[fault])

    def _started(self, before, deadline):
        """Return when the first server has begun to run something new."""
        while executions(self.small.stats()) == executions(before):
            assert time.monotonic() < deadline, "the first server got nothing to do"
            time.sleep(0.02)  # the sandbox tells of starts only when it is asked


class OneRun(Rig):
    def start(self):
        return self.sampler.run(seed=next(self.seeds))


class OneGraph(Rig):
    prompts = 2

    def prepare(self):
        inverting = self.wb.workflows.load(INVERTING, name="inverting")
        self.wb.backends.add(self.small.url, name="small")
        self.wb.check_backends().wait(LIMIT)
        self.graph = self.wb.graphs.new("graph")
        sample = self.graph.workflow(self.sampler, "sample")
        invert = self.graph.workflow(inverting, "invert")
        out = self.graph.output(self.folder / "delivered")
        sample >> invert >> out

    def start(self):
        return self.graph.run({"sample.seed": next(self.seeds)})


class OneSweep(Rig):
    def start(self):
        return self.wb.sweep(self.sampler, {"seed": [next(self.seeds) for _ in range(POINTS)]})

    def more(self, begun):
        return begun.add({"seed": [next(self.seeds)]})

    def jobs(self, begun):
        assert begun.counts == {"completed": len(begun)}
        assert begun.status.value == "completed"
        return [begun.job(index) for index in range(len(begun))]


def listens(url):
    """Return when somebody takes connections there."""
    place = urlsplit(url)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection((place.hostname, place.port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nobody listens at {url}"
            time.sleep(0.02)  # a port tells nobody when it is opened
        else:
            return


RIGS = {"run": OneRun, "graph": OneGraph, "sweep": OneSweep}


def executions(stats):
    return sum(prompt["executions"] for prompt in stats["prompts"].values())


def done_well(before, after):
    """Prompt ids that a server ended well, with how often it executed them."""
    found = Counter()
    for prompt_id, entry in after["prompts"].items():
        if prompt_id not in before["prompts"] and entry["status"] == "success":
            found[prompt_id] = entry["executions"]
    return found


@pytest.fixture(scope="module")
def rigs(tmp_path_factory):
    """All of them; whoever is named here waits for nobody else."""
    folder = tmp_path_factory.mktemp("matrix")
    with ExitStack() as stack, ThreadPoolExecutor(len(RIGS)) as threads:
        stacks = {name: stack.enter_context(ExitStack()) for name in RIGS}
        made = threads.map(lambda name: RIGS[name](stacks[name], folder / name), RIGS)
        yield dict(zip(RIGS, made, strict=True)), threads


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_done_twice(rigs, fault, moment):
    every, threads = rigs
    played = {name: threads.submit(rig.play, fault, moment) for name, rig in every.items()}
    wrong = []
    for name, future in played.items():
        try:
            check(every[name], *future.result(), more=moment == "after")
        except Exception as error:  # noqa: BLE001 - all of them are raised together, named
            error.add_note(f"{name}, {fault} {moment}")
            wrong.append(error)
    if wrong:
        raise ExceptionGroup(f"{fault} {moment}", wrong)


def check(rig, jobs, well, *, more):
    """All jobs ended well, in the store too, and the servers did as much as there was, once."""
    count = POINTS if isinstance(rig, OneSweep) else 1
    assert len(jobs) == count + more
    stored = rig.wb.sql(
        "select j.id, j.status, count(distinct p.prompt_id) filter (where p.state = 'completed') "
        "as prompts, count(o.sha256) as files from jobs j "
        "left join prompts p on p.job_id = j.id "
        "left join output_files o on o.prompt_id = p.prompt_id and o.type = 'output' "
        "where list_contains($1, j.id) group by j.id, j.status",
        [[job.id for job in jobs]],
    )
    assert len(stored) == len(jobs)
    for job in jobs:
        assert job.status.value == "completed", job.error
    for row in stored:
        assert (
            dict(row).items()
            >= {
                "status": "completed",
                "prompts": rig.prompts,
                "files": rig.prompts,
            }.items()
        ), dict(row)
    # As many prompts ended well as were needed: none is missing, none was done again.
    assert sum(well.values()) == rig.prompts * len(jobs), well
    if isinstance(rig, OneGraph):
        delivered = [path for job in jobs for path in job.nodes["delivered"].delivered]
        assert len(set(delivered)) == len(jobs)
        assert all(path.is_file() for path in delivered)
        total = rig.wb.sql("select count(*) from jobs").rows[0][0]
        assert len([*(rig.folder / "delivered").iterdir()]) == total
    assert rig.wb.problems == []
