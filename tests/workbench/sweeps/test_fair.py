"""Two kernels that sweep over the same servers at once, on one store and on two."""

import json
import os
import subprocess
import sys
import urllib.request
from bisect import bisect_left, bisect_right
from contextlib import ExitStack
from pathlib import Path

import pytest

from comfynb.engine.crashpoints import VARIABLE
from comfynb.sandbox import Sandbox

PROGRAM = Path(__file__).with_name("programs") / "fair_kernel.py"
POINTS = 40
LEAST = POINTS // 3
"""Points that each kernel gets done while both sweep, at least: by turns it would be almost all."""


@pytest.fixture(scope="module")
def servers():
    with Sandbox() as one, Sandbox() as two:
        yield one, two


def begin(stack, store, first, servers):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, str(PROGRAM), str(store), str(first), str(POINTS)]
    kernel = stack.enter_context(
        subprocess.Popen(
            [*command, *(server.url for server in servers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONWARNINGS": "default"},
        )
    )
    stack.callback(kernel.kill)
    return kernel


def ends(servers):
    """When each prompt ended well, as the servers tell in their histories, in seconds."""
    found = {}
    for server in servers:
        with urllib.request.urlopen(f"{server.url}/history") as answer:
            history = json.load(answer)
        for prompt_id, entry in history.items():
            told = dict(entry["status"]["messages"])
            found[prompt_id] = told["execution_success"]["timestamp"] / 1000
    return found


def executed(servers):
    every = [entry for server in servers for entry in server.stats()["prompts"].values()]
    return sum(entry["executions"] for entry in every)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stores", [("shared", "shared"), ("one", "two")], ids="-".join)
def test_two_kernels_sweep_over_the_same_servers_and_both_end(tmp_path, servers, stores):
    before = executed(servers)
    first = 1000 * before  # seeds that nobody has used
    with ExitStack() as stack:
        kernels = [
            begin(stack, tmp_path / f"{store}.duckdb", first + 1000 * number, servers)
            for number, store in enumerate(stores)
        ]
        for kernel in kernels:
            assert kernel.stdout.readline() == "ready\n"
        for kernel in kernels:
            kernel.stdin.write("go\n")
            kernel.stdin.flush()
        reports = [json.loads(kernel.stdout.readline()) for kernel in kernels]
        assert [kernel.wait(60) for kernel in kernels] == [0, 0]
    for report in reports:
        assert report["counts"] == {"completed": POINTS}
        assert report["linked"] == 0
        assert report["problems"] == []
        assert len(set(report["prompts"])) == POINTS
    assert executed(servers) - before == 2 * POINTS, "something was done twice"
    # While both were at it, the servers' time went to both.
    told = ends(servers)
    times = [sorted(told[prompt_id] for prompt_id in report["prompts"]) for report in reports]
    since, until = max(each[0] for each in times), min(each[-1] for each in times)
    shares = [bisect_right(each, until) - bisect_left(each, since) for each in times]
    print("points of each while both were at it:", shares)
    assert min(shares) >= LEAST, shares
