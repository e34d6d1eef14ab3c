"""Reads all GPUs through NVML, goes on where a call, a card or the driver fails, and says what.

Nothing here is safe for several threads: one thread owns the reader and makes all calls.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from .fields import GPU
from .nvml_calls import CALLS, MOST_PROCESSES, Call, Values, merge_programs

__all__ = ["GpuReading", "NvmlReader", "load_nvml"]

RETRY = 30.0
"""Seconds after which a driver that was not there is looked for again."""
RECOUNT = 60.0
RETRY_LOST = 10.0
RETRY_REFUSED = 300.0
"""Seconds after which a call that a card does not support is tried again."""

_BLANK: Values = {field.key: None for field in GPU}
_MIB = 1024 * 1024


@dataclass
class GpuReading:
    """What NVML told: a dictionary for each GPU, what could not be read, the driver's version."""

    gpus: list[Values] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    driver_version: str | None = None

    def silenced(self) -> list[Values]:
        """Return the GPUs with what never changes, for when NVML stopped answering."""
        return [blank(gpu["index"], "silent", gpu) for gpu in self.gpus]


def blank(index: int, state: str, known: Values) -> Values:
    """Return a GPU of which only the identity is known."""
    identity = {key: known.get(key) for key in ("uuid", "pci_bus_id", "gpu_name")}
    return {**_BLANK, **identity, "index": index, "state": state}


def load_nvml() -> Any:
    """Import the bindings; raises ImportError where nvidia-ml-py is not installed."""
    return importlib.import_module("pynvml")


class _DriverGoneError(Exception):
    """NVML as a whole stopped working; the driver was unloaded or replaced."""


class _GpuLostError(Exception):
    """One GPU stopped working."""


@dataclass
class _Refusal:
    reason: str
    until: float


