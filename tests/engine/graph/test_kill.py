"""Kernels killed with SIGKILL in the middle of a graph over three backends, fifty times.

A chain of kernels works on one store: each begins one more graph of twelve nodes, picks up what
those before it left, and is killed at a moment of its own. So each kernel but the first recovers
from one kill, and each but the last dies. In the end every job must be complete, and the servers
must have executed each prompt once: what was completed never ran again.
"""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from comfynb.engine.crashpoints import CRASH_POINTS, GRAPH_CRASH_POINTS
from comfynb.sandbox import Sandbox

pytestmark = pytest.mark.kill

PROGRAM = Path(__file__).with_name("programs") / "graph_kernel.py"
CHAINS = 2
KILLS = 25
NODES = 12

# How often one graph passes each place at least, and so when a kernel may be killed there.
OFTEN = {
    "job stored": 1,
    "prompt begun": 7,
    "prompt posted": 7,
    "entry found": 7,
    "file fetched": 7,
    "prompt finished": 7,
    "job finished": 1,
    "decision made": 4,
    "node ready stored": 4,
    "files delivered": 1,
}
ELSEWHERE = {"prompt runs", "answer stored", "cancel stored", "retry stored"}
"""A short prompt may end before anybody was told that it runs; the others need a person."""


def moments(seed):
    """Random moments, each place at least once."""
    rng = random.Random(seed)
    places = [*OFTEN, *rng.choices(list(OFTEN), k=KILLS - len(OFTEN))]
    rng.shuffle(places)
    return [f"{place}:{rng.randint(1, OFTEN[place])}" for place in places]


def test_every_place_is_among_the_moments():
    assert OFTEN.keys() | ELSEWHERE == {*CRASH_POINTS, *GRAPH_CRASH_POINTS}
    assert CHAINS * KILLS == 50


def chain(folder, urls, number):
    """Kill kernels one after the other; returns what the last one found."""
    where = [*moments(number), "never"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder / "chain.duckdb"), *urls],
        input="".join(f"{moment}\n" for moment in where),
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, last = (line for line in done.stdout.splitlines() if line.startswith("{"))
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended")]
    # Each was killed where it should be; the last one lived to report.
    killed = [f"ended {moment} {-signal.SIGKILL.value}" for moment in where[:-1]]
    assert ended == [*killed, "ended never 0"], done.stderr
    return json.loads(last)


@pytest.mark.timeout(600)
def test_completed_nodes_never_run_twice(tmp_path):
    with Sandbox() as one, Sandbox(version="0.3.64") as two, Sandbox() as three:
        sandboxes = (one, two, three)
        urls = [sandbox.url for sandbox in sandboxes]
        folders = [tmp_path / str(number) for number in range(CHAINS)]
        for folder in folders:
            folder.mkdir()
        with ThreadPoolExecutor(CHAINS) as pool:
            reports = list(pool.map(chain, folders, [urls] * CHAINS, range(CHAINS)))
        executed = Counter()
        for sandbox in sandboxes:
            for prompt_id, entry in sandbox.stats()["prompts"].items():
                executed[prompt_id] += entry["executions"]
    known = set()
    for folder, report in zip(folders, reports, strict=True):
        assert report["findings"] == report["problems"] == []
        rows = report["rows"]
        jobs = {row["job_id"] for row in rows}
        assert len(jobs) == KILLS + 1
        assert {row["job"] for row in rows} == {"completed"}
        for row in rows:
            attempts = [tuple(each.split(" ")) for each in row["prompts"] or []]
            known |= {prompt_id for prompt_id, _ in attempts}
            if row["node"] == "never":
                assert (row["status"], attempts) == ("skipped", [])
                continue
            assert row["status"] == "completed"
            if attempts:
                assert [state for _, state in attempts] == ["completed"]
                assert executed[attempts[0][0]] == 1
        per_job = Counter(row["job_id"] for row in rows)
        assert set(per_job.values()) == {NODES + 2}  # paint and again run twice
        delivered = Counter(path.name[:8] for path in (folder / "delivered").iterdir())
        assert set(delivered.values()) == {3}
        assert len(delivered) == len(jobs)
    # Nothing was sent that is not written down.
    assert executed.keys() <= known
