"""NVML twice: a library of made-up GPUs behind NVIDIA's bindings, and a stand-in for the bindings.

Both show the same GPUs and are changed in the same way, so that a test runs on either.
"""

import ctypes
import importlib
import os
import shutil
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pynvml
import pytest
from aiohttp import web

from comfynb_agent.cli import make_app
from comfynb_agent.collector import Collector
from comfynb_agent.disks import DiskReader
from comfynb_agent.nvml import NvmlReader
from comfynb_agent.queues import NoQueue
from comfynb_agent.settings import Settings
from comfynb_agent.web import Agent

MIB = 1024 * 1024
NOT_AVAILABLE = 0xFFFFFFFFFFFFFFFF
SONAME = "libnvidia-ml.so.1"


def gpu_of(index: int) -> dict[str, Any]:
    """What the agent must say of the made-up GPU ``index``, in the agent's units."""
    total = (24 + index) * 1024 * MIB
    used = (1000 + index) * MIB + 524289
    reserved = (300 + index) * MIB
    return {
        "index": index,
        "uuid": f"GPU-00000000-0000-0000-0000-{index:012d}",
        "pci_bus_id": f"00000000:{index + 1:02X}:00.0",
        "state": "ok",
        "comfyui": None,
        "gpu_name": f"NVIDIA Fake {3000 + index}",
        "gpu_memory_total": (24 + index) * 1024,
        "gpu_memory_used": 1000 + index,
        "gpu_memory_free": (24 + index) * 1024 - 1000 - index,
        "gpu_memory_percent": round(used / total * 100, 3),
        "gpu_utilization": 10 + index,
        "gpu_temperature": 40 + index,
        "memory_total_bytes": total,
        "memory_used_bytes": used,
        "memory_free_bytes": total - reserved - used,
        "memory_reserved_bytes": reserved,
        "memory_utilization": 20 + index,
        "encoder_utilization": 30 + index,
        "decoder_utilization": 31 + index,
        "encoder_sessions": 1 + index,
        "encoder_frames_per_second": 61 + index,
        "encoder_latency_us": 1500 + index,
        "memory_temperature": 60 + index,
        "slowdown_temperature": 90 + index,
        "shutdown_temperature": 100 + index,
        "power_usage_watts": pytest.approx(250.123 + index / 1000),
        "power_limit_watts": 350.0 + index,
        "energy_joules": pytest.approx(98765432.109 + index / 1000, abs=1e-4),
        "clock_graphics_mhz": 1000 + index,
        "clock_sm_mhz": 1100 + index,
        "clock_memory_mhz": 1200 + index,
        "clock_video_mhz": 1300 + index,
        "clock_graphics_max_mhz": 2000 + index,
        "clock_sm_max_mhz": 2100 + index,
        "clock_memory_max_mhz": 2200 + index,
        "clock_video_max_mhz": 2300 + index,
        "performance_state": 2,
        "fan_speeds": [50 + index, 70 + index],
        "throttle_reasons": ["sw_power_cap", "sw_thermal_slowdown"],
        "throttle_mask": 0x24,
        "pcie_generation": 3,
        "pcie_generation_max": 5,
        "pcie_width": 8,
        "pcie_width_max": 16,
        "pcie_tx_bytes_per_second": (5000 + index) * 1000,
        "pcie_rx_bytes_per_second": (7000 + index) * 1000,
        "pcie_replays": 17 + index,
        "ecc_enabled": True,
        "ecc_pending": False,
        "ecc_corrected_volatile": 1000 + index,
        "ecc_uncorrected_volatile": 1100 + index,
        "ecc_corrected_aggregate": 1010 + index,
        "ecc_uncorrected_aggregate": 1110 + index,
        "retired_pages_single_bit": 3 + index,
        "retired_pages_double_bit": 1,
        "remapped_rows_corrected": 4 + index,
        "remapped_rows_uncorrected": 2,
        "row_remapping_pending": True,
        "row_remapping_failed": False,
        "mig_enabled": False,
        "processes": [],
    }


