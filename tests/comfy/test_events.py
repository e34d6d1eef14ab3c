"""Websocket messages, recorded and made up, as typed events."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy import events, parse_frame

KINDS = {
    "status": (events.Connected, events.QueueStatus),
    "feature_flags": (events.FeatureFlags,),
    "execution_start": (events.ExecutionStart,),
    "execution_cached": (events.ExecutionCached,),
    "execution_success": (events.ExecutionSuccess,),
    "execution_error": (events.ExecutionError,),
    "execution_interrupted": (events.ExecutionInterrupted,),
    "progress_state": (events.NodeProgress,),
    "executing": (events.Executing,),
    "progress": (events.Progress,),
    "executed": (events.Executed,),
}


def frames(recording: dict[str, Any]) -> list[dict[str, Any]]:
    found = [step["ws"] for step in recording["log"] if "ws" in step]
    for step in recording["log"]:
        found += step.get("messages", [])
    return found


def test_every_recorded_frame_is_read_with_its_prompt(recording: dict[str, Any]) -> None:
    assert frames(recording)
    for frame in frames(recording):
        event = parse_frame(json.dumps(frame))
        assert isinstance(event, KINDS[frame["type"]]), frame["type"]
        assert event.prompt_id == frame["data"].get("prompt_id")
        assert parse_frame(json.dumps(frame).encode()) == event


def test_every_recorded_progress_keeps_its_nodes(recording: dict[str, Any]) -> None:
    for frame in frames(recording):
        event = parse_frame(json.dumps(frame))
        data = frame["data"]
        match event:
            case events.NodeProgress(nodes=nodes):
                assert {
                    node_id: (node.value, node.max, node.state, node.real_node_id)
                    for node_id, node in nodes.items()
                } == {
                    node_id: (raw["value"], raw["max"], raw["state"], raw["real_node_id"])
                    for node_id, raw in data["nodes"].items()
                }
            case events.Progress():
                assert (event.node, event.value, event.max) == (
                    data["node"],
                    data["value"],
                    data["max"],
                )
            case events.Executing():
                assert event.node == data["node"]
            case events.Executed():
                assert event.output == data["output"]
            case events.ExecutionCached():
                assert list(event.nodes) == data["nodes"]
            case events.ExecutionError():
                assert event.failure.node_id == data["node_id"]
                assert event.failure.traceback == tuple(data["traceback"])
                assert not event.is_blocked_branch
            case events.ExecutionInterrupted():
                assert (event.node_id, event.node_type) == (data["node_id"], data["node_type"])


def test_every_recorded_binary_head_is_read(recording: dict[str, Any]) -> None:
    for step in recording["log"]:
        if "ws_binary" not in step:
            continue
        head = base64.b64decode(step["ws_binary"]["head_base64"])
        # Only the head was kept: the metadata ends within it, or is cut off.
        event = parse_frame(head)
        assert isinstance(event, events.Preview | events.Unknown)
        (kind,) = struct.unpack_from(">I", head)
        assert kind == step["ws_binary"]["event_type"]


JPEG, PNG = b"\xff\xd8\xff\xe0rest", b"\x89PNG\r\n\x1a\nrest"


def test_a_plain_preview() -> None:
    event = parse_frame(struct.pack(">II", 1, 1) + JPEG)
    assert event == events.Preview(None, None, "image/jpeg", JPEG)
    event = parse_frame(struct.pack(">II", 1, 2) + PNG)
    assert event == events.Preview(None, None, "image/png", PNG)


def test_a_preview_goes_by_its_bytes_where_the_frame_says_otherwise() -> None:
    event = parse_frame(struct.pack(">II", 1, 1) + PNG)
    assert isinstance(event, events.Preview)
    assert event.mime == "image/png"


def test_a_preview_with_metadata() -> None:
    metadata = {
        "node_id": "7:3",
        "prompt_id": "p",
        "display_node_id": "7",
        "parent_node_id": None,
        "real_node_id": "3",
        "image_type": "image/jpeg",
    }
    head = json.dumps(metadata).encode()
    event = parse_frame(struct.pack(">II", 4, len(head)) + head + JPEG)
    assert event == events.Preview("p", "7:3", "image/jpeg", JPEG, "7", "3")
    assert "rest" not in repr(event)


def test_a_text_message() -> None:
    event = parse_frame(struct.pack(">II", 3, 2) + b"12" + "fertig ✓".encode())
    assert event == events.TextMessage("12", "fertig ✓")


def test_what_is_not_known_is_kept() -> None:
    event = parse_frame('{"type": "crystools.monitor", "data": {"prompt_id": "p", "gpu": 3}}')
    assert event == events.Unknown("crystools.monitor", {"prompt_id": "p", "gpu": 3}, "p")
    event = parse_frame(struct.pack(">I", 77) + b"abc")
    assert event == events.Unknown("binary 77", b"abc")


def test_executing_without_prompt_comes_after_reconnecting() -> None:
    event = parse_frame('{"type": "executing", "data": {"node": "4"}}')
    assert event == events.Executing(None, "4")


def test_a_blocked_branch_is_told_from_a_failure() -> None:
    data = {"prompt_id": "p", "exception_type": "ExecutionBlocked", "node_id": 3}
    event = parse_frame(json.dumps({"type": "execution_error", "data": data}))
    assert isinstance(event, events.ExecutionError)
    assert event.is_blocked_branch
    assert event.failure.node_id == "3"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "null",
        "{",
        '{"type": 5}',
        '{"type": "executed"}',
        '{"type": "executed", "data": {"node": "1"}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": []}}',
        '{"type": "status", "data": {"status": null}}',
        '{"type": "execution_start", "data": {"prompt_id": null}}',
        "[" * 100_000,
        '{"type": "progress", "data": ' + "9" * 10_000 + "}",
        b"",
        b"\x00",
        b"\x00\x00\x00\x01",
        struct.pack(">II", 4, 2**31) + b"{}",
        struct.pack(">II", 4, 3) + b"nil",
        struct.pack(">II", 4, 2) + b"[]",
        struct.pack(">II", 3, 50) + b"short",
        b"\xff\xfe\x00not utf-8",
    ],
    ids=lambda frame: repr(frame[:30]),
)
def test_what_cannot_be_read_is_unknown(frame: str | bytes) -> None:
    assert isinstance(parse_frame(frame), events.Unknown)


def test_a_text_that_is_not_utf8_is_read_as_far_as_it_goes() -> None:
    frame = b'{"type": "execution_start", "data": {"prompt_id": "p\xff"}}'
    assert parse_frame(frame) == events.ExecutionStart("p\ufffd")


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_frame_is_an_event(frame: str | bytes) -> None:
    assert isinstance(parse_frame(frame), events.Event)


@given(st.integers(0, 6), st.binary(max_size=60))
def test_any_binary_frame_of_a_known_kind_is_an_event(kind: int, body: bytes) -> None:
    assert isinstance(parse_frame(struct.pack(">I", kind) + body), events.Event)


FIELDS = st.sampled_from(
    [
        "prompt_id",
        "node",
        "nodes",
        "value",
        "max",
        "state",
        "output",
        "timestamp",
        "sid",
        "status",
        "exec_info",
        "queue_remaining",
        "executed",
        "traceback",
        "exception_type",
        "1",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES)
def test_any_data_of_a_known_kind_is_that_event_or_unknown(kind: str, data: object) -> None:
    event = parse_frame(json.dumps({"type": kind, "data": data}))
    assert isinstance(event, (*KINDS[kind], events.Unknown))
    prompt_id = getattr(event, "prompt_id", None)
    assert prompt_id is None or isinstance(prompt_id, str)
