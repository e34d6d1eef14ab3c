"""Locks, linters, and a world for scripts to run in: hosts over TLS, repositories, programs."""

import datetime as dt
import functools
import hashlib
import http.server
import ipaddress
import os
import re
import select
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from comfynb.deploy.scripts import Rendered, render
from comfynb.models.lock import Lock

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
HOSTS = ["huggingface.co", "civitai.com", "files.example", "cdn.example"]
TOKENS = {"HF_TOKEN": "hf_" + "S3cr3tOfThisTest" * 3, "CIVITAI_TOKEN": "0123456789abcdef" * 2}


def make_lock(**values: Any) -> Lock:
    """A small lock; ``values`` replace its fields."""
    base: dict[str, Any] = {
        "name": "portrait",
        "comfyui": {"version": "0.3.64", "commit": "a" * 40},
        "python": {"version": PYTHON},
    }
    return Lock.model_validate({**base, **values})


@pytest.fixture(scope="session")
def lock():
    return make_lock


# Linters --------------------------------------------------------------------------------------


def program(name: str) -> str:
    """A linter, which its wheel puts beside the interpreter."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: what it checks is NOT CHECKED")
    return found


def lint(*command: object, cwd: Path) -> str:
    """What a linter says, and that it said so with status 0."""
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def linter():
    return lint


# Hosts ----------------------------------------------------------------------------------------


def make_certificate(folder: Path) -> Path:
    """A key and a certificate for HOSTS, signed by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "comfynb tests")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    *map(x509.DNSName, HOSTS),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@dataclass
class Served:
    """A file of a host. ``plan`` has what its first requests get instead, each once."""

    body: bytes
    etag: str = ""
    plan: list[dict[str, Any]] = field(default_factory=list)
    always: dict[str, Any] = field(default_factory=dict)


