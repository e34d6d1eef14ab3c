"""How long prompts wait for a backend that is away, by a clock that the test turns."""

import asyncio
import heapq
import itertools

import pytest

from comfynb.comfy import HistoryEntry
from comfynb.engine.backend import LiveBackend
from comfynb.engine.courier import Traffic
from comfynb.engine.desk import Desk
from comfynb.engine.live import LiveJob
from comfynb.engine.outputs import OutputFolder
from comfynb.engine.patience import GONE, LOOK, SILENT, Patience
from comfynb.engine.plan import RunPlan, make_job, make_task, version_of
from comfynb.errors import BackendUnreachable
from comfynb.models import BackendConfig, FallbackStrategy, PromptStatus, new_id

PROMPT = {"1": {"class_type": "A", "inputs": {}}}


class Time:
    """Stands still until it is told to pass; who sleeps wakes in order."""

    def __init__(self):
        self.now = 5000.0
        self._sleepers = []
        self._numbers = itertools.count()

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    async def passes(self, seconds):
        """Return when everybody has done what they do until then."""
        end = self.now + seconds
        await self._rest()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)
            await self._rest()
        self.now = end

    @staticmethod
    async def _rest():
        # Nothing here waits for anything but this clock: a few turns of the loop, and all is done.
        for _ in range(20):
            await asyncio.sleep(0)


class Bench:
    """Two backends without servers: ``away`` has prompts, ``other`` is there."""

    def __init__(self, folder):
        self.time = Time()
        self.desk = Desk()
        self.tasks = []
        self.ended = []
        """(prompt, when, outcome) of what was settled."""
        self.patience = Patience(self.desk, self._spawn, clock=self.time, sleep=self.time.sleep)
        self.folder = folder
        self.away, self.other = self.add("away"), self.add("other")

    def add(self, name):
        backend = LiveBackend(
            BackendConfig(id=new_id(), name=name, host="127.0.0.1", port=1),
            None,
            office=self,
            clerk=self,
            journal=None,
            folder=OutputFolder(self.folder),
            traffic=Traffic(),
            object_info={"A": {"input": {}, "output": []}},
            clock=self.time,
        )
        backend.status.online = True
        backend.offline_since = None
        self.desk.backends[backend.id] = backend
        return backend

    def _spawn(self, coroutine, name):
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.tasks.append(task)
        return task

    @property
    def watching(self):
        return sum(not task.done() for task in self.tasks)

    def send(self, **plan):
        version = version_of(new_id(), 1, {}, PROMPT)
        job = make_job(RunPlan(version, "test", {}, {}, **plan))
        node = job.canvas_snapshot.nodes[0]
        live = LiveJob(job, name="test", titles={node.id: "test"})
        return self.away.courier.send(make_task(live, job.node_executions[0], version))

    def goes(self, *, refused=False):
        """From now on ``away`` does not answer; ``refused``: nobody takes connections there."""
        self.away.trouble(BackendUnreachable("no answer", backend="away", refused=refused))
        assert not self.away.online

    def returns(self):
        self.away.status.online = True
        self.away.offline_since = None

    # What the backends tell.

    def changed(self, backend):
        self.patience.watch(backend)

    def freed(self, flight, seconds):
        pass

    async def settle(self, backend, flight, outcome):
        assert backend is self.away
        self.ended.append((flight, self.time.now, outcome))


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)
    await bench.away.courier.close()


async def test_prompts_wait_a_minute_for_a_silent_backend_and_then_go_elsewhere(bench):
    flights = [bench.send(), bench.send()]
    began = bench.time.now
    bench.goes()
    await bench.time.passes(SILENT - LOOK)
    assert bench.ended == []
    assert bench.watching == 1
    await bench.time.passes(2 * LOOK)
    assert [flight for flight, _, _ in bench.ended] == flights
    for _, when, outcome in bench.ended:
        assert SILENT <= when - began <= SILENT + LOOK
        assert (outcome.state, outcome.error_class) == (PromptStatus.LOST, "away")
        assert outcome.error_message == "away has not answered for 60 seconds."
    assert not bench.away.courier.busy
    await bench.time.passes(LOOK)
    assert bench.watching == 0