class _Gpu:
    """One GPU: its handle, what is remembered of it, and which calls it refuses."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: Any = None
        self.identity: Values = {}
        self.values: dict[str, Values] = {}
        """The last answer to each call."""
        self.due: dict[str, float] = {}
        self.refused: dict[str, _Refusal] = {}
        self.failed: dict[str, str] = {}
        self.lost: str | None = None
        self.look_again = 0.0

    @property
    def label(self) -> str:
        name = self.identity.get("gpu_name")
        return f"GPU {self.index} ({name})" if name else f"GPU {self.index}"

    def forget(self) -> None:
        """Forget all that was read: the next values come from another life of the card."""
        self.handle = None
        self.look_again = 0.0
        self.values.clear()
        self.due.clear()
        self.refused.clear()
        self.failed.clear()


class NvmlReader:
    """All GPUs that NVML sees, or those that ``only`` names by index or UUID.

    ``owner`` is the process id of the ComfyUI in which this runs, if it does.
    """

    def __init__(
        self,
        *,
        only: Sequence[str] = (),
        owner: int | None = None,
        load: Callable[[], Any] = load_nvml,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._only = only
        self._owner = owner
        self._load = load
        self._clock = clock
        self._nvml: Any = None
        self._trouble = ""
        self._try_again = 0.0
        self._count_again = 0.0
        self._gpus: list[_Gpu] = []
        self._driver_version: str | None = None
        self._names: dict[int, str | None] = {}

    def read(self) -> GpuReading:
        """Read everything that is due; never raises for what a card or the driver does."""
        now = self._clock()
        if self._nvml is None and now >= self._try_again:
            self._start(now)
        if self._nvml is None:
            return self._without_driver()
        try:
            self._count(now)
            gpus = [self._read_gpu(gpu, now) for gpu in self._gpus]
        except _DriverGoneError as gone:
            self._stop(now, str(gone))
            return self._without_driver()
        self._name_processes(gpus)
        reading = GpuReading(gpus, self._missing(gpus), self._driver_version)
        if not self._gpus:
            what = " of those it was told to watch" if self._only else ""
            reading.missing.append(f"NVML sees no GPU{what} on this machine.")
        return reading

    def close(self) -> None:
        """Let go of NVML."""
        self._stop(self._clock(), "the agent has ended")

    # the driver

    def _start(self, now: float) -> None:
        self._try_again = now + RETRY
        try:
            nvml = self._load()
        except ImportError:
            self._trouble = (
                "The Python package nvidia-ml-py is not installed, so nothing is known about "
                "GPUs: install it into the Python that runs the agent."
            )
            return
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            self._trouble = f"NVML, the interface of NVIDIA's driver, does not work: {error}."
            return
        self._nvml = nvml
        self._trouble = ""
        self._count_again = 0.0
        for gpu in self._gpus:
            gpu.forget()
            gpu.lost = None
        try:
            self._driver_version = str(nvml.nvmlSystemGetDriverVersion())
        except nvml.NVMLError:
            self._driver_version = None

    def _stop(self, now: float, why: str) -> None:
        nvml, self._nvml = self._nvml, None
        self._trouble = f"NVML, the interface of NVIDIA's driver, does not work: {why}."
        self._try_again = now + RETRY
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError as error:
                # It is what has just failed; said once more it helps nobody.
                self._trouble = f"{self._trouble[:-1]} (and closing it: {error})."

    def _without_driver(self) -> GpuReading:
        # GPUs that were there are still named: that they are silent is news.
        gpus = [blank(gpu.index, "silent", gpu.identity) for gpu in self._gpus]
        return GpuReading(gpus, [self._trouble], self._driver_version)

    def _count(self, now: float) -> None:
        if now < self._count_again:
            return
        nvml = self._nvml
        try:
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            raise _DriverGoneError(str(error)) from None
        self._count_again = now + RECOUNT
        known = {gpu.index: gpu for gpu in self._gpus}
        gpus = [known.get(index) or _Gpu(index) for index in range(count)]
        # One that is no longer counted stays listed until the agent ends: it has fallen off.
        gpus += [gpu for gpu in self._gpus if gpu.index >= count]
        self._gpus = gpus
        if self._only:
            for gpu in gpus:
                self._find(gpu, now)
            self._gpus = [
                gpu
                for gpu in gpus
                if str(gpu.index) in self._only or gpu.identity.get("uuid") in self._only
            ]

    # one GPU

    def _find(self, gpu: _Gpu, now: float) -> None:
        """Get the handle of a GPU and what never changes."""
        if gpu.handle is not None or now < gpu.look_again:
            return
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(gpu.index)
            gpu.identity["uuid"] = _text(nvml.nvmlDeviceGetUUID(handle))
        except nvml.NVMLError as error:
            self._check_driver(error)
            self._lose(gpu, now, str(error))
            return
        gpu.handle, gpu.lost = handle, None
        self._identify(gpu, "gpu_name", nvml.nvmlDeviceGetName)
        self._identify(gpu, "pci_bus_id", lambda handle: nvml.nvmlDeviceGetPciInfo(handle).busId)

    def _identify(self, gpu: _Gpu, key: str, read: Callable[[Any], Any]) -> None:
        gpu.failed.pop(key, None)
        try:
            gpu.identity[key] = _text(read(gpu.handle))
        except UnicodeDecodeError:
            gpu.failed[key] = f"{gpu.label} tells a {key} that is no text."
        except self._nvml.NVMLError as error:
            self._check_driver(error)
            gpu.failed[key] = f"{gpu.label} did not tell its {key}: {error}."

    def _lose(self, gpu: _Gpu, now: float, why: str) -> None:
        gpu.forget()
        gpu.lost = why
        gpu.look_again = now + RETRY_LOST

    def _check_driver(self, error: Any) -> None:
        nvml = self._nvml
        if error.value in {
            nvml.NVML_ERROR_UNINITIALIZED,
            nvml.NVML_ERROR_DRIVER_NOT_LOADED,
            nvml.NVML_ERROR_LIBRARY_NOT_FOUND,
            nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        }:
            raise _DriverGoneError(str(error))

    def _read_gpu(self, gpu: _Gpu, now: float) -> Values:
        self._find(gpu, now)
        if gpu.handle is not None:
            try:
                for call in CALLS:
                    if now >= gpu.due.get(call.what, now):
                        self._call(gpu, call, now)
            except _GpuLostError as lost:
                self._lose(gpu, now, str(lost))
        if gpu.lost is not None:
            return blank(gpu.index, "lost", gpu.identity)
        values = {**_BLANK, **gpu.identity, "index": gpu.index, "state": "ok"}
        for answer in gpu.values.values():
            values.update(answer)
        left_out = merge_programs(values)
        gpu.failed.pop("_processes", None)
        if left_out:
            gpu.failed["_processes"] = (
                f"{gpu.label} has {left_out} more programs than the {MOST_PROCESSES} listed."
            )
        return _in_seed_units(values)

    def _call(self, gpu: _Gpu, call: Call, now: float) -> None:
        """Make one call and remember its answer, or why there is none."""
        refusal = gpu.refused.get(call.what)
        if refusal is not None and now < refusal.until:
            return
        nvml = self._nvml
        # An old value must not pass for a new one.
        gpu.values.pop(call.what, None)
        gpu.due[call.what] = now + call.every
        gpu.failed.pop(call.what, None)
        try:
            values = call.read(nvml, gpu.handle)
        except nvml.NVMLError as error:
            self._refused(gpu, call, error, now)
        except AttributeError:
            gpu.refused[call.what] = _Refusal("unknown", now + RETRY_REFUSED)
        except Exception as error:  # noqa: BLE001 - one odd answer must not hide all others; it is told
            gpu.failed[call.what] = f"{gpu.label} did not tell {call.what}: {error!r:.200}."
        else:
            gpu.refused.pop(call.what, None)
            gpu.values[call.what] = values

    def _refused(self, gpu: _Gpu, call: Call, error: Any, now: float) -> None:
        nvml = self._nvml
        self._check_driver(error)
        code = error.value
        if code in {
            nvml.NVML_ERROR_GPU_IS_LOST,
            nvml.NVML_ERROR_RESET_REQUIRED,
            getattr(nvml, "NVML_ERROR_GPU_NOT_FOUND", 28),
        }:
            raise _GpuLostError(str(error))
        if code == nvml.NVML_ERROR_NO_PERMISSION:
            gpu.refused[call.what] = _Refusal("forbidden", now + RETRY_REFUSED)
        elif code in {
            nvml.NVML_ERROR_NOT_SUPPORTED,
            nvml.NVML_ERROR_FUNCTION_NOT_FOUND,
            nvml.NVML_ERROR_INVALID_ARGUMENT,
            getattr(nvml, "NVML_ERROR_VGPU_ECC_NOT_SUPPORTED", 22),
            getattr(nvml, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH", 25),
            getattr(nvml, "NVML_ERROR_DEPRECATED", 26),
        }:
            gpu.refused[call.what] = _Refusal("unsupported", now + RETRY_REFUSED)
        else:
            gpu.failed[call.what] = f"{gpu.label} did not tell {call.what}: {error}."

    # what people read

    def _missing(self, gpus: list[Values]) -> list[str]:
        sentences = []
        for gpu in self._gpus:
            if gpu.lost is not None:
                sentences.append(f"{gpu.label} does not answer: {gpu.lost}.")
                continue
            for reason, words in (
                ("unsupported", "{0} or its driver does not support: {1}."),
                ("forbidden", "The agent's user is not permitted to read from {0}: {1}."),
                ("unknown", "The installed nvidia-ml-py is too old to ask {0} for: {1}."),
            ):
                calls = [what for what, no in gpu.refused.items() if no.reason == reason]
                if calls:
                    sentences.append(words.format(gpu.label, ", ".join(calls)))
            sentences += gpu.failed.values()
        hidden = sorted(
            {gpu["index"] for gpu in gpus for p in gpu["processes"] or () if not p["name"]}
        )
        if hidden:
            where = ", ".join(map(str, hidden))
            sentences.append(
                f"Some programs on GPU {where} belong to other users or containers: their names "
                "are unknown."
            )
        return sentences

    def _name_processes(self, gpus: list[Values]) -> None:
        names: dict[int, str | None] = {}
        for gpu in gpus:
            listed = gpu["processes"]
            for process in listed or ():
                pid = process["pid"]
                if pid not in names:
                    names[pid] = self._names[pid] if pid in self._names else _program(pid)
                process["name"] = names[pid]
            if self._owner is not None and any(p["pid"] == self._owner for p in listed or ()):
                gpu["comfyui"] = True
        # Only those that are still there, so that it cannot grow.
        self._names = names


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _program(pid: int) -> str | None:
    try:
        # A name may hold bytes that are no UTF-8.
        return psutil.Process(pid).name().encode("utf-8", "replace").decode()
    except psutil.Error:
        return None


def _in_seed_units(values: Values) -> Values:
    """Add memory in MB (1,048,576 bytes, rounded down) and in percent."""
    total, used = values["memory_total_bytes"], values["memory_used_bytes"]
    if total is not None and used is not None:
        values["gpu_memory_total"] = total // _MIB
        values["gpu_memory_used"] = used // _MIB
        values["gpu_memory_free"] = values["gpu_memory_total"] - values["gpu_memory_used"]
        values["gpu_memory_percent"] = round(used / total * 100, 3) if total else None
    return values