class Library:
    """The C library, through NVIDIA's own bindings."""

    kind = "library"
    module: Any = pynvml

    def __init__(self, path: Path) -> None:
        # The linker knows a loaded library by its soname, so the bindings find this one.
        self._lib = ctypes.CDLL(str(path))
        self._lib.fake_add_process.argtypes = [
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_ulonglong,
        ]
        self._lib.fake_calls.restype = ctypes.c_ulonglong
        self._lib.fake_reset()

    def set_count(self, count: int) -> None:
        self._lib.fake_set_count(count)

    def set_init(self, code: int) -> None:
        self._lib.fake_set_init(code)

    def set_throttle(self, mask: int) -> None:
        self._lib.fake_set_throttle(mask)

    def refuse(self, function: str, code: int, gpu: int = -1) -> None:
        """Let a C function (or ``*``) answer with an error code, or with 0 again as it should."""
        self._lib.fake_refuse(function.encode(), gpu, code)

    def add_process(self, gpu: int, pid: int, used: int, *, graphics: bool = False) -> None:
        self._lib.fake_add_process(gpu, int(graphics), pid, used)

    @property
    def calls(self) -> int:
        return int(self._lib.fake_calls())

    @property
    def callers(self) -> int:
        """How often another thread called than the last time, plus one."""
        return int(self._lib.fake_callers())

    @property
    def initialized(self) -> int:
        return int(self._lib.fake_initialized())

    def shut_gate(self) -> None:
        self._lib.fake_shut_gate()

    def open_gate(self) -> None:
        self._lib.fake_open_gate()


