"""What the store's tests share: a store in a temporary folder, records to put in it, children."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb.models import (
    BackendConfig,
    CanvasLayout,
    CanvasNode,
    Job,
    NodeExecution,
    Project,
    PromptRecord,
    new_id,
)
from comfynb.store import Store, open_store

PROGRAMS = Path(__file__).parent / "programs"
REPO = Path(__file__).resolve().parents[2]


class Make:
    """Records for tests; each call gives new ids."""

    backend = BackendConfig(id="b1", name="PC1 - RTX 4090", host="gpu1", tags=["fast"])
    project = Project(id="p1", name="Runs")

    @staticmethod
    def job(nodes: int = 1, project_id: str = "p1", **fields: Any) -> Job:
        canvas = CanvasLayout(
            nodes=[
                CanvasNode(id=f"n{i}", node_type="workflow", position=(i, 0)) for i in range(nodes)
            ]
        )
        job_id = new_id()
        executions = [
            NodeExecution(id=new_id(), job_id=job_id, canvas_node_id=f"n{i}") for i in range(nodes)
        ]
        return Job(
            id=job_id,
            project_id=project_id,
            canvas_snapshot=canvas,
            node_executions=executions,
            **fields,
        )

    @staticmethod
    def prompt(job: Job, node: int = 0, **fields: Any) -> PromptRecord:
        return PromptRecord(
            job_id=job.id,
            node_execution_id=job.node_executions[node].id,
            backend_id="b1",
            **fields,
        )


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(params=["duckdb", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """The database that a test runs on; tests that ask for it run on both."""
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Where a DuckDB store may be opened; nothing is there yet."""
    return str(tmp_path / "lab.duckdb")


@pytest.fixture
def place(kind: str, file: str, request: pytest.FixtureRequest) -> str:
    """Where a store may be opened, on either database; nothing is there yet."""
    if kind == "duckdb":
        return file
    return str(request.getfixturevalue("postgres_server").new())


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """Opens stores, and closes them after the test."""
    stores: list[Store] = []

    def open_(place: str, **options: Any) -> Store:
        store = open_store(place, **options)
        stores.append(store)
        return store

    yield open_
    for store in stores:
        store.close().result(30)


def fill(place: str | Path) -> None:
    """Make a store with one backend and one project, and close it."""
    store = open_store(place)
    store.put(Make.backend, Make.project).result(30)
    store.close().result(30)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store to copy: that is faster than making one."""
    path = tmp_path_factory.mktemp("template") / "lab.duckdb"
    fill(path)
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Any) -> str:
    url = postgres_server.new()
    fill(url)
    return f"test_{postgres_server.databases}"


@pytest.fixture
def filled(kind: str, file: str, request: pytest.FixtureRequest) -> str:
    """Where a store with one backend and one project is."""
    if kind == "duckdb":
        shutil.copyfile(request.getfixturevalue("template"), file)
        return file
    server = request.getfixturevalue("postgres_server")
    return str(server.new(request.getfixturevalue("postgres_template")))


@pytest.fixture
def store(filled: str, opened: Callable[..., Store]) -> Store:
    """An open store with one backend and one project."""
    return opened(filled)


@pytest.fixture
def file_store(file: str, template: Path, opened: Callable[..., Store]) -> Store:
    """The same, on DuckDB only."""
    shutil.copyfile(template, file)
    return opened(file)


class Child:
    """A Python program of tests/store/programs in a process of its own, spoken to in lines."""

    def __init__(self, program: str, *args: object) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPO)}
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / program), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def read(self) -> str:
        """The next line it prints; '' when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def rest(self) -> list[str]:
        """All lines up to its end."""
        assert self.process.stdout is not None
        return self.process.stdout.read().splitlines()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(60)
        finally:
            self.process.stdout.close()


class Nursery:
    """A process that has imported everything and forks a new one for each task.

    Starting Python takes far longer than what these tests want to interrupt. All of its processes
    speak through one socket that keeps messages apart: neither a kill in the middle of a sentence
    nor what a library prints can be taken for a message, or for the end.
    """

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Shorter than a test may take: it shall end with what was heard so far.
        self.channel.settimeout(100)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAMS / "nursery.py"), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(REPO)},
            )
        self.alive: set[int] = set()
        self.heard: list[str] = []
        """What tasks have said and nobody has asked for yet, 'PID TEXT'."""
        self._until("open", self.process.pid)

    def start(self, task: str, *args: str | int) -> int:
        """Begin a task of nursery.py in a process of its own; returns its process id."""
        self._tell(task, *args)
        pid = self._until("started")
        self.alive.add(pid)
        return pid

    def kill(self, pid: int | None = None) -> None:
        """Kill one task with SIGKILL and wait until it is gone; without a pid, all of them."""
        for one in [pid] if pid else list(self.alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
            self.alive.discard(one)
            self._tell("wait", one)
            self._until("gone", one)

    def next(self) -> str:
        """The next that a task says, 'PID TEXT'."""
        while not self.heard:
            self._hear()
        said = self.heard.pop(0)
        assert " failed " not in said, said
        return said

    def end(self) -> int:
        self.channel.close()
        return self.process.wait(60)

    def _tell(self, *words: str | int) -> None:
        self.channel.send(json.dumps(words).encode())

    def _hear(self) -> tuple[str, int]:
        """Take one message; what a task says is put aside."""
        message = self.channel.recv(65536)
        assert message, "the nursery and all its tasks have ended"
        kind, pid, text = json.loads(message)
        if kind == "says":
            self.heard.append(f"{pid} {text}")
        return kind, pid

    def _until(self, kind: str, pid: int | None = None) -> int:
        while (heard := self._hear()) != (kind, pid or heard[1]):
            assert heard[0] == "says", heard
        return heard[1]


@pytest.fixture(scope="session")
def only_nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    assert nursery.end() == 0


@pytest.fixture
def nursery(only_nursery: Nursery) -> Iterator[Nursery]:
    """Starts tasks, and sees to it that none outlives its test."""
    yield only_nursery
    only_nursery.kill()
    only_nursery.heard.clear()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Starts programs, and sees to it that none outlives its test."""
    children: list[Child] = []

    def start(program: str, *args: object) -> Child:
        children.append(Child(program, *args))
        return children[-1]

    yield start
    for one in children:
        if one.process.poll() is None:
            one.kill()
        for stream in (one.process.stdin, one.process.stdout):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
