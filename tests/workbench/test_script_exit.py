"""A plain script ends without a word, whether or not it closes its Workbench."""

import subprocess
import sys
from pathlib import Path

import pytest

from comfynb.sandbox import Sandbox
from comfynb.sandbox.workflows import workflow_text

BEGIN = """
from comfynb import Workbench
wb = Workbench("lab.duckdb")
wb.backends.add({url!r}, name="one")
wf = wb.workflows.load("portrait.json")
values = dict(steps=2, seconds=0.0, seconds_per_step=0.0)
"""
ENDS = {
    "left running": "wf.run(**{**values, 'seconds': 60.0}); print('left')",
    "ran and closed": "print(wf.run(**values).wait().status.value); wb.close()",
}
COROUTINE = """
import asyncio

async def main():
    {begin}
    job = wf.run(**values)
    await job
    print(job.status.value)

asyncio.run(main())
"""


def _program(how: str, url: str) -> str:
    begin = BEGIN.format(url=url)
    if how == "coroutine":
        return COROUTINE.format(begin=begin.strip().replace("\n", "\n    "))
    return begin + ENDS[how]


@pytest.mark.parametrize("how", [*ENDS, "coroutine"])
def test_a_script_ends_quietly(how: str, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "portrait.json").write_text(workflow_text("portrait"))
    done = subprocess.run(
        [sys.executable, "-c", _program(how, sandbox.url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
