"""The engine on servers: what runs, fails, is cancelled, lost and found again."""

import asyncio

import pytest
from PIL import Image

from comfynb.comfy import ComfyClient
from comfynb.engine import following
from comfynb.engine.courier import sending
from comfynb.errors import BackendUnreachable, StoreError, UsageError
from comfynb.models import (
    FallbackStrategy,
    JobStatus,
    OutputFile,
    PromptRecord,
    PromptStatus,
    new_id,
)


async def test_a_prompt_becomes_a_job_with_pictures_and_everything_is_stored(
    kernel, servers, prompts
):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.picture(width=40))
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    (image,) = live.view.images
    assert image.node_title == "Keep"
    assert (image.width, image.height) == (40, 32)
    with Image.open(image.path) as opened:
        assert opened.size == (40, 32)
    stored = await kernel.stored(live)
    assert stored == live.job
    (record,) = await kernel.store.find(PromptRecord)
    assert record.state is PromptStatus.COMPLETED
    assert record.prompt_id == stored.node_executions[0].comfy_prompt_id
    (file,) = await kernel.store.find(OutputFile)
    assert file.path == str(image.path)
    assert await kernel.store.check() == []


async def test_jobs_spread_over_idle_backends(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    await kernel.add(servers[1], "two")
    lives = await kernel.run(*(prompts.sampling(2, 0.1) for _ in range(4)))
    for live in lives:
        await live.wait()
    assert {live.view.backend for live in lives} == {"one", "two"}
    assert all(live.job.status is JobStatus.COMPLETED for live in lives)


async def test_progress_step_and_preview_are_told_while_it_runs(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(8, 0.15))
    views = []
    live.watch(views.append)
    await live.wait()
    seen = [view.progress for view in views]
    assert seen == sorted(seen)
    assert any(0 < progress < 100 for progress in seen)
    assert any(view.step and view.step.startswith("Sampler: ") for view in views)
    assert any(view.preview for view in views)
    assert views[-1].status is JobStatus.COMPLETED
    assert views[-1].preview is None


async def test_a_refused_prompt_fails_with_node_input_value_and_what_is_allowed(
    kernel, servers, prompts
):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.picture(width=0))
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    for part in ("EmptyImage", "width", "0", "1"):
        assert part in live.job.error_message
    (record,) = await kernel.store.find(PromptRecord)
    assert record.state is PromptStatus.FAILED
    assert record.error_class == "refused"


async def test_a_partly_accepted_prompt_is_refused_as_a_whole(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    prompt = prompts.picture()
    prompt["5"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "bad"}}
    (live,) = await kernel.run(prompt)
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert "images" in live.job.error_message


@pytest.mark.parametrize("kind", ["error", "oom"])
async def test_a_node_that_fails_is_named_with_its_traceback(kernel, servers, prompts, kind):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.failing(kind))
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert live.job.error_message.startswith("Trouble: ")
    (execution,) = (await kernel.stored(live)).node_executions
    assert "Traceback" in execution.error_traceback or "File" in execution.error_traceback
    (record,) = await kernel.store.find(PromptRecord)
    assert (record.error_class == "out of memory") == (kind == "oom")


