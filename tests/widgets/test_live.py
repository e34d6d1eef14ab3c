import asyncio
import gc
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from comfynb.engine.watching import SHARE
from comfynb.errors import UsageError
from comfynb.widgets import live
from comfynb.widgets.live import Live, Ticker, call


class Listener:
    def __init__(self, until: int = -1) -> None:
        self.seen: list[int] = []
        self.done = asyncio.Event()
        self.until = until

    def show(self, view: int) -> None:
        self.seen.append(view)
        if view == self.until:
            self.done.set()


@pytest.fixture(autouse=True)
def _fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_recent", deque())


async def test_changes_are_coalesced_and_the_last_one_arrives(box: Any) -> None:
    source, listener = box(0), Listener(until=50)
    watching = Live(source, listener.show)
    for value in range(1, 51):
        source.push(value)
    assert listener.seen == [1]
    await listener.done.wait()
    assert listener.seen == [1, 50]
    watching.stop()


async def test_all_widgets_together_stay_within_the_budget(
    box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(live, "BUDGET", 5)
    sources = [box(0) for _ in range(20)]
    listeners = [Listener() for _ in sources]
    watching = [Live(one, two.show) for one, two in zip(sources, listeners, strict=True)]
    for source in sources:
        source.push(1)
    assert sum(len(one.seen) for one in listeners) == 5
    clock.now += 1.0
    sources[0].push(2)  # within the budget again
    assert listeners[0].seen == [1, 2]
    for one in watching:
        one.stop()


async def test_updates_that_take_long_come_less_often(
    box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock.now))
    seen: list[int] = []

    class Slow:
        def show(self, view: int) -> None:
            seen.append(view)
            clock.now += 0.2 * SHARE

    source, slow = box(0), Slow()
    watching = Live(source, slow.show)
    source.push(1)
    clock.now = 1000.0 + 0.19
    source.push(2)
    assert seen == [1], "it took a fiftieth of 0.2 s"
    watching.stop()
    seen.clear()
    watching = Live(source, slow.show)
    source.push(3)
    clock.now += 0.2
    source.push(4)
    assert seen == [3, 4]
    watching.stop()


def test_a_script_without_a_loop_is_told_each_change(box: Any) -> None:
    source = box(0)
    seen: list[int] = []

    class Plain:
        def show(self, view: int) -> None:
            seen.append(view)

    plain = Plain()
    watching = Live(source, plain.show)
    source.push(1)
    source.push(2)
    assert seen == [1, 2]
    watching.stop()


async def test_a_forgotten_owner_is_told_no_more(box: Any) -> None:
    source, listener = box(0), Listener()
    watching = Live(source, listener.show)
    del listener
    gc.collect()
    source.push(1)
    assert source.callbacks == []
    watching.stop()  # twice does no harm


async def test_a_forgotten_watch_ends(box: Any) -> None:
    source, listener = box(0), Listener()
    watching = Live(source, listener.show)
    assert len(source.callbacks) == 1
    del watching
    gc.collect()
    assert source.callbacks == []


async def test_nothing_is_delivered_after_stop(box: Any) -> None:
    source, listener = box(0), Listener()
    watching = Live(source, listener.show)
    source.push(1)
    source.push(2)  # waits for its turn
    watching.stop()
    await asyncio.sleep(0)
    assert listener.seen == [1]
    assert source.callbacks == []


async def test_a_ticker_goes_on_as_long_as_it_is_wanted() -> None:
    class Clock:
        def __init__(self) -> None:
            self.ticks = 0
            self.done = asyncio.Event()

        def tick(self) -> bool:
            self.ticks += 1
            if self.ticks == 3:
                self.done.set()
            return self.ticks < 3

    clock = Clock()
    ticker = Ticker(clock.tick, seconds=0.001)
    ticker.start()
    ticker.start()  # is one and the same
    await clock.done.wait()
    assert ticker._timer is None
    assert clock.ticks == 3


class Outcome:
    def __init__(self) -> None:
        self.results: list[object] = []
        self.troubles: list[str] = []
        self.ended = asyncio.Event()

    def done(self, result: object) -> None:
        self.results.append(result)
        self.ended.set()

    def failed(self, why: str) -> None:
        self.troubles.append(why)
        self.ended.set()


async def test_call_reports_results_and_errors() -> None:
    async def later() -> int:
        return 2

    async def wrong() -> None:
        raise UsageError("no such backend")

    for function, results, troubles in [
        (lambda: 1, [1], []),
        (later, [2], []),
        (wrong, [], ["no such backend"]),
    ]:
        outcome = Outcome()
        call(function, outcome.done, outcome.failed)
        await outcome.ended.wait()
        assert (outcome.results, outcome.troubles) == (results, troubles)


def test_call_shows_a_foreign_error_and_lets_it_reach_the_log() -> None:
    outcome: list[str] = []
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 // 0, lambda _: None, outcome.append)
    assert outcome == ["ZeroDivisionError: integer division or modulo by zero"]