class StandIn:
    """The same GPUs as a module in the place of NVIDIA's bindings, without any C."""

    kind = "stand-in"

    # what the bindings ask the C library for, by the function's name there
    _C_NAMES: ClassVar = {
        "nvmlDeviceGetPciInfo": "nvmlDeviceGetPciInfo_v3",
        "nvmlDeviceGetCount": "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex": "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetComputeRunningProcesses": "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses": "nvmlDeviceGetGraphicsRunningProcesses_v3",
    }

    def __init__(self) -> None:
        self.count, self.init_code, self.initialized, self.calls = 1, 0, 0, 0
        self.throttle = 0x24
        self.rules: list[tuple[str, int, int]] = []
        self.listed: list[tuple[int, bool, int, int | None]] = []
        self.module = types.ModuleType("pynvml")
        for name, value in vars(pynvml).items():
            if name.startswith("NVML") or name == "nvmlMemory_v2":
                setattr(self.module, name, value)
        for name, answer in self._answers().items():
            setattr(self.module, name, self._function(name, answer))
        self.module.nvmlInit = self._init
        self.module.nvmlShutdown = self._shutdown

    def set_count(self, count: int) -> None:
        self.count = count

    def set_init(self, code: int) -> None:
        self.init_code = code

    def set_throttle(self, mask: int) -> None:
        self.throttle = mask

    def refuse(self, function: str, code: int, gpu: int = -1) -> None:
        self.rules.append((function, gpu, code))

    def add_process(self, gpu: int, pid: int, used: int, *, graphics: bool = False) -> None:
        self.listed.append((gpu, graphics, pid, None if used == NOT_AVAILABLE else used))

    def _init(self) -> None:
        if self.init_code:
            raise pynvml.NVMLError(self.init_code)
        self.initialized += 1

    def _shutdown(self) -> None:
        self.initialized -= 1

    def _rule(self, function: str, gpu: int) -> int:
        code = 0
        for name, of, result in self.rules:
            if (name == function or (name == "*" and gpu >= 0)) and of in {-1, gpu}:
                code = result
        return code

    def _function(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, version: int | None = None) -> Any:
            self.calls += 1
            c_name = self._C_NAMES.get(name, name)
            if version is not None:
                c_name += "_v2"
            gpu = arguments[0] if name.startswith("nvmlDevice") and arguments else -1
            code = 1 if not self.initialized else self._rule(c_name, gpu)
            if name == "nvmlDeviceGetHandleByIndex" and gpu >= self.count:
                code = 2
            if code:
                raise pynvml.NVMLError(code)
            if version is not None:
                return answer(*arguments, v2=True)
            return answer(*arguments)

        return call

    def _answers(self) -> dict[str, Callable[..., Any]]:
        record = types.SimpleNamespace

        def memory(i: int, *, v2: bool = False) -> Any:
            told = gpu_of(i)
            total, used = told["memory_total_bytes"], told["memory_used_bytes"]
            reserved, free = told["memory_reserved_bytes"], told["memory_free_bytes"]
            if v2:
                return record(total=total, used=used, free=free, reserved=reserved)
            return record(total=total, used=used + reserved, free=free)

        def processes(graphics: bool) -> Callable[[int], Any]:
            return lambda i: [
                record(pid=pid, usedGpuMemory=used)
                for gpu, drawing, pid, used in self.listed
                if gpu == i and drawing == graphics
            ]

        def fields(i: int, ids: list[int]) -> Any:
            assert ids == [82]
            code = self._rule("memory temperature", i)
            return [record(nvmlReturn=code, value=record(uiVal=60 + i))]

        return {
            "nvmlSystemGetDriverVersion": lambda: "999.88.77",
            "nvmlDeviceGetCount": lambda: self.count,
            "nvmlDeviceGetHandleByIndex": lambda i: i,
            "nvmlDeviceGetUUID": lambda i: gpu_of(i)["uuid"],
            "nvmlDeviceGetName": lambda i: gpu_of(i)["gpu_name"],
            "nvmlDeviceGetPciInfo": lambda i: record(busId=gpu_of(i)["pci_bus_id"].encode()),
            "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetUtilizationRates": lambda i: record(gpu=10 + i, memory=20 + i),
            "nvmlDeviceGetTemperature": lambda i, sensor: 40 + i,
            "nvmlDeviceGetTemperatureThreshold": lambda i, which: (90 if which else 100) + i,
            "nvmlDeviceGetFieldValues": fields,
            "nvmlDeviceGetEncoderUtilization": lambda i: [30 + i, 167000],
            "nvmlDeviceGetDecoderUtilization": lambda i: [31 + i, 167000],
            "nvmlDeviceGetEncoderStats": lambda i: (1 + i, 61 + i, 1500 + i),
            "nvmlDeviceGetPowerUsage": lambda i: 250123 + i,
            "nvmlDeviceGetEnforcedPowerLimit": lambda i: 350000 + 1000 * i,
            "nvmlDeviceGetTotalEnergyConsumption": lambda i: 98765432109 + i,
            "nvmlDeviceGetClockInfo": lambda i, domain: 1000 + 100 * domain + i,
            "nvmlDeviceGetMaxClockInfo": lambda i, domain: 2000 + 100 * domain + i,
            "nvmlDeviceGetNumFans": lambda i: 2,
            "nvmlDeviceGetFanSpeed_v2": lambda i, fan: 50 + 20 * fan + i,
            "nvmlDeviceGetFanSpeed": lambda i: 50 + i,
            "nvmlDeviceGetPcieThroughput": lambda i, way: (7000 if way else 5000) + i,
            "nvmlDeviceGetPcieReplayCounter": lambda i: 17 + i,
            "nvmlDeviceGetCurrPcieLinkGeneration": lambda i: 3,
            "nvmlDeviceGetMaxPcieLinkGeneration": lambda i: 5,
            "nvmlDeviceGetCurrPcieLinkWidth": lambda i: 8,
            "nvmlDeviceGetMaxPcieLinkWidth": lambda i: 16,
            "nvmlDeviceGetEccMode": lambda i: [1, 0],
            "nvmlDeviceGetTotalEccErrors": lambda i, kind, scope: (
                1000 + 100 * kind + 10 * scope + i
            ),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda i: self.throttle,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda i: self.throttle,
            "nvmlDeviceGetComputeRunningProcesses": processes(False),
            "nvmlDeviceGetGraphicsRunningProcesses": processes(True),
            "nvmlDeviceGetPerformanceState": lambda i: 2,
            "nvmlDeviceGetRetiredPages": lambda i, cause: [0] * (1 if cause else 3 + i),
            "nvmlDeviceGetRemappedRows": lambda i: (4 + i, 2, 1, 0),
            "nvmlDeviceGetMigMode": lambda i: [0, 0],
        }


