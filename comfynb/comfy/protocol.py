"""What a ComfyUI server answers over HTTP, as typed values that tolerate unknown keys."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "Accepted",
    "CancelResult",
    "Device",
    "DownloadedFile",
    "FileRef",
    "HistoryEntry",
    "NodeFailure",
    "PromptState",
    "Queue",
    "QueueItem",
    "RecentHistory",
    "ServerInfo",
    "SystemStats",
    "TextOutput",
    "input_ref",
    "is_prompt_id",
    "new_prompt_id",
]

_PROMPT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_prompt_id() -> str:
    """Mint a prompt id in the only form that every server version takes."""
    return str(uuid.uuid4())


def is_prompt_id(text: str) -> bool:
    """Tell whether ``text`` is a canonical lowercase hyphenated UUID."""
    return _PROMPT_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Accepted:
    """POST /prompt was taken: ``number`` is the place in the queue's order (smallest first)."""

    prompt_id: str
    number: float


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file on a server: the ``index``-th of ``kind`` that a node put out, or an uploaded one.

    ``filename`` and ``subfolder`` are the server's words: never use them as a path, see
    :func:`comfynb.comfy.safe_name`. ``type`` is output, input or temp. ``media_type`` is what the
    server said of the format ("image/h264-mp4"), "" where it said nothing.
    """

    filename: str
    subfolder: str = ""
    type: str = "output"
    node_id: str = ""
    kind: str = ""
    index: int = 0
    media_type: str = ""

    @property
    def annotated(self) -> str:
        """``sub/name.png [output]``: how a loader on the same server names the file."""
        path = f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename
        return f"{path} [{self.type}]"


def input_ref(annotated: str) -> FileRef:
    """Read what a loader takes, ``sub/name.png [output]``; without a type, the input folder."""
    path, bracket, rest = annotated.rpartition(" [")
    kind = rest.removesuffix("]")
    if not bracket or kind not in {"input", "output", "temp"}:
        path, kind = annotated, "input"
    subfolder, _, filename = path.replace("\\", "/").rpartition("/")
    return FileRef(filename, subfolder, kind)


@dataclass(frozen=True, slots=True)
class TextOutput:
    """The ``index``-th text that a node put out under ``kind`` ("text", "string", ...)."""

    node_id: str
    kind: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """Why a prompt failed: which node raised what. ``traceback`` holds the server's lines."""

    node_id: str
    node_type: str
    exception_type: str
    message: str
    traceback: tuple[str, ...] = ()

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the GPU (or the machine) ran out of memory."""
        kind = self.exception_type.rpartition(".")[2]
        return kind in {"OutOfMemoryError", "OOMException", "MemoryError"} or (
            "out of memory" in self.message.lower()
        )


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of GET /history: how a prompt ended and what it put out.

    ``outputs`` is the server's own dict by node id; ``output_files`` and ``texts`` are read from
    it. ``error`` is set exactly when ``status`` is "failed". Times are UTC, None where the server
    gave none.
    """

    prompt_id: str
    status: Literal["completed", "failed", "interrupted"]
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    output_files: tuple[FileRef, ...] = ()
    texts: tuple[TextOutput, ...] = ()
    error: NodeFailure | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cached_nodes: tuple[str, ...] = ()
    number: float = 0
    prompt: dict[str, Any] = field(default_factory=dict)
    extra_data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, prompt_id: str, raw: object) -> "HistoryEntry":
        """Read one entry; whatever is missing or odd is left out, and never reads as success."""
        entry = _dict(raw)
        item = QueueItem.parse(entry.get("prompt"))
        outputs = {
            str(node_id): output
            for node_id, output in _dict(entry.get("outputs")).items()
            if isinstance(output, dict)
        }
        status_raw = _dict(entry.get("status"))
        messages = [
            (message[0], _dict(message[1]))
            for message in _list(status_raw.get("messages"))
            if isinstance(message, list) and len(message) >= 2
        ]
        status, error = _how_it_ended(status_raw, messages)
        first: dict[Any, Mapping[str, Any]] = {}
        last: dict[Any, Mapping[str, Any]] = {}
        for name, data in messages:
            if isinstance(name, str):
                first.setdefault(name, data)
                last[name] = data
        end = {
            "completed": "execution_success",
            "failed": "execution_error",
            "interrupted": "execution_interrupted",
        }[status]
        return cls(
            prompt_id=prompt_id,
            status=status,
            outputs=outputs,
            output_files=tuple(_files(outputs)),
            texts=tuple(_texts(outputs)),
            error=error,
            started_at=time_of(first.get("execution_start", {}).get("timestamp")),
            ended_at=time_of(last.get(end, {}).get("timestamp")),
            cached_nodes=tuple(
                str(node) for node in _list(first.get("execution_cached", {}).get("nodes"))
            ),
            number=item.number if item else 0,
            prompt=item.prompt if item else {},
            extra_data=item.extra_data if item else {},
        )


