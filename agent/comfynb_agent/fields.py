"""Every quantity that the agent tells: its name, its unit, and how Prometheus knows it.

The JSON snapshot, the OpenMetrics text and the OpenAPI document are all made from these tables,
so that none of them can name a unit that another does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "DISK",
    "GPU",
    "HOST",
    "PROCESS",
    "QUEUE",
    "SUMMARY",
    "THROTTLE_REASONS",
    "Field",
    "Metric",
]

THROTTLE_REASONS: Mapping[int, str] = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
"""NVML's bits that say why the clocks are below their maximum."""


@dataclass(frozen=True)
class Metric:
    """How a quantity appears in OpenMetrics: in base units, so ``scale`` times the JSON value."""

    name: str
    kind: str = "gauge"
    unit: str = ""
    scale: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    """One key of the JSON snapshot; ``type`` is JSON Schema's, ``null`` means unknown."""

    key: str
    type: str
    about: str
    unit: str = ""
    metric: Metric | None = None
    items: str = ""
    """JSON Schema's type of an array's items."""
    nullable: bool = True

    @property
    def description(self) -> str:
        """What it is, with its unit."""
        return f"{self.about}; {self.unit}." if self.unit else f"{self.about}."


def _bytes(key: str, about: str, metric: str) -> Field:
    return Field(key, "integer", about, "bytes", Metric(f"{metric}_bytes", unit="bytes"))


def _percent(key: str, about: str, metric: str) -> Field:
    shown = Metric(f"{metric}_ratio", unit="ratio", scale=0.01)
    return Field(key, "number", about, "percent, 0 to 100", shown)


def _celsius(key: str, about: str, metric: str) -> Field:
    shown = Metric(f"{metric}_celsius", unit="celsius")
    return Field(key, "integer", about, "degrees Celsius", shown)


def _watts(key: str, about: str, metric: str) -> Field:
    return Field(key, "number", about, "watts", Metric(f"{metric}_watts", unit="watts"))


def _clock(key: str, which: str, about: str, metric: str) -> Field:
    shown = Metric(f"{metric}_hertz", unit="hertz", scale=1e6, labels={"clock": which})
    return Field(key, "integer", about, "MHz", shown)


def _ecc(which: str, scope: str, about: str) -> Field:
    labels = {"error": which, "scope": scope}
    shown = Metric("comfynb_gpu_ecc_errors", "counter", labels=labels)
    return Field(f"ecc_{which}_{scope}", "integer", about, "count", shown)


def _count(key: str, about: str, metric: str, kind: str = "gauge", **labels: str) -> Field:
    return Field(key, "integer", about, "count", Metric(metric, kind, labels=labels))


def _flag(key: str, about: str, metric: str) -> Field:
    return Field(key, "boolean", about, metric=Metric(metric))


_MB = "MB of 1,048,576 bytes"

