"""Work that is put off, put off again, or not done after all."""

import asyncio
from collections.abc import Callable

from comfynb.widgets.canvas.later import Later


def run(work: Callable[[], None]) -> None:
    work()


async def test_only_what_was_put_off_last_is_done() -> None:
    done: list[str] = []
    last = asyncio.Event()
    later = Later(run)
    later.put_off("save", 0.0, lambda: done.append("first"))
    later.put_off("save", 0.0, lambda: done.append("second"))
    later.put_off("check", 0.0, lambda: done.append("never"))
    later.cancel("check")
    later.cancel("check")
    later.put_off("end", 0.01, last.set)
    await asyncio.wait_for(last.wait(), 10)
    assert done == ["second"]


async def test_nothing_is_done_after_a_close() -> None:
    done: list[str] = []
    later = Later(run)
    later.put_off("save", 0.0, lambda: done.append("too late"))
    later.close()
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, passed.set)
    await asyncio.wait_for(passed.wait(), 10)
    assert done == []


def test_a_plain_script_has_no_later() -> None:
    done: list[str] = []
    Later(run).put_off("save", 60.0, lambda: done.append("now"))
    assert done == ["now"]