async def test_a_fully_cached_prompt_says_so_and_has_its_picture(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    prompt = prompts.picture()
    for _ in range(2):
        (live,) = await kernel.run(prompt)
        await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert live.view.note == "one had every node in its cache"
    assert len(live.view.images) == 1


# Choosing a backend ---------------------------------------------------------------------------


async def test_what_no_backend_can_run_fails_with_each_ones_reason(kernel, servers):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run({"1": {"class_type": "NoSuchNode", "inputs": {}}})
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert live.job.error_message == (
        "No backend can run it: one: it has no node class NoSuchNode."
    )
    assert (await kernel.stored(live)).error_message == live.job.error_message


async def test_a_model_that_one_backend_lacks_sends_the_job_to_the_other(
    kernel, servers, prompts, monkeypatch
):
    one = await kernel.add(servers[0], "one")
    two = await kernel.add(servers[1], "two")
    prompt = prompts.sampling(1, 0.0)
    one.object_info = {
        **one.object_info,
        "LabLoader": {
            **one.object_info["LabLoader"],
            "input": {"required": {"name": [["other.safetensors"], {}], "seconds": ["FLOAT", {}]}},
        },
    }
    lives = await kernel.run(*[prompt] * 3, choices=["1/name"])
    for live in lives:
        await live.wait()
    assert {live.view.backend for live in lives} == {two.name}


async def test_affinity_without_fallback_fails_while_its_backend_is_disabled(
    kernel, servers, prompts
):
    one = await kernel.add(servers[0], "one", enabled=False)
    await kernel.add(servers[1], "two")
    (live,) = await kernel.run(prompts.picture(), backend=one)
    await live.wait()
    assert live.job.error_message == "No backend can run it: one: it is disabled."


async def test_affinity_with_automatic_fallback_takes_another(kernel, servers, prompts):
    one = await kernel.add(servers[0], "one", enabled=False)
    await kernel.add(servers[1], "two")
    (live,) = await kernel.run(
        prompts.picture(), backend=one, fallback=FallbackStrategy.AUTO_SELECT
    )
    await live.wait()
    assert live.view.backend == "two"


@pytest.mark.faults
async def test_a_job_waits_for_a_backend_that_is_switched_off_and_says_so(
    kernel, servers, prompts, until
):
    await servers[0].fault("dead", mode="refuse")
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.picture())
    await until(live, lambda view: view.note and "waiting for a backend" in view.note)
    assert live.job.status is JobStatus.PENDING
    await servers[0].clear_faults()
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert live.view.note is None


async def test_an_input_file_is_uploaded_once_and_read_there(
    kernel, servers, tmp_path, monkeypatch
):
    from comfynb.engine.inputs import InputFolder

    one = await kernel.add(servers[0], "one")
    upload = one.client.upload
    uploads = []

    async def counted(path, **options):
        uploads.append(path)
        return await upload(path, **options)

    monkeypatch.setattr(one.client, "upload", counted)
    picture = tmp_path / "face.png"
    Image.new("RGB", (24, 16), (3, 9, 200)).save(picture)
    kept = InputFolder(tmp_path / "inputs").keep(picture)
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x"}},
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "engine"},
        },
    }
    from comfynb.engine.live import LiveJob
    from comfynb.engine.plan import RunPlan, make_job, version_of
    from comfynb.models import WorkflowDefinition

    workflow = WorkflowDefinition(id=new_id(), name="load", workflow_json={}, api_json=prompt)
    version = version_of(workflow.id, 1, {}, prompt)
    await kernel.store.put(workflow, version)
    kernel.engine.know_version(version)
    lives = []
    for _ in range(2):
        job = make_job(
            RunPlan(
                version,
                "load",
                {"image": str(kept)},
                {"image": ("1", "image")},
                files={"image": kept},
            )
        )
        await kernel.store.journal.create_jobs([job], kernel.store.owner_id)
        live = LiveJob(job, name="load", titles={})
        kernel.engine.launch([live])
        await live.wait()
        lives.append(live)
    for live in lives:
        assert live.job.status is JobStatus.COMPLETED, live.job.error_message
        (image,) = live.view.images
        assert (image.width, image.height) == (24, 16)
    assert uploads == [kept]


# Cancelling -----------------------------------------------------------------------------------


async def test_cancelling_stops_exactly_our_prompts(kernel, servers, prompts, running):
    await kernel.add(servers[0], "one")
    foreign = new_id()
    async with ComfyClient(servers[0].url) as somebody:
        busy, waiting = await kernel.run(prompts.sampling(200), prompts.sampling(200))
        await running(busy)
        await somebody.submit(prompts.sampling(2, 0.01), prompt_id=foreign)
        kernel.engine.cancel(busy)
        kernel.engine.cancel(waiting)
        await busy.wait()
        await waiting.wait()
        assert busy.job.status is waiting.job.status is JobStatus.CANCELLED
        while (state := await somebody.find(foreign)).entry is None:
            assert state.kind in {"pending", "running"}
        assert state.kind == "completed"
    assert "cancel" in await kernel.events(busy)
    assert (await kernel.stored(waiting)).status is JobStatus.CANCELLED
    assert await kernel.store.check() == []


