"""The network guard lets nothing but loopback through, and names who tried."""

import asyncio
import socket
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
