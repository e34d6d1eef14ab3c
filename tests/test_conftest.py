"""What conftest.py promises: nothing leaves loopback, and what is missing is said."""

import asyncio
import os
import socket
import subprocess
import sys
import threading

import pytest


def test_loopback_is_open(network_guard):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with socket.create_connection((host, port), timeout=5):
                pass
    assert network_guard.attempts == []


@pytest.mark.parametrize(
    "address", [("192.0.2.1", 80), ("2001:db8::1", 80), ("::ffff:192.0.2.1", 80)]
)
def test_an_address_elsewhere_is_refused_and_remembered(network_guard, address):
    with pytest.raises(OSError, match="stay on this machine"):
        socket.create_connection(address, timeout=5)
    assert network_guard.attempts
    network_guard.attempts.clear()


def test_a_name_elsewhere_is_refused_and_remembered(network_guard):
    with pytest.raises(socket.gaierror):
        socket.create_connection(("example.org", 80), timeout=5)
    assert network_guard.attempts == ["look up example.org"]
    network_guard.attempts.clear()


def test_a_reserved_name_just_does_not_exist(network_guard):
    with pytest.raises(socket.gaierror):
        socket.create_connection(("nobody.invalid", 80), timeout=5)
    assert network_guard.attempts == []


async def test_asyncio_and_threads_are_guarded_too(network_guard):
    with pytest.raises(OSError, match="stay on this machine"):
        await asyncio.open_connection("192.0.2.1", 80)
    thread = threading.Thread(target=_try_in_thread)
    thread.start()
    thread.join()
    assert len(network_guard.attempts) == 2
    network_guard.attempts.clear()


def _try_in_thread():
    with socket.socket() as sock, pytest.raises(OSError, match="stay on this machine"):
        sock.connect(("192.0.2.1", 80))


TESTS = """
import pytest

@pytest.mark.faults
def test_faults(): pass

@pytest.mark.browser
def test_browser(chromium): assert chromium == "/opt/chromium"

def test_shared(shared): assert shared.is_dir()
"""


@pytest.fixture
def outcomes(tmp_path, repo):
    """Run three tests under a copy of our conftest.py, and return pytest's short report."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text((repo / "tests" / "conftest.py").read_text())
    (tests / "test_three.py").write_text(TESTS)
    (tmp_path / "pyproject.toml").write_text((repo / "pyproject.toml").read_text())

    def run(**environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("COMFYNB_", "PYTEST_"))}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-o", "addopts=-ra", "tests"),
                *("-p", "no:cacheprovider", "-p", "no:nbval"),  # nbval takes seconds to load
            ],
            cwd=tmp_path,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_what_is_missing_is_said_and_skipped(outcomes, tmp_path):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "no-chromium").write_text("no apt-get here\n")
    said = outcomes(
        PATH=str(tmp_path),
        COMFYNB_SHARED=str(tmp_path / "nowhere"),
        COMFYNB_TEST_URL="http://127.0.0.1:9",
    )
    assert "3 skipped" in said
    assert "no apt-get here" in said
    assert f"the shared material is not at {tmp_path}/nowhere" in said
    assert "a real server, which has no fault switches" in said


def test_what_is_there_is_used(outcomes, tmp_path):
    said = outcomes(COMFYNB_SHARED=str(tmp_path), COMFYNB_CHROMIUM="/opt/chromium")
    assert "3 passed" in said
    assert "ComfyUI server: the sandbox" in said