@pytest.mark.parametrize(
    ("typical", "limit"), [(None, GONE), (0.1, GONE), (2.0, 20.0), (3600.0, SILENT)]
)
async def test_where_nobody_listens_they_wait_as_long_as_what_is_done_there_is_worth(
    bench, monkeypatch, typical, limit
):
    if typical is not None:
        bench.away.timed(typical)
    asked = []

    async def check():
        asked.append(bench.time.now)
        return False

    monkeypatch.setattr(bench.away, "check", check)
    bench.send()
    began = bench.time.now
    bench.goes(refused=True)
    await bench.time.passes(limit - LOOK)
    assert bench.ended == asked == []
    await bench.time.passes(2 * LOOK)
    ((_, when, _),) = bench.ended
    assert limit <= when - began <= limit + LOOK
    assert asked == [when], "it is asked once more before its prompts are given away"


async def test_who_answers_when_the_time_is_up_keeps_its_prompts(bench, monkeypatch):
    async def check():
        bench.returns()
        return True

    monkeypatch.setattr(bench.away, "check", check)
    flight = bench.send()
    bench.goes(refused=True)
    await bench.time.passes(SILENT)
    assert bench.ended == []
    assert bench.watching == 0
    assert list(bench.away.courier.flights) == [flight]


async def test_who_returns_in_time_keeps_its_prompts_and_the_next_outage_counts_anew(bench):
    bench.send()
    bench.goes()
    await bench.time.passes(SILENT - 1)
    bench.returns()
    await bench.time.passes(10)
    assert bench.watching == 0
    bench.goes()
    await bench.time.passes(SILENT - 1)
    assert bench.ended == []
    await bench.time.passes(1 + LOOK)
    assert len(bench.ended) == 1


async def test_where_nobody_else_can_run_them_they_wait_for_as_long_as_it_takes(bench):
    bench.send()
    bench.other.config.enabled = False
    bench.goes()
    await bench.time.passes(20 * SILENT)
    assert bench.ended == []
    bench.other.config.enabled = True
    await bench.time.passes(LOOK)
    assert len(bench.ended) == 1


@pytest.mark.parametrize("fallback", list(FallbackStrategy))
async def test_what_is_bound_to_the_backend_stays_unless_another_may_be_chosen(bench, fallback):
    bench.send(backend_id=bench.away.id, fallback=fallback)
    bench.goes()
    await bench.time.passes(2 * SILENT)
    assert len(bench.ended) == (fallback is FallbackStrategy.AUTO_SELECT)


async def test_a_backend_that_is_away_without_prompts_is_not_watched(bench):
    bench.goes()
    assert bench.tasks == []


async def test_however_often_it_changes_one_clock_is_looked_at(bench):
    bench.send()
    bench.goes()
    for _ in range(3):
        bench.changed(bench.away)
        await bench.time.passes(LOOK)
    assert len(bench.tasks) == 1


async def test_what_is_done_but_not_fetched_yet_goes_elsewhere_too(bench, monkeypatch):
    flight = bench.send()

    async def unreachable(*_, **__):
        raise BackendUnreachable("no answer", backend="away")

    monkeypatch.setattr(bench.away.client, "download", unreachable)
    entry = HistoryEntry.parse(
        flight.prompt_id,
        {
            "status": {"status_str": "success", "completed": True, "messages": []},
            "outputs": {"1": {"images": [{"filename": "a.png", "type": "output"}]}},
        },
    )
    bench.away.courier._bringer.bring(flight, entry)
    assert len(bench.away.courier) == 0
    assert bench.away.courier.busy
    bench.goes()
    await bench.time.passes(SILENT + LOOK)
    ((lost, _, outcome),) = bench.ended
    assert lost is flight
    assert outcome.state is PromptStatus.LOST