GPU: tuple[Field, ...] = (
    Field("index", "integer", "NVML's index, in the order of the PCI bus", nullable=False),
    Field("uuid", "string", "NVML's UUID, GPU-..."),
    Field("pci_bus_id", "string", "Domain, bus, device and function on the PCI bus"),
    Field("state", "string", "ok, lost, or silent (NVML does not answer)", nullable=False),
    Field("comfyui", "boolean", "Whether this ComfyUI computes on it, where that can be known"),
    # What the metrics models of comfynb call it, in their units.
    Field("gpu_name", "string", "The product's name"),
    Field("gpu_memory_total", "integer", "Total VRAM", _MB),
    Field("gpu_memory_used", "integer", "VRAM in use", _MB),
    Field("gpu_memory_free", "integer", "Total VRAM less VRAM in use", _MB),
    Field("gpu_memory_percent", "number", "VRAM in use", "percent, 0 to 100"),
    _percent(
        "gpu_utilization",
        "Share of the last sample period in which a kernel ran",
        "comfynb_gpu_utilization",
    ),
    _celsius("gpu_temperature", "Temperature of the chip", "comfynb_gpu_temperature"),
    # Memory, exactly.
    _bytes("memory_total_bytes", "Total VRAM", "comfynb_gpu_memory_total"),
    _bytes("memory_used_bytes", "VRAM in use by programs", "comfynb_gpu_memory_used"),
    _bytes("memory_free_bytes", "VRAM that can be allocated", "comfynb_gpu_memory_free"),
    _bytes(
        "memory_reserved_bytes",
        "VRAM that driver and firmware keep (null where the driver counts it as used)",
        "comfynb_gpu_memory_reserved",
    ),
    _percent(
        "memory_utilization",
        "Share of the last sample period in which memory was read or written",
        "comfynb_gpu_memory_utilization",
    ),
    _percent("encoder_utilization", "Video encoder in use", "comfynb_gpu_encoder_utilization"),
    _percent("decoder_utilization", "Video decoder in use", "comfynb_gpu_decoder_utilization"),
    _count("encoder_sessions", "Encoder sessions", "comfynb_gpu_encoder_sessions"),
    Field(
        "encoder_frames_per_second",
        "integer",
        "Average over the encoder sessions",
        "frames per second",
        Metric("comfynb_gpu_encoder_frames_per_second"),
    ),
    Field(
        "encoder_latency_us",
        "integer",
        "Average latency of the encoder sessions",
        "microseconds",
        Metric("comfynb_gpu_encoder_latency_seconds", unit="seconds", scale=1e-6),
    ),
    _celsius("memory_temperature", "Temperature of the memory", "comfynb_gpu_memory_temperature"),
    _celsius(
        "slowdown_temperature",
        "Temperature at which the clocks go down",
        "comfynb_gpu_slowdown_temperature",
    ),
    _celsius(
        "shutdown_temperature",
        "Temperature at which the GPU switches itself off",
        "comfynb_gpu_shutdown_temperature",
    ),
    _watts("power_usage_watts", "Power draw of the board", "comfynb_gpu_power"),
    _watts("power_limit_watts", "Power limit in force", "comfynb_gpu_power_limit"),
    Field(
        "energy_joules",
        "number",
        "Energy since the driver was loaded",
        "joules",
        Metric("comfynb_gpu_energy_joules", "counter", "joules"),
    ),
    _clock("clock_graphics_mhz", "graphics", "Graphics clock", "comfynb_gpu_clock"),
    _clock("clock_sm_mhz", "sm", "Clock of the multiprocessors", "comfynb_gpu_clock"),
    _clock("clock_memory_mhz", "memory", "Memory clock", "comfynb_gpu_clock"),
    _clock("clock_video_mhz", "video", "Clock of encoder and decoder", "comfynb_gpu_clock"),
    _clock("clock_graphics_max_mhz", "graphics", "Highest graphics clock", "comfynb_gpu_clock_max"),
    _clock("clock_sm_max_mhz", "sm", "Highest multiprocessor clock", "comfynb_gpu_clock_max"),
    _clock("clock_memory_max_mhz", "memory", "Highest memory clock", "comfynb_gpu_clock_max"),
    _clock("clock_video_max_mhz", "video", "Highest video clock", "comfynb_gpu_clock_max"),
    Field(
        "performance_state",
        "integer",
        "P-state: 0 is the fastest, 15 the slowest",
        metric=Metric("comfynb_gpu_performance_state"),
    ),
    Field(
        "fan_speeds",
        "array",
        "Intended speed of each fan, in the order of NVML (none on a passively cooled card)",
        "percent of the maximum, which some cards exceed",
        items="integer",
    ),
    Field(
        "throttle_reasons",
        "array",
        "Why the clocks are below their maximum: " + ", ".join(THROTTLE_REASONS.values()),
        items="string",
    ),
    Field("throttle_mask", "integer", "The same as NVML's bit mask, with bits yet unnamed"),
    _count("pcie_generation", "PCIe generation in use", "comfynb_gpu_pcie_generation"),
    _count("pcie_generation_max", "Highest PCIe generation", "comfynb_gpu_pcie_generation_max"),
    _count("pcie_width", "PCIe lanes in use", "comfynb_gpu_pcie_width"),
    _count("pcie_width_max", "Most PCIe lanes", "comfynb_gpu_pcie_width_max"),
    Field(
        "pcie_tx_bytes_per_second",
        "integer",
        "Sent over PCIe, over 20 ms, measured every 10 s",
        "bytes per second (NVML's KB taken as 1,000 bytes)",
        Metric("comfynb_gpu_pcie_tx_bytes_per_second", unit="bytes_per_second"),
    ),
    Field(
        "pcie_rx_bytes_per_second",
        "integer",
        "Received over PCIe, over 20 ms, measured every 10 s",
        "bytes per second (NVML's KB taken as 1,000 bytes)",
        Metric("comfynb_gpu_pcie_rx_bytes_per_second", unit="bytes_per_second"),
    ),
    _count("pcie_replays", "PCIe transfers repeated", "comfynb_gpu_pcie_replays", "counter"),
    _flag("ecc_enabled", "Whether ECC is on", "comfynb_gpu_ecc_enabled"),
    _flag("ecc_pending", "Whether ECC will be on after a restart", "comfynb_gpu_ecc_pending"),
    _ecc("corrected", "volatile", "ECC errors corrected since the driver was loaded"),
    _ecc("uncorrected", "volatile", "ECC errors not corrected since the driver was loaded"),
    _ecc("corrected", "aggregate", "ECC errors corrected in the card's life"),
    _ecc("uncorrected", "aggregate", "ECC errors not corrected in the card's life"),
    _count(
        "retired_pages_single_bit",
        "Pages retired for repeated single-bit errors",
        "comfynb_gpu_retired_pages",
        cause="single_bit",
    ),
    _count(
        "retired_pages_double_bit",
        "Pages retired for a double-bit error",
        "comfynb_gpu_retired_pages",
        cause="double_bit",
    ),
    _count(
        "remapped_rows_corrected",
        "Rows remapped for corrected errors",
        "comfynb_gpu_remapped_rows",
        error="corrected",
    ),
    _count(
        "remapped_rows_uncorrected",
        "Rows remapped for uncorrected errors",
        "comfynb_gpu_remapped_rows",
        error="uncorrected",
    ),
    _flag(
        "row_remapping_pending",
        "Whether a restart will remap rows",
        "comfynb_gpu_row_remapping_pending",
    ),
    _flag(
        "row_remapping_failed",
        "Whether remapping a row has ever failed",
        "comfynb_gpu_row_remapping_failed",
    ),
    _flag("mig_enabled", "Whether MIG splits the GPU", "comfynb_gpu_mig_enabled"),
    Field("processes", "array", "Programs that use the GPU", items="process"),
)

