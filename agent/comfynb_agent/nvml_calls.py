"""Which NVML calls are made, how often, and what their answers mean in our units."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .fields import THROTTLE_REASONS

__all__ = ["CALLS", "MOST_PROCESSES", "OFTEN", "ONCE", "SELDOM", "Call", "Values", "merge_programs"]

Values = dict[str, Any]
Read = Callable[[Any, Any], Values]

OFTEN = 0.0
"""Read with every sample."""
SELDOM = 10.0
"""Seconds: what changes slowly, or takes NVML long (PCIe throughput: 20 ms for each direction)."""
ONCE = 300.0
"""Seconds: what stays as it is as long as the driver runs, nearly."""

MOST_PROCESSES = 64
"""For each GPU; a snapshot must not grow without bounds."""

_MILLI = 1000
_KB = 1000
_UNSIGNED_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Call:
    """``read(nvml, handle)`` returns some fields of a GPU; ``what`` names them in sentences."""

    what: str
    read: Read
    every: float = OFTEN


def _number(value: int) -> int | None:
    # NVML's "not available" where it has no error code for it.
    return None if value in {_UNSIGNED_MAX, 0xFFFFFFFFFFFFFFFF, -1} else int(value)


def _share(value: int) -> int | None:
    """Return a percentage; NVML is known to answer nonsense while a GPU wakes up."""
    return int(value) if 0 <= value <= 100 else None


def _scaled(value: int, divisor: int) -> float | None:
    known = _number(value)
    return None if known is None else known / divisor


def _memory(nvml: Any, handle: Any) -> Values:
    try:
        info = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        reserved = int(info.reserved)
    except nvml.NVMLError as error:
        if error.value not in {
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            nvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        }:
            raise
        # Drivers before 510 know only this one, which counts what is reserved as used.
        info, reserved = nvml.nvmlDeviceGetMemoryInfo(handle), None
    return {
        "memory_total_bytes": int(info.total),
        "memory_used_bytes": int(info.used),
        "memory_free_bytes": int(info.free),
        "memory_reserved_bytes": reserved,
    }


def _utilization(nvml: Any, handle: Any) -> Values:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return {"gpu_utilization": _share(rates.gpu), "memory_utilization": _share(rates.memory)}


def _encoder(nvml: Any, handle: Any) -> Values:
    return {"encoder_utilization": _share(nvml.nvmlDeviceGetEncoderUtilization(handle)[0])}


def _decoder(nvml: Any, handle: Any) -> Values:
    return {"decoder_utilization": _share(nvml.nvmlDeviceGetDecoderUtilization(handle)[0])}


def _encoder_sessions(nvml: Any, handle: Any) -> Values:
    sessions, frames, latency = nvml.nvmlDeviceGetEncoderStats(handle)
    return {
        "encoder_sessions": int(sessions),
        "encoder_frames_per_second": int(frames),
        "encoder_latency_us": int(latency),
    }


def _temperature(nvml: Any, handle: Any) -> Values:
    degrees = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    return {"gpu_temperature": _number(degrees)}


def _memory_temperature(nvml: Any, handle: Any) -> Values:
    (field,) = nvml.nvmlDeviceGetFieldValues(handle, [nvml.NVML_FI_DEV_MEMORY_TEMP])
    if field.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(field.nvmlReturn)
    # The driver writes 0 for memory without a sensor.
    return {"memory_temperature": int(field.value.uiVal) or None}


def _threshold(key: str, constant: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        degrees = nvml.nvmlDeviceGetTemperatureThreshold(handle, getattr(nvml, constant))
        return {key: _number(degrees)}

    return read


def _power(nvml: Any, handle: Any) -> Values:
    return {"power_usage_watts": _scaled(nvml.nvmlDeviceGetPowerUsage(handle), _MILLI)}


def _power_limit(nvml: Any, handle: Any) -> Values:
    return {"power_limit_watts": _scaled(nvml.nvmlDeviceGetEnforcedPowerLimit(handle), _MILLI)}


def _energy(nvml: Any, handle: Any) -> Values:
    return {"energy_joules": _scaled(nvml.nvmlDeviceGetTotalEnergyConsumption(handle), _MILLI)}


def _clock(key: str, constant: str, function: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        return {key: _number(getattr(nvml, function)(handle, getattr(nvml, constant)))}

    return read


def _performance_state(nvml: Any, handle: Any) -> Values:
    state = nvml.nvmlDeviceGetPerformanceState(handle)
    # 32 stands for unknown
    return {"performance_state": int(state) if 0 <= state <= 15 else None}


def _fans(nvml: Any, handle: Any) -> Values:
    try:
        count = nvml.nvmlDeviceGetNumFans(handle)
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        return {"fan_speeds": [int(nvml.nvmlDeviceGetFanSpeed(handle))]}
    return {"fan_speeds": [int(nvml.nvmlDeviceGetFanSpeed_v2(handle, fan)) for fan in range(count)]}


def _throttling(nvml: Any, handle: Any) -> Values:
    try:
        mask = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except (AttributeError, nvml.NVMLError) as error:
        # Drivers before 535 and bindings of their time have it under its old name.
        if getattr(error, "value", None) not in {None, nvml.NVML_ERROR_FUNCTION_NOT_FOUND}:
            raise
        mask = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return {
        "throttle_mask": int(mask),
        "throttle_reasons": [name for bit, name in THROTTLE_REASONS.items() if mask & bit],
    }


def _simple(key: str, function: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        return {key: _number(getattr(nvml, function)(handle))}

    return read


def _pcie_traffic(key: str, constant: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        kilobytes = _number(nvml.nvmlDeviceGetPcieThroughput(handle, getattr(nvml, constant)))
        return {key: None if kilobytes is None else kilobytes * _KB}

    return read


def _ecc_mode(nvml: Any, handle: Any) -> Values:
    current, pending = nvml.nvmlDeviceGetEccMode(handle)
    return {"ecc_enabled": bool(current), "ecc_pending": bool(pending)}


def _ecc_errors(which: str, scope: str) -> Read:
    key, kind = f"ecc_{which}_{scope}", f"NVML_MEMORY_ERROR_TYPE_{which.upper()}"
    counter = f"NVML_{scope.upper()}_ECC"

    def read(nvml: Any, handle: Any) -> Values:
        count = nvml.nvmlDeviceGetTotalEccErrors(
            handle, getattr(nvml, kind), getattr(nvml, counter)
        )
        return {key: _number(count)}

    return read


def _retired(key: str, constant: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        return {key: len(nvml.nvmlDeviceGetRetiredPages(handle, getattr(nvml, constant)))}

    return read


def _remapped(nvml: Any, handle: Any) -> Values:
    corrected, uncorrected, pending, failed = nvml.nvmlDeviceGetRemappedRows(handle)
    return {
        "remapped_rows_corrected": int(corrected),
        "remapped_rows_uncorrected": int(uncorrected),
        "row_remapping_pending": bool(pending),
        "row_remapping_failed": bool(failed),
    }


def _mig(nvml: Any, handle: Any) -> Values:
    return {"mig_enabled": bool(nvml.nvmlDeviceGetMigMode(handle)[0])}


def _programs(key: str, function: str) -> Read:
    def read(nvml: Any, handle: Any) -> Values:
        return {
            key: [
                (
                    int(process.pid),
                    None if process.usedGpuMemory is None else int(process.usedGpuMemory),
                )
                for process in getattr(nvml, function)(handle)
            ]
        }

    return read


def merge_programs(values: Values) -> int:
    """Make one list of the programs that compute and those that draw; return how many are left out.

    The list stays None only where the card tells neither.
    """
    found: dict[int, Values] = {}
    lists = {kind: values.pop(f"_{kind}", None) for kind in ("compute", "graphics")}
    if all(programs is None for programs in lists.values()):
        return 0
    for kind, programs in lists.items():
        for pid, memory in programs or ():
            known = found.get(pid)
            if known is None:
                found[pid] = {"pid": pid, "kind": kind, "memory_used_bytes": memory}
                continue
            # Both lists tell the whole program's memory, so it is not added up.
            known["kind"] = kind if known["kind"] == kind else "both"
            amounts = [m for m in (known["memory_used_bytes"], memory) if m is not None]
            known["memory_used_bytes"] = max(amounts, default=None)
    largest = sorted(found.values(), key=lambda entry: -(entry["memory_used_bytes"] or 0))
    values["processes"] = largest[:MOST_PROCESSES]
    return len(largest[MOST_PROCESSES:])


def _clocks() -> tuple[Call, ...]:
    calls = []
    for name, domain in (
        ("graphics", "GRAPHICS"),
        ("sm", "SM"),
        ("memory", "MEM"),
        ("video", "VIDEO"),
    ):
        constant = f"NVML_CLOCK_{domain}"
        now = _clock(f"clock_{name}_mhz", constant, "nvmlDeviceGetClockInfo")
        most = _clock(f"clock_{name}_max_mhz", constant, "nvmlDeviceGetMaxClockInfo")
        calls += [
            Call(f"the {name} clock", now),
            Call(f"the highest {name} clock", most, ONCE),
        ]
    return tuple(calls)


CALLS: tuple[Call, ...] = (
    Call("memory", _memory),
    Call("utilisation", _utilization),
    Call("temperature", _temperature),
    Call("power draw", _power),
    Call("energy", _energy),
    Call("encoder utilisation", _encoder),
    Call("decoder utilisation", _decoder),
    Call("throttle reasons", _throttling),
    Call("performance state", _performance_state),
    Call("fan speeds", _fans),
    Call("programs that compute", _programs("_compute", "nvmlDeviceGetComputeRunningProcesses")),
    Call("programs that draw", _programs("_graphics", "nvmlDeviceGetGraphicsRunningProcesses")),
    *_clocks(),
    Call("encoder sessions", _encoder_sessions, SELDOM),
    Call("memory temperature", _memory_temperature),
    Call(
        "slowdown temperature",
        _threshold("slowdown_temperature", "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
        ONCE,
    ),
    Call(
        "shutdown temperature",
        _threshold("shutdown_temperature", "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN"),
        ONCE,
    ),
    Call("power limit", _power_limit, SELDOM),
    Call(
        "PCIe generation",
        _simple("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
        SELDOM,
    ),
    Call(
        "highest PCIe generation",
        _simple("pcie_generation_max", "nvmlDeviceGetMaxPcieLinkGeneration"),
        ONCE,
    ),
    Call("PCIe width", _simple("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth"), SELDOM),
    Call("highest PCIe width", _simple("pcie_width_max", "nvmlDeviceGetMaxPcieLinkWidth"), ONCE),
    Call(
        "PCIe traffic out",
        _pcie_traffic("pcie_tx_bytes_per_second", "NVML_PCIE_UTIL_TX_BYTES"),
        SELDOM,
    ),
    Call(
        "PCIe traffic in",
        _pcie_traffic("pcie_rx_bytes_per_second", "NVML_PCIE_UTIL_RX_BYTES"),
        SELDOM,
    ),
    Call("PCIe replays", _simple("pcie_replays", "nvmlDeviceGetPcieReplayCounter"), SELDOM),
    Call("ECC mode", _ecc_mode, SELDOM),
    *(
        Call(f"{scope} {which} ECC errors", _ecc_errors(which, scope), SELDOM)
        for which in ("corrected", "uncorrected")
        for scope in ("volatile", "aggregate")
    ),
    Call(
        "pages retired for single-bit errors",
        _retired(
            "retired_pages_single_bit",
            "NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS",
        ),
        SELDOM,
    ),
    Call(
        "pages retired for double-bit errors",
        _retired("retired_pages_double_bit", "NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR"),
        SELDOM,
    ),
    Call("remapped rows", _remapped, SELDOM),
    Call("MIG mode", _mig, SELDOM),
)
