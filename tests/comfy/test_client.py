"""The client against a server that runs prompts: the sandbox, or COMFYNB_TEST_URL's."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from comfynb.comfy import (
    CancelResult,
    ComfyClient,
    Connected,
    Event,
    Executed,
    Executing,
    ExecutionCached,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    HistoryEntry,
    NodeProgress,
    Preview,
    PromptState,
    QueueStatus,
    new_prompt_id,
)
from comfynb.errors import BackendUnreachable, InvalidValue, NotFound, PromptRefused, ServerError
from comfynb.sandbox import Sandbox, in_process

# Only nodes that every ComfyUI has.


def quick_prompt(seed: int | None = None) -> dict[str, Any]:
    """A small picture that no cache has yet, inverted and saved."""
    colour = random.randrange(2**24) if seed is None else seed
    size = {"width": 64, "height": 48, "batch_size": 2}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**size, "color": colour}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "comfynb_test/img"},
        },
    }


def slow_prompt() -> dict[str, Any]:
    """Many steps, so that it can be stopped in between: seconds, on the sandbox and elsewhere."""
    size = {"width": 512, "height": 512, "batch_size": 4, "color": random.randrange(2**24)}
    prompt: dict[str, Any] = {"0": {"class_type": "EmptyImage", "inputs": size}}
    for number in range(1, 200):
        blur = {"image": [str(number - 1), 0], "blur_radius": 31, "sigma": 10.0}
        prompt[str(number)] = {"class_type": "ImageBlur", "inputs": blur}
    prompt["200"] = {"class_type": "PreviewImage", "inputs": {"images": ["199", 0]}}
    return prompt


async def ended(client: ComfyClient, prompt_id: str) -> HistoryEntry:
    while True:
        state = await client.find(prompt_id)
        if state.entry is not None:
            return state.entry
        assert state.kind in {"pending", "running"}
        await asyncio.sleep(0.02)


async def reached(client: ComfyClient, prompt_id: str, *kinds: str) -> PromptState:
    while True:
        state = await client.find(prompt_id)
        if state.kind in kinds:
            return state
        await asyncio.sleep(0.02)


async def listen(client: ComfyClient) -> tuple[list[Event], Callable[[type], Awaitable[Event]]]:
    """Collect events from now on; the function waits for one of a kind."""
    events: list[Event] = []
    stream = client.events()
    assert isinstance(await anext(stream), Connected)

    async def until(kind: type) -> Event:
        async for event in stream:
            events.append(event)
            if isinstance(event, kind) and getattr(event, "node", None) is None:
                return event
        raise AssertionError("the stream ended")

    return events, until


async def test_it_is_comfyui(client: ComfyClient) -> None:
    assert client.info is not None
    assert client.info.version
    assert client.info.devices
    stats = await client.system_stats()
    assert stats.version == client.info.version
    assert stats.ram_total > 0
    features = await client.features()
    assert features.get("max_upload_size") == client.info.max_upload_size
    assert await client.queue_remaining() >= 0


async def test_a_prompt_from_beginning_to_end(client: ComfyClient, tmp_path: Path) -> None:
    events, until = await listen(client)
    prompt_id = new_prompt_id()
    accepted = await client.submit(
        quick_prompt(), prompt_id=prompt_id, extra_data={"extra_pnginfo": {"workflow": {}}}
    )
    assert accepted.prompt_id == prompt_id
    await until(Executing)
    ours = [event for event in events if event.prompt_id == prompt_id]
    kinds = [type(event) for event in ours]
    assert kinds[0] is ExecutionStart
    assert kinds[1] is ExecutionCached
    assert {NodeProgress, Executing, Executed, ExecutionSuccess} <= set(kinds)
    assert kinds[-1] is Executing
    # The history is written by the time that `executing` without a node comes.
    entry = await client.history(prompt_id)
    assert entry is not None
    assert entry.status == "completed"
    assert entry.error is None
    assert entry.cached_nodes == ()
    assert entry.started_at is not None
    assert entry.ended_at is not None
    assert set(entry.outputs) == {"3"}
    assert [(f.node_id, f.kind, f.index, f.type) for f in entry.output_files] == [
        ("3", "images", 0, "output"),
        ("3", "images", 1, "output"),
    ]
    assert entry.prompt == quick_prompt(entry.prompt["1"]["inputs"]["color"])
    assert entry.extra_data["client_id"] == client.client_id
    for number, ref in enumerate(entry.output_files):
        got = await client.download(ref, tmp_path / f"{number}.png")
        assert got.path.read_bytes()[:4] == b"\x89PNG"
    assert (await client.find(prompt_id)).entry == entry
    recent = await client.recent_history(5)
    assert 1 <= len(recent) <= 5
    assert {**recent}[prompt_id] == entry
    assert new_prompt_id() not in recent
    assert any(isinstance(event, QueueStatus) for event in events)


async def test_the_same_again_is_cached(client: ComfyClient) -> None:
    seed = random.randrange(2**24)
    entries = []
    for _ in range(2):
        prompt_id = new_prompt_id()
        await client.submit(quick_prompt(seed), prompt_id=prompt_id)
        entries.append(await ended(client, prompt_id))
    first, second = entries
    assert first.cached_nodes == ()
    assert set(second.cached_nodes) == {"1", "2", "3"}
    assert first.output_files == second.output_files


async def test_only_the_targets_run(client: ComfyClient) -> None:
    prompt = quick_prompt()
    prompt["4"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "comfynb_test/other"},
    }
    prompt_id = new_prompt_id()
    await client.submit(prompt, prompt_id=prompt_id, partial_execution_targets=["4"])
    assert set((await ended(client, prompt_id)).outputs) == {"4"}


async def test_a_queue_from_inside(client: ComfyClient) -> None:
    running, *rest = (new_prompt_id() for _ in range(4))
    await client.submit(slow_prompt(), prompt_id=running)
    await reached(client, running, "running")
    for number, prompt_id in enumerate(rest):
        await client.submit(quick_prompt(), prompt_id=prompt_id, front=number == 2)
    queue = await client.queue()
    assert [item.prompt_id for item in queue.running] == [running]
    assert [item.prompt_id for item in queue.pending] == [rest[2], rest[0], rest[1]]
    assert queue.running[0].client_id == client.client_id
    assert await client.queue_remaining() == 4
    assert (await client.find(rest[0])).kind == "pending"
    assert await client.history(rest[0]) is None

    assert await client.cancel(rest[0]) is CancelResult.REMOVED
    assert await client.cancel(rest[0]) is CancelResult.UNKNOWN
    assert await client.cancel(running) is CancelResult.INTERRUPTING
    entry = await ended(client, running)
    assert entry.status == "interrupted"
    assert entry.error is None
    assert await client.cancel(running) is CancelResult.FINISHED
    # Nobody else was touched.
    for prompt_id in (rest[1], rest[2]):
        assert (await ended(client, prompt_id)).status == "completed"
    assert (await client.find(rest[0])).kind in {"unknown", "interrupted"}


async def test_an_interrupt_is_told_on_the_socket(client: ComfyClient) -> None:
    events, until = await listen(client)
    prompt_id = new_prompt_id()
    await client.submit(slow_prompt(), prompt_id=prompt_id)
    await until(ExecutionStart)
    await reached(client, prompt_id, "running")
    await client.cancel(prompt_id)
    interrupted = await until(ExecutionInterrupted)
    assert interrupted.prompt_id == prompt_id
    assert not any(isinstance(event, ExecutionSuccess) for event in events)


async def test_nobody_is_mistaken_for_another(client: ComfyClient) -> None:
    assert (await client.find(new_prompt_id())).kind == "unknown"
    assert await client.history(new_prompt_id()) is None
    assert await client.cancel(new_prompt_id()) is CancelResult.UNKNOWN


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"1": {"class_type": "NoSuchNodeAnywhere", "inputs": {}}}, "NoSuchNodeAnywhere"),
        ({"1": {"class_type": "EmptyImage", "inputs": {"width": 0}}}, "width"),
        ({"3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}}, "images"),
        ({"3": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}}}, ""),
    ],
)
async def test_a_prompt_that_is_refused(
    change: dict[str, Any], problem: str, client: ComfyClient
) -> None:
    prompt_id = new_prompt_id()
    with pytest.raises(PromptRefused) as caught:
        await client.submit({**quick_prompt(), **change}, prompt_id=prompt_id)
    assert caught.value.problems
    assert any(problem in sentence for sentence in caught.value.problems)
    assert caught.value.backend == "PC1"
    assert (await client.find(prompt_id)).kind == "unknown"


async def test_many_tasks_share_one_client(client: ComfyClient) -> None:
    ids = [new_prompt_id() for _ in range(30)]
    await asyncio.gather(*(client.submit(quick_prompt(), prompt_id=i) for i in ids))
    entries = await asyncio.gather(*(ended(client, i) for i in ids))
    assert all(entry.status == "completed" for entry in entries)
    assert len({file.filename for entry in entries for file in entry.output_files}) == 60


async def test_node_classes(client: ComfyClient) -> None:
    one = await client.object_info("EmptyImage")
    assert one["EmptyImage"]["input"]["required"]["width"][0] == "INT"
    assert await client.object_info("NoSuch/Node?") == {}
    everything = await client.object_info()
    assert everything["EmptyImage"] == one["EmptyImage"]


async def test_models_and_saved_files(client: ComfyClient) -> None:
    folders = await client.models()
    assert "checkpoints" in folders
    assert isinstance(await client.models("checkpoints"), list)
    with pytest.raises(NotFound, match="no model folder 'no/such'"):
        await client.models("no/such")
    assert isinstance(await client.embeddings(), list)
    assert await client.userdata_list("no-such-folder") == []
    with pytest.raises(NotFound, match="no saved file"):
        await client.userdata_get("workflows/no such.json")
    with pytest.raises(InvalidValue, match="leads out"):
        await client.userdata_get("workflows/../../secret.json")
    await client.free(unload_models=True, free_memory=True)


async def test_previews_come_with_their_prompt() -> None:
    prompt = {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {"model": ["1", 0], "seed": 1, "steps": 4, "seconds_per_step": 0, "text": ""},
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    async with in_process() as server, ComfyClient(server.url) as client:
        events, until = await listen(client)
        prompt_id = new_prompt_id()
        await client.submit(prompt, prompt_id=prompt_id, preview_method="latent2rgb")
        await until(ExecutionSuccess)
        previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    assert all(event.prompt_id == prompt_id and event.node_id == "2" for event in previews)
    assert all(event.mime == "image/jpeg" for event in previews)


async def test_saved_workflows_are_listed_and_read() -> None:
    async with in_process(samples=True) as server, ComfyClient(server.url) as client:
        names = await client.userdata_list("workflows")
        assert names
        assert (await client.userdata_get(f"workflows/{names[0]}")).startswith(b"{")


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
@pytest.mark.parametrize("job_cancel", [False, True])
async def test_it_stops_prompts_on_every_kind_of_server(version: str, job_cancel: bool) -> None:
    async with (
        in_process(version=version, job_cancel=job_cancel) as server,
        ComfyClient(server.url) as client,
    ):
        await client.probe()
        running, pending = new_prompt_id(), new_prompt_id()
        await client.submit(slow_prompt(), prompt_id=running)
        await client.submit(quick_prompt(), prompt_id=pending)
        await reached(client, running, "running")
        assert await client.cancel(pending) is CancelResult.REMOVED
        assert await client.cancel(running) is CancelResult.INTERRUPTING
        assert (await ended(client, running)).status == "interrupted"


# Faults


@pytest.mark.faults
async def test_a_lost_answer_is_looked_up_before_sending_again(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        prompt_id = new_prompt_id()
        sandbox.fault("lost", count=1)
        with pytest.raises(BackendUnreachable) as caught:
            await client.submit(quick_prompt(), prompt_id=prompt_id)
        assert caught.value.sent
        assert (await ended(client, prompt_id)).status == "completed"
    assert sandbox.stats()["prompts"][prompt_id]["accepted"] == 1


@pytest.mark.faults
async def test_an_answer_that_hangs_after_the_prompt_was_taken(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        prompt_id = new_prompt_id()
        sandbox.fault("hang", path="/prompt", method="POST", when="after")
        submitting = asyncio.ensure_future(client.submit(quick_prompt(), prompt_id=prompt_id))
        assert (await ended(client, prompt_id)).status == "completed"
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting


@pytest.mark.faults
@pytest.mark.parametrize("mode", ["reset", "refuse"])
async def test_a_dead_server(mode: str, sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        await client.queue_remaining()
        sandbox.fault("dead", mode=mode)
        with pytest.raises(BackendUnreachable):
            await client.queue_remaining()
        with pytest.raises(BackendUnreachable) as caught:
            await client.submit(quick_prompt(), prompt_id=new_prompt_id())
        assert caught.value.sent == (mode == "reset")
        sandbox.clear_faults()
        while True:
            try:
                await client.queue_remaining()
                break
            except BackendUnreachable:
                await asyncio.sleep(0.02)


@pytest.mark.faults
async def test_a_restart_forgets_prompts_and_that_is_not_success(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        done, running = new_prompt_id(), new_prompt_id()
        await client.submit(quick_prompt(), prompt_id=done)
        await ended(client, done)
        await client.submit(slow_prompt(), prompt_id=running)
        await reached(client, running, "running")
        await asyncio.to_thread(sandbox.fault, "restart")
        assert (await client.find(done)).kind == "unknown"
        assert (await client.find(running)).kind == "unknown"


@pytest.mark.faults
async def test_a_cut_answer_to_a_look_up(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        prompt_id = new_prompt_id()
        await client.submit(quick_prompt(), prompt_id=prompt_id)
        await ended(client, prompt_id)
        sandbox.fault("cut", path="/history/*")
        with pytest.raises(BackendUnreachable):
            await client.history(prompt_id)


@pytest.mark.faults
async def test_a_refusing_server(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        sandbox.fault("refuse", status=500, count=1)
        with pytest.raises(ServerError, match="told to refuse") as caught:
            await client.submit(quick_prompt(), prompt_id=new_prompt_id())
        assert caught.value.status == 500


@pytest.mark.faults
async def test_out_of_memory_is_recognised(sandbox: Sandbox) -> None:
    async with ComfyClient(sandbox.url) as client:
        sandbox.fault("oom", node_class="ImageInvert", count=1)
        prompt_id = new_prompt_id()
        await client.submit(quick_prompt(), prompt_id=prompt_id)
        entry = await ended(client, prompt_id)
    assert entry.status == "failed"
    assert entry.error is not None
    assert entry.error.node_id == "2"
    assert entry.error.node_type == "ImageInvert"
    assert entry.error.is_out_of_memory