Nvml = Library | StandIn


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up libnvidia-ml.so.1, built with the system's compiler."""
    compiler = next(
        filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None
    )
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip(
            "no C compiler on Linux here: the agent is NOT tested against NVML's C interface, "
            "only against a stand-in for its bindings (install gcc, or set CC)"
        )
    path = tmp_path_factory.mktemp("nvml") / SONAME
    source = Path(__file__).with_name("fake_nvml.c")
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-Wall",
        "-Werror",
        f"-Wl,-soname,{SONAME}",
        "-pthread",
    ]
    subprocess.run([*command, "-o", str(path), str(source)], check=True)
    return path


@pytest.fixture(scope="session")
def loaded_library(library_path: Path) -> Library:
    library = Library(library_path)
    if pynvml.nvmlLib is not None:  # a real one, which an earlier test had loaded
        pynvml.nvmlLib = library._lib
        pynvml._nvmlGetFunctionPointer_cache.clear()
    return library


@pytest.fixture
def library(loaded_library: Library) -> Library:
    """The library in its first state: one GPU, nothing refused."""
    loaded_library._lib.fake_reset()
    return loaded_library


@pytest.fixture(params=["library", "stand-in"])
def nvml(request: pytest.FixtureRequest) -> Nvml:
    """Made-up GPUs, behind the bindings and in their place."""
    if request.param == "library":
        library: Library = request.getfixturevalue("library")
        return library
    return StandIn()


@pytest.fixture
def stand_in() -> StandIn:
    """Made-up GPUs for tests of what does not depend on how NVML is reached."""
    return StandIn()


@pytest.fixture(scope="session")
def jsonschema() -> types.ModuleType:
    """The library; it takes seconds to import, so not while tests are collected."""
    return importlib.import_module("jsonschema")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpu() -> Callable[[int], dict[str, Any]]:
    """What the agent must say of a made-up GPU."""
    return gpu_of


MakeAgent = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[MakeAgent]:
    """Serve an agent on this event loop; ``await serve(nvml, settings...)`` returns its address."""
    async with AsyncExitStack() as stack:

        async def start(
            nvml: Nvml | None = None,
            *,
            queue: Any = None,
            machine: Any = None,
            collector: Collector | None = None,
            patience: float = 2.0,
            **settings: Any,
        ) -> str:
            chosen = Settings(**settings)
            made = collector or Collector(
                gpus=NvmlReader(load=lambda: (nvml or StandIn()).module, only=chosen.gpus),
                disks=DiskReader(lambda: chosen.folders),
                queue=queue or NoQueue(),
                backend_id=chosen.backend_id,
                mode="standalone",
                host=machine,
                patience=patience,
            )
            runner = web.AppRunner(
                make_app(Agent(chosen, made)), access_log=None, shutdown_timeout=1.0
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        yield start


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


@pytest.fixture
def fake_host() -> Any:
    """A host whose values don't move."""

    class Host:
        def read(self) -> dict[str, Any]:
            return {
                "cpu_utilization": 12.5,
                "cpu_count": 8,
                "load_average_1m": 0.5,
                "ram_total_bytes": 64 * 1024 * MIB + 5,
                "ram_used_bytes": 16 * 1024 * MIB + MIB - 1,
                "process_cpu_seconds": 1.5,
                "process_memory_bytes": 50 * MIB,
            }

    return Host()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("COMFYNB_AGENT_"):
            monkeypatch.delenv(name)
