"""A sandbox as a process of its own, which ends with the process that started it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from comfynb.sandbox.settings import AUTH_VARIABLE

__all__ = ["Sandbox", "SandboxError"]

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class SandboxError(RuntimeError):
    """The sandbox did not start, or does not answer."""


class Sandbox:
    """Starts ``python -m comfynb.sandbox`` and talks to it; a context manager, sync and async.

    ``base_dir`` is kept when given; by default it is a temporary folder that goes with `stop`.
    ``options`` are the command line's, with underscores: ``Sandbox(version="0.3.64", speed=4,
    auth="bearer:secret", vram=24, job_cancel=True)``.
    """

    def __init__(
        self, *, base_dir: str | os.PathLike[str] | None = None, port: int = 0, **options: Any
    ) -> None:
        self._given_dir = None if base_dir is None else Path(base_dir)
        self._own_dir: tempfile.TemporaryDirectory[str] | None = None
        self._port = port
        self._auth = options.pop("auth", None)
        self._arguments = _arguments(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The address for clients; the same after `restart`."""
        return str(self._fact("url"))

    @property
    def control_url(self) -> str:
        """The address of ``/sandbox/faults`` and ``/sandbox/stats``, which no fault touches."""
        return str(self._fact("control_url"))

    @property
    def base_dir(self) -> Path:
        """The directory with input, output, temp, user and models."""
        return Path(self._fact("base_dir"))

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self._fact("pid"))

    def _fact(self, name: str) -> Any:
        if not self._ready:
            raise SandboxError("the sandbox has not been started; use it in a with block")
        return self._ready[name]

    def start(self) -> Self:
        """Start the process and wait until it listens; does nothing when it runs already."""
        if self._process is not None:
            return self
        base_dir = self._given_dir
        if base_dir is None:
            self._own_dir = self._own_dir or tempfile.TemporaryDirectory(prefix="comfynb-sandbox-")
            base_dir = Path(self._own_dir.name)
        command = [sys.executable, "-m", "comfynb.sandbox", "--end-with-stdin"]
        command += ["--port", str(self._port), "--base-dir", str(base_dir), *self._arguments]
        environment = dict(os.environ)
        environment.pop(AUTH_VARIABLE, None)
        if self._auth is not None:
            environment[AUTH_VARIABLE] = str(self._auth)
        # the package that is running, also where it is not installed
        package_root = str(Path(__file__).resolve().parents[2])
        paths = [package_root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(  # noqa: S603 - see the import
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=environment,
            )
            line = _first_line(self._process)
            if not line.startswith(b"{"):
                self.kill()
                self.stop()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines()
                reason = said[-1] if said else f"it said nothing for {_START_SECONDS:.0f} s"
                raise SandboxError(f"the sandbox did not start: {reason}")
        self._ready = json.loads(line)
        # later starts take the same port
        self._port = int(self._ready["port"])
        return self

    def stop(self) -> None:
        """End the process in order and remove the base directory if it was temporary."""
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            self._reap()
        if self._own_dir is not None:
            self._own_dir.cleanup()
            self._own_dir = None
        self._ready = {}

    def kill(self) -> None:
        """End the process at once, as SIGKILL does: nothing is closed, nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Kill the process and start it again at the same address with the same files."""
        self.kill()
        self.start()

    def _reap(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def fault(self, kind: str, **options: Any) -> dict[str, Any]:
        """Switch a fault on and return it with its id; see `comfynb.sandbox.faults`."""
        answer = self._ask("POST", "/sandbox/faults", {"kind": kind, **options})
        return dict(answer["faults"][0])

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are switched on."""
        return list(self._ask("GET", "/sandbox/faults")["faults"])

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Switch one fault, or all of them, off."""
        query = "" if fault_id is None else f"?id={fault_id}"
        self._ask("DELETE", f"/sandbox/faults{query}")

    def stats(self) -> dict[str, Any]:
        """Return the counters; see `comfynb.sandbox.stats`."""
        return self._ask("GET", "/sandbox/stats")

    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            self.control_url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        # never by way of a proxy
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ValueError(json.load(refusal)["error"]) from None
        except OSError as problem:
            raise SandboxError(f"the sandbox does not answer: {problem}") from problem

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


def _arguments(options: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, dict):
            arguments += [f"{flag}={key}={','.join(map(str, v))}" for key, v in value.items()]
        elif isinstance(value, list | tuple | set | frozenset):
            arguments.append(f"{flag}={','.join(map(str, value))}")
        elif isinstance(value, bool):
            arguments.append(flag if value else "--no-" + flag[2:])
        elif value is not None:
            arguments.append(f"{flag}={value}")
    return arguments


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """Return the process's first line; empty when it ends or says nothing in time."""
    stdout = process.stdout
    assert stdout is not None
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
    reader.start()
    reader.join(_START_SECONDS)
    return lines[0] if lines else b""
