"""The agent against NVML: all fields, all units, and all that goes wrong with drivers and cards."""

import ctypes
import os

import pynvml
import pytest

from comfynb_agent.fields import GPU, THROTTLE_REASONS
from comfynb_agent.nvml import RECOUNT, RETRY, RETRY_LOST, RETRY_REFUSED, NvmlReader
from comfynb_agent.nvml_calls import CALLS, MOST_PROCESSES, OFTEN, SELDOM

GIB = 1024**3
NOT_AVAILABLE = 0xFFFFFFFFFFFFFFFF
NOT_SUPPORTED, NO_PERMISSION, LOST, UNKNOWN = 3, 4, 15, 999


@pytest.fixture
def reader(nvml, clock):
    reader = NvmlReader(load=lambda: nvml.module, clock=clock)
    yield reader
    reader.close()


@pytest.mark.parametrize("count", [0, 1, 8])
def test_every_field_of_every_gpu_in_its_unit(nvml, reader, gpu, count):
    nvml.set_count(count)
    reading = reader.read()
    assert reading.gpus == [gpu(index) for index in range(count)]
    assert reading.driver_version == "999.88.77"
    assert reading.missing == ([] if count else ["NVML sees no GPU on this machine."])
    for one in reading.gpus:
        assert set(one) == {field.key for field in GPU}
        # the made-up values are all there, so a field that stayed unknown is one nobody reads
        assert [key for key, value in one.items() if value is None] == ["comfyui"]


def test_only_the_gpus_that_were_asked_for(nvml, clock, gpu):
    nvml.set_count(4)
    reader = NvmlReader(load=lambda: nvml.module, clock=clock, only=["2", gpu(0)["uuid"]])
    assert [one["index"] for one in reader.read().gpus] == [0, 2]
    reader.close()
    nobody = NvmlReader(load=lambda: nvml.module, clock=clock, only=["9"])
    assert "of those it was told to watch" in nobody.read().missing[0]
    nobody.close()


