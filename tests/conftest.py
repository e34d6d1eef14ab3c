"""What every test shares: the shared material, hypothesis profiles, PostgreSQL, no network."""

import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("COMFYNB_SHARED", REPO.parent / "shared"))
SERVER = os.environ.get("COMFYNB_TEST_URL") or os.environ.get("COMFYNB_TEST_URLS")
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# `make test` must give the same answer twice; whoever calls pytest looks for new examples.
hypothesis.settings.register_profile("explore", deadline=None)
# Examples that stay the same find nothing new the next time, so half of the usual hundred will do
# where a test does not say how many.
hypothesis.settings.register_profile(
    "same", deadline=None, derandomize=True, database=None, max_examples=50
)
hypothesis.settings.load_profile(os.environ.get("COMFYNB_HYPOTHESIS", "explore"))


def find_chromium() -> str | None:
    """Return the Chromium that browser tests drive; COMFYNB_CHROMIUM names another one."""
    return os.environ.get("COMFYNB_CHROMIUM") or next(
        filter(None, map(shutil.which, CHROMIUM_NAMES)), None
    )


def why_no(what: str) -> str:
    """Return what tests/setup.sh said when it could not install it."""
    said = REPO / "build" / f"no-{what}"
    if said.is_file():
        return said.read_text().strip()
    return f"no {what} here: tests/setup.sh installs it or says why it cannot"


def pytest_report_header() -> list[str]:
    return [
        f"shared material: {SHARED}" if SHARED.is_dir() else f"shared material: NONE at {SHARED}",
        f"chromium: {find_chromium() or 'NONE, so browser tests skip'}",
        f"ComfyUI server: {'COMFYNB_TEST_URL' if SERVER else 'the sandbox'}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_faults = pytest.mark.skip(
        reason="COMFYNB_TEST_URL names a real server, which has no fault switches"
    )
    no_browser = pytest.mark.skip(reason=why_no("chromium"))
    chromium = find_chromium()
    for item in items:
        if SERVER and item.get_closest_marker("faults"):
            item.add_marker(no_faults)
        if not chromium and item.get_closest_marker("browser"):
            item.add_marker(no_browser)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material; a test that needs it skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared material is not at {SHARED} (COMFYNB_SHARED names another place)")
    return SHARED


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    path = find_chromium()
    if path is None:
        pytest.skip(why_no("chromium"))
    return path


class PostgresServer:
    """A server of the tests' own, on a socket in a folder of its own, run by an ordinary user."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="comfynb-pg-"))
        self.databases = 0
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "comfynb", "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = (
            f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off "
            "-c max_connections=300"
        )
        self._control("-o", settings, "start")

    def _control(self, *args: object) -> None:
        # With a log of its own the server does not keep our pipe open.
        self._run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", *args)

    def _run(self, program: str, *args: object) -> None:
        path = postgres_program(program)
        assert path is not None
        done = subprocess.run(
            [path, *map(str, args)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
            **self._user,
        )
        assert done.returncode == 0, done.stdout

    def url(self, database: str) -> str:
        return f"postgresql://comfynb@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def new(self, like: str | None = None) -> str:
        """A database of its own, empty or a copy; returns its address."""
        self.databases += 1
        name = f"test_{self.databases}"
        self.execute(f"create database {name} template {like or 'template0'}")
        return self.url(name)

    def restart(self) -> None:
        self._control("-m", "immediate", "restart")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")
        shutil.rmtree(self.folder)


def postgres_program(name: str) -> str | None:
    """The path of one of the server's programs, which Debian keeps off the PATH."""
    found = shutil.which(name)
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return found or next((str(f / name) for f in folders if (f / name).exists()), None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: PostgreSQL is NOT TESTED")
    for program in ("initdb", "pg_ctl", "postgres"):
        if postgres_program(program) is None:
            pytest.skip(f"{why_no('postgresql')}: PostgreSQL is NOT TESTED")
    server = PostgresServer()
    yield server
    server.stop()


class NetworkGuard:
    """Keeps this process's sockets on this machine, and remembers who tried to leave it."""

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.allowed = {"localhost", ""}
        if SERVER and (host := urlsplit(SERVER).hostname):
            self.allowed.add(host)
            self.allowed.update(str(info[4][0]) for info in socket.getaddrinfo(host, None))

    def stays_here(self, host: object) -> bool:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if name in self.allowed or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return mapped.is_loopback or mapped.is_unspecified

    def connecting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(sock: socket.socket, address: Any) -> Any:
            if sock.family != socket.AF_UNIX and not self.stays_here(address[0]):
                self.attempts.append(f"connect to {address[0]}:{address[1]}")
                raise OSError(101, "Network is unreachable (tests stay on this machine)")
            return real(sock, address)

        return connect

    def resolving(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else str(host or "")
            try:
                ipaddress.ip_address(name.partition("%")[0])
            except ValueError:
                # The reserved .invalid is how a test asks for a name that does not exist.
                if not self.stays_here(name):
                    if not name.rstrip(".").endswith(".invalid"):
                        self.attempts.append(f"look up {name}")
                    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            return real(host, *args, **kwargs)

        return getaddrinfo


@pytest.fixture(scope="session")
def network_guard() -> Iterator[NetworkGuard]:
    """The guard of this process."""
    guard = NetworkGuard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guard.connecting(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guard.connecting(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", guard.resolving(socket.getaddrinfo))
        yield guard


@pytest.fixture(autouse=True)
def _stays_on_this_machine(network_guard: NetworkGuard) -> Iterator[None]:
    """Fail a test that tried to leave the machine, even where the code took it as a bad line."""
    network_guard.attempts.clear()
    yield
    attempts, network_guard.attempts[:] = list(network_guard.attempts), []
    if attempts:
        pytest.fail("the test tried to leave this machine: " + "; ".join(attempts))
