"""Collecting from real servers into a real store: agents, none, outages, other kernels."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from comfynb.comfy.agent_snapshot import AgentSnapshot, DiskState, GpuState
from comfynb.engine.engine import Engine
from comfynb.engine.host import LoopHost
from comfynb.engine.metrics.collector import MetricsCollector
from comfynb.engine.metrics.sample import readings_of
from comfynb.engine.metrics.settings import MetricsSettings
from comfynb.errors import ComfynbError, InvalidValue, StoreError, UsageError
from comfynb.models import BackendConfig, new_id
from comfynb.sandbox import in_process
from comfynb.store import open_store

REPO = Path(__file__).resolve().parents[3]
SECRET = "correct-horse-battery-staple"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
FAST = MetricsSettings(busy_seconds=0.25, idle_seconds=1.0, gone_seconds=1.0)


@pytest.fixture
def custom_nodes(tmp_path):
    folder = tmp_path / "custom_nodes"
    folder.mkdir()
    (folder / "agent").symlink_to(REPO / "agent", target_is_directory=True)
    return folder


class Kernel:
    def __init__(self, store, folder, **options):
        self.store = store
        self.errors = []
        self.engine = Engine(store, LoopHost(), folder / "outputs", report=self.errors.append)
        self.collector = MetricsCollector(store, self.engine, report=self.errors.append, **options)
        self.collector.settings = FAST
        self.seen = asyncio.Queue()
        self.collector.watch(self.seen.put_nowait)

    async def add(self, url, name="one", **options):
        parts = urlsplit(url)
        config = BackendConfig(
            id=options.pop("id", None) or new_id(), name=name, host=parts.hostname,
            port=parts.port, **options,
        )  # fmt: skip
        await self.store.put(config)
        backend = self.engine.add_backend(config, None)
        await backend.checked()
        return backend

    async def next(self, wanted=lambda row: True):
        async with asyncio.timeout(30):
            while True:
                rows = await self.seen.get()
                if wanted(rows[0]):
                    return rows

    async def close(self):
        self.collector.stop()
        await self.engine.close()


@pytest.fixture
async def kernel(tmp_path):
    async with a_kernel(tmp_path) as kernel:
        yield kernel
        assert kernel.errors == []


@asynccontextmanager
async def a_kernel(folder, **options):
    store = await asyncio.to_thread(open_store, folder / "lab.duckdb")
    await store.ready()
    kernel = Kernel(store, folder, **options)
    # Stored settings would take the place of quick ones.
    await kernel.collector.journal.set({"busy_seconds": 0.25, "idle_seconds": 1.0,
                                        "gone_seconds": 1.0})  # fmt: skip
    try:
        yield kernel
    finally:
        await kernel.close()
        await store.close()


async def test_an_agent_is_found_on_comfyuis_own_port(kernel, custom_nodes):
    async with in_process(samples=False, custom_nodes=custom_nodes) as server:
        backend = await kernel.add(server.url)
        kernel.collector.start()
        first = (await kernel.next())[0]
        second = (await kernel.next())[0]
        assert (first.source, first.online, first.began) == ("agent", True, None)
        assert second.began == first.taken_at
        assert first.ram_total > first.ram_used > 0
        [status] = kernel.collector.status
        assert (status.mine, status.source, status.agent) == (True, "agent", server.url)
        await kernel.collector.flush()
        table = await kernel.store.sql("select backend_id, source from metrics_now")
        assert table.rows == [(backend.id, "agent")]


async def test_without_an_agent_comfyui_tells_its_memory(kernel, sandbox_server):
    await kernel.add(sandbox_server.url)
    kernel.collector.start()
    row = (await kernel.next())[0]
    assert row.source == "system_stats"
    assert row.ram_total > 0
    assert (row.gpu_utilization, row.power_watts, row.cpu_utilization) == (None, None, None)
    [status] = kernel.collector.status
    assert (status.agent, status.error) == (None, None)


@pytest.fixture
async def sandbox_server():
    async with in_process(samples=False) as server:
        yield server


async def test_a_token_is_shown_to_the_agent_and_its_lack_is_told(
    tmp_path, custom_nodes, monkeypatch
):
    monkeypatch.setenv("COMFYNB_AGENT_TOKEN", SECRET)
    tokens = {}
    async with (
        a_kernel(tmp_path, token=tokens.get) as kernel,
        in_process(samples=False, custom_nodes=custom_nodes) as server,
    ):
        backend = await kernel.add(server.url)
        kernel.collector.start()
        row = (await kernel.next())[0]
        assert row.source == "system_stats"
        assert "token is missing or wrong" in row.note
        tokens[backend.id] = SECRET
        kernel.collector.look_for_agents()
        row = (await kernel.next(lambda row: row.source == "agent"))[0]
        assert row.note is None
        assert SECRET not in repr(kernel.collector.status)


async def test_an_outage_is_a_gap_and_an_alert(kernel, custom_nodes):
    async with in_process(samples=False, custom_nodes=custom_nodes) as server:
        port = server.port if hasattr(server, "port") else urlsplit(server.url).port
        backend = await kernel.add(server.url)
        kernel.collector.start()
        await kernel.next()
    silent = (await kernel.next(lambda row: not row.online))[0]
    assert (silent.gpu_utilization, silent.ram_used, silent.began) == (None, None, None)
    assert silent.note
    async with asyncio.timeout(30):
        while not backend.view.alerts:
            await kernel.next()
    assert backend.view.alerts[0].startswith("gone")
    async with in_process(samples=False, custom_nodes=custom_nodes, port=port):
        back = (await kernel.next(lambda row: row.online))[0]
        assert back.began is None, "nothing is made up for the outage"
        assert backend.view.alerts == ()
        await kernel.collector.flush()
    alerts = await kernel.store.sql("select kind, closed_at is null, value from alerts")
    [(kind, still, value)] = alerts.rows
    assert (kind, still) == ("gone", False)
    assert value >= 1
    reasons = await kernel.store.sql("select distinct reason from metrics_gaps")
    assert reasons.rows == [("no answer",)]


async def test_only_one_kernel_collects_and_the_next_takes_over(tmp_path, sandbox_server):
    async with a_kernel(tmp_path) as first, a_kernel(tmp_path) as second:
        backend = await first.add(sandbox_server.url)
        first.collector.start()
        await first.next()
        await second.add(sandbox_server.url, id=backend.id)
        second.collector.start()
        assert await second.collector.journal.claim([backend.id], START) == set()
        assert second.seen.empty()
        assert [status.mine for status in second.collector.status] == [False]
        first.collector.stop()
        await first.store.ready()
        mine = await second.collector.journal.claim([backend.id], START)
        assert mine == {backend.id}


async def test_drops_are_counted_and_told(tmp_path, sandbox_server, monkeypatch):
    async with a_kernel(tmp_path, most_waiting=5) as kernel:
        backend = await kernel.add(sandbox_server.url)
        collector = kernel.collector
        await collector.journal.claim([backend.id], START)

        async def locked(_load):
            raise StoreError("the store is locked")

        with monkeypatch.context() as patch:
            patch.setattr(collector, "_write", locked)
            for second in range(12):
                now = START + timedelta(seconds=second)
                collector.sampled(readings_of(snapshot(), backend.id, now, None))
            await collector.flush()
            await collector.flush()
        assert [str(error) for error in kernel.errors] == ["the store is locked"], "once"
        await collector.flush()
        assert "7 samples of metrics were dropped" in str(kernel.errors[-1])
        assert [status.dropped for status in collector.status] == [7]
        found = await kernel.store.sql(
            "select (select count(*) from metrics), (select sum(dropped) from metrics_state)"
        )
        assert found.rows == [(5, 7)]


def snapshot(*, power=100.0, gpus=1, **values):
    return AgentSnapshot(
        source="agent",
        taken=START,
        gpus=tuple(
            GpuState(
                index=n, uuid=None, name="RTX", state="ok", comfyui=n == 1, power_watts=power,
                memory_used=3 * 2**20, memory_total=2**30, utilization=50.0, temperature=60,
            )
            for n in range(gpus)
        ),
        **values,
    )  # fmt: skip


def test_rows_of_a_sample():
    disks = (
        DiskState("models", "/m", 100 * 2**20, 50 * 2**20),
        DiskState("output", "/o", 100 * 2**20, 10 * 2**20),
        DiskState("temp", "/t", None, None),
    )
    rows = readings_of(
        snapshot(gpus=3, disks=disks, ram_used=2**20, queue_depth=4), "b1", START, None,
        active_job_id="j",
    )  # fmt: skip
    assert [(row.gpu, row.main) for row in rows] == [(1, True), (0, False), (2, False)]
    main, other = rows[:2]
    assert (main.gpu_memory_used, main.gpu_memory_total, main.disk_free) == (3, 1024, 10)
    assert (main.ram_used, main.queue_depth, main.active_job_id) == (1, 4, "j")
    assert (other.ram_used, other.queue_depth, other.disk_free, other.gpu_temperature) == (
        None, None, None, 60,
    )  # fmt: skip
    assert main.energy_joules is None
    later = START + timedelta(seconds=2)
    before = {row.gpu: row for row in rows}
    again = readings_of(snapshot(gpus=3, power=200.0), "b1", later, before)
    assert again[0].energy_joules == 300.0  # 150 W for 2 s
    assert again[0].began == START
    unknown = readings_of(snapshot(gpus=3, power=None), "b1", later, before)
    assert unknown[0].energy_joules is None
    assert readings_of(snapshot(gpus=0), "b1", START, None)[0].gpu_memory_total is None


def test_settings():
    settings = MetricsSettings().changed({"temperature": 70, "raw_hours": 2})
    assert settings.temperature == 70
    assert settings.keeping.raw == timedelta(hours=2)
    assert settings.changed({"temperature": None}).temperature == MetricsSettings().temperature
    assert MetricsSettings.of({"disk": 50.0, "of_a_later_version": 1.0}).disk == 50
    with pytest.raises(UsageError, match="no setting 'colour'"):
        settings.changed({"colour": 1})
    for wrong in (-1, 1e9, float("nan"), "hot", True):
        with pytest.raises((InvalidValue, ComfynbError), match="temperature must be"):
            settings.changed({"temperature": wrong})
