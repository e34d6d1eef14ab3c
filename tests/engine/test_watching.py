"""Watchers are told, whatever one of them does; whoever waits for an end is woken once it comes."""

import asyncio
import threading

import pytest

from comfynb.engine.watching import INTERVAL, LONGEST, SHARE, End, Watchers, pause_after


def test_each_watcher_is_told_until_it_stops():
    watchers = Watchers()
    assert not watchers
    first, second = [], []
    stop = watchers.add(first.append)
    watchers.add(second.append)
    watchers.tell("one", pytest.fail)
    stop()
    stop()
    watchers.tell("two", pytest.fail)
    assert (first, second, len(watchers)) == (["one"], ["one", "two"], 1)


def test_a_watcher_that_fails_is_reported_and_stops_nobody_else():
    watchers = Watchers()
    told, reported = [], []

    def broken(_):
        raise ValueError("broken")

    watchers.add(broken)
    watchers.add(told.append)
    watchers.tell("one", reported.append)
    assert told == ["one"]
    assert [str(error) for error in reported] == ["broken"]


def test_a_watcher_may_stop_or_add_while_all_are_told():
    watchers = Watchers()
    told = []

    def once(view):
        told.append(view)
        stop()
        watchers.add(told.append)

    stop = watchers.add(once)
    watchers.tell(1, pytest.fail)
    watchers.tell(2, pytest.fail)
    assert told == [1, 2]


async def test_waiting_ends_when_another_thread_reaches_the_end():
    end = End()
    waiter = asyncio.create_task(end.wait())
    await asyncio.sleep(0)
    assert (end.reached, end.awaited) == (False, 1)
    threading.Thread(target=end.reach).start()
    await waiter
    assert (end.reached, end.awaited) == (True, 0)
    await end.wait()
    end.reach()


async def test_being_cancelled_ends_the_waiting_only():
    end = End()
    waiter = asyncio.create_task(end.wait())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (end.reached, end.awaited) == (False, 0)
    end.reach()
    await end.wait()


def test_a_thread_waits_too_and_gives_up_in_time():
    end = End()
    with pytest.raises(TimeoutError):
        end.wait_blocking(0.0)
    assert end.awaited == 0
    end.reach()
    end.wait_blocking(None)


async def test_what_goes_on_after_its_end_is_waited_for_anew():
    end = End(reached=True)
    called = []
    end.add_callback(lambda: called.append("first"))
    end.reopen()
    assert not end.reached
    end.add_callback(lambda: called.append("next"))
    waiter = asyncio.create_task(end.wait())
    await asyncio.sleep(0)
    assert not waiter.done()
    end.reach()
    await waiter
    assert called == ["first", "next"]


def test_the_pause_grows_with_what_telling_takes_but_not_for_ever():
    assert pause_after(0.0) == INTERVAL
    assert pause_after(0.3 * SHARE) == pytest.approx(0.3)
    assert pause_after(1.0) == LONGEST
