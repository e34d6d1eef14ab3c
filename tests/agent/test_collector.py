"""One snapshot out of all readers, also when some of them are stuck."""

import asyncio
import json
import os
import re
import shutil
import threading
from datetime import UTC, datetime

import psutil
import pytest

from comfynb.comfy import AgentSnapshot
from comfynb.models import BackendStatus, MetricsSnapshot
from comfynb_agent.collector import Collector
from comfynb_agent.disks import MOST_FOLDERS, DiskReader
from comfynb_agent.host import HostReader
from comfynb_agent.nvml import NvmlReader
from comfynb_agent.queues import NoQueue, QueueReading

MIB = 1024 * 1024


class Queue:
    """A queue of which the test says what is in it."""

    def __init__(self, *ids, pending=0):
        self.reading = QueueReading("http", True, len(ids), pending, list(ids))

    async def ask(self):
        return self.reading

    async def close(self):
        pass


@pytest.fixture
async def make(fake_host):
    made = []

    def collector(nvml, *, folders=(), queue=None, **options):
        options.setdefault("host", fake_host)
        one = Collector(
            gpus=NvmlReader(load=lambda: nvml.module),
            disks=DiskReader(lambda: folders),
            queue=queue or Queue("p-1", pending=2),
            backend_id="workstation",
            mode="standalone",
            **options,
        )
        made.append(one)
        return one

    yield collector
    for one in made:
        await one.close()


async def test_all_fields_of_both_metrics_models(nvml, make, gpu):
    nvml.set_count(2)
    before = datetime.now(UTC)
    data = (await make(nvml).snapshot(0)).data
    told = {name: data[name] for name in MetricsSnapshot.model_fields}
    snapshot = MetricsSnapshot.model_validate(told)
    assert snapshot.model_dump(exclude={"id", "timestamp"}) == {
        "backend_id": "workstation",
        "gpu_memory_used": 1000,
        "gpu_memory_total": 24 * 1024,
        "gpu_utilization": 10,
        "gpu_temperature": 40,
        "cpu_utilization": 12.5,
        "ram_used": 16 * 1024,
        "ram_total": 64 * 1024,
        "queue_depth": 3,
        "active_job_id": "p-1",
    }
    assert before <= snapshot.timestamp <= datetime.now(UTC)
    status = BackendStatus.model_validate({name: data[name] for name in BackendStatus.model_fields})
    assert (status.gpu_name, status.current_job_id) == ("NVIDIA Fake 3000", "p-1")
    assert status.last_seen == snapshot.timestamp
    assert data["gpu_memory_free"] == status.gpu_memory_free
    assert data["gpu_memory_percent"] == pytest.approx(status.gpu_memory_percent, abs=0.01)
    # and for every GPU, under the same names
    of_a_gpu = {name for name in BackendStatus.model_fields if name.startswith("gpu_")}
    for number, one in enumerate(data["gpus"]):
        assert {name: one[name] for name in of_a_gpu} == {
            name: gpu(number)[name] for name in of_a_gpu
        }
    assert data["missing"] == []
    assert json.loads(json.dumps(data, allow_nan=False)) == data


async def test_the_gpu_that_comfyui_computes_on_comes_first(nvml, make, gpu):
    nvml.set_count(3)
    data = (await make(nvml, owner_gpus=lambda: {gpu(2)["uuid"]}).snapshot(0)).data
    assert (data["gpu_index"], data["gpu_name"]) == (2, "NVIDIA Fake 3002")
    assert [one["comfyui"] for one in data["gpus"]] == [None, None, True]


async def test_comfyui_whose_gpu_is_lost_is_told_and_hides_no_other(nvml, make, gpu):
    def lost():
        raise RuntimeError("CUDA error: unspecified launch failure")

    data = (await make(nvml, owner_gpus=lost).snapshot(0)).data
    assert data["gpus"] == [gpu(0)]
    (sentence,) = data["missing"]
    assert "unspecified launch failure" in sentence


async def test_comfynb_reads_what_the_agent_tells(nvml, make, gpu, tmp_path):
    """Both have written the names down, since the agent is installed without comfynb."""
    data = (await make(nvml, folders=[("models", str(tmp_path))]).snapshot(0)).data
    read = AgentSnapshot.parse(data)
    row, unknown = read.metrics("workstation", active_job_id=data["active_job_id"])
    told = MetricsSnapshot.model_validate(
        {name: data[name] for name in MetricsSnapshot.model_fields}
    )
    assert row.model_dump(exclude={"id"}) == told.model_dump(exclude={"id"})
    assert unknown == frozenset()
    (one,) = read.gpus
    for name, key in (
        ("uuid", "uuid"),
        ("name", "gpu_name"),
        ("state", "state"),
        ("power_watts", "power_usage_watts"),
        ("energy_joules", "energy_joules"),
    ):
        assert getattr(one, name) == gpu(0)[key] is not None
    assert list(one.throttle_reasons) == gpu(0)["throttle_reasons"]
    (disk,) = read.disks
    assert (disk.role, disk.path, disk.total) == (
        "models",
        str(tmp_path),
        data["disks"][0]["total_bytes"],
    )
    assert disk.free == data["disks"][0]["free_bytes"] is not None


