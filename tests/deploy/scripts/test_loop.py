"""The loop closes: a machine that ran the script is a backend in one line, and a check is green."""

import re
import socket
import subprocess
import sys
from contextlib import suppress

from comfynb import Workbench
from comfynb.deploy.scripts import render

PROMPT = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def is_up(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_machine_becomes_a_backend(machine, small, tmp_path, repo):
    port = free_port()
    lock = small(
        nodes=[],
        comfyui={
            "version": "0.3.64",
            "commit": machine.repositories.server[0],
            "repository": "https://github.com/sandbox/ComfyUI",
        },
    )
    script = machine.write(render(lock, "bash"))
    server = {"SANDBOX": sys.executable, "PYTHONPATH": str(repo)}
    process = machine.start("bash", script, "--start", "--port", port, **server)
    try:
        while not is_up(port):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            assert process.returncode is None, machine.output.read_text()
        (line,) = re.findall(r"^In comfynb: (.*)$", machine.output.read_text(), re.MULTILINE)
        with Workbench(tmp_path / "lab.duckdb") as wb:
            backend = eval(line, {"wb": wb})
            assert backend.name == "portrait"
            check = wb.workflows.load(PROMPT, name="prompt").check("portrait")
            assert check.ok, repr(check)
    finally:
        machine.kill(process.pid)
        process.wait()