@dataclass
class Asked:
    """A request, and how many bytes of a body it got."""

    host: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``; what to do instead is one of status, location, cut, stall, ..."""

    protocol_version = "HTTP/1.1"
    server: "Hosts"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        host = self.headers["Host"].removesuffix(":443")
        asked = Asked(host, self.path, {k.lower(): v for k, v in self.headers.items()})
        self.server.asked.append(asked)
        served = self.server.files.get(f"{host}{self.path}")
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            if served is None:
                self.answer(asked, 404, b"not here")
            else:
                how = served.plan.pop(0) if served.plan else served.always
                self.give(asked, served, how)

    def give(self, asked: Asked, served: Served, how: dict[str, Any]) -> None:
        token = how.get("token")
        if token and asked.headers.get("authorization") != f"Bearer {token}":
            self.answer(asked, 401, b"who are you")
            return
        if "location" in how:
            self.answer(asked, how.get("status", 302), b"moved", Location=how["location"])
            return
        if "status" in how:
            self.answer(asked, how["status"], b"no", **how.get("headers", {}))
            return
        body, status, headers = served.body, 200, {"Accept-Ranges": "bytes"}
        if served.etag:
            headers["ETag"] = served.etag
        found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        valid = asked.headers.get("if-range", served.etag) == served.etag
        if found and valid and not how.get("no_range"):
            start = int(found[1])
            if start >= len(body):
                self.answer(asked, 416, b"", **{"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        self.answer(asked, status, body, how=how, **{**headers, **how.get("headers", {})})

    def answer(
        self,
        asked: Asked,
        status: int,
        body: bytes,
        how: dict[str, Any] | None = None,
        **headers: str,
    ) -> None:
        how = how or {}
        asked.status = status
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        upto = how.get("cut", how.get("stall", len(body)))
        for start in range(0, min(upto, len(body)), 16384):
            piece = body[start : min(start + 16384, upto)]
            self.wfile.write(piece)
            asked.sent += len(piece)
        self.wfile.flush()
        if "stall" in how:
            self.server.stalled.set()
            os.eventfd_write(self.server.stalling, 1)
            self.server.go_on.wait(60)
        if "stall" in how or "cut" in how:
            self.close_connection = True


class Hosts(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """All of HOSTS on one port."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.stalled = threading.Event()
        self.stalling = os.eventfd(0, os.EFD_NONBLOCK)
        """The same for those who wait for several things."""
        self.go_on = threading.Event()

    def get_request(self) -> Any:
        connection, address = super().get_request()
        connection.settimeout(60)
        # The handshake happens in the connection's own thread, at its first read.
        return self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def put(self, place: str, body: bytes, **how: Any) -> dict[str, Any]:
        """Serve a file at host/path; returns what a lock says about it."""
        self.files[place] = Served(
            body, how.pop("etag", ""), how.pop("plan", []), how.pop("always", {})
        )
        assert not how
        return {
            "url": f"https://{place}",
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(asked.sent for asked in self.asked)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def hosts(certificate):
    server = Hosts(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()
    os.close(server.stalling)


# Repositories ---------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{
            f"GIT_{who}_{what}": "x@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        **{f"GIT_{who}_DATE": "2026-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_repository(root: Path, name: str, *versions: dict[str, str]) -> list[str]:
    """A bare repository root/name; returns the commit of each version (its files)."""
    work = root / "work" / name
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch", "main")
    commits = []
    for files in versions:
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", "version")
        commits.append(git(work, "rev-parse", "HEAD"))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    git(root, "clone", "--quiet", "--bare", str(work), str(root / name))
    return commits


MAIN = """\
import json, os, sys
with open(os.environ["REPORT"], "w") as report:
    json.dump({"argv": sys.argv[1:], "environ": dict(os.environ)}, report)
"""
INSTALL = """\
import os
with open("installed.txt", "w") as report:
    report.write(repr(sorted(os.environ)))
"""


@dataclass(frozen=True)
class Repositories:
    """What stands in for GitHub."""

    root: Path
    comfyui: list[str]
    pack: list[str]
    server: list[str]
    """A ComfyUI that starts our own server."""


SERVER = """\
import os, sys
port = sys.argv[sys.argv.index("--port") + 1]
python = os.environ["SANDBOX"]
os.execv(python, [python, "-m", "comfynb.sandbox", "--port", port])
"""


@pytest.fixture(scope="session")
def repositories(tmp_path_factory):
    root = tmp_path_factory.mktemp("github")
    return Repositories(
        root,
        make_repository(
            root, "comfyanonymous/ComfyUI", {"main.py": MAIN}, {"main.py": MAIN + "# later\n"}
        ),
        make_repository(
            root,
            "a/pack",
            {"__init__.py": "VERSION = 1\n", "install.py": INSTALL},
            {"__init__.py": "VERSION = 2\n", "install.py": INSTALL},
        ),
        make_repository(root, "sandbox/ComfyUI", {"main.py": SERVER}),
    )


# A machine ------------------------------------------------------------------------------------

STUB = """\
# Tells of the call, and waits to be killed if it is the one.
printf -v words ' %q' "$@"
printf '%s\\n' "{name}$words" >>"$STUBS/calls"
{more}
if [[ -n ${{KILL_AT:-}} ]]; then
  mapfile -t calls <"$STUBS/calls"
  if ((${{#calls[@]}} == KILL_AT)); then
    echo now >"$STUBS/now"
    exec /bin/sleep 300
  fi
fi
exec {real} "$@"
"""


@dataclass
class Step:
    """A program that installs: a whole script, or one RUN of a Dockerfile upon a layer."""

    command: list[object]
    environment: dict[str, str] = field(default_factory=dict)
    layer: bool = False
    secrets: tuple[str, ...] = ()
    """Names of tokens that are mounted for it."""


@dataclass
class Ended:
    """What a run said and how it ended."""

    code: int
    said: str


class Machine:
    """A home, a workspace, programs of its own, and the environment that a script runs in."""

    def __init__(self, folder: Path, hosts: Hosts, repositories: Repositories, ca: Path) -> None:
        self.folder, self.hosts, self.repositories = folder, hosts, repositories
        self.home, self.programs = folder / "home", folder / "programs"
        self.workspace, self.stubs = folder / "workspace", folder / "stubs"
        self.watched: dict[str, Path] = {}
        self.within: list[str] = []
        """A command that runs what is started, such as one that sets limits."""
        for each in (self.home, self.programs, self.stubs):
            each.mkdir(parents=True)
        # All hosts are this one; the script does not know.
        (self.home / ".curlrc").write_text(
            f'connect-to = "::127.0.0.1:{hosts.server_address[1]}"\n'
        )
        (self.programs / f"python{PYTHON}").symlink_to(Path(sys._base_executable).resolve())
        uv = Path(sys.executable).parent / "uv"
        if uv.exists():
            (self.programs / "uv").symlink_to(uv)
        # Waiting is written down, and over at once.
        self.stub("sleep", '[[ $1 == 10 ]] && exec /bin/sleep 10; echo "$1" >>"$STUBS/slept"\n')
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "STUBS": str(self.stubs),
            "CURL_CA_BUNDLE": str(ca),
            "COMFYNB_WORKSPACE": str(self.workspace),
            "COMFYNB_HEADROOM": "1000",
            "UV_PYTHON_PREFERENCE": "only-system",
            "UV_OFFLINE": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{repositories.root}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "REPORT": str(folder / "report.json"),
        }

    def stub(self, name: str, body: str) -> None:
        """A program of that name, in bash."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{body}")
        path.chmod(0o755)

    def watch(self, *names: str, environments: bool = False) -> None:
        """Write down every call of these programs (see ``calls``), and what they inherit."""
        more = 'env >>"$STUBS/environments"' if environments else ""
        for name in names:
            real = Path(shutil.which(name, path=self.environment["PATH"]) or "").resolve()
            assert self.programs not in real.parents, f"{name} is a stub already"
            self.stub(name, STUB.format(name=name, real=real, more=more))
            self.watched[name] = real

    def watch_no_more(self) -> None:
        """Put the programs themselves where they were watched."""
        for name, real in self.watched.items():
            path = self.programs / name
            path.unlink()
            path.symlink_to(real)
        self.watched.clear()

    @property
    def calls(self) -> list[str]:
        path = self.stubs / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def slept(self) -> list[str]:
        path = self.stubs / "slept"
        return path.read_text().split() if path.exists() else []

    def write(self, rendered: Rendered) -> Path:
        folder = self.folder / rendered.target
        folder.mkdir(exist_ok=True)
        for name, text in rendered.files.items():
            (folder / name).write_text(text)
        return folder / rendered.main

    def start(self, *command: object, **environment: str) -> subprocess.Popen[str]:
        # A file, not a pipe: what is killed may leave somebody behind who holds the pipe.
        self.output = self.folder / "output"
        with self.output.open("w") as output:
            return subprocess.Popen(
                [*self.within, *map(str, command)],
                env={**self.environment, **environment},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def execute(self, *command: object, **environment: str) -> Ended:
        process = self.start(*command, **environment)
        try:
            code = process.wait(100)
        finally:
            self.kill(process.pid)
        said = self.output.read_text()
        for token in TOKENS.values():
            assert token not in said
        return Ended(code, said)

    def run(
        self, lock: Lock, target: str = "bash", *options: str, first: int = 0, **environment: str
    ) -> Ended:
        """Run the script of a target; a Dockerfile's steps in turn, as far as they go."""
        said = ""
        for step in self.steps(lock, target, *options)[first:]:
            with self.layer(step) as keep:
                ended = self.execute(*step.command, **self.around(step, environment))
                said += ended.said
                if ended.code:
                    return Ended(ended.code, said)
                keep()
        return Ended(0, said)

    def steps(self, lock: Lock, target: str, *options: str) -> list[Step]:
        """Write what a target is made of; returns what is to be run, in order."""
        main = self.write(render(lock, target))
        if target not in {"docker", "compose"}:
            return [Step(["bash", main, *options])]
        folder = main.parent
        environment = self.image(folder / "Dockerfile")
        found = []
        for number, (mounts, body) in enumerate(
            re.findall(
                r"^RUN([^\n]*) <<'COMFYNB_STEP'\n(.*?)^COMFYNB_STEP$",
                (folder / "Dockerfile").read_text(),
                re.MULTILINE | re.DOTALL,
            )
        ):
            path = folder / f"step-{number}"
            path.write_text(body)
            path.chmod(0o755)
            secrets = [name for name in TOKENS if f"id={name.lower()}," in mounts]
            found.append(Step([path], environment, layer=True, secrets=tuple(secrets)))
        return found

    def around(self, step: Step, environment: dict[str, str]) -> dict[str, str]:
        """The environment of a step: a build has no tokens there, but in files."""
        if not step.layer:
            return environment
        secrets = self.folder / "secrets"
        shutil.rmtree(secrets, ignore_errors=True)
        secrets.mkdir()
        for name in step.secrets:
            (secrets / name.lower()).write_text(TOKENS[name])
        others = {name: value for name, value in environment.items() if name not in TOKENS}
        return {**others, **step.environment, "COMFYNB_SECRETS": str(secrets)}

    @contextmanager
    def layer(self, step: Step) -> Iterator[Callable[[], object]]:
        """What a RUN has written that did not end well is thrown away, all but its caches."""
        if not step.layer:
            yield lambda: None
            return
        before = self.folder / "before"
        self.workspace.mkdir(exist_ok=True)
        shutil.copytree(self.workspace, before, symlinks=True)
        kept: list[bool] = []
        try:
            yield lambda: kept.append(True)
        finally:
            if kept:
                shutil.rmtree(before)
            else:
                shutil.rmtree(self.workspace)
                before.rename(self.workspace)

    def image(self, path: Path) -> dict[str, str]:
        """Write the files that a Dockerfile copies; returns the environment that finds them."""
        for name, body in re.findall(
            r"^COPY[^\n]* <<'(\w+)' \S+\n(.*?)^\1$", path.read_text(), re.MULTILINE | re.DOTALL
        ):
            (path.parent / name).write_text(body)
        return {
            "COMFYNB_LIBRARY": str(path.parent / "COMFYNB_LIBRARY"),
            "COMFYNB_PARTS": str(self.folder / "parts"),
            "UV_CACHE_DIR": str(self.folder / "uv-cache"),
        }

    def session(self, session: int) -> list[psutil.Process]:
        """Everybody that a run has started and that lives, whichever group it is in."""
        found = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError, psutil.Error):
                if os.getsid(pid) == session:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
        return found

    def kill(self, session: int) -> None:
        """End everybody of a session, as when a container ends; also who is born meanwhile."""
        while found := self.session(session):
            for process in found:
                with suppress(psutil.Error):
                    process.kill()

    def run_killed_at(self, lock: Lock, call: int, target: str = "bash") -> int | None:
        """Run a target and kill all of it at that call of what is watched; see ``run_killed``."""
        now = self.stubs / "now"
        now.unlink(missing_ok=True)
        os.mkfifo(now)
        (self.stubs / "calls").unlink(missing_ok=True)
        fifo = os.open(now, os.O_RDWR | os.O_NONBLOCK)
        try:
            return self.run_killed(lock, fifo, target, KILL_AT=str(call))
        finally:
            os.close(fifo)

    def run_killed(self, lock: Lock, when: int, target: str, **environment: str) -> int | None:
        """Run a target, one download at a time, and kill all of it when a descriptor is readable.

        Returns:
            The number of the step that was killed; None if all came to their end before.
        """
        environment["COMFYNB_JOBS"] = "1"
        for number, step in enumerate(self.steps(lock, target)):
            with self.layer(step) as keep:
                process = self.start(*step.command, **self.around(step, environment))
                ended = os.pidfd_open(process.pid)
                try:
                    ready, _, _ = select.select([when, ended], [], [], 60)
                finally:
                    self.kill(process.pid)
                    code = process.wait()
                    os.close(ended)
                assert ready, "neither there nor at its end"
                if when in ready:
                    return number
                assert code == 0, self.output.read_text()
                keep()
        return None

    def path(self, *parts: str) -> Path:
        return self.workspace.joinpath("ComfyUI", *parts)

    def head(self, *parts: str) -> str:
        return git(self.path(*parts), "rev-parse", "HEAD")

    def files(self) -> set[str]:
        """Everything below ComfyUI's models, by name."""
        return {path.name for path in self.path("models").rglob("*") if path.is_file()}