async def test_no_gpu_at_all(nvml, make):
    nvml.set_count(0)
    data = (await make(nvml, queue=NoQueue()).snapshot(0)).data
    assert data["gpus"] == []
    keys = [name for name in data if name.startswith("gpu_")]
    assert len(keys) == 8
    assert {data[key] for key in keys} == {None}
    assert (data["online"], data["queue_depth"], data["last_seen"]) == (None, None, None)
    assert len(data["missing"]) == 2


async def test_whoever_asks_at_the_same_time_gets_the_same(nvml, make):
    collector = make(nvml)
    snapshots = await asyncio.gather(*(collector.snapshot(60) for _ in range(50)))
    assert len({id(snapshot) for snapshot in snapshots}) == 1
    first, second = await collector.snapshot(0), await collector.snapshot(0)
    assert second.data["sequence"] == first.data["sequence"] + 1
    assert second.data["id"] != first.data["id"]


async def until_well(collector):
    data = {"missing": "not yet"}
    async with asyncio.timeout(20):
        while data["missing"]:
            await asyncio.sleep(0.001)
            data = (await collector.snapshot(0)).data
    return data


async def test_a_driver_that_hangs_takes_nothing_else_away(library, make):
    """NVML's calls are made by one thread, never by the event loop's."""
    collector = make(library, patience=0.5)
    await until_well(collector)
    library.shut_gate()
    try:
        data = (await collector.snapshot(0)).data
        (one,) = data["gpus"]
        assert (one["state"], one["gpu_name"]) == ("silent", "NVIDIA Fake 3000")
        assert one["gpu_temperature"] is None
        assert data["gpu_temperature"] is None
        (sentence,) = data["missing"]
        assert re.fullmatch(r"NVML has not answered for \d+ s: nothing is known .*", sentence)
        assert data["ram_total"] == 64 * 1024
        # the loop is free, and asking again is no waiting again
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(100):
            await collector.snapshot(0)
        assert loop.time() - before < 100 * 0.5
    finally:
        library.open_gate()
    data = await until_well(collector)
    assert data["gpus"][0]["state"] == "ok"
    assert library.callers == 1


async def test_a_reader_that_breaks_is_told(nvml, make):
    class Broken:
        def read(self):
            raise PermissionError(13, "Permission denied", "/proc/meminfo")

    data = (await make(nvml, host=Broken()).snapshot(0)).data
    assert data["ram_total"] is None
    assert data["cpu_utilization"] is None
    (sentence,) = data["missing"]
    assert sentence.startswith("The machine's processors and memory could not be read: Perm")


async def test_disks_of_the_folders(nvml, make, tmp_path):
    folders = [("models", str(tmp_path)), ("output", str(tmp_path / "gone"))]
    data = (await make(nvml, folders=folders).snapshot(0)).data
    models, output = data["disks"]
    usage = shutil.disk_usage(tmp_path)
    assert (models["role"], models["path"]) == ("models", str(tmp_path))
    assert models["total_bytes"] == usage.total
    assert models["free_bytes"] == pytest.approx(usage.free, rel=0.05)
    assert output["free_bytes"] is None
    (sentence,) = data["missing"]
    assert sentence == (
        f"The disk of the output folder {tmp_path / 'gone'} cannot be read: "
        "No such file or directory."
    )


async def test_a_network_disk_that_hangs_is_named(nvml, make, monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: hang.wait(90))
    collector = make(nvml, folders=[("models", "/mnt/far")], patience=0.5)
    try:
        async with asyncio.timeout(60):  # the other readers have as little patience
            while len((data := (await collector.snapshot(0)).data)["missing"]) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        (sentence,) = data["missing"]
        assert re.fullmatch(
            r"The disks \(at the folder /mnt/far\) did not answer for \d+ s\.", sentence
        )
        assert data["ram_total"] == 64 * 1024
    finally:
        hang.set()


def test_disks_are_bounded_and_odd_paths_are_told(tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    many = [("models", str(tmp_path / str(number))) for number in range(MOST_FOLDERS + 5)]
    disks, missing = DiskReader(lambda: [("output", odd), ("x", "nul\0"), *many, *many]).read()
    assert len(disks) == MOST_FOLDERS
    assert missing[-1] == f"7 more folders are not told: the limit is {MOST_FOLDERS}."
    json.dumps([disks, missing]).encode().decode().encode("utf-8")
    assert all(disk["path"].encode() for disk in disks)


def test_the_host_in_its_units(clock):
    reader = HostReader(clock)
    host = reader.read()
    memory = psutil.virtual_memory()
    assert host["ram_total_bytes"] == memory.total
    assert host["ram_used_bytes"] == pytest.approx(memory.total - memory.available, rel=0.2)
    assert 0 <= host["cpu_utilization"] <= 100
    assert host["cpu_count"] == os.cpu_count()
    assert host["process_memory_bytes"] > 10 * MIB
    assert host["process_cpu_seconds"] > 0


@pytest.mark.parametrize(("apart", "interval"), [(1, None), (3600, 0.1)])
def test_the_processors_use_is_that_of_now(clock, monkeypatch, apart, interval):
    """The first reading has nothing to compare with; one of an hour ago is no better."""
    asked = []

    def cpu_percent(interval):
        asked.append(interval)
        return 130.0

    monkeypatch.setattr(psutil, "cpu_percent", cpu_percent)
    reader = HostReader(clock)
    assert reader.read()["cpu_utilization"] == 100
    clock.now += apart
    reader.read()
    assert asked == [0.1, interval]
