"""A kernel killed with SIGKILL in the middle of twenty jobs, and the one that comes after it."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from comfynb.engine.crashpoints import CRASH_POINTS, VARIABLE
from comfynb.sandbox import Sandbox

PROGRAM = Path(__file__).with_name("programs") / "kernel.py"
JOBS = 20
SEEDS = itertools.count(1, 1000)

# Twenty moments: early, in the middle, and late, at every place that has a name.
MOMENTS = [
    ("job stored", 1),
    ("job stored", 5),
    ("prompt begun", 1),
    ("prompt begun", 7),
    ("prompt begun", 20),
    ("prompt posted", 1),
    ("prompt posted", 6),
    ("prompt posted", 19),
    ("prompt runs", 1),
    ("prompt runs", 9),
    ("entry found", 1),
    ("entry found", 8),
    ("entry found", 20),
    ("file fetched", 1),
    ("file fetched", 11),
    ("prompt finished", 1),
    ("prompt finished", 10),
    ("job finished", 1),
    ("job finished", 12),
    ("job finished", 20),
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def kernel(store, *arguments, crash_at=None):
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    environment.pop(VARIABLE, None)
    if crash_at:
        environment[VARIABLE] = crash_at
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(store), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        check=False,
    )


def report_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def prompts_of(report):
    """(prompt id, state) of every attempt, job by job."""
    return [[tuple(each.split(" ")) for each in (job["prompts"] or [])] for job in report["jobs"]]


def test_every_crash_point_has_its_moments():
    assert len(MOMENTS) == 20
    assert {name for name, _ in MOMENTS} == set(CRASH_POINTS)


@pytest.mark.kill
@pytest.mark.parametrize(("point", "time"), MOMENTS)
def test_nothing_is_lost_and_nothing_runs_twice(sandbox, tmp_path, point, time):
    store = tmp_path / "kill.duckdb"
    killed = kernel(store, "submit", sandbox.url, JOBS, next(SEEDS), crash_at=f"{point}:{time}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    report = report_of(kernel(store, "resume"))
    # Whatever `run()` had returned is there; what it had only stored may be there too.
    returned = {line.split()[1] for line in killed.stdout.splitlines() if "returned" in line}
    assert returned <= {job["id"] for job in report["jobs"]}
    assert len(report["jobs"]) >= (time if point == "job stored" else 1)
    assert {job["status"] for job in report["jobs"]} == {"completed"}
    assert all(job["files"] == 1 for job in report["jobs"])
    assert report["findings"] == []
    counted = sandbox.stats()["prompts"]
    for attempts in prompts_of(report):
        assert [state for _, state in attempts] == ["completed"]
        assert [counted[prompt_id]["executions"] for prompt_id, _ in attempts] == [1]


@pytest.mark.kill
@pytest.mark.faults
@pytest.mark.parametrize("point", ["prompt posted", "prompt runs", "file fetched"])
def test_what_the_server_forgot_meanwhile_is_lost_and_runs_again(tmp_path, point):
    with Sandbox() as sandbox:
        store = tmp_path / "kill.duckdb"
        killed = kernel(store, "submit", sandbox.url, JOBS, next(SEEDS), crash_at=f"{point}:10")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before = report_of(kernel(store, "report"))
        sandbox.fault("restart")
        after = report_of(kernel(store, "resume"))
        assert {job["status"] for job in after["jobs"]} == {"completed"}
        assert after["findings"] == []
        counted = sandbox.stats()["prompts"]
        finished = {job["id"] for job in before["jobs"] if job["status"] == "completed"}
        out = 0
        for job, attempts in zip(after["jobs"], prompts_of(after), strict=True):
            *earlier, (last, state) = attempts
            assert state == "completed"
            assert all(each == "lost" for _, each in earlier)
            again = len(earlier) + counted[last]["executions"] - 1
            assert again <= 1
            assert not (again and job["id"] in finished)
            out += again
        # Something was out when the server was restarted: it ran again, and only that.
        assert out > 0


@pytest.mark.kill
def test_two_kernels_on_one_store_lose_nothing(sandbox, tmp_path):
    store = tmp_path / "two.duckdb"
    both = [
        subprocess.Popen(
            [sys.executable, PROGRAM, store, "submit", sandbox.url, "30", str(next(SEEDS))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], [err for _, err in outputs]
    report = report_of(kernel(store, "resume"))
    assert len(report["jobs"]) == 60
    assert {job["status"] for job in report["jobs"]} == {"completed"}
    assert all(job["files"] == 1 for job in report["jobs"])
    assert report["findings"] == []
    counted = sandbox.stats()["prompts"]
    ids = [prompt_id for attempts in prompts_of(report) for prompt_id, _ in attempts]
    assert len(ids) == len(set(ids)) == 60
    assert {counted[prompt_id]["executions"] for prompt_id in ids} == {1}
