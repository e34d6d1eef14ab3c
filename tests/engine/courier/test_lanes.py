"""How many requests are under way: many to one server, few to each of many, and none for ever."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.courier import lanes
from comfynb.engine.courier.lanes import ALONE, TOGETHER, Lane, Lanes


class Road:
    """Requests that go on until they are told to end."""

    def __init__(self, servers):
        self.lanes = Lanes()
        self.servers = [Lane(self.lanes) for _ in range(servers)]
        self.under_way = [[] for _ in range(servers)]
        self.tasks = []

    def ask(self, server, number):
        go = asyncio.Event()

        async def request():
            async with self.servers[server]:
                self.under_way[server].append(number)
                try:
                    await go.wait()
                finally:
                    self.under_way[server].remove(number)

        task = asyncio.get_running_loop().create_task(request())
        task.go = go
        self.tasks.append(task)
        return task

    async def end(self):
        for task in self.tasks:
            task.go.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def never_slow(monkeypatch):
    monkeypatch.setattr(lanes, "SLOW", 3600.0)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_server_alone_has_all_lanes_and_first_come_first_served(never_slow):
    road = Road(1)
    tasks = [road.ask(0, number) for number in range(ALONE + 3)]
    await turns()
    assert road.under_way == [list(range(ALONE))]
    tasks[2].go.set()
    await turns()
    assert road.under_way == [[0, 1, *range(3, ALONE), ALONE]]
    await road.end()
    assert road.lanes.width == ALONE


async def test_several_servers_share_and_each_has_one(never_slow):
    road = Road(2 * TOGETHER)
    for server in range(len(road.servers)):
        for number in range(ALONE):
            road.ask(server, number)
    await turns()
    # The first came while it was alone.
    assert [len(each) for each in road.under_way[1:]] == [
        max(1, TOGETHER // (server + 1)) for server in range(1, len(road.servers))
    ]
    assert road.lanes.width == 1
    await road.end()
    assert road.under_way == [[] for _ in road.servers]
    assert road.lanes.width == ALONE


async def test_who_is_slow_stops_nobody(monkeypatch):
    monkeypatch.setattr(lanes, "SLOW", 0.0)
    road = Road(TOGETHER)
    for server in range(1, TOGETHER):
        road.ask(server, 0)
    await turns()
    tasks = [road.ask(0, number) for number in range(2 * ALONE)]
    await turns(10 * ALONE)
    # However many are slow, there are no more than a server has alone.
    assert road.under_way[0] == list(range(ALONE))
    tasks[3].go.set()
    await turns(10)
    assert road.under_way[0] == [0, 1, 2, *range(4, ALONE), ALONE]
    await road.end()
    assert repr(road.servers[0]) == "Lane(0 under way, 0 wait)"


@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
def test_whatever_ends_or_is_cancelled_all_others_have_their_turn(seed, servers, hurried):
    chance = random.Random(seed)

    async def work():
        road = Road(servers)
        for number in range(60):
            task = road.ask(chance.randrange(servers), number)
            if chance.random() < 0.3:
                await turns(chance.randrange(3))
            other = chance.choice(road.tasks)
            if chance.random() < 0.3:
                other.cancel()
            elif chance.random() < 0.5:
                other.go.set()
            # Let in and cancelled in the same moment, before it runs.
            if chance.random() < 0.2:
                road.tasks[0].go.set()
                task.cancel()
            assert max(map(len, road.under_way)) <= ALONE
        # Nothing is lost: each that still wants to gets in as others end.
        for task in chance.sample(road.tasks, len(road.tasks)):
            task.go.set()
        await asyncio.gather(*road.tasks, return_exceptions=True)
        assert all(task.cancelled() or task.result() is None for task in road.tasks)
        assert {repr(lane) for lane in road.servers} == {"Lane(0 under way, 0 wait)"}
        assert road.lanes.width == ALONE

    old = lanes.SLOW
    lanes.SLOW = 0.0 if hurried else 3600.0
    try:
        asyncio.run(work())
    finally:
        lanes.SLOW = old
