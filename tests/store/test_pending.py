import asyncio
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from comfynb.errors import StoreError, UsageError
from comfynb.store import Pending, Store


def test_is_awaited_in_any_loop_and_waited_for_without_one() -> None:
    pending: Pending[int] = Pending("sum")

    async def waiter() -> int:
        return await pending

    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, waiter()) for _ in range(2)]
        plain = pool.submit(pending.result, 30)
        pending.set_result(7)
        assert [future.result(30) for future in (*loops, plain)] == [7, 7, 7]
    assert asyncio.run(waiter()) == 7
    assert "done" in repr(pending)


async def test_works_with_gather_and_wait_for() -> None:
    one, two = Pending[int]("one"), Pending[int]("two")
    threading.Thread(target=lambda: (one.set_result(1), two.set_result(2))).start()
    assert await asyncio.gather(one, two) == [1, 2]
    never: Pending[int] = Pending("never")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(never, 0.01)
    with pytest.raises(TimeoutError):
        never.result(0.01)


async def test_cancelling_who_waits_does_not_cancel_the_write(store: Store, make) -> None:
    task = asyncio.ensure_future(store.put(make.job()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await store.journal.jobs_last(5)) == 1


def test_a_loop_that_is_closed_meanwhile_disturbs_nobody() -> None:
    pending: Pending[int] = Pending("late")
    loop = asyncio.new_event_loop()

    async def waiter() -> None:
        await pending

    task = loop.create_task(waiter())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    pending.set_result(1)
    assert pending.result() == 1


def test_a_failure_that_nobody_looks_at_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    looked, unlooked = Pending[int]("looked at"), Pending[int]("forgotten")
    for pending in (looked, unlooked):
        pending.set_exception(StoreError("the disk is full"))
    assert isinstance(looked.exception(), StoreError)
    with caplog.at_level(logging.ERROR):
        del looked, unlooked, pending
        gc.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "forgotten failed and nobody looked: the disk is full"
    ]


def test_waiting_inside_a_transaction_is_refused_instead_of_waiting_for_ever(
    store: Store, make
) -> None:
    with pytest.raises(UsageError, match="would wait for ever"):
        store.transact(lambda tx: store.put(make.job()).result()).result(30)
    with pytest.raises(UsageError, match="would wait for ever"):
        store.read(lambda view: store.journal.jobs_last(1).result()).result(30)