@pytest.fixture
def machine(tmp_path, hosts, repositories, certificate):
    for name in ("git", "curl", "flock", "sha256sum", "uv"):
        if shutil.which(name) is None and not (Path(sys.executable).parent / name).exists():
            pytest.skip(f"no {name} here: that scripts really run is NOT TESTED")
    return Machine(tmp_path / "machine", hosts, repositories, certificate)


@pytest.fixture
def another_machine(tmp_path, machine, certificate):
    return Machine(tmp_path / "another", machine.hosts, machine.repositories, certificate)


@pytest.fixture
def small(machine):
    """A lock of what the hosts and repositories have; ``models`` and others can be given."""

    def make(**values: Any) -> Lock:
        repositories = machine.repositories
        return make_lock(
            **{
                "comfyui": {"version": "0.3.64", "commit": repositories.comfyui[0]},
                "nodes": [
                    {
                        "name": "Pack",
                        "folder": "pack",
                        "repository": "https://github.com/a/pack",
                        "commit": repositories.pack[0],
                    }
                ],
                **values,
            }
        )

    return make


def make_model(
    facts: dict[str, Any], filename: str = "one.safetensors", **values: Any
) -> dict[str, Any]:
    return {
        "name": filename,
        "filename": filename,
        "folder": "models/checkpoints",
        **facts,
        **values,
    }


@pytest.fixture(scope="session")
def model():
    return make_model


@functools.cache
def make_body(size: int) -> bytes:
    """Bytes that differ at every place, with a safetensors header in front."""
    header = b'{"x":0}   '
    rest = hashlib.shake_256(str(size).encode()).digest(max(size - 18, 0))
    return (len(header).to_bytes(8, "little") + header + rest)[:size]


@pytest.fixture(scope="session")
def body():
    return make_body


@pytest.fixture(scope="session")
def tokens():
    return TOKENS