PROCESS: tuple[Field, ...] = (
    Field("pid", "integer", "Process id, as the driver sees it", nullable=False),
    Field("name", "string", "Its program, without arguments (null where it cannot be known)"),
    Field("kind", "string", "compute, graphics, or both", nullable=False),
    Field("memory_used_bytes", "integer", "VRAM it uses (null where the driver hides it)", "bytes"),
)

HOST: tuple[Field, ...] = (
    _percent(
        "cpu_utilization",
        "All processors of the machine, since the last sample",
        "comfynb_cpu_utilization",
    ),
    _count("cpu_count", "Logical processors", "comfynb_cpus"),
    Field(
        "load_average_1m",
        "number",
        "Programs that ran or waited to run, over a minute",
        metric=Metric("comfynb_load_average_1m"),
    ),
    _bytes("ram_total_bytes", "RAM of the machine", "comfynb_ram_total"),
    _bytes("ram_used_bytes", "RAM less what is available to programs", "comfynb_ram_used"),
    Field(
        "process_cpu_seconds",
        "number",
        "Processor time of the agent's own process, which inside ComfyUI is ComfyUI's",
        "seconds",
        Metric("comfynb_process_cpu_seconds", "counter", "seconds"),
    ),
    _bytes(
        "process_memory_bytes",
        "RAM that this process has in use",
        "comfynb_process_resident_memory",
    ),
)

DISK: tuple[Field, ...] = (
    Field("role", "string", "What the folder is for: models, output, ...", nullable=False),
    Field("path", "string", "The folder", nullable=False),
    _bytes("total_bytes", "Size of the file system", "comfynb_disk_total"),
    _bytes("used_bytes", "Bytes in use there", "comfynb_disk_used"),
    _bytes("free_bytes", "Bytes that this user may still write there", "comfynb_disk_free"),
)

QUEUE: tuple[Field, ...] = (
    Field(
        "source",
        "string",
        "comfyui (asked inside it), http (polled), or none",
        nullable=False,
    ),
    _flag("online", "Whether ComfyUI answers", "comfynb_comfyui_up"),
    _count("running", "Prompts that run", "comfynb_queue_running"),
    _count("pending", "Prompts that wait", "comfynb_queue_pending"),
    Field("running_prompt_ids", "array", "Ids of the prompts that run", items="string"),
)

SUMMARY: tuple[Field, ...] = (
    Field("schema_version", "integer", "Version of this document's form", nullable=False),
    Field("id", "string", "A random UUID of this snapshot", nullable=False),
    Field("sequence", "integer", "Counts this agent's snapshots since its start", nullable=False),
    Field("timestamp", "string", "When it was taken, RFC 3339, UTC", nullable=False),
    Field("backend_id", "string", "What the agent was told to call itself", nullable=False),
    Field("online", "boolean", "Whether ComfyUI answers (null: not asked)"),
    Field("last_seen", "string", "When ComfyUI last answered, RFC 3339, UTC"),
    Field("current_job_id", "string", "ComfyUI's prompt_id of the prompt that runs"),
    Field("active_job_id", "string", "The same, as MetricsSnapshot calls it"),
    Field("queue_depth", "integer", "Prompts in ComfyUI's queue, with the one that runs", "count"),
    Field("cpu_utilization", "number", "As under host", "percent, 0 to 100"),
    Field("ram_total", "integer", "RAM of the machine", _MB),
    Field("ram_used", "integer", "RAM in use", _MB),
    Field(
        "gpu_index", "integer", "The GPU that the following fields are of: ComfyUI's, or the first"
    ),
    Field("gpu_name", "string", "As under gpus"),
    Field("gpu_memory_total", "integer", "As under gpus", _MB),
    Field("gpu_memory_used", "integer", "As under gpus", _MB),
    Field("gpu_memory_free", "integer", "As under gpus", _MB),
    Field("gpu_memory_percent", "number", "As under gpus", "percent, 0 to 100"),
    Field("gpu_utilization", "number", "As under gpus", "percent, 0 to 100"),
    Field("gpu_temperature", "integer", "As under gpus", "degrees Celsius"),
)
