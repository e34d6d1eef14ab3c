"""What a ComfyUI server says on its websocket, as typed events; reads text and binary frames."""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from comfynb.comfy.protocol import NodeFailure, failure_of, time_of

__all__ = [
    "Connected",
    "Disconnected",
    "Event",
    "Executed",
    "Executing",
    "ExecutionCached",
    "ExecutionError",
    "ExecutionInterrupted",
    "ExecutionStart",
    "ExecutionSuccess",
    "FeatureFlags",
    "NodeProgress",
    "NodeState",
    "Preview",
    "Progress",
    "QueueStatus",
    "TextMessage",
    "Unknown",
    "parse_frame",
]


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open (again): whatever happened before must be asked over HTTP.

    ``sid`` is the client id that the server confirmed; ``remaining`` the prompts in its queue.
    """

    prompt_id: ClassVar[None] = None
    sid: str
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no socket: trust nothing but HTTP until :class:`Connected` comes.

    ``reason`` is a sentence for people. Sent once for each outage, and again if the reason changes.
    """

    prompt_id: ClassVar[None] = None
    reason: str


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue changed: ``remaining`` prompts are running or pending."""

    prompt_id: ClassVar[None] = None
    remaining: int


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    """The server's feature flags, in answer to ours."""

    prompt_id: ClassVar[None] = None
    flags: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    """The prompt began to run."""

    prompt_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    """These nodes' results were in the server's cache; sent for each prompt, empty if none."""

    prompt_id: str
    nodes: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node's progress: ``value`` of ``max`` steps; ``state`` is running, finished or error.

    Expanded nodes have ids that are not in the prompt: ``real_node_id`` is the one that is.
    """

    node_id: str
    value: float
    max: float
    state: str
    display_node_id: str = ""
    parent_node_id: str | None = None
    real_node_id: str = ""


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """Every node that has begun, by id; those still to come are absent."""

    prompt_id: str
    nodes: dict[str, NodeState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Executing:
    """``node`` runs now; None after the prompt has ended, when its history is written."""

    prompt_id: str | None
    node: str | None
    display_node: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """``value`` of ``max`` steps of one node."""

    prompt_id: str | None
    node: str | None
    value: float
    max: float


@dataclass(frozen=True, slots=True)
class Executed:
    """A node put something out: ``output`` as in the history."""

    prompt_id: str
    node: str
    display_node: str
    output: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionSuccess:
    """The prompt ran to its end; its history is written a moment later (see Executing)."""

    prompt_id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    """A node failed. Not the end by itself: a blocked branch sends it in prompts that succeed."""

    prompt_id: str
    failure: NodeFailure
    executed: tuple[str, ...] = ()
    at: datetime | None = None

    @property
    def is_blocked_branch(self) -> bool:
        """Whether a node blocked its branch on purpose and the rest goes on."""
        return self.failure.exception_type.rpartition(".")[2] == "ExecutionBlocked"


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    """The prompt was stopped while ``node_id`` ran."""

    prompt_id: str
    node_id: str
    node_type: str
    executed: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of work in progress, or what SaveImageWebsocket put out; ``data`` as encoded.

    ``prompt_id`` and ``node_id`` are None where the server's frame does not tell.
    """

    prompt_id: str | None
    node_id: str | None
    mime: str
    data: bytes = field(repr=False)
    display_node_id: str | None = None
    real_node_id: str | None = None


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A text that a node shows while it runs."""

    node_id: str
    text: str
    prompt_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whatever else came: ``type`` as the server named it, or what was wrong with the frame."""

    type: str
    data: object = field(default=None, repr=False)
    prompt_id: str | None = None


Event = (
    Connected
    | Disconnected
    | QueueStatus
    | FeatureFlags
    | ExecutionStart
    | ExecutionCached
    | NodeProgress
    | Executing
    | Progress
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | Preview
    | TextMessage
    | Unknown
)


class _OddFrameError(Exception):
    """A frame that is not what its type promises."""


def parse_frame(frame: str | bytes) -> Event:
    """Read one websocket message; never raises, whatever the bytes are.

    Bytes may be a binary message or a text that nobody decoded yet. A frame that cannot be read,
    and a kind that is not known, become :class:`Unknown`. The first status of a connection (the one
    with ``sid``) becomes :class:`Connected`.
    """
    try:
        if isinstance(frame, bytes):
            # A binary message starts with its kind, a small number in four bytes; JSON never does.
            if frame[:1] == b"\0" or not frame:
                return _binary(frame)
            frame = frame.decode("utf-8", "replace")
        return _text(frame)
    except _OddFrameError as error:
        return Unknown(f"malformed: {error}", frame)


