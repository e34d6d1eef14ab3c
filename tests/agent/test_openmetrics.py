"""The OpenMetrics text, read back with Prometheus's own parser."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from comfynb_agent.collector import Collector
from comfynb_agent.disks import DiskReader
from comfynb_agent.fields import DISK, GPU, HOST, QUEUE, THROTTLE_REASONS
from comfynb_agent.nvml import NvmlReader
from comfynb_agent.openmetrics import render
from comfynb_agent.queues import NoQueue, QueueReading

GIB = 1024**3


class Queue(NoQueue):
    async def ask(self):
        return QueueReading("http", True, 1, 4, ["p"])


@pytest.fixture
async def snapshot(nvml, fake_host, tmp_path):
    nvml.set_count(2)
    nvml.add_process(1, 0x3FFFFFF0, 3 * GIB)
    collector = Collector(
        gpus=NvmlReader(load=lambda: nvml.module),
        disks=DiskReader(lambda: [("models", str(tmp_path))]),
        queue=Queue(),
        backend_id="b",
        mode="standalone",
        host=fake_host,
    )
    yield (await collector.snapshot(0)).data
    await collector.close()


def families(data):
    return {family.name: family for family in parse(render(data).decode())}


def value(found, name, /, **labels):
    for family in found.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    raise AssertionError(f"no {name} with {labels}")


async def test_prometheus_reads_all_of_it_in_base_units(snapshot, gpu):
    found = families(snapshot)
    one = gpu(1)
    expected = {
        "comfynb_gpu_utilization_ratio": 0.11,
        "comfynb_gpu_memory_used_bytes": one["memory_used_bytes"],
        "comfynb_gpu_memory_total_bytes": 25 * GIB,
        "comfynb_gpu_temperature_celsius": 41,
        "comfynb_gpu_power_watts": 250.124,
        "comfynb_gpu_power_limit_watts": 351,
        "comfynb_gpu_energy_joules_total": 98765432.11,
        "comfynb_gpu_encoder_latency_seconds": 0.001501,
        "comfynb_gpu_pcie_tx_bytes_per_second": 5_001_000,
        "comfynb_gpu_pcie_replays_total": 18,
        "comfynb_gpu_up": 1,
        "comfynb_gpu_ecc_enabled": 1,
        "comfynb_gpu_row_remapping_failed": 0,
    }
    for name, amount in expected.items():
        assert value(found, name, gpu="1", uuid=one["uuid"]) == pytest.approx(amount, rel=1e-12), (
            name
        )
    assert value(found, "comfynb_gpu_clock_hertz", gpu="1", clock="memory") == 1.201e9
    assert value(found, "comfynb_gpu_clock_max_hertz", gpu="0", clock="sm") == 2.1e9
    assert value(found, "comfynb_gpu_fan_speed_ratio", gpu="1", fan="1") == 0.71
    errors = {"error": "uncorrected", "scope": "aggregate"}
    assert value(found, "comfynb_gpu_ecc_errors_total", gpu="0", **errors) == 1110
    assert value(found, "comfynb_gpu_process_memory_bytes", pid=str(0x3FFFFFF0)) == 3 * GIB
    assert value(found, "comfynb_gpu_info", name="NVIDIA Fake 3001") == 1
    assert value(found, "comfynb_cpu_utilization_ratio") == 0.125
    assert value(found, "comfynb_queue_pending") == 4
    assert value(found, "comfynb_comfyui_up") == 1
    assert value(found, "comfynb_disk_free_bytes", role="models") > 0
    assert found["comfynb_gpu_energy_joules"].type == "counter"
    assert found["comfynb_gpu_energy_joules"].unit == "joules"
    throttle = found["comfynb_gpu_throttle"]
    assert throttle.type == "stateset"
    on = {s.labels["comfynb_gpu_throttle"] for s in throttle.samples if s.value == 1}
    assert on == {"sw_power_cap", "sw_thermal_slowdown"}
    assert len(throttle.samples) == 2 * len(THROTTLE_REASONS)


async def test_every_number_of_the_snapshot_is_there(snapshot):
    found = families(snapshot)
    for field in (*GPU, *HOST, *QUEUE, *DISK):
        if field.metric is not None:
            family = found[field.metric.name]
            assert family.type == field.metric.kind
            assert family.unit == field.metric.unit
            assert family.documentation
            if field.metric.unit:
                assert family.name.endswith("_" + field.metric.unit)
    silent = {field.key for field in GPU if field.metric is None and field.type != "string"}
    # what the metrics models call otherwise, what has a form of its own, and what is a label
    assert silent == {
        *("gpu_memory_total", "gpu_memory_used", "gpu_memory_free", "gpu_memory_percent"),
        *("fan_speeds", "throttle_reasons", "throttle_mask", "processes"),
        *("index", "comfyui"),
    }


async def test_what_is_not_known_is_left_out(snapshot):
    data = copy.deepcopy(snapshot)
    for one in data["gpus"]:
        for key in set(one) - {"index"}:
            one[key] = None
        one["state"] = "lost"
    for part in ("host", "comfyui"):
        data[part] = dict.fromkeys(data[part])
    found = families(data)
    assert value(found, "comfynb_gpu_up", gpu="0") == 0
    kept = {name for name in found if name.startswith("comfynb_gpu")}
    assert kept == {"comfynb_gpu", "comfynb_gpu_up"}
    assert "comfynb_ram_total_bytes" not in found


def bare(**agent):
    unknown = {field.key: None for field in (*HOST, *QUEUE)}
    agent = {"version": "1", "mode": "standalone", "driver_version": None} | agent
    return {
        "agent": agent,
        "backend_id": "b",
        "missing": [],
        "host": unknown,
        "comfyui": unknown,
        "disks": [],
        "gpus": [],
    }


# Prometheus's parser takes the other line separators of Unicode for ends of lines, which the
# specification does not: there only \n is one.
texts = st.text(
    st.characters(
        exclude_categories=["Cs", "Zl", "Zp"], exclude_characters="\r\v\f\x1c\x1d\x1e\x85"
    )
)


@given(texts, texts)
def test_any_text_in_a_label_comes_back(name, path):
    data = bare(driver_version=name)
    data["disks"] = [
        {"role": "x", "path": path, "total_bytes": 1, "used_bytes": 1, "free_bytes": 1}
    ]
    found = families(data)
    assert found["comfynb_agent"].samples[0].labels["driver_version"] == name
    assert found["comfynb_disk_free_bytes"].samples[0].labels["path"] == path


@given(st.text())
def test_no_label_can_add_a_line(text):
    lines = render(bare(version=text)).decode().split("\n")
    assert len(lines) == len(render(bare()).decode().split("\n"))
    assert lines[-2:] == ["# EOF", ""]