# every C function that the agent's calls rest on, and the fields that go with it
RESTS_ON = {
    "nvmlDeviceGetUtilizationRates": {"gpu_utilization", "memory_utilization"},
    "nvmlDeviceGetTemperature": {"gpu_temperature"},
    "nvmlDeviceGetTemperatureThreshold": {"slowdown_temperature", "shutdown_temperature"},
    "nvmlDeviceGetFieldValues": {"memory_temperature"},
    "memory temperature": {"memory_temperature"},
    "nvmlDeviceGetEncoderUtilization": {"encoder_utilization"},
    "nvmlDeviceGetDecoderUtilization": {"decoder_utilization"},
    "nvmlDeviceGetEncoderStats": {
        "encoder_sessions",
        "encoder_frames_per_second",
        "encoder_latency_us",
    },
    "nvmlDeviceGetPowerUsage": {"power_usage_watts"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_joules"},
    "nvmlDeviceGetClockInfo": {f"clock_{c}_mhz" for c in ("graphics", "sm", "memory", "video")},
    "nvmlDeviceGetMaxClockInfo": {
        f"clock_{c}_max_mhz" for c in ("graphics", "sm", "memory", "video")
    },
    "nvmlDeviceGetNumFans": {"fan_speeds"},
    "nvmlDeviceGetFanSpeed_v2": {"fan_speeds"},
    "nvmlDeviceGetPcieThroughput": {"pcie_tx_bytes_per_second", "pcie_rx_bytes_per_second"},
    "nvmlDeviceGetPcieReplayCounter": {"pcie_replays"},
    "nvmlDeviceGetCurrPcieLinkGeneration": {"pcie_generation"},
    "nvmlDeviceGetMaxPcieLinkGeneration": {"pcie_generation_max"},
    "nvmlDeviceGetCurrPcieLinkWidth": {"pcie_width"},
    "nvmlDeviceGetMaxPcieLinkWidth": {"pcie_width_max"},
    "nvmlDeviceGetEccMode": {"ecc_enabled", "ecc_pending"},
    "nvmlDeviceGetTotalEccErrors": {
        f"ecc_{which}_{scope}"
        for which in ("corrected", "uncorrected")
        for scope in ("volatile", "aggregate")
    },
    "nvmlDeviceGetCurrentClocksEventReasons": {"throttle_reasons", "throttle_mask"},
    "nvmlDeviceGetPerformanceState": {"performance_state"},
    "nvmlDeviceGetRetiredPages": {"retired_pages_single_bit", "retired_pages_double_bit"},
    "nvmlDeviceGetRemappedRows": {
        "remapped_rows_corrected",
        "remapped_rows_uncorrected",
        "row_remapping_pending",
        "row_remapping_failed",
    },
    "nvmlDeviceGetMigMode": {"mig_enabled"},
}


@pytest.mark.parametrize("function", RESTS_ON)
def test_a_call_that_a_card_does_not_support_leaves_out_its_fields_alone(
    nvml, reader, gpu, function
):
    nvml.set_count(2)
    nvml.refuse(function, NOT_SUPPORTED, gpu=1)
    reading = reader.read()
    assert reading.gpus[0] == gpu(0)
    unknown = dict.fromkeys(RESTS_ON[function])
    assert reading.gpus[1] == gpu(1) | unknown
    (sentence,) = reading.missing
    assert sentence.startswith("GPU 1 (NVIDIA Fake 3001) or its driver does not support: ")


def test_every_call_is_refused_somewhere():
    assert set.union(*RESTS_ON.values()) | {
        "memory_total_bytes",
        "memory_used_bytes",
        "memory_free_bytes",
        "memory_reserved_bytes",
        "processes",
    } == {field.key for field in GPU} - {
        *("index", "uuid", "pci_bus_id", "state", "comfyui", "gpu_name"),
        *("gpu_memory_total", "gpu_memory_used", "gpu_memory_free", "gpu_memory_percent"),
    }


def test_a_card_that_supports_nothing_is_still_named(nvml, reader, gpu):
    nvml.refuse("*", NOT_SUPPORTED)
    for function in ("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID", "nvmlDeviceGetName"):
        nvml.refuse(function, 0)
    nvml.refuse("nvmlDeviceGetPciInfo_v3", NOT_SUPPORTED)
    reading = reader.read()
    (one,) = reading.gpus
    told = {key for key, value in one.items() if value is not None}
    assert told == {"index", "uuid", "state", "gpu_name"}
    assert all(call.what in " ".join(reading.missing) for call in CALLS)
    assert "pci_bus_id" in " ".join(reading.missing)


def test_an_unsupported_call_is_not_made_again_for_a_while(nvml, reader, clock):
    nvml.refuse("nvmlDeviceGetPowerUsage", NOT_SUPPORTED)
    reader.read()
    clock.now += 1
    before = nvml.calls
    reader.read()
    often = nvml.calls - before
    nvml.refuse("nvmlDeviceGetPowerUsage", 0)
    clock.now += 1
    before = nvml.calls
    assert reader.read().gpus[0]["power_usage_watts"] is None
    assert nvml.calls - before == often
    clock.now += RETRY_REFUSED
    reading = reader.read()
    assert reading.gpus[0]["power_usage_watts"] is not None
    assert reading.missing == []


def test_what_may_not_be_read_is_told_as_that(nvml, reader):
    nvml.refuse("nvmlDeviceGetTotalEccErrors", NO_PERMISSION)
    (sentence,) = reader.read().missing
    assert sentence.startswith("The agent's user is not permitted to read from GPU 0")
    assert "volatile corrected ECC errors" in sentence


def test_an_old_value_never_passes_for_a_new_one(nvml, reader, clock):
    assert reader.read().gpus[0]["gpu_temperature"] == 40
    nvml.refuse("nvmlDeviceGetTemperature", UNKNOWN)
    clock.now += 1
    reading = reader.read()
    assert reading.gpus[0]["gpu_temperature"] is None
    assert reading.missing == ["GPU 0 (NVIDIA Fake 3000) did not tell temperature: Unknown Error."]
    nvml.refuse("nvmlDeviceGetTemperature", 0)
    clock.now += 1
    reading = reader.read()
    assert (reading.gpus[0]["gpu_temperature"], reading.missing) == (40, [])


def test_a_gpu_that_falls_off_is_told_and_the_others_go_on(nvml, reader, clock, gpu):
    nvml.set_count(8)
    reader.read()
    nvml.refuse("*", LOST, gpu=3)
    clock.now += 1
    reading = reader.read()
    lost = reading.gpus.pop(3)
    assert reading.gpus == [gpu(index) for index in range(8) if index != 3]
    told = {key: value for key, value in lost.items() if value is not None}
    same = {key: gpu(3)[key] for key in ("index", "uuid", "pci_bus_id", "gpu_name")}
    assert told == {**same, "state": "lost"}
    assert reading.missing == ["GPU 3 (NVIDIA Fake 3003) does not answer: GPU is lost."]
    # it is left alone for a while, and found again
    clock.now += 1
    before = nvml.calls
    reader.read()
    seven = nvml.calls - before
    nvml.refuse("*", 0)
    clock.now += RETRY_LOST
    assert reader.read().gpus[3] == gpu(3)
    clock.now += 1
    before = nvml.calls
    reader.read()
    assert (nvml.calls - before) * 7 == seven * 8


def test_a_gpu_that_was_lost_before_the_start(nvml, reader, gpu):
    nvml.set_count(2)
    nvml.refuse("*", LOST, gpu=0)
    reading = reader.read()
    assert reading.gpus[1] == gpu(1)
    assert (reading.gpus[0]["index"], reading.gpus[0]["state"]) == (0, "lost")
    assert reading.missing == ["GPU 0 does not answer: GPU is lost."]


def test_gpus_come_and_go(nvml, reader, clock):
    nvml.set_count(1)
    reader.read()
    nvml.set_count(2)
    clock.now += RECOUNT + 1
    assert [one["state"] for one in reader.read().gpus] == ["ok", "ok"]
    nvml.set_count(1)
    nvml.refuse("*", LOST, gpu=1)
    clock.now += RECOUNT + 1
    assert [one["state"] for one in reader.read().gpus] == ["ok", "lost"]


@pytest.mark.parametrize("code", [1, 9, 18])
def test_a_driver_that_goes_and_comes_back(nvml, reader, clock, gpu, code):
    reader.read()
    nvml.refuse("*", code)
    nvml.set_init(code)
    clock.now += 1
    reading = reader.read()
    (one,) = reading.gpus
    assert (one["state"], one["gpu_name"], one["gpu_temperature"]) == (
        "silent",
        "NVIDIA Fake 3000",
        None,
    )
    assert reading.missing[0].startswith("NVML, the interface of NVIDIA's driver, does not work:")
    assert nvml.initialized == 0
    nvml.refuse("*", 0)
    nvml.set_init(0)
    clock.now += 1
    assert reader.read().gpus[0]["state"] == "silent"
    clock.now += RETRY
    reading = reader.read()
    assert (reading.gpus, reading.missing) == ([gpu(0)], [])


def test_nvml_that_becomes_available_later(library, clock, gpu, monkeypatch):
    """The library is not there at first, as on a machine whose driver is installed later."""
    found = pynvml.CDLL

    def no_library(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", no_library)
    reader = NvmlReader(clock=clock)
    reading = reader.read()
    assert reading.gpus == []
    assert reading.missing == [
        "NVML, the interface of NVIDIA's driver, does not work: NVML Shared Library Not Found."
    ]
    monkeypatch.setattr(pynvml, "CDLL", found)
    clock.now += 1
    assert reader.read().gpus == []
    clock.now += RETRY
    reading = reader.read()
    assert (reading.gpus, reading.missing) == ([gpu(0)], [])
    reader.close()
    assert library.initialized == 0


def test_bindings_that_are_not_installed(clock):
    def load():
        raise ModuleNotFoundError("No module named 'pynvml'")

    reader = NvmlReader(load=load, clock=clock)
    (sentence,) = reader.read().missing
    assert "nvidia-ml-py is not installed" in sentence
    reader.close()


def test_an_older_driver_counts_memory_otherwise(nvml, reader, gpu):
    nvml.refuse("nvmlDeviceGetMemoryInfo_v2", 13)
    (one,) = reader.read().gpus
    expected = gpu(0)["memory_used_bytes"] + gpu(0)["memory_reserved_bytes"]
    assert one["memory_used_bytes"] == expected
    assert one["memory_reserved_bytes"] is None
    assert one["gpu_memory_used"] == expected // 1024**2
    assert one["memory_used_bytes"] + one["memory_free_bytes"] == one["memory_total_bytes"]


def test_an_older_driver_knows_throttling_and_fans_by_other_names(nvml, reader):
    nvml.refuse("nvmlDeviceGetCurrentClocksEventReasons", 13)
    nvml.refuse("nvmlDeviceGetNumFans", 13)
    reading = reader.read()
    assert reading.gpus[0]["throttle_reasons"] == ["sw_power_cap", "sw_thermal_slowdown"]
    assert reading.gpus[0]["fan_speeds"] == [50]
    assert reading.missing == []


def test_older_bindings_lack_functions(nvml, clock, monkeypatch):
    for name in ("nvmlDeviceGetRemappedRows", "nvmlDeviceGetCurrentClocksEventReasons"):
        monkeypatch.delattr(nvml.module, name)
    reader = NvmlReader(load=lambda: nvml.module, clock=clock)
    reading = reader.read()
    reader.close()
    assert reading.gpus[0]["throttle_mask"] == 0x24
    assert reading.gpus[0]["remapped_rows_corrected"] is None
    (sentence,) = reading.missing
    assert sentence.startswith("The installed nvidia-ml-py is too old to ask GPU 0")
    assert sentence.endswith("for: remapped rows.")


@pytest.mark.parametrize(
    ("function", "said", "key"),
    [
        ("nvmlDeviceGetPowerUsage", 0xFFFFFFFF, "power_usage_watts"),
        ("nvmlDeviceGetTotalEnergyConsumption", NOT_AVAILABLE, "energy_joules"),
        ("nvmlDeviceGetPerformanceState", 32, "performance_state"),
        ("nvmlDeviceGetEncoderUtilization", [4000, 0], "encoder_utilization"),
        ("nvmlDeviceGetPcieReplayCounter", -1, "pcie_replays"),
    ],
)
def test_numbers_that_stand_for_nothing_are_none(  # noqa: PLR0917
    nvml, reader, monkeypatch, function, said, key
):
    monkeypatch.setattr(nvml.module, function, lambda handle: said)
    assert reader.read().gpus[0][key] is None


def test_an_answer_that_makes_no_sense_hides_no_other(nvml, reader, gpu, monkeypatch):
    monkeypatch.setattr(nvml.module, "nvmlDeviceGetMigMode", lambda handle: None)
    monkeypatch.setattr(nvml.module, "nvmlDeviceGetName", lambda handle: b"\xff\xfe".decode())
    reading = reader.read()
    assert reading.gpus == [gpu(0) | {"mig_enabled": None, "gpu_name": None}]
    assert len(reading.missing) == 2
    assert any("MIG mode" in sentence and "TypeError" in sentence for sentence in reading.missing)
    assert "GPU 0 tells a gpu_name that is no text." in reading.missing


def test_throttle_reasons_by_name(nvml, reader):
    nvml.set_throttle(sum(THROTTLE_REASONS) | 1 << 30)
    (one,) = reader.read().gpus
    assert one["throttle_reasons"] == list(THROTTLE_REASONS.values())
    assert one["throttle_mask"] == 0x7FF | 1 << 30
    for name in ("SwPowerCap", "HwSlowdown", "SwThermalSlowdown", "Reliability", "BoardLimit"):
        bit = getattr(pynvml, f"nvmlClocksThrottleReason{name}")
        words = "".join(part.capitalize() for part in THROTTLE_REASONS[bit].split("_"))
        assert words == name


def test_programs_and_their_memory(nvml, clock):
    own, gone = os.getpid(), 0x3FFFFFF0
    nvml.set_count(2)
    nvml.add_process(0, own, 5 * GIB)
    nvml.add_process(0, own, 6 * GIB, graphics=True)
    nvml.add_process(0, gone, NOT_AVAILABLE, graphics=True)
    nvml.add_process(1, gone, GIB)
    reader = NvmlReader(load=lambda: nvml.module, clock=clock, owner=own)
    reading = reader.read()
    reader.close()
    first, second = reading.gpus
    mine, theirs = first["processes"]
    assert (mine["pid"], mine["kind"], mine["memory_used_bytes"]) == (own, "both", 6 * GIB)
    assert mine["name"]
    assert theirs == {"pid": gone, "kind": "graphics", "memory_used_bytes": None, "name": None}
    assert [p["memory_used_bytes"] for p in second["processes"]] == [GIB]
    assert (first["comfyui"], second["comfyui"]) == (True, None)
    assert reading.missing == [
        "Some programs on GPU 0, 1 belong to other users or containers: their names are unknown."
    ]


@pytest.mark.parametrize("silent", ["Compute", "Graphics"])
def test_a_card_that_tells_only_some_programs(nvml, reader, silent):
    """In a virtual machine or under Windows one of the two lists is often not to be had."""
    nvml.add_process(0, 0x3FFFFFF0, GIB)
    nvml.add_process(0, 0x3FFFFFF1, GIB, graphics=True)
    nvml.refuse(f"nvmlDeviceGet{silent}RunningProcesses_v3", NOT_SUPPORTED)
    reading = reader.read()
    (kept,) = reading.gpus[0]["processes"]
    assert kept["kind"] != silent.lower()
    words = {"Compute": "programs that compute", "Graphics": "programs that draw"}
    assert any(words[silent] in sentence for sentence in reading.missing)


def test_a_card_that_tells_no_programs(nvml, reader):
    for kind in ("Compute", "Graphics"):
        nvml.refuse(f"nvmlDeviceGet{kind}RunningProcesses_v3", NOT_SUPPORTED)
    assert reader.read().gpus[0]["processes"] is None


def test_a_gpu_with_very_many_programs_lists_the_largest(nvml, reader):
    for number in range(MOST_PROCESSES + 10):
        nvml.add_process(0, 0x3FFFFF00 + number, number * GIB)
    reading = reader.read()
    sizes = [process["memory_used_bytes"] // GIB for process in reading.gpus[0]["processes"]]
    assert sizes == list(range(MOST_PROCESSES + 9, 9, -1))
    assert any("10 more programs" in sentence for sentence in reading.missing)


def test_what_takes_long_is_read_seldom(nvml, reader, clock):
    reader.read()
    before = nvml.calls
    clock.now += 1
    reader.read()
    second = nvml.calls - before
    clock.now += SELDOM
    before = nvml.calls
    reader.read()
    assert nvml.calls - before > second
    assert all(call.every > OFTEN for call in CALLS if "PCIe" in call.what)


def test_the_library_speaks_the_structures_of_the_bindings():
    # the C above was written from the same header as these
    assert ctypes.sizeof(pynvml.c_nvmlMemory_v2_t) == 40
    assert ctypes.sizeof(pynvml.c_nvmlProcessInfo_v3_t) == 24
    assert ctypes.sizeof(pynvml.nvmlPciInfo_t) == 68
    assert ctypes.sizeof(pynvml.c_nvmlFieldValue_t) == 40
