"""The journal: what may happen to jobs and prompts, and what may not."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from comfynb.errors import NotFound, StoreError, UsageError
from comfynb.models import (
    Job,
    JobEvent,
    JobStatus,
    NodeExecution,
    OutputFile,
    OwnerRecord,
    PromptRecord,
    PromptStatus,
    new_id,
    utcnow,
)
from comfynb.store import Finish, Store


def file_of(prompt: PromptRecord, index: int = 0, **fields: Any) -> OutputFile:
    return OutputFile(
        prompt_id=prompt.prompt_id,
        node_id="9",
        kind="images",
        index=index,
        filename=f"{index}.png",
        **fields,
    )


def load(store: Store, job: Job) -> Job:
    found = store.journal.load_job(job.id).result(30)
    assert found is not None
    return found


def begun(store: Store, make: Any, nodes: int = 1) -> tuple[Job, PromptRecord]:
    job = make.job(nodes)
    prompt = make.prompt(job)
    store.journal.create_jobs([job]).result(30)
    assert store.journal.begin_prompt(prompt).result(30)
    return job, prompt


def test_a_job_from_beginning_to_end(store: Store, make) -> None:
    journal = store.journal
    job = make.job(parameter_values={"seed": 7})
    prompt = make.prompt(job, client_id="c", prompt_sha256="a" * 64)
    journal.create_jobs([job]).result(30)
    assert load(store, job) == job
    assert journal.owner_of(job.id).result(30) == store.owner_id
    assert [event.kind for event in journal.events_of(job.id).result(30)] == ["created"]
    assert store.find(OwnerRecord).result(30) == [store.owner]

    assert journal.begin_prompt(prompt).result(30)
    running = load(store, job)
    assert running.status is JobStatus.RUNNING
    assert running.started_at is not None
    (execution,) = running.node_executions
    assert execution.status is JobStatus.RUNNING
    assert execution.comfy_prompt_id == prompt.prompt_id
    assert execution.backend_id == "b1"
    assert execution.started_at == prompt.created_at
    assert store.get(PromptRecord, prompt.prompt_id).result(30) == prompt

    sent, started = utcnow(), utcnow() + timedelta(seconds=1)
    journal.prompts_sent([prompt.prompt_id], sent).result(30)
    journal.prompt_started(prompt.prompt_id, started).result(30)
    files = [file_of(prompt, i, size=i) for i in range(2)]
    done = journal.finish_prompt(
        prompt.prompt_id,
        PromptStatus.COMPLETED,
        outputs=files,
        output_data={"images": 2},
        cached_nodes=3,
        completed_at=started + timedelta(seconds=2),
    )
    ended = journal.finish_job(job.id, JobStatus.COMPLETED, outputs={"n0": {"images": 2}})
    assert done.result(30)
    assert ended.result(30)
    stored = store.get(PromptRecord, prompt.prompt_id).result(30)
    assert stored is not None
    assert (stored.state, stored.sent_at, stored.started_at, stored.cached_nodes) == (
        PromptStatus.COMPLETED,
        sent,
        started,
        3,
    )
    over = load(store, job)
    (execution,) = over.node_executions
    assert (execution.status, execution.progress) == (JobStatus.COMPLETED, 100.0)
    assert execution.output_data == {"images": 2}
    assert (over.status, over.outputs) == (JobStatus.COMPLETED, {"n0": {"images": 2}})
    assert journal.outputs_of([job.id]).result(30) == files
    assert journal.prompts_of([job.id]).result(30) == [stored]
    assert store.check().result(30) == []


def test_terminal_states_absorb_whatever_comes_later(store: Store, make) -> None:
    journal = store.journal
    job, prompt = begun(store, make)
    assert journal.finish_prompt(prompt.prompt_id, PromptStatus.FAILED, error_message="a").result()
    assert journal.finish_job(job.id, JobStatus.FAILED, "a").result(30)
    before = (load(store, job), store.get(PromptRecord, prompt.prompt_id).result(30))
    journal.prompts_sent([prompt.prompt_id]).result(30)
    journal.prompt_started(prompt.prompt_id).result(30)
    for state in (PromptStatus.COMPLETED, PromptStatus.LOST, PromptStatus.FAILED):
        late = journal.finish_prompt(prompt.prompt_id, state, outputs=[file_of(prompt)])
        assert not late.result(30)
    assert not journal.finish_job(job.id, JobStatus.COMPLETED).result(30)
    assert not journal.set_job_status(job.id, JobStatus.RUNNING).result(30)
    node = job.node_executions[0].id
    assert not journal.finish_node(node, JobStatus.COMPLETED).result(30)
    assert not journal.begin_prompt(make.prompt(job)).result(30)
    assert (load(store, job), store.get(PromptRecord, prompt.prompt_id).result(30)) == before
    assert journal.outputs_of([job.id]).result(30) == []


def test_a_lost_prompt_leaves_room_for_another_attempt(store: Store, make) -> None:
    journal = store.journal
    job, first = begun(store, make)
    assert not journal.begin_prompt(make.prompt(job, attempt=2)).result(30), "one is out"
    assert journal.begin_prompt(first).result(30), "the same call again is answered the same"
    assert journal.finish_prompt(first.prompt_id, PromptStatus.LOST, error_class="lost").result(30)
    (execution,) = load(store, job).node_executions
    assert (execution.status, execution.comfy_prompt_id) == (JobStatus.PENDING, None)
    second = make.prompt(job, attempt=2)
    assert journal.begin_prompt(second).result(30)
    assert not journal.finish_prompt(first.prompt_id, PromptStatus.COMPLETED).result(30)
    assert journal.finish_prompt(second.prompt_id, PromptStatus.COMPLETED, output_data={}).result()
    assert [p.state for p in journal.prompts_of([job.id]).result(30)] == [
        PromptStatus.LOST,
        PromptStatus.COMPLETED,
    ]
    other = make.job()
    journal.create_jobs([other]).result(30)
    with pytest.raises(StoreError):  # an id is never used twice, not even by another node
        journal.begin_prompt(make.prompt(other, prompt_id=first.prompt_id)).result(30)


def test_a_prompt_begins_only_in_a_job_of_ones_own(store: Store, make, opened) -> None:
    job = make.job()
    store.journal.create_jobs([job], owner_id="somebody else").result(30)
    assert not store.journal.begin_prompt(make.prompt(job)).result(30)
    stray = make.prompt(make.job())
    assert not store.journal.begin_prompt(stray).result(30)
    mine = make.job()
    store.journal.create_jobs([mine]).result(30)
    wrong = make.prompt(mine).model_copy(update={"job_id": job.id})
    assert not store.journal.begin_prompt(wrong).result(30)
    with pytest.raises(UsageError, match="sending"):
        store.journal.begin_prompt(make.prompt(job, state=PromptStatus.QUEUED))


def test_calls_queued_together_are_answered_one_by_one(store: Store, make) -> None:
    """Every kind of call many times in one batch, some refused, in an order that matters."""
    journal = store.journal
    jobs = [make.job() for _ in range(40)]
    prompts = [make.prompt(job) for job in jobs]
    go, waiting = threading.Event(), threading.Event()
    store.transact(lambda _: (waiting.set(), go.wait(30)))
    assert waiting.wait(30)
    answers: list[tuple[Any, bool | None]] = []
    for i, (job, prompt) in enumerate(zip(jobs, prompts, strict=True)):
        answers += [
            (journal.create_jobs([job]), None),
            (journal.begin_prompt(prompt), True),
            (journal.begin_prompt(make.prompt(job)), False),
            (journal.prompts_sent([prompt.prompt_id]), None),
        ]
        state = PromptStatus.COMPLETED if i % 2 else PromptStatus.FAILED
        outputs = [file_of(prompt)] if i % 2 else []
        answers += [
            (journal.finish_prompt(prompt.prompt_id, state, outputs=outputs, output_data={}), True),
            (journal.finish_prompt(prompt.prompt_id, PromptStatus.LOST), False),
            (journal.finish_job(job.id, JobStatus(state.value)), True),
            (journal.finish_job(job.id, JobStatus.CANCELLED), False),
            (journal.begin_prompt(make.prompt(job)), False),
        ]
    go.set()
    assert [pending.result(60) for pending, _ in answers] == [answer for _, answer in answers]
    for i, job in enumerate(jobs):
        expected = JobStatus.COMPLETED if i % 2 else JobStatus.FAILED
        stored = load(store, job)
        assert (stored.status, stored.node_executions[0].status) == (expected, expected)
    assert len(journal.outputs_of([job.id for job in jobs]).result(30)) == 20
    assert store.check().result(30) == []


def test_several_ends_in_one_call_are_all_or_nothing(store: Store, make) -> None:
    journal = store.journal
    one, two = begun(store, make)[1], begun(store, make)[1]
    with pytest.raises(NotFound, match="no prompt"):
        journal.finish_prompts(
            [Finish(one.prompt_id, PromptStatus.COMPLETED), Finish("no", PromptStatus.COMPLETED)]
        ).result(30)
    assert store.get(PromptRecord, one.prompt_id).result(30) == one
    finishes = [
        Finish(one.prompt_id, PromptStatus.COMPLETED, [file_of(one)]),
        Finish(one.prompt_id, PromptStatus.FAILED),
        Finish(two.prompt_id, PromptStatus.CANCELLED),
    ]
    assert journal.finish_prompts(finishes).result(30) == [True, False, True]
    assert journal.finish_prompts([]).result(30) == []
    with pytest.raises(UsageError, match="was given with prompt"):
        journal.finish_prompt(one.prompt_id, PromptStatus.COMPLETED, outputs=[file_of(two)])
    with pytest.raises(UsageError, match="does not end"):
        journal.finish_prompt(one.prompt_id, PromptStatus.RUNNING)


def test_a_job_that_ends_closes_what_is_still_open(store: Store, make) -> None:
    journal = store.journal
    job, prompt = begun(store, make, nodes=3)
    assert journal.finish_node(
        job.node_executions[1].id, JobStatus.FAILED, "no backend has the model"
    ).result(30)
    assert not journal.finish_node(job.node_executions[0].id, JobStatus.CANCELLED).result(30), (
        "its prompt is out"
    )
    assert journal.finish_job(job.id, JobStatus.CANCELLED).result(30)
    over = load(store, job)
    assert [execution.status for execution in over.node_executions] == [
        JobStatus.CANCELLED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    ]
    stored = store.get(PromptRecord, prompt.prompt_id).result(30)
    assert stored is not None
    assert stored.state is PromptStatus.CANCELLED
    assert store.check().result(30) == []
    failed, prompt = begun(store, make, nodes=2)
    assert journal.finish_job(failed.id, JobStatus.FAILED, "x").result(30)
    assert {execution.status for execution in load(store, failed).node_executions} == {
        JobStatus.SKIPPED
    }
    stored = store.get(PromptRecord, prompt.prompt_id).result(30)
    assert stored is not None
    assert stored.state is PromptStatus.LOST
    assert store.check().result(30) == []


def test_wrong_use_is_answered(store: Store, make) -> None:
    journal = store.journal
    for call in (
        lambda: journal.finish_job("x", JobStatus.RUNNING),
        lambda: journal.finish_node("x", JobStatus.PENDING),
        lambda: journal.set_job_status("x", JobStatus.COMPLETED),
    ):
        with pytest.raises(UsageError):
            call()
    for call in (
        lambda: journal.finish_job("x", JobStatus.FAILED),
        lambda: journal.finish_node("x", JobStatus.FAILED),
        lambda: journal.finish_prompt("x", PromptStatus.FAILED),
    ):
        with pytest.raises(NotFound):
            call().result(30)
    job = make.job()
    journal.create_jobs([job]).result(30)
    with pytest.raises(StoreError):
        journal.create_jobs([make.job(), job]).result(30)
    assert store.count(Job).result(30) == 1
    with pytest.raises(StoreError, match="names no row"):
        journal.record_events([JobEvent(job_id="x", kind="y")]).result(30)


def test_pausing_and_going_on(store: Store, make) -> None:
    job, _ = begun(store, make)
    for status in (JobStatus.PAUSED, JobStatus.RUNNING):
        assert store.journal.set_job_status(job.id, status).result(30)
        assert load(store, job).status is status


def test_the_newest_jobs_first(store: Store, make) -> None:
    journal = store.journal
    now = utcnow()
    jobs = [make.job(2, created_at=now + timedelta(seconds=i)) for i in range(6)]
    other = make.job(project_id="p2", created_at=now)
    journal.create_jobs([*jobs, other]).result(30)
    journal.finish_job(jobs[4].id, JobStatus.FAILED, completed_at=now).result(30)
    assert journal.jobs_last(2).result(30) == [jobs[5], load(store, jobs[4])]
    assert [job.id for job in journal.jobs_last(9, JobStatus.FAILED).result(30)] == [jobs[4].id]
    assert journal.jobs_last(9, project_id="p2").result(30) == [other]
    assert len(journal.jobs_last(100).result(30)) == 7
    assert journal.load_job("nobody").result(30) is None
    assert journal.owner_of("nobody").result(30) is None


def test_events_are_kept_in_order(store: Store, make) -> None:
    job = make.job()
    store.journal.create_jobs([job]).result(30)
    at = utcnow() + timedelta(hours=1)
    events = [
        JobEvent(job_id=job.id, kind=f"k{i}", happened_at=at + timedelta(seconds=i), data={"i": i})
        for i in range(5)
    ]
    store.journal.record_events(list(reversed(events))).result(30)
    store.journal.record_events([]).result(30)
    assert store.journal.events_of(job.id).result(30)[1:] == events


async def test_two_kernels_never_adopt_the_same_job(place: str, opened, make) -> None:
    dead, one, two = opened(place), opened(place), opened(place)
    jobs = [make.job() for _ in range(10)]
    prompts = [make.prompt(job) for job in jobs[:4]]
    await asyncio.gather(one.ready(), two.ready())
    await dead.put(make.backend, make.project)
    await dead.journal.create_jobs(jobs)
    for prompt in prompts:
        assert await dead.journal.begin_prompt(prompt)
    await dead.journal.finish_job(jobs[9].id, JobStatus.FAILED)
    nobodys = make.job()
    await dead.put(nobodys)
    assert [a.job.id for a in await one.journal.adopt()] == [nobodys.id], "the others' owner lives"
    assert {dead.owner_id, one.owner_id} <= await dead.live_owners()
    await dead.close()
    alive = await one.live_owners()
    assert one.owner_id in alive
    assert dead.owner_id not in alive
    mine, yours = await asyncio.gather(
        one.journal.adopt(one.owner_id, alive), two.journal.adopt(two.owner_id, alive)
    )
    assert {a.job.id for a in mine} & {a.job.id for a in yours} == set()
    adopted = mine + yours
    assert {a.job.id for a in adopted} == {job.id for job in jobs[:9]}
    out = {prompt.prompt_id for a in adopted for prompt in a.prompts}
    assert out == {prompt.prompt_id for prompt in prompts}
    for a in adopted:
        assert {prompt.job_id for prompt in a.prompts} <= {a.job.id}
    winner, loser = (one, two) if mine else (two, one)
    node = adopted[0].job.node_executions[0]
    assert isinstance(node, NodeExecution)
    finished = winner.journal.finish_prompt(prompts[0].prompt_id, PromptStatus.LOST)
    assert await finished
    again = make.prompt(jobs[0], attempt=2)
    assert not await loser.journal.begin_prompt(again)
    assert await winner.journal.begin_prompt(again)


async def test_a_kernel_that_has_only_just_begun_keeps_its_jobs(place: str, opened, make) -> None:
    """Its jobs were stored after the other one looked who lives: that look is out of date."""
    one = opened(place)
    await one.put(make.project)
    alive = await one.live_owners()
    young = opened(place)
    job = make.job()
    await young.journal.create_jobs([job])
    assert await one.journal.adopt(one.owner_id, alive) == []
    assert await one.journal.owner_of(job.id) == young.owner_id
    await young.close()
    (adopted,) = await one.journal.adopt(one.owner_id, alive)
    assert adopted.job == job
    events = await one.journal.events_of(job.id)
    assert [event.kind for event in events] == ["created", "adopted"]
    assert events[1].data == {"from": young.owner_id}


async def test_somebody_in_the_given_list_is_alive(store: Store, make) -> None:
    job = make.job()
    elsewhere = new_id()
    await store.journal.create_jobs([job], elsewhere)
    assert await store.journal.adopt(store.owner_id, {elsewhere}) == []
    assert [a.job for a in await store.journal.adopt(store.owner_id, set())] == [job]
