"""A kernel killed with SIGKILL again and again in the middle of a sweep of 500 points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from comfynb.engine.crashpoints import VARIABLE
from comfynb.sandbox import Sandbox

PROGRAM = Path(__file__).with_name("programs") / "sweep_kernel.py"
KILLS, POINTS = 100, 500


@pytest.mark.kill
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux: processes as files")
@pytest.mark.timeout(240)
def test_killed_at_a_hundred_moments_it_ends_complete_and_computes_nothing_twice(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with Sandbox() as one, Sandbox() as two:
        done = subprocess.run(
            [
                *(sys.executable, str(PROGRAM), str(tmp_path / "kill.duckdb")),
                *(str(KILLS), "1", str(POINTS), one.url, two.url),
            ],
            capture_output=True,
            text=True,
            timeout=230,
            env={**environment, "PYTHONWARNINGS": "default"},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        report = json.loads(done.stdout.splitlines()[-1])
        counted = {**one.stats()["prompts"], **two.stats()["prompts"]}
    assert report["killed"] > KILLS // 2, "it was over too soon to say anything"
    # Nothing lost: every point of the sweep is there, completed, with its picture.
    assert report["status"] == "completed"
    assert [point["index"] for point in report["points"]] == list(range(POINTS))
    assert {point["status"] for point in report["points"]} == {"completed"}
    assert {point["files"] for point in report["points"]} == {1}
    assert report["findings"] == []
    assert report["problems"] == []
    # Nothing twice: one job a point, one prompt a job, and the servers ran each once.
    assert not any(point["linked"] for point in report["points"])
    assert len({point["job_id"] for point in report["points"]}) == report["jobs"] == POINTS
    attempts = [prompt.split(" ") for point in report["points"] for prompt in point["prompts"]]
    assert [state for _, state in attempts] == ["completed"] * POINTS
    assert {prompt_id for prompt_id, _ in attempts} == set(counted)
    assert {entry["executions"] for entry in counted.values()} == {1}
