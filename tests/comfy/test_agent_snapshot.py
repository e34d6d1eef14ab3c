"""An agent's snapshots as comfynb's models, and whatever else might be sent in their place."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.agent_snapshot import AgentSnapshot
from comfynb.comfy.protocol import SystemStats
from comfynb.models import BackendStatus

MIB = 1024 * 1024


def gpu(index, **more):
    return {
        "index": index,
        "uuid": f"GPU-{index}",
        "gpu_name": f"Card {index}",
        "state": "ok",
        "comfyui": None,
        "gpu_utilization": 10 + index,
        "gpu_temperature": 40 + index,
        "memory_total_bytes": 24_000 * MIB + 5,
        "memory_used_bytes": (1000 + index) * MIB + MIB - 1,
        "power_usage_watts": 250.5,
        "energy_joules": 1e6,
        "throttle_reasons": ["sw_power_cap"],
        "fan_speeds": [50, 60],
        "processes": [
            {"pid": 7, "name": "python3", "kind": "compute", "memory_used_bytes": 5},
            {"pid": 8, "name": None, "kind": "graphics", "memory_used_bytes": None},
        ],
    } | more


def answer(**more):
    return {
        "schema_version": 1,
        "sequence": 12,
        "timestamp": "2026-11-21T15:12:16.691745Z",
        "online": True,
        "queue_depth": 3,
        "current_job_id": "p-1",
        "gpus": [gpu(0), gpu(1)],
        "host": {
            "cpu_utilization": 12.5,
            "ram_total_bytes": 64_000 * MIB + 9,
            "ram_used_bytes": 16_000 * MIB,
        },
        "disks": [{"role": "models", "path": "/srv", "total_bytes": 9, "free_bytes": None}],
        "missing": ["Something is missing."],
    } | more


def test_a_snapshot_becomes_a_row_and_a_status():
    snapshot = AgentSnapshot.parse(answer())
    assert snapshot.taken == datetime(2026, 11, 21, 15, 12, 16, 691745, tzinfo=UTC)
    assert (snapshot.source, snapshot.sequence, snapshot.prompt_id) == ("agent", 12, "p-1")
    row, unknown = snapshot.metrics("pc1", active_job_id="job-1")
    assert unknown == frozenset()
    assert row.model_dump(exclude={"id"}) == {
        "backend_id": "pc1",
        "timestamp": snapshot.taken,
        "gpu_memory_used": 1000,
        "gpu_memory_total": 24_000,
        "gpu_utilization": 10.0,
        "gpu_temperature": 40,
        "cpu_utilization": 12.5,
        "ram_used": 16_000,
        "ram_total": 64_000,
        "queue_depth": 3,
        "active_job_id": "job-1",
    }
    assert snapshot.metrics("pc1").snapshot.id != row.id
    status = BackendStatus(backend_id="pc1", online=True, last_seen=snapshot.taken)
    snapshot.tell(status, gpu="GPU-1")
    assert (status.gpu_name, status.gpu_temperature, status.gpu_memory_used) == ("Card 1", 41, 1001)
    assert (status.cpu_utilization, status.ram_total, status.queue_depth) == (12.5, 64_000, 3)


def test_the_rest_is_kept_too():
    snapshot = AgentSnapshot.parse(answer())
    first = snapshot.gpus[0]
    assert (first.power_watts, first.energy_joules) == (250.5, 1e6)
    assert first.throttle_reasons == ("sw_power_cap",)
    assert [(p.pid, p.name, p.memory_used) for p in first.processes] == [
        (7, "python3", 5),
        (8, None, None),
    ]
    assert first.more["fan_speeds"] == [50, 60]
    assert "processes" not in first.more
    (disk,) = snapshot.disks
    assert (disk.role, disk.path, disk.total, disk.free) == ("models", "/srv", 9, None)
    assert snapshot.missing == ("Something is missing.",)


@pytest.mark.parametrize(
    ("gpus", "chosen", "expected"),
    [
        ([gpu(0), gpu(1, comfyui=True)], None, 1),
        ([gpu(0), gpu(1)], None, 0),
        ([gpu(0), gpu(1)], 1, 1),
        ([gpu(0), gpu(1)], "GPU-1", 1),
        ([gpu(0), gpu(1)], 5, None),
        ([], None, None),
    ],
)
def test_which_gpu_is_meant(gpus, chosen, expected):
    found = AgentSnapshot.parse(answer(gpus=gpus)).gpu(chosen)
    assert (found.index if found else None) == expected


def test_what_is_unknown_is_named_and_never_told_as_a_status():
    lost = dict.fromkeys(gpu(0)) | {"index": 0, "state": "lost", "gpu_name": "Card"}
    host = {"cpu_utilization": None, "ram_total_bytes": None, "ram_used_bytes": None}
    snapshot = AgentSnapshot.parse(answer(gpus=[lost], host=host, queue_depth=None))
    row, unknown = snapshot.metrics("pc1")
    assert unknown == set(row.model_dump()) - {"id", "backend_id", "timestamp", "active_job_id"}
    status = BackendStatus(
        backend_id="pc1", online=True, last_seen=snapshot.taken, ram_total=5, gpu_temperature=60
    )
    snapshot.tell(status)
    assert (status.gpu_name, status.ram_total, status.gpu_temperature) == ("Card", 5, 60)


def test_without_an_agent_comfyui_tells_memory():
    stats = SystemStats(
        version="0.8.0",
        devices=SystemStats.parse(
            {
                "system": {},
                "devices": [
                    {
                        "name": "cuda:0 Card",
                        "type": "cuda",
                        "index": 0,
                        "vram_total": 24_000 * MIB,
                        "vram_free": 20_000 * MIB,
                    }
                ],
            }
        ).devices,
        ram_total=64_000 * MIB,
        ram_free=60_000 * MIB,
    )
    snapshot = AgentSnapshot.from_system_stats(stats, queue_depth=2, prompt_id="p")
    row, unknown = snapshot.metrics("pc1")
    assert (row.gpu_memory_used, row.gpu_memory_total) == (4000, 24_000)
    assert (row.ram_used, row.ram_total, row.queue_depth) == (4000, 64_000, 2)
    assert unknown == {"gpu_utilization", "gpu_temperature", "cpu_utilization"}
    assert snapshot.source == "system_stats"
    assert "No metrics agent answers" in snapshot.missing[0]
    bare = AgentSnapshot.from_system_stats(SystemStats(version="0.8.0"))
    assert len(bare.metrics("pc1").unknown) == 8


def test_a_cpu_server_has_no_gpu():
    raw = {
        "system": {"ram_total": 5, "ram_free": 1},
        "devices": [{"name": "cpu", "type": "cpu", "vram_total": 5, "vram_free": 1}],
    }
    assert AgentSnapshot.from_system_stats(SystemStats.parse(raw)).gpus == ()


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        answer(schema_version=2),
        answer(timestamp=None),
        answer(timestamp="yesterday"),
        answer(timestamp="2026-11-21T15:12:16"),
    ],
)
def test_what_is_no_snapshot(raw):
    assert AgentSnapshot.parse(raw) is None


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("gpu_utilization", 101),
        ("gpu_utilization", -1),
        ("gpu_utilization", "10"),
        ("gpu_utilization", True),
        ("gpu_utilization", float("nan")),
        ("gpu_temperature", 10**30),
        ("memory_used_bytes", -5),
        ("memory_used_bytes", 10**30),
        ("memory_total_bytes", 1.5),
    ],
)
def test_numbers_that_cannot_be_are_unknown(where, value):
    snapshot = AgentSnapshot.parse(answer(gpus=[gpu(0, **{where: value})]))
    _, unknown = snapshot.metrics("pc1")
    assert len(unknown) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from(sorted(answer())), json_values),
    st.dictionaries(st.sampled_from(sorted(gpu(0))), json_values),
)
def test_whatever_an_agent_sends_makes_a_row_or_nothing(top, one):
    raw = answer() | {"gpus": [gpu(0) | one]} | top
    snapshot = AgentSnapshot.parse(raw)
    if snapshot is not None:
        row, unknown = snapshot.metrics("pc1")
        assert unknown <= set(row.model_dump())
        json.loads(row.model_dump_json())
        assert all(text.isprintable() for text in snapshot.missing)
        status = BackendStatus(backend_id="b", online=True, last_seen=datetime.now(UTC))
        snapshot.tell(status)
