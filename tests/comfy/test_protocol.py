"""What servers answered, recorded and made up, as typed values."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy import (
    FileRef,
    HistoryEntry,
    NodeFailure,
    Queue,
    QueueItem,
    ServerInfo,
    SystemStats,
    input_ref,
    is_prompt_id,
    new_prompt_id,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "outputs",
                    "status",
                    "messages",
                    "prompt",
                    "status_str",
                    "nodes",
                    "filename",
                    "subfolder",
                    "images",
                    "1",
                    "timestamp",
                    "completed",
                    "type",
                    "text",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


def answers(recording: dict[str, Any], path: str) -> list[Any]:
    """The bodies of the 200 answers to GET requests for ``path`` and below."""
    return [
        step["body"]
        for step in recording["log"]
        if step.get("http", {}).get("method") == "GET"
        and step["status"] == 200
        and step["http"]["path"].partition("?")[0].startswith(path)
    ]


# What the recordings hold


def test_every_recorded_history_entry_is_read_as_it_ended(recording: dict[str, Any]) -> None:
    for body in answers(recording, "/history"):
        for prompt_id, raw in body.items():
            entry = HistoryEntry.parse(prompt_id, raw)
            kinds = [kind for kind, _ in raw["status"]["messages"]]
            if raw["status"]["status_str"] == "success":
                assert entry.status == "completed"
            elif "execution_interrupted" in kinds:
                assert entry.status == "interrupted"
            else:
                assert entry.status == "failed"
            assert (entry.error is not None) == (entry.status == "failed")
            assert entry.prompt == raw["prompt"][2]
            assert entry.number == raw["prompt"][0]
            assert entry.outputs == raw["outputs"]
            assert entry.started_at is not None
            assert entry.ended_at is not None
            assert entry.started_at.tzinfo is UTC
            assert entry.started_at <= entry.ended_at
            files = [file for out in raw["outputs"].values() for file in out.get("images", [])]
            assert [(f.filename, f.subfolder, f.type) for f in entry.output_files] == [
                (f["filename"], f["subfolder"], f["type"]) for f in files
            ]
            cached = [data["nodes"] for kind, data in raw["status"]["messages"] if "nodes" in data]
            assert list(entry.cached_nodes) == cached[0]


def test_every_recorded_failure_names_its_node(recording: dict[str, Any]) -> None:
    failures = [
        entry.error
        for body in answers(recording, "/history")
        for prompt_id, raw in body.items()
        if (entry := HistoryEntry.parse(prompt_id, raw)).error is not None
    ]
    assert bool(failures) == (recording["scenario"] in {"node_error", "node_oom"})
    for failure in failures:
        assert failure.node_id == "2"
        assert failure.node_type == "LabFail"
        assert failure.message
        assert failure.exception_type
        assert any("raise" in line for line in failure.traceback)
        assert failure.is_out_of_memory == (recording["scenario"] == "node_oom")


def test_every_recorded_queue_is_in_the_order_in_which_it_runs(recording: dict[str, Any]) -> None:
    for body in answers(recording, "/queue") + answers(recording, "/api/queue"):
        queue = Queue.parse(body)
        assert len(queue.running) == len(body["queue_running"])
        assert sorted(item.prompt_id for item in queue.pending) == sorted(
            item[1] for item in body["queue_pending"]
        )
        numbers = [item.number for item in queue.pending]
        assert numbers == sorted(numbers)
        for item in (*queue.running, *queue.pending):
            assert item.client_id == recording["client_id"]
            assert item.prompt
            assert item.outputs_to_execute


def test_every_recorded_system_stats_is_read(recording: dict[str, Any]) -> None:
    for body in answers(recording, "/system_stats") + answers(recording, "/api/system_stats"):
        stats = SystemStats.parse(body)
        assert stats is not None
        assert stats.version in {"0.3.64", "0.8.0"}
        assert stats.ram_total > stats.ram_free > 0
        assert [(d.name, d.type) for d in stats.devices] == [("cpu", "cpu")]
        assert stats.vram_total == stats.devices[0].vram_total > 0
        assert "--cpu" in stats.argv
        assert stats.cache == "default"


# What else servers send


def entry(
    outputs: dict[str, Any], messages: list[Any] | None = None, **status: Any
) -> HistoryEntry:
    raw = {"outputs": outputs, "status": {"messages": messages or [], **status}}
    return HistoryEntry.parse("p", raw)


def test_files_are_found_in_whatever_kind_they_come() -> None:
    outputs = {
        "9": {
            "images": [{"filename": "a.png", "subfolder": "s", "type": "temp"}],
            "gifs": [{"filename": "v.mp4", "type": "output", "format": "video/h264-mp4"}],
            "animated": [True],
            "3d": [{"filename": "m.glb", "subfolder": "mesh", "type": "output"}],
            "latents": [{"filename": "l.latent", "subfolder": "", "type": "output"}],
            "invented_in_2031": {"filename": "x.bin"},
            "text": ["first", "second"],
            "empty": [{"filename": ""}, {}, None, 5],
        },
        "10": {"audio": [{"filename": "s.flac", "subfolder": "audio", "type": "output"}]},
    }
    read = entry(outputs, status_str="success", completed=True)
    assert read.output_files == (
        FileRef("a.png", "s", "temp", "9", "images", 0),
        FileRef("v.mp4", "", "output", "9", "gifs", 0, "video/h264-mp4"),
        FileRef("m.glb", "mesh", "output", "9", "3d", 0),
        FileRef("l.latent", "", "output", "9", "latents", 0),
        FileRef("x.bin", "", "output", "9", "invented_in_2031", 0),
        FileRef("s.flac", "audio", "output", "10", "audio", 0),
    )
    assert [(t.node_id, t.kind, t.index, t.text) for t in read.texts] == [
        ("9", "text", 0, "first"),
        ("9", "text", 1, "second"),
    ]


def test_a_blocked_branch_does_not_fail_a_prompt_that_succeeded() -> None:
    blocked = ["execution_error", {"exception_type": "ExecutionBlocked", "node_id": "3"}]
    read = entry({}, [blocked], status_str="success", completed=True)
    assert read.status == "completed"
    assert read.error is None


@pytest.mark.parametrize("status", [None, {}, {"status_str": None}, {"completed": True}, "success"])
def test_an_entry_that_does_not_say_how_it_ended_is_not_called_done(status: object) -> None:
    raw = {"outputs": {"9": {"images": [{"filename": "a.png"}]}}, "status": status}
    read = HistoryEntry.parse("p", raw)
    assert read.status == "failed"
    assert read.error is not None
    assert "does not say" in read.error.message
    assert len(read.output_files) == 1


def test_an_error_without_details_is_still_an_error() -> None:
    read = entry({}, status_str="error", completed=False)
    assert read.status == "failed"
    assert read.error is not None
    assert read.error.message


@given(JSON)
def test_any_json_is_read_as_an_entry_and_success_is_never_guessed(raw: Any) -> None:
    read = HistoryEntry.parse("p", raw)
    status = raw.get("status") if isinstance(raw, dict) else None
    said_success = isinstance(status, dict) and status.get("status_str") == "success"
    assert (read.status == "completed") == said_success
    assert (read.error is not None) == (read.status == "failed")
    assert all(isinstance(f.filename, str) and f.filename for f in read.output_files)


@given(JSON)
def test_any_json_is_read_as_a_queue_and_as_stats(raw: Any) -> None:
    queue = Queue.parse(raw)
    assert queue.running == queue.pending == () or isinstance(raw, dict)
    QueueItem.parse(raw)
    SystemStats.parse(raw)
    Queue.parse({"queue_running": [raw, [1, "a", raw, raw, raw]], "queue_pending": raw})
    SystemStats.parse({"system": {"argv": raw, "ram_total": raw, "os": raw}, "devices": [raw, {}]})


@given(st.floats() | st.integers())
def test_any_number_is_a_time_or_none(timestamp: float) -> None:
    messages = [["execution_start", {"timestamp": timestamp}]]
    read = entry({}, messages, status_str="success").started_at
    assert read is None or read.tzinfo is UTC


def test_milliseconds_become_utc() -> None:
    messages = [
        ["execution_start", {"timestamp": 1795255727453}],
        ["execution_success", {"timestamp": 1795255727953}],
    ]
    read = entry({}, messages, status_str="success")
    assert read.started_at == datetime(2026, 11, 21, 10, 8, 47, 453000, tzinfo=UTC)
    assert read.ended_at is not None
    assert (read.ended_at - read.started_at).total_seconds() == 0.5


@pytest.mark.parametrize(
    ("argv", "cache", "preview"),
    [
        (["main.py"], "default", None),
        (["main.py", "--cache-lru", "10"], "lru", None),
        (["main.py", "--cache-lru=10", "--preview-method", "auto"], "lru", "auto"),
        (["main.py", "--cache-none", "--preview-method=taesd"], "none", "taesd"),
        (["main.py", "--cache-ram"], "ram", None),
        (["main.py", "--cache-classic", "--preview-method"], "classic", None),
        (["--cache-directory"], "default", None),
    ],
)
def test_the_arguments_tell_cache_and_preview(
    argv: list[str], cache: str, preview: str | None
) -> None:
    stats = SystemStats.parse({"system": {"argv": argv}, "devices": []})
    assert stats is not None
    assert stats.cache == cache
    assert stats.preview_method == preview


def test_the_largest_device_counts() -> None:
    devices = [
        {"name": "a", "type": "cuda", "index": 0, "vram_total": 8, "vram_free": 7},
        {"name": "b", "type": "cuda", "index": 1, "vram_total": 24, "vram_free": 3},
        "odd",
        {"name": None, "vram_total": "many", "vram_free": float("inf"), "index": True},
    ]
    stats = SystemStats.parse({"system": {}, "devices": devices})
    assert stats is not None
    assert (stats.vram_total, stats.vram_free) == (24, 3)
    assert stats.devices[2].vram_total == 0


@pytest.mark.parametrize("kind", ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"])
def test_out_of_memory_is_told_by_type_or_text(kind: str) -> None:
    assert NodeFailure("1", "K", kind, "x").is_out_of_memory
    assert NodeFailure("1", "K", "RuntimeError", "CUDA error: out of memory").is_out_of_memory
    assert not NodeFailure("1", "K", "RuntimeError", "shape mismatch").is_out_of_memory


def test_prompt_ids_are_canonical() -> None:
    assert is_prompt_id(new_prompt_id())
    assert new_prompt_id() != new_prompt_id()
    for odd in ["", "None", new_prompt_id().upper(), new_prompt_id().replace("-", "")]:
        assert not is_prompt_id(odd)
    assert not is_prompt_id(new_prompt_id() + "\n")


def test_a_file_is_named_as_loaders_want_it() -> None:
    assert FileRef("x.png").annotated == "x.png [output]"
    assert FileRef("x.png", "a/b", "temp").annotated == "a/b/x.png [temp]"


def test_server_info_is_stats_and_abilities() -> None:
    info = ServerInfo(version="1", has_jobs_api=True)
    assert isinstance(info, SystemStats)
    assert json.dumps(info.features) == "{}"


@pytest.mark.parametrize(
    ("annotated", "ref"),
    [
        ("a.png", FileRef("a.png", "", "input")),
        ("sub/a.png [output]", FileRef("a.png", "sub", "output")),
        ("deep\\er/a [1].png [temp]", FileRef("a [1].png", "deep/er", "temp")),
        ("a [copy]", FileRef("a [copy]", "", "input")),
    ],
)
def test_what_a_loader_takes_names_a_file(annotated, ref):
    assert input_ref(annotated) == ref
    if ref.type != "input":
        assert input_ref(ref.annotated) == ref