@pytest.mark.faults
async def test_cancelling_what_waits_for_a_backend(kernel, servers, prompts, until):
    await servers[0].fault("dead", mode="refuse")
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.picture())
    await until(live, lambda view: view.note)
    kernel.engine.cancel(live)
    await live.wait()
    assert live.job.status is JobStatus.CANCELLED
    assert await kernel.store.find(PromptRecord) == []


async def test_cancelling_what_has_ended_changes_nothing(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    kernel.engine.cancel(live)
    assert (await kernel.stored(live)).status is JobStatus.COMPLETED


async def test_somebody_elses_interrupt_is_told_as_such(kernel, servers, prompts, running):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(200))
    await running(live)
    async with ComfyClient(servers[0].url) as somebody:
        await somebody.cancel(live.job.node_executions[0].comfy_prompt_id)
    await live.wait()
    assert live.job.status is JobStatus.CANCELLED
    assert live.job.error_message == "Somebody interrupted it on one."


# Faults ---------------------------------------------------------------------------------------


async def executions_of(server, live):
    stats = (await server.stats())["prompts"]
    return {
        record: stats.get(record, {}).get("executions", 0)
        for record in [execution.comfy_prompt_id for execution in live.job.node_executions]
    }


@pytest.mark.faults
@pytest.mark.parametrize("version", [0, 1], ids=["0.8.0", "0.3.64"])
async def test_a_deaf_socket_loses_nothing(kernel, servers, prompts, version):
    await servers[version].fault("deaf")
    await kernel.add(servers[version], "one")
    lives = await kernel.run(*(prompts.picture() for _ in range(5)))
    for live in lives:
        await live.wait()
    assert all(live.job.status is JobStatus.COMPLETED for live in lives)


@pytest.mark.faults
async def test_a_dropped_socket_loses_nothing(kernel, servers, prompts, running):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(10, 0.05))
    await running(live)
    await servers[0].fault("drop")
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["lost", "cut"])
async def test_an_answer_that_breaks_off_never_makes_a_prompt_run_twice(
    kernel, servers, prompts, kind
):
    await kernel.add(servers[0], "one")
    await servers[0].fault(kind, path="/prompt", method="POST", count=1)
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    (prompt_id,) = (await executions_of(servers[0], live)).keys()
    entry = (await servers[0].stats())["prompts"][prompt_id]
    assert entry["accepted"] == 1
    assert entry["executions"] == 1


@pytest.mark.faults
async def test_a_proxys_502_is_looked_into_and_sent_again(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    await servers[0].fault("refuse", status=502, count=1)
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert list((await executions_of(servers[0], live)).values()) == [1]


@pytest.mark.faults
async def test_a_restarted_server_loses_the_prompt_and_it_runs_again(
    kernel, servers, prompts, running
):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(10, 0.1))
    await running(live)
    await servers[0].fault("restart")
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    states = [record.state for record in await kernel.store.journal.prompts_of([live.id])]
    assert states == [PromptStatus.LOST, PromptStatus.COMPLETED]
    assert "lost" in await kernel.events(live)
    assert await kernel.store.check() == []


@pytest.mark.faults
async def test_a_prompt_that_is_lost_every_time_is_lost_not_done(
    kernel, servers, prompts, until, running
):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(1000, 0.1))
    for attempt in range(1, 4):
        await until(
            live,
            lambda view, attempt=attempt: (
                view.step
                and len(kernel.engine._desk.flying) == 1
                and next(iter(kernel.engine._desk.flying.values()))[1].attempt == attempt
                and next(iter(kernel.engine._desk.flying.values()))[1].state is PromptStatus.RUNNING
            ),
        )
        await servers[0].fault("restart")
    await live.wait()
    assert live.job.status is JobStatus.LOST
    assert "It was sent 3 times" in live.job.error_message
    assert (await kernel.stored(live)).status is JobStatus.LOST


