"""The sandbox as a process: started, killed, restarted, and gone when its starter is gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from comfynb.sandbox import Sandbox, SandboxError
from comfynb.sandbox.__main__ import main


def get(url, headers=None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=20) as answer:
        return json.load(answer)


def post(url, body):
    request = urllib.request.Request(url, data=json.dumps(body).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=20) as answer:
        return json.load(answer)


def test_it_serves_restarts_and_leaves_nothing_behind(graphs):
    with Sandbox(version="0.3.64", speed=4) as sandbox:
        url, base_dir, pid = sandbox.url, sandbox.base_dir, sandbox.pid
        assert get(f"{url}/system_stats")["system"]["comfyui_version"] == "0.3.64"
        assert (base_dir / "input" / "portrait.png").is_file()
        post(f"{url}/prompt", {"prompt": graphs.picture(), "prompt_id": "p"})
        while not get(f"{url}/history/p"):
            time.sleep(0.01)
        assert sandbox.stats()["prompts"]["p"]["executions"] == 1
        sandbox.fault("refuse", path="/prompt", method=None)
        assert [fault["kind"] for fault in sandbox.faults()] == ["refuse"]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(f"{url}/prompt")
        sandbox.clear_faults()
        assert get(f"{url}/prompt")
        with pytest.raises(ValueError, match="flood"):
            sandbox.fault("flood")
        sandbox.restart()
        assert (sandbox.url, sandbox.base_dir) == (url, base_dir)
        assert sandbox.pid != pid
        assert get(f"{url}/history") == {}
        assert (base_dir / "output" / "test_00001_.png").is_file()
    assert not base_dir.exists()
    assert not psutil.pid_exists(pid)


@pytest.mark.kill
def test_it_dies_with_its_starter(tmp_path):
    code = (
        "import sys, time\n"
        "from comfynb.sandbox import Sandbox\n"
        f"sandbox = Sandbox(base_dir={str(tmp_path / 'base')!r}).start()\n"
        "print(sandbox.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    ) as starter:
        assert starter.stdout is not None
        sandbox = psutil.Process(int(starter.stdout.readline()))
        starter.send_signal(signal.SIGKILL)
    sandbox.wait(20)


async def test_secrets_stay_hidden_and_a_taken_port_is_named():
    async with Sandbox(auth="basic:ann:open sesame", samples=False) as sandbox:
        process = psutil.Process(sandbox.pid)
        assert "sesame" not in " ".join(process.cmdline())
        assert "sesame" not in repr(sandbox)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"{sandbox.url}/prompt")
        assert get(f"{sandbox.url}/prompt", {"Authorization": "Basic YW5uOm9wZW4gc2VzYW1l"})
        assert list((sandbox.base_dir / "input").iterdir()) == []
        port = int(sandbox.url.rpartition(":")[2])
        with pytest.raises(SandboxError, match="address already in use"):
            Sandbox(port=port).start()
    assert not process.is_running()


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--version", "9"], "'9'"),
        (["--speed", "0"], "speed"),
        (["--auth", "basic:nobody"], "basic:USER:PASSWORD"),
        (["--cache", "huge"], "'huge'"),
        (["--without", "Nothing"], "Nothing"),
        (["--choices", "LabLoader=x"], "Class.input"),
        (["--choices", "LabLoader"], "Class.input"),
        (["--tls-cert", "x.pem"], "key"),
        (["--fault", "flood"], "flood"),
        (["--fault", "slow,latency"], "name=value"),
    ],
)
def test_wrong_arguments_are_named(arguments, culprit, tmp_path, capsys):
    with contextlib.suppress(SystemExit):  # argparse's own refusals
        assert main(["--port", "0", "--base-dir", str(tmp_path), *arguments]) == 1
    assert culprit in capsys.readouterr().err


def test_facts_are_there_only_when_it_runs():
    sandbox = Sandbox()
    with pytest.raises(SandboxError, match="not been started"):
        _ = sandbox.url
    sandbox.stop()
