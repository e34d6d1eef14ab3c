"""Readings in a thread of their own: shared by all who ask, and never waited for in vain."""

import asyncio
import itertools
import threading

import pytest

from comfynb_agent.worker import Worker


class Slow:
    """Something to read that answers when it is let to."""

    def __init__(self):
        self.count = 0
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.threads = set()

    def read(self):
        self.threads.add(threading.get_ident())
        self.begun.release()
        self.go.acquire()
        self.count += 1
        return self.count


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def worker(slow):
    worker = Worker("test-worker", slow.read, patience=0.05)
    yield worker
    worker.close()
    slow.go.release(10)
    assert worker.join(10)


async def test_one_reading_for_all_who_ask_meanwhile(slow):
    worker = Worker("test-worker", slow.read, patience=30)
    asked = [asyncio.create_task(worker.ask()) for _ in range(20)]
    await asyncio.to_thread(slow.begun.acquire)
    slow.go.release()
    assert {(await task).value for task in asked} == {1}
    assert (await worker.ask(max_age=60)).value == 1
    assert slow.count == 1
    slow.go.release()
    assert (await worker.ask()).value == 2
    assert threading.get_ident() not in slow.threads
    assert len(slow.threads) == 1
    worker.close()
    assert worker.join(10)


async def test_who_asks_something_that_hangs_is_told_since_when(slow, worker):
    first = await worker.ask()
    assert first.value is None
    assert first.late >= 0.05
    # the thread hangs on the first call: nobody starts a second, and nobody waits again
    loop = asyncio.get_running_loop()
    before = loop.time()
    later = [await worker.ask() for _ in range(200)]
    assert loop.time() - before < 200 * 0.05
    assert slow.count == 0
    assert all(answer.late >= first.late for answer in later)
    slow.go.release()
    await asyncio.to_thread(slow.begun.acquire)
    async with asyncio.timeout(20):
        for _ in itertools.count():
            answer = await worker.ask(max_age=60)
            if answer.late is None:
                break
            await asyncio.sleep(0.001)
    assert answer.value == 1


async def test_a_reading_that_fails_is_told_and_tried_again(caplog):
    wrong = [ValueError("first"), None]

    def read():
        problem = wrong.pop(0)
        if problem is not None:
            raise problem
        return "well"

    worker = Worker("test-worker", read)
    answer = await worker.ask()
    assert (answer.value, answer.error) == (None, "ValueError: first")
    assert "test-worker failed" in caplog.text
    answer = await worker.ask()
    assert (answer.value, answer.error) == ("well", None)
    worker.close()
    assert worker.join(10)
    assert (await worker.ask()).value == "well"


async def test_who_stops_waiting_stops_nobody_else(slow):
    worker = Worker("test-worker", slow.read, patience=30)
    impatient = asyncio.create_task(worker.ask())
    patient = asyncio.create_task(worker.ask())
    await asyncio.to_thread(slow.begun.acquire)
    impatient.cancel()
    slow.go.release()
    assert (await patient).value == 1
    assert impatient.cancelled()
    worker.close()
    assert worker.join(10)


def test_an_event_loop_that_ended_meanwhile_harms_nothing(slow):
    worker = Worker("test-worker", slow.read, patience=0.01)
    assert asyncio.run(worker.ask()).late is not None
    slow.go.release()
    assert asyncio.run(worker.ask(max_age=60)).error is None
    worker.close()
    slow.go.release(5)
    assert worker.join(10)