async def test_a_prompt_that_never_left_costs_no_attempt_and_no_second_run(
    kernel, servers, prompts, monkeypatch
):
    before = await servers[0].executions()
    one = await kernel.add(servers[0], "one")
    submit = one.client.submit
    refusals = [BackendUnreachable("one: connection refused.", backend="one")] * 5

    async def refused_at_first(*args, **options):
        if refusals:
            raise refusals.pop()
        return await submit(*args, **options)

    monkeypatch.setattr(one.client, "submit", refused_at_first)
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert (await kernel.events(live)).count("not sent") == 5
    records = await kernel.store.journal.prompts_of([live.id])
    assert [record.attempt for record in records] == [1] * 6
    assert await servers[0].executions() - before == 1


@pytest.mark.parametrize("arrived", [True, False])
async def test_what_is_being_posted_when_the_address_changes_runs_once(
    kernel, servers, prompts, monkeypatch, arrived
):
    before = await servers[0].executions()
    one = await kernel.add(servers[0], "one")
    posting, submit = asyncio.Event(), one.client.submit

    async def never_answered(*args, **options):
        if arrived:
            await submit(*args, **options)
        posting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(one.client, "submit", never_answered)
    (live,) = await kernel.run(prompts.picture())
    await posting.wait()
    one.reconnect(one.config, None)
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert await servers[0].executions() - before == 1


@pytest.mark.faults
async def test_a_server_that_is_away_for_a_while_is_waited_for(kernel, servers, prompts, running):
    await kernel.add(servers[0], "one")
    (live,) = await kernel.run(prompts.sampling(10, 0.05))
    await running(live)
    await servers[0].fault("dead", mode="refuse", duration=1.5)
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert list((await executions_of(servers[0], live)).values()) == [1]