class RecentHistory(Mapping[str, HistoryEntry]):
    """GET /history by prompt id, as the server orders it; each entry is read when looked up."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer

    def __repr__(self) -> str:
        return f"RecentHistory({len(self)} entries)"

    def __getitem__(self, prompt_id: str) -> HistoryEntry:
        return HistoryEntry.parse(prompt_id, self._answer[prompt_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._answer)

    def __len__(self) -> int:
        return len(self._answer)


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One prompt in the queue; the smallest ``number`` runs first."""

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs_to_execute: tuple[str, ...] = ()

    @property
    def client_id(self) -> str | None:
        """Who sent it, where it said so."""
        client_id = self.extra_data.get("client_id")
        return client_id if isinstance(client_id, str) else None

    @classmethod
    def parse(cls, raw: object) -> "QueueItem | None":
        """Read the server's tuple (number, prompt_id, prompt, extra_data, outputs, ...)."""
        values = _list(raw)
        if len(values) < 2 or not isinstance(values[1], str):
            return None
        number = values[0]
        values = [*values, None, None, None]
        return cls(
            number=number if isinstance(number, int | float) else 0,
            prompt_id=values[1],
            prompt=_dict(values[2]),
            extra_data=_dict(values[3]),
            outputs_to_execute=tuple(str(node) for node in _list(values[4])),
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """GET /queue; ``pending`` is in the order in which the prompts will run."""

    running: tuple[QueueItem, ...]
    pending: tuple[QueueItem, ...]

    @classmethod
    def parse(cls, raw: object) -> "Queue":
        """Read the server's answer; its pending list is a heap, so it is sorted here."""
        answer = _dict(raw)
        running = [QueueItem.parse(item) for item in _list(answer.get("queue_running"))]
        pending = [QueueItem.parse(item) for item in _list(answer.get("queue_pending"))]
        return cls(
            running=tuple(item for item in running if item),
            pending=tuple(sorted((item for item in pending if item), key=lambda i: i.number)),
        )


@dataclass(frozen=True, slots=True)
class PromptState:
    """Where a prompt is; ``entry`` is there once it has ended (completed, failed, interrupted).

    (A pending prompt that was cancelled is "interrupted" without an entry on servers that remember
    it, and "unknown" on those that do not.)

    "unknown" means that the server has never seen it, was restarted since, or that somebody deleted
    it: the caller decides between *lost* and *never sent*.
    """

    kind: Literal["unknown", "pending", "running", "completed", "failed", "interrupted"]
    entry: HistoryEntry | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the prompt has ended."""
        return self.kind in {"completed", "failed", "interrupted"}


class CancelResult(StrEnum):
    """What :meth:`ComfyClient.cancel` did."""

    REMOVED = "removed"  #: it was pending, and will never run; the server sends no event for it
    INTERRUPTING = "interrupting"  #: it was running, and stops at the next node or progress step
    FINISHED = "finished"  #: it had ended by itself already
    UNKNOWN = "unknown"  #: the server does not know it


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file that now lies on this machine; ``size`` in bytes, ``sha256`` in hex."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Device:
    """A compute device of a server; memory in bytes."""

    name: str
    type: str
    index: int | None = None
    vram_total: int = 0
    vram_free: int = 0


@dataclass(frozen=True, slots=True)
class SystemStats:
    """GET /system_stats: what the machine is and how much memory is free now, in bytes."""

    version: str
    devices: tuple[Device, ...] = ()
    os: str = ""
    python_version: str = ""
    pytorch_version: str = ""
    ram_total: int = 0
    ram_free: int = 0
    argv: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: object) -> "SystemStats | None":
        """Read the server's answer; None where it is not one of ComfyUI's."""
        answer = _dict(raw)
        system = answer.get("system")
        devices = answer.get("devices")
        if not isinstance(system, dict) or not isinstance(devices, list):
            return None
        return cls(
            version=_text(system.get("comfyui_version")),
            devices=tuple(_device(device) for device in devices if isinstance(device, dict)),
            os=_text(system.get("os")),
            python_version=_text(system.get("python_version")),
            pytorch_version=_text(system.get("pytorch_version")),
            ram_total=_bytes(system.get("ram_total")),
            ram_free=_bytes(system.get("ram_free")),
            argv=tuple(str(argument) for argument in _list(system.get("argv"))),
        )

    @property
    def vram_total(self) -> int:
        """The largest device's memory."""
        return max((device.vram_total for device in self.devices), default=0)

    @property
    def vram_free(self) -> int:
        """The largest device's free memory."""
        largest = max(self.devices, key=lambda device: device.vram_total, default=None)
        return largest.vram_free if largest is not None else 0

    @property
    def cache(self) -> str:
        """The node cache asked for at start: classic, lru, none, ram; "default" where unsaid."""
        for kind in ("classic", "lru", "none", "ram"):
            if any(a == f"--cache-{kind}" or a.startswith(f"--cache-{kind}=") for a in self.argv):
                return kind
        return "default"

    @property
    def preview_method(self) -> str | None:
        """The preview method asked for at start; prompts may ask for another."""
        for argument, value in zip(self.argv, (*self.argv[1:], ""), strict=True):
            if argument == "--preview-method":
                return value or None
            if argument.startswith("--preview-method="):
                return argument.partition("=")[2] or None
        return None


@dataclass(frozen=True, slots=True)
class ServerInfo(SystemStats):
    """What a server is and can do, found out by asking it, never from its version.

    ``max_upload_size`` is in bytes, None where the server does not say.
    """

    features: dict[str, Any] = field(default_factory=dict)
    max_upload_size: int | None = None
    has_jobs_api: bool = False
    has_job_cancel: bool = False
    has_assets: bool = False
    supports_preview_metadata: bool = False
    queue_remaining: int | None = None


def _device(raw: Mapping[str, Any]) -> Device:
    index = raw.get("index")
    return Device(
        name=_text(raw.get("name")),
        type=_text(raw.get("type")),
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        vram_total=_bytes(raw.get("vram_total")),
        vram_free=_bytes(raw.get("vram_free")),
    )


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    try:
        return max(0, int(value))
    except (OverflowError, ValueError):
        return 0


def time_of(timestamp: object) -> datetime | None:
    """Read the server's milliseconds since 1970 as an aware UTC time."""
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        return None
    try:
        return datetime.fromtimestamp(timestamp / 1000, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _how_it_ended(
    status: Mapping[str, Any], messages: list[tuple[Any, dict[str, Any]]]
) -> tuple[Literal["completed", "failed", "interrupted"], NodeFailure | None]:
    if status.get("status_str") == "success":
        # An execution_error among the messages of a success is a blocked branch: the rest ran.
        return "completed", None
    failures = [data for name, data in messages if name == "execution_error"]
    if failures:
        return "failed", failure_of(failures[-1])
    if any(name == "execution_interrupted" for name, _ in messages):
        return "interrupted", None
    if status.get("status_str") == "error":
        said = "the server reported an error without saying where"
    else:
        said = "the server's history does not say how the prompt ended"
    return "failed", NodeFailure("", "", "", said)


def failure_of(data: Mapping[str, Any]) -> NodeFailure:
    """Read the data of an execution_error message."""
    traceback = data.get("traceback")
    lines = [traceback] if isinstance(traceback, str) else _list(traceback)
    return NodeFailure(
        node_id=_text(data.get("node_id")),
        node_type=_text(data.get("node_type")),
        exception_type=_text(data.get("exception_type")),
        message=_text(data.get("exception_message")).strip(),
        traceback=tuple(str(line) for line in lines),
    )


def _files(outputs: Mapping[str, Mapping[str, Any]]) -> Iterable[FileRef]:
    for node_id, output in outputs.items():
        yield from files_of(node_id, output)


def files_of(node_id: str, output: Mapping[str, Any]) -> Iterable[FileRef]:
    """Give the files in one node's output: any dict with a ``filename``, whatever its kind."""
    for kind, values in output.items():
        items = [values] if isinstance(values, Mapping) else _list(values)
        for index, item in enumerate(items):
            if isinstance(item, Mapping) and isinstance(item.get("filename"), str):
                if not item["filename"]:
                    continue
                yield FileRef(
                    filename=item["filename"],
                    subfolder=_text(item.get("subfolder")),
                    type=_text(item.get("type")) or "output",
                    node_id=node_id,
                    kind=str(kind),
                    index=index,
                    media_type=_text(item.get("format")),
                )


def _texts(outputs: Mapping[str, Mapping[str, Any]]) -> Iterable[TextOutput]:
    for node_id, output in outputs.items():
        for kind, values in output.items():
            items = [values] if isinstance(values, str) else _list(values)
            for index, item in enumerate(items):
                if isinstance(item, str):
                    yield TextOutput(node_id, str(kind), index, item)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
