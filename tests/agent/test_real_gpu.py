"""The agent on a real NVIDIA GPU, compared with nvidia-smi; skipped where there is none."""

import csv
import json
import os
import shutil
import subprocess
import sys
import urllib.request

import pytest

SMI = shutil.which("nvidia-smi")
pytestmark = pytest.mark.skipif(
    SMI is None or subprocess.run([SMI, "-L"], capture_output=True, check=False).returncode != 0,
    reason="no NVIDIA GPU here: the agent was NOT compared with nvidia-smi",
)

# nvidia-smi's name, the agent's field, what nvidia-smi's unit is in the agent's, and how far two
# looks a moment apart may differ (a share and an amount)
STEADY = {
    "uuid": "uuid",
    "name": "gpu_name",
    "pci.bus_id": "pci_bus_id",
}
NUMBERS = [
    ("memory.total", "gpu_memory_total", 1, 0, 1),
    ("memory.used", "gpu_memory_used", 1, 0.05, 64),
    ("memory.reserved", "memory_reserved_bytes", 1024**2, 0.01, 2 * 1024**2),
    ("temperature.gpu", "gpu_temperature", 1, 0, 5),
    ("temperature.memory", "memory_temperature", 1, 0, 5),
    ("power.draw", "power_usage_watts", 1, 0.5, 30),
    ("enforced.power.limit", "power_limit_watts", 1, 0.001, 0.1),
    ("clocks.max.graphics", "clock_graphics_max_mhz", 1, 0, 0),
    ("clocks.max.sm", "clock_sm_max_mhz", 1, 0, 0),
    ("clocks.max.memory", "clock_memory_max_mhz", 1, 0, 0),
    ("clocks.current.memory", "clock_memory_mhz", 1, 1, 0),
    ("pcie.link.gen.max", "pcie_generation_max", 1, 0, 0),
    ("pcie.link.width.max", "pcie_width_max", 1, 0, 0),
    ("pcie.link.width.current", "pcie_width", 1, 1, 0),
    ("encoder.stats.sessionCount", "encoder_sessions", 1, 0, 0),
    ("ecc.errors.corrected.volatile.total", "ecc_corrected_volatile", 1, 0, 0),
    ("ecc.errors.uncorrected.volatile.total", "ecc_uncorrected_volatile", 1, 0, 0),
    ("ecc.errors.corrected.aggregate.total", "ecc_corrected_aggregate", 1, 0, 0),
    ("ecc.errors.uncorrected.aggregate.total", "ecc_uncorrected_aggregate", 1, 0, 0),
    ("utilization.gpu", "gpu_utilization", 1, 0, 30),
    ("utilization.memory", "memory_utilization", 1, 0, 30),
]


def smi(*names):
    """Return what nvidia-smi tells of each GPU by its index, None where it says [N/A]."""
    assert SMI is not None
    query = f"--query-gpu=index,{','.join(names)}"
    said = subprocess.run(
        [SMI, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=False
    )
    if said.returncode != 0:
        return None
    rows = csv.reader(said.stdout.splitlines(), skipinitialspace=True)
    return {
        int(row[0]): [
            None if value.startswith("[") or value == "N/A" else value for value in row[1:]
        ]
        for row in rows
    }


@pytest.fixture(scope="module")
def snapshot():
    command = [sys.executable, "-m", "comfynb_agent", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            while True:
                with opener.open(f"{url}/comfynb/metrics.json", timeout=30) as answer:
                    told = json.load(answer)
                # the first look may come while the driver still wakes up
                if not any("has not answered" in sentence for sentence in told["missing"]):
                    return told
        finally:
            process.terminate()


def test_the_same_gpus(snapshot):
    for name, key in STEADY.items():
        known = smi(name)
        told = {one["index"]: [one[key]] for one in snapshot["gpus"]}
        assert told == known, name
    assert smi("driver_version")[0] == [snapshot["agent"]["driver_version"]]


@pytest.mark.parametrize(("name", "key", "unit", "share", "amount"), NUMBERS)
def test_the_same_numbers_in_our_units(snapshot, name, key, unit, share, amount):  # noqa: PLR0917
    known = smi(name)
    if known is None:
        pytest.skip(f"this nvidia-smi does not know {name}")
    for one in snapshot["gpus"]:
        (text,) = known[one["index"]]
        if text is None:
            assert not one[key], f"nvidia-smi knows no {name}"
        else:
            assert one[key] is not None, snapshot["missing"]
            expected = float(text) * unit
            assert one[key] == pytest.approx(expected, rel=share, abs=amount)


def test_what_is_unknown_is_told(snapshot):
    """Each field is either there or accounted for by a sentence about its GPU."""
    for one in snapshot["gpus"]:
        assert one["state"] == "ok"
        unknown = [key for key, value in one.items() if value is None and key != "comfyui"]
        assert not unknown or any(f"GPU {one['index']}" in s for s in snapshot["missing"])