@pytest.mark.faults
async def test_a_picture_that_is_gone_fails_the_job_in_words(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    await servers[0].fault("refuse", path="/view", method="GET", status=404, count=1)
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert "its output cannot be fetched" in live.job.error_message


async def test_a_folder_that_cannot_be_written_fails_the_job_in_words(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    (kernel.folder / "outputs").write_bytes(b"a file, where the pictures' folder should be")
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert "its output cannot be written to" in live.job.error_message
    assert "Not a directory" in live.job.error_message


@pytest.mark.faults
async def test_a_download_that_breaks_off_is_fetched_again(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    await servers[0].fault("cut", path="/view", count=2)
    (live,) = await kernel.run(prompts.picture())
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    with Image.open(live.view.images[0].path) as opened:
        opened.load()


@pytest.mark.faults
async def test_of_several_pictures_those_that_came_are_kept(kernel, servers, prompts):
    await kernel.add(servers[0], "one")
    await servers[0].fault("refuse", path="/view", method="GET", status=404, count=1)
    (live,) = await kernel.run(prompts.picture(batch_size=3))
    await live.wait()
    assert live.job.status is JobStatus.FAILED
    assert "its output cannot be fetched" in live.job.error_message
    assert len(live.view.images) == len(await kernel.store.find(OutputFile)) == 2
    assert all(image.path.is_file() for image in live.view.images)


async def test_a_backend_whose_pictures_are_being_fetched_is_not_removed(
    kernel, servers, prompts, monkeypatch
):
    one = await kernel.add(servers[0], "one")
    download, fetching, go_on = one.client.download, asyncio.Event(), asyncio.Event()

    async def late(*args, **options):
        fetching.set()
        await go_on.wait()
        return await download(*args, **options)

    monkeypatch.setattr(one.client, "download", late)
    (live,) = await kernel.run(prompts.picture())
    await fetching.wait()
    assert len(one.courier) == 0
    with pytest.raises(UsageError, match="still has 1 prompts of yours"):
        await kernel.engine.remove_backend(one.id)
    go_on.set()
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    await kernel.engine.remove_backend(one.id)


async def test_a_store_that_takes_no_intent_for_a_while_is_asked_again(
    kernel, servers, prompts, monkeypatch
):
    monkeypatch.setattr(sending, "PAUSE", 0.01)
    one = await kernel.add(servers[0], "one")
    begin, refusals = kernel.store.journal.begin_prompt, [StoreError("the disk is full")] * 5

    async def full_at_first(record, **how):
        if refusals:
            raise refusals.pop()
        return await begin(record, **how)

    monkeypatch.setattr(kernel.store.journal, "begin_prompt", full_at_first)
    lives = await kernel.run(prompts.picture(), prompts.picture())
    for live in lives:
        await live.wait()
    assert [live.job.status for live in lives] == [JobStatus.COMPLETED] * 2
    assert one.online
    assert {str(error) for error in kernel.errors} == {"the disk is full"}
    kernel.errors.clear()
    records = await kernel.store.find(PromptRecord)
    assert [record.attempt for record in records] == [1, 1]


async def test_a_job_that_another_kernel_has_taken_is_followed(
    kernel, servers, prompts, monkeypatch
):
    monkeypatch.setattr(following, "PAUSE", 0.01)
    await kernel.add(servers[0], "one")
    journal, begin, answered = kernel.store.journal, kernel.store.journal.begin_prompt, []
    taken = asyncio.Event()

    async def taken_meanwhile(record, **how):
        await kernel.store.transact(
            lambda tx: tx.execute(
                "update jobs set owner_id = 'somebody' where id = $1", [record.job_id]
            )
        )
        answered.append(await begin(record, **how))
        taken.set()
        return answered[-1]

    monkeypatch.setattr(journal, "begin_prompt", taken_meanwhile)
    (live,) = await kernel.run(prompts.picture())
    await taken.wait()
    assert answered == [False]
    await journal.finish_job(live.id, JobStatus.CANCELLED)
    await live.wait()
    assert live.job.status is JobStatus.CANCELLED
    assert not kernel.engine.runs(live.id)
    assert await kernel.store.find(PromptRecord) == []


# A new kernel ---------------------------------------------------------------------------------


async def die(kernel):
    """End a kernel as kill -9 does for the store: nothing is finished, the owner is dead."""
    await kernel.close()


async def successor(new_kernel, backend):
    kernel = await new_kernel()
    config = backend.config.model_copy()
    live = kernel.engine.add_backend(config, None)
    await live.checked()
    return kernel


async def test_a_new_kernel_picks_up_what_ran_waited_and_finished(
    new_kernel, servers, prompts, running
):
    first = await new_kernel()
    backend = await first.add(servers[0], "one")
    runs, queued, waits = await first.run(
        prompts.sampling(10, 0.05), prompts.sampling(1, 0.0), prompts.sampling(1, 0.0)
    )
    await running(runs)
    await die(first)
    before = await servers[0].executions()

    second = await successor(new_kernel, backend)
    recovered = await second.engine.resume()
    assert recovered.jobs == 3
    assert 1 <= recovered.prompts <= 2
    for job in (runs, queued, waits):
        live = await second.engine.attach(await second.store.journal.load_job(job.id))
        await live.wait()
        assert live.job.status is JobStatus.COMPLETED
        assert (await second.stored(live)).status is JobStatus.COMPLETED
    # What was out was not sent again: the server ran each of the three once.
    assert await servers[0].executions() - before <= 2
    records = await second.store.journal.prompts_of([runs.id, queued.id, waits.id])
    assert [record.state for record in records] == [PromptStatus.COMPLETED] * 3
    assert (await second.engine.resume()).jobs == 0


@pytest.mark.faults
async def test_a_new_kernel_finds_a_restarted_server_and_runs_again(
    new_kernel, servers, prompts, running
):
    first = await new_kernel()
    backend = await first.add(servers[0], "one")
    (runs,) = await first.run(prompts.sampling(10, 0.05))
    await running(runs)
    await die(first)
    await servers[0].fault("restart")

    second = await successor(new_kernel, backend)
    await second.engine.resume()
    live = await second.engine.attach(runs.job)
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    *earlier, last = await second.store.journal.prompts_of([runs.id])
    assert last.state is PromptStatus.COMPLETED
    assert all(record.state is PromptStatus.LOST for record in earlier)
    counted = (await servers[0].stats())["prompts"]
    assert sum(counted[record.prompt_id]["executions"] for record in [*earlier, last]) == 2
    assert {"lost", "sent again"} & set(await second.events(runs))


async def test_a_prompt_that_was_written_down_but_never_sent_is_sent_once(
    new_kernel, servers, prompts
):
    before = await servers[0].executions()
    first = await new_kernel()
    backend = await first.add(servers[0], "one")
    first.engine.backends[backend.id].config.enabled = False
    (waits,) = await first.run(
        prompts.picture(), backend=backend, fallback=FallbackStrategy.ASK_USER
    )
    prompt_id = new_id()
    await first.store.journal.begin_prompt(
        PromptRecord(
            prompt_id=prompt_id,
            job_id=waits.id,
            node_execution_id=waits.job.node_executions[0].id,
            backend_id=backend.id,
        )
    )
    await die(first)

    backend.config.enabled = True
    second = await successor(new_kernel, backend)
    await second.engine.resume()
    live = await second.engine.attach(waits.job)
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert live.job.node_executions[0].comfy_prompt_id == prompt_id
    assert await servers[0].executions() - before == 1


@pytest.mark.faults
async def test_a_cancel_survives_the_kernel(new_kernel, servers, prompts, until):
    await servers[0].fault("dead", mode="refuse")
    first = await new_kernel()
    backend = await first.add(servers[0], "one")
    (live,) = await first.run(prompts.picture())
    await until(live, lambda view: view.note)
    from comfynb.models import JobEvent

    await first.store.journal.record_events([JobEvent(job_id=live.id, kind="cancel")])
    await die(first)
    second = await successor(new_kernel, backend)
    await second.engine.resume()
    adopted = await second.engine.attach(live.job)
    await adopted.wait()
    assert adopted.job.status is JobStatus.CANCELLED


async def test_two_living_kernels_keep_their_own_jobs_and_see_each_others(
    new_kernel, servers, prompts, running
):
    first = await new_kernel()
    backend = await first.add(servers[0], "one")
    (mine,) = await first.run(prompts.sampling(10, 0.05))
    await running(mine)
    second = await successor(new_kernel, backend)
    assert (await second.engine.resume()).jobs == 0
    seen = await second.engine.attach(await second.store.journal.load_job(mine.id))
    second.engine.follow(seen)
    await seen.wait()
    await mine.wait()
    assert seen.job.status is JobStatus.COMPLETED
    assert len(seen.view.images) == 1


async def test_a_job_whose_end_is_being_stored_is_not_paused_any_more(
    kernel, servers, prompts, monkeypatch
):
    await kernel.add(servers[0], "one")
    finish, storing, go_on = kernel.store.journal.finish_job, asyncio.Event(), asyncio.Event()

    async def late(*args, **options):
        storing.set()
        await go_on.wait()
        return await finish(*args, **options)

    monkeypatch.setattr(kernel.store.journal, "finish_job", late)
    (live,) = await kernel.run(prompts.picture())
    await storing.wait()
    kernel.engine.hold([live])
    with pytest.raises(UsageError, match="has ended"):
        kernel.engine.pause(live)
    go_on.set()
    await live.wait()
    assert live.job.status is JobStatus.COMPLETED
    assert (await kernel.stored(live)).status is JobStatus.COMPLETED
