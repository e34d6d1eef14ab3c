"""Long work is done in slices: all that works in one turn of the loop shares one."""

import asyncio

import pytest

from comfynb.engine import slices
from comfynb.engine.slices import Slice

SLICE = 1.0


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where a test says so."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(slices, "time", clock)
    monkeypatch.setattr(slices, "SLICE", SLICE)
    return clock


async def test_several_that_work_share_a_turn_and_each_gets_on(clock):
    loop = asyncio.get_running_loop()
    turns = [[]]
    ended = asyncio.Event()

    def next_turn():
        turns.append([])
        if not ended.is_set():
            loop.call_soon(next_turn)

    async def work(name, steps, seconds):
        slice_ = Slice()
        for _ in range(steps):
            await slice_.rest()
            clock.now += seconds
            turns[-1].append((name, seconds))

    loop.call_soon(next_turn)
    await asyncio.gather(work("a", 40, SLICE / 8), work("b", 3, 2 * SLICE), work("c", 9, SLICE / 2))
    ended.set()
    assert sum(map(len, turns)) == 52
    for turn in turns:
        # What the slice allows: its last step may begin just before the slice is over.
        longest = max((seconds for _, seconds in turn), default=0.0)
        assert sum(seconds for _, seconds in turn) <= SLICE + longest
    assert max(len(turn) for turn in turns) >= 4, "small steps go together"


async def test_each_in_turn_and_one_step_however_long(clock):
    steps = []

    async def work(name):
        slice_ = Slice()
        for _ in range(5):
            await slice_.rest()
            clock.now += 2 * SLICE
            steps.append(name)

    await asyncio.gather(*map(work, range(9)))
    # The first worked before there was a line, and was the first to stand in one.
    assert steps == [0, *4 * list(range(9)), *range(1, 9)], "nobody overtakes"


async def test_who_is_cancelled_in_line_stops_nobody(clock):
    async def work(slice_):
        await slice_.rest()
        clock.now += 2 * SLICE
        return True

    first, *waiting = [asyncio.create_task(work(Slice())) for _ in range(12)]
    assert await first
    for _ in range(3):  # some are in line, one has just been called
        await asyncio.sleep(0)
    for task in waiting[:8]:
        task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert ended[8:] == [True] * 3


async def test_alone_it_rests_only_when_the_time_is_up(clock):
    slice_ = Slice()
    assert not slice_.over
    clock.now += SLICE / 2
    assert not slice_.over
    clock.now += SLICE / 2
    assert slice_.over
    assert Slice().over, "others share the turn"
    await slice_.rest()
    await asyncio.sleep(0)
    assert not slice_.over


def test_each_loop_has_its_own(clock):
    async def use():
        slice_ = Slice()
        clock.now += 2 * SLICE
        assert not slice_.over
        clock.now += 2 * SLICE
        assert slice_.over

    for _ in range(2):
        asyncio.run(use())
