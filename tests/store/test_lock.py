import os
import select
import threading
from pathlib import Path

import pytest

from comfynb.errors import StoreError, StoreLocked
from comfynb.store.lock import TurnLock, beside


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "lab.duckdb"


def in_thread(lock: TurnLock, timeout: float = 30.0) -> tuple[threading.Thread, list[object]]:
    """Acquire in a thread; the list gets True or the error."""
    outcome: list[object] = []

    def run() -> None:
        try:
            lock.acquire(timeout)
            outcome.append(True)
        except StoreError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def rings(lock: TurnLock, timeout_ms: int) -> bool:
    poll = select.poll()
    poll.register(lock.bell, select.POLLIN)
    return bool(poll.poll(timeout_ms))


def test_one_holder_at_a_time_and_an_asker_wakes_it(database: Path) -> None:
    holder, asker = TurnLock(database), TurnLock(database)
    holder.acquire()
    assert holder.held
    assert not holder.wanted()
    assert not rings(holder, 0)
    thread, outcome = in_thread(asker)
    assert rings(holder, 10_000)
    assert holder.wanted()
    assert not rings(holder, 0), "wanted() empties the bell"
    assert outcome == []
    holder.release()
    thread.join(10)
    assert outcome == [True]
    assert not holder.held
    assert not asker.wanted()
    asker.release()
    asker.release()


def test_the_next_one_waits_behind_the_asker_not_beside_it(database: Path) -> None:
    """Who let go does not get the lock again before somebody who asked earlier."""
    first, second = TurnLock(database), TurnLock(database)
    turns: list[str] = []
    enough = threading.Event()
    first.acquire()

    def other() -> None:
        while not enough.is_set():
            second.acquire()
            turns.append("second")
            while not (second.wanted() or enough.is_set()):
                pass
            second.release()

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(20):
        while not first.wanted():
            pass
        first.release()
        first.acquire()
        turns.append("first")
    enough.set()
    first.release()
    thread.join(20)
    assert turns[:40] == ["second", "first"] * 20


def test_locked_names_the_holder_and_the_cure(database: Path) -> None:
    holder, asker = TurnLock(database, "comfynb in notebook"), TurnLock(database)
    holder.acquire()
    with pytest.raises(StoreLocked) as caught:
        asker.acquire(0.05)
    message = str(caught.value)
    assert f"comfynb in notebook (PID {os.getpid()}" in message
    assert "0.05 s" in message
    assert "close that program" in message
    holder.release()
    # The thread that waited in vain has let go of what it got too late.
    asker.acquire(10)
    asker.release()


def test_a_waiter_can_be_stopped(database: Path) -> None:
    holder, asker = TurnLock(database), TurnLock(database)
    holder.acquire()
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoreLocked):
        asker.acquire(60, stop)
    holder.release()
    holder.acquire(10)
    holder.release()


def test_a_deleted_lock_file_is_not_trusted(database: Path) -> None:
    holder, asker, third = (TurnLock(database) for _ in range(3))
    holder.acquire()
    thread, outcome = in_thread(asker)
    assert rings(holder, 10_000)
    beside(database, ".lock").unlink()
    holder.release()
    thread.join(10)
    assert outcome == [True]
    with pytest.raises(StoreLocked):
        third.acquire(0.05)
    asker.release()


def test_without_fifos_looking_still_tells(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fifo(path: object, mode: int = 0) -> None:
        raise OSError(38, "not here")

    monkeypatch.setattr(os, "mkfifo", no_fifo)
    holder, asker = TurnLock(database), TurnLock(database)
    holder.acquire()
    assert holder.bell == -1
    assert not holder.wanted()
    thread, outcome = in_thread(asker)
    while not holder.wanted():
        pass
    holder.release()
    thread.join(10)
    assert outcome == [True]
    asker.release()


def test_something_else_in_the_place_of_the_bell_is_left_alone(database: Path) -> None:
    bell = beside(database, ".bell")
    bell.write_text("mine")
    holder = TurnLock(database)
    holder.acquire()
    assert holder.bell == -1
    with pytest.raises(StoreLocked):
        TurnLock(database).acquire(0.05)
    holder.release()
    assert bell.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    database = tmp_path / "lab.duckdb"
    beside(database, ".ask").mkdir()
    with pytest.raises(StoreError, match=r"lab\.duckdb\.lock cannot be used"):
        TurnLock(database).acquire(1)
