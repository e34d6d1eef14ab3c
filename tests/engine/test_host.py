"""LoopHost finds the loop that runs, or makes one, and lets synchronous code wait."""

import asyncio
import contextvars
import threading

import pytest

from comfynb.engine.host import LoopHost, run_blocking
from comfynb.errors import UsageError


async def answer(value):
    await asyncio.sleep(0)
    return value


def test_a_script_gets_a_loop_in_a_thread():
    host = LoopHost()
    assert host.own_thread
    assert not host.on_loop
    assert host.wait(answer(3)) == 3
    assert host.ask(threading.get_ident) != threading.get_ident()
    doing = host.do(answer(4), "four")
    assert doing.wait(30) == 4
    assert doing.done
    assert doing.result == 4
    host.close()
    host.close()
    with pytest.raises(UsageError, match="has ended"):
        host.wait(answer(5))


async def test_a_running_loop_is_used_as_it_is():
    host = LoopHost()
    assert host.loop is asyncio.get_running_loop()
    assert not host.own_thread
    assert host.ask(lambda: 7) == 7
    assert await host.do(answer(8), "eight") == 8


async def test_another_thread_waits_without_blocking_the_loop():
    host = LoopHost()
    assert await asyncio.to_thread(host.wait, answer(9)) == 9
    assert await asyncio.to_thread(host.ask, threading.get_ident) == threading.get_ident()


async def test_doing_survives_who_stops_waiting_for_it():
    host = LoopHost()
    gate = asyncio.Event()

    async def work():
        await gate.wait()
        return "done"

    doing = host.do(work(), "work")
    waiter = asyncio.ensure_future(asyncio.wait_for(doing._wait(), 10))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.set()
    assert await doing == "done"


async def test_an_error_reaches_whoever_awaits():
    async def fail():
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        await LoopHost().do(fail(), "fail")


def test_wait_on_the_loop_itself_enters_it_again():
    """As ``job.wait()`` in a cell does; in a process of its own, since the patch is global."""
    import subprocess
    import sys

    code = """
import asyncio
from comfynb.engine.host import LoopHost
async def main():
    host = LoopHost()
    ticks = []
    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)
    host.start(tick(), "tick")
    host.wait(asyncio.sleep(0.05))      # synchronous, on the loop
    assert len(ticks) > 3, ticks
asyncio.run(main())
print("entered again")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "entered again", done.stderr


async def test_run_blocking_asks_on_a_loop_of_its_own():
    mine = asyncio.get_running_loop()

    async def which():
        return asyncio.get_running_loop()

    assert run_blocking(which()) is not mine

    async def fail():
        raise UsageError("asked wrongly")

    with pytest.raises(UsageError, match="asked wrongly"):
        run_blocking(fail())


def test_context_variables_of_the_caller_do_not_leak():
    variable = contextvars.ContextVar("variable", default="outside")
    host = LoopHost()
    try:
        variable.set("inside")
        assert host.wait(answer(variable.get())) == "inside"
    finally:
        host.close()