def _text(frame: str) -> Event:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise _OddFrameError("not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise _OddFrameError("no type")
    kind = message["type"]
    data = message.get("data")
    reader = _READERS.get(kind)
    if reader is None:
        prompt_id = data.get("prompt_id") if isinstance(data, dict) else None
        return Unknown(kind, data, prompt_id if isinstance(prompt_id, str) else None)
    if not isinstance(data, dict):
        raise _OddFrameError(f"{kind} without data")
    return reader(data)


def _status(data: Mapping[str, Any]) -> Event:
    status = data.get("status")
    info = status.get("exec_info") if isinstance(status, dict) else None
    remaining = info.get("queue_remaining") if isinstance(info, dict) else None
    if not isinstance(remaining, int) or isinstance(remaining, bool):
        remaining = None
    sid = data.get("sid")
    if isinstance(sid, str):
        return Connected(sid, remaining)
    if remaining is None:
        raise _OddFrameError("status without queue_remaining")
    return QueueStatus(remaining)


def _feature_flags(data: Mapping[str, Any]) -> Event:
    return FeatureFlags(dict(data))


def _execution_start(data: Mapping[str, Any]) -> Event:
    return ExecutionStart(_id(data, "prompt_id"), time_of(data.get("timestamp")))


def _execution_cached(data: Mapping[str, Any]) -> Event:
    return ExecutionCached(
        _id(data, "prompt_id"), _ids(data.get("nodes")), time_of(data.get("timestamp"))
    )


def _execution_success(data: Mapping[str, Any]) -> Event:
    return ExecutionSuccess(_id(data, "prompt_id"), time_of(data.get("timestamp")))


def _execution_error(data: Mapping[str, Any]) -> Event:
    return ExecutionError(
        _id(data, "prompt_id"),
        failure_of(data),
        _ids(data.get("executed")),
        time_of(data.get("timestamp")),
    )


def _execution_interrupted(data: Mapping[str, Any]) -> Event:
    return ExecutionInterrupted(
        _id(data, "prompt_id"),
        _maybe_id(data.get("node_id")) or "",
        _maybe_id(data.get("node_type")) or "",
        _ids(data.get("executed")),
        time_of(data.get("timestamp")),
    )


def _progress_state(data: Mapping[str, Any]) -> Event:
    nodes = data.get("nodes")
    if not isinstance(nodes, dict):
        raise _OddFrameError("progress_state without nodes")
    return NodeProgress(
        _id(data, "prompt_id"),
        {
            node_id: _node_state(node_id, state)
            for node_id, state in nodes.items()
            if isinstance(state, dict)
        },
    )


def _node_state(node_id: str, state: Mapping[str, Any]) -> NodeState:
    return NodeState(
        node_id=node_id,
        value=_number(state.get("value")),
        max=_number(state.get("max")),
        state=_maybe_id(state.get("state")) or "",
        display_node_id=_maybe_id(state.get("display_node_id")) or node_id,
        parent_node_id=_maybe_id(state.get("parent_node_id")),
        real_node_id=_maybe_id(state.get("real_node_id")) or node_id,
    )


def _executing(data: Mapping[str, Any]) -> Event:
    return Executing(
        _maybe_id(data.get("prompt_id")),
        _maybe_id(data.get("node")),
        _maybe_id(data.get("display_node")),
    )


def _progress(data: Mapping[str, Any]) -> Event:
    return Progress(
        _maybe_id(data.get("prompt_id")),
        _maybe_id(data.get("node")),
        _number(data.get("value")),
        _number(data.get("max")),
    )


def _executed(data: Mapping[str, Any]) -> Event:
    output = data.get("output")
    node = _id(data, "node")
    return Executed(
        _id(data, "prompt_id"),
        node,
        _maybe_id(data.get("display_node")) or node,
        output if isinstance(output, dict) else {},
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    "status": _status,
    "feature_flags": _feature_flags,
    "execution_start": _execution_start,
    "execution_cached": _execution_cached,
    "execution_success": _execution_success,
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
    "progress_state": _progress_state,
    "executing": _executing,
    "progress": _progress,
    "executed": _executed,
}

# Binary frames: a big-endian number says the kind, and the rest is laid out accordingly.
_PREVIEW, _UNENCODED_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 2, 3, 4
_FORMATS = {1: "image/jpeg", 2: "image/png"}
_MAGIC: tuple[tuple[bytes, Literal["image/jpeg", "image/png", "image/webp"]], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"RIFF", "image/webp"),
)


def _binary(frame: bytes) -> Event:
    kind, body = _number_and_rest(frame)
    if kind == _PREVIEW:
        image_format, data = _number_and_rest(body)
        return Preview(None, None, _mime(data, _FORMATS.get(image_format, "")), data)
    if kind == _TEXT:
        length, rest = _number_and_rest(body)
        if length > len(rest):
            raise _OddFrameError("text frame cut off")
        return TextMessage(
            rest[:length].decode("utf-8", "replace"), rest[length:].decode("utf-8", "replace")
        )
    if kind == _PREVIEW_WITH_METADATA:
        return _preview_with_metadata(body)
    return Unknown(f"binary {kind}", body)


def _preview_with_metadata(body: bytes) -> Event:
    length, rest = _number_and_rest(body)
    if length > len(rest):
        raise _OddFrameError("preview frame cut off")
    try:
        metadata = json.loads(rest[:length])
    except (ValueError, RecursionError):
        raise _OddFrameError("preview metadata is not JSON") from None
    if not isinstance(metadata, dict):
        raise _OddFrameError("preview metadata is no object")
    data = rest[length:]
    return Preview(
        _maybe_id(metadata.get("prompt_id")),
        _maybe_id(metadata.get("node_id")),
        _mime(data, _maybe_id(metadata.get("image_type")) or ""),
        data,
        _maybe_id(metadata.get("display_node_id")),
        _maybe_id(metadata.get("real_node_id")),
    )


def _mime(data: bytes, said: str) -> str:
    """Go by the bytes, and by what the server said only where they are of no known kind."""
    for magic, mime in _MAGIC:
        if data.startswith(magic):
            return mime
    return said or "application/octet-stream"


def _number_and_rest(data: bytes) -> tuple[int, bytes]:
    if len(data) < 4:
        raise _OddFrameError("binary frame cut off")
    (number,) = struct.unpack_from(">I", data)
    return number, data[4:]


def _id(data: Mapping[str, Any], key: str) -> str:
    value = _maybe_id(data.get(key))
    if value is None:
        raise _OddFrameError(f"no {key}")
    return value


def _maybe_id(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _ids(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(value for value in map(_maybe_id, values) if value is not None)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
