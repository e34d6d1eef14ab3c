"""Jobs: one of a type at a time, seen while they run, cancelled, failed, resumed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import pytest

from comfynb.deploy.catalogue import NodeEntry, Outcome
from comfynb.deploy.catalogue.nodes import write_nodes
from comfynb.deploy.net import Fetcher
from comfynb.deploy.sync import Asker, Batch, SyncRunner, SyncSource, SyncView, refusals_of
from comfynb.deploy.sync.journal import MOST_NOTES
from comfynb.errors import FetchError, NotFound, UsageError
from comfynb.models import CustomNode, SyncJob, SyncStatus, SyncType
from comfynb.store import Store, Transaction, open_store

Rows = Callable[[Store], dict[str, list[Any]]]


class Script(SyncSource):
    """Brings one pack in each batch; stops where it is told to."""

    name = "script"
    type = SyncType.COMFYUI_NODES

    def __init__(self, number: int = 5, *, kind: SyncType = SyncType.COMFYUI_NODES) -> None:
        self.number = number
        self.type = kind  # type: ignore[misc]  # one class for all kinds
        self.stop_at: int | None = None
        self.stopped = asyncio.Event()
        self.go = asyncio.Event()
        self.error: BaseException | None = None
        self.given = 0
        self.closed = False

    def settings(self) -> dict[str, Any]:
        return {"number": self.number}

    async def batches(self, ask: Asker, cursor: dict[str, Any] | None) -> AsyncIterator[Batch]:
        try:
            for number in range(cursor["at"] if cursor else 0, self.number):
                if number == self.stop_at:
                    if self.error is not None:
                        raise self.error
                    self.stopped.set()
                    await self.go.wait()
                self.given += 1
                yield Batch({"at": number + 1}, self.writer(number), total=self.number)
        finally:
            self.closed = True

    @staticmethod
    def writer(number: int) -> Any:
        def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
            url = f"https://github.com/ada/p{number}"
            entry = NodeEntry(f"p{number}", url=url, keys=(url[8:],), name=f"p{number}")
            return [("packs", one) for one in write_nodes(tx, [entry], "script", now)]

        return write


async def test_a_sync_counts_and_ends(runner: SyncRunner, store: Store) -> None:
    job = await runner.run(Script(3))
    assert job.status is SyncStatus.COMPLETED
    assert (job.totalItems, job.processedItems, job.successItems, job.failedItems) == (3, 3, 3, 0)
    assert job.startedAt is not None
    assert job.completedAt is not None
    assert job.completedAt >= job.startedAt
    assert job.results["counts"] == {"new": 3}
    assert "cursor" not in job.results
    assert job.errorLog is None
    assert await runner.job(job.id) == job == (await runner.jobs())[0]
    assert runner.runs == ()
    with pytest.raises(NotFound):
        await runner.job("nobody")


async def test_who_looks_is_told_at_most_ten_times_a_second_and_the_end(
    runner: SyncRunner,
) -> None:
    source = Script(30)
    source.stop_at = 0
    run = await runner.start(source)
    told: list[SyncView] = []
    broken: list[SyncView] = []

    def breaks(view: SyncView) -> None:
        broken.append(view)
        raise RuntimeError("a widget is broken")

    run.watch(breaks)
    stop = run.watch(told.append)
    assert told[0].status is SyncStatus.RUNNING
    assert told[0].fraction is None
    source.go.set()
    began = asyncio.get_running_loop().time()
    job = await run
    seconds = asyncio.get_running_loop().time() - began
    assert len(told) <= 10 * seconds + 3
    assert told[-1].status is SyncStatus.COMPLETED
    assert (told[-1].processed, told[-1].total, told[-1].fraction) == (30, 30, 1.0)
    assert told[-1] == run.view == SyncView.of(job)
    assert [view.processed for view in told] == sorted(view.processed for view in told)
    assert len(broken) == len(told)
    stop()
    stop()


async def test_one_of_a_type_at_a_time(runner: SyncRunner, store: Store, fetcher: Fetcher) -> None:
    source = Script(3)
    source.stop_at = 1
    run = await runner.start(source)
    await source.stopped.wait()
    with pytest.raises(UsageError, match=r"runs already \(script, 1 of 3"):
        await runner.start(Script())
    # Nor in another program that lives; and one of another type may.
    other = open_store(store.path)
    try:
        elsewhere = SyncRunner(other, fetcher)
        with pytest.raises(UsageError, match="runs already"):
            await elsewhere.start(Script())
        assert await elsewhere.interrupted() == []
        job = await elsewhere.run(Script(1, kind=SyncType.CIVITAI_MODELS))
        assert job.status is SyncStatus.COMPLETED
        # It can be cancelled from there.
        assert (await elsewhere.cancel(run.id)).status is SyncStatus.CANCELLED
    finally:
        await other.close()
    source.go.set()
    assert (await run).status is SyncStatus.CANCELLED
    assert run.view.status is SyncStatus.CANCELLED
    assert await store.count(CustomNode, {"name": ["p1", "p2"]}) == 0
    assert source.closed


async def test_cancelled_and_resumed_is_as_if_nothing_had_happened(
    runner: SyncRunner, store: Store
) -> None:
    source = Script(5)
    source.stop_at = 2
    run = await runner.start(source)
    await source.stopped.wait()
    job = await run.cancel()
    assert (job.status, job.processedItems) == (SyncStatus.CANCELLED, 2)
    assert job.results["cursor"] == {"at": 2}
    assert source.closed
    again = Script(5)
    done = await runner.run(again, resume=job.id)
    assert (done.id, done.status, done.processedItems) == (job.id, SyncStatus.COMPLETED, 5)
    assert again.given == 3
    assert done.startedAt == job.startedAt
    assert await store.count(CustomNode) == 5
    with pytest.raises(UsageError, match="complete"):
        await runner.start(Script(5), resume=job.id)
    with pytest.raises(NotFound):
        await runner.start(Script(5), resume="nobody")
    assert (await runner.cancel(job.id)).status is SyncStatus.COMPLETED
    with pytest.raises(NotFound):
        await runner.cancel("nobody")


async def test_a_sync_of_other_settings_is_not_resumed(runner: SyncRunner) -> None:
    source = Script(5)
    source.stop_at = 1
    source.error = FetchError("the service is gone")
    job = await runner.run(source)
    with pytest.raises(UsageError, match="other settings"):
        await runner.start(Script(6), resume=job.id)


async def test_a_failure_is_told_and_can_be_resumed(runner: SyncRunner, store: Store) -> None:
    source = Script(4)
    source.stop_at = 2
    source.error = FetchError("the service is gone")
    job = await runner.run(source)
    assert job.status is SyncStatus.FAILED
    assert job.errorLog == job.results["error"] == "the service is gone"
    done = await runner.run(Script(4), resume=job.id)
    assert (done.status, done.processedItems) == (SyncStatus.COMPLETED, 4)
    assert "error" not in done.results


async def test_a_mistake_in_a_source_is_raised_and_told(runner: SyncRunner) -> None:
    source = Script(4)
    source.stop_at = 1
    source.error = ZeroDivisionError("oops")
    run = await runner.start(source)
    with pytest.raises(ZeroDivisionError):
        await run
    job = await runner.job(run.id)
    assert (job.status, job.errorLog) == (SyncStatus.FAILED, "ZeroDivisionError: oops")
    assert (await runner.run(Script(1))).status is SyncStatus.COMPLETED


async def test_a_batch_that_cannot_be_written_leaves_nothing(
    runner: SyncRunner, store: Store
) -> None:
    class Bad(Script):
        @staticmethod
        def writer(number: int) -> Any:
            real = Script.writer(number)

            def write(tx: Transaction, now: datetime) -> Any:
                outcomes = real(tx, now)
                if number == 1:
                    tx.execute("select nothing from nowhere")
                return outcomes

            return write

    job = await runner.run(Bad(3))
    assert job.status is SyncStatus.FAILED
    assert (job.processedItems, job.results["cursor"]) == (1, {"at": 1})
    assert await store.count(CustomNode) == 1


async def test_what_a_dead_program_left_is_found_and_resumed(
    runner: SyncRunner, store: Store
) -> None:
    left = SyncJob(
        type=SyncType.COMFYUI_NODES,
        status=SyncStatus.RUNNING,
        processedItems=1,
        successItems=1,
        results={
            "source": "script",
            "settings": {"number": 3},
            "owner": "a store that is not open",
            "cursor": {"at": 1},
            "counts": {"new": 1},
        },
    )
    await store.put(left)
    assert [job.id for job in await runner.interrupted()] == [left.id]
    job = await runner.run(Script(3), resume=left.id)
    assert (job.status, job.processedItems) == (SyncStatus.COMPLETED, 3)
    assert job.results["owner"] == store.owner_id


async def test_a_new_sync_gives_up_what_a_dead_program_left(
    runner: SyncRunner, store: Store
) -> None:
    left = SyncJob(
        type=SyncType.COMFYUI_NODES,
        status=SyncStatus.RUNNING,
        results={"source": "script", "settings": {"number": 3}, "owner": "nobody"},
    )
    await store.put(left)
    assert (await runner.run(Script(1))).status is SyncStatus.COMPLETED
    job = await runner.job(left.id)
    assert job.status is SyncStatus.FAILED
    assert "resume it" in str(job.errorLog)
    assert (await runner.run(Script(3), resume=left.id)).status is SyncStatus.COMPLETED


async def test_it_is_the_same_on_postgresql(
    postgres_server: Any, fetcher: Fetcher, clock: Any
) -> None:
    place = postgres_server.new()
    store, other = open_store(place), open_store(place)
    try:
        runner = SyncRunner(store, fetcher, sleep=clock.sleep, clock=clock)
        source = Script(3)
        source.stop_at = 1
        run = await runner.start(source)
        await source.stopped.wait()
        with pytest.raises(UsageError, match="runs already"):
            await SyncRunner(other, fetcher).start(Script(3))
        job = await run.cancel()
        assert (job.status, job.results["cursor"]) == (SyncStatus.CANCELLED, {"at": 1})
        done = await SyncRunner(other, fetcher).run(Script(3), resume=job.id)
        assert (done.status, done.processedItems) == (SyncStatus.COMPLETED, 3)
    finally:
        await store.close()
        await other.close()


async def test_giving_up_waiting_does_not_end_the_sync(runner: SyncRunner) -> None:
    source = Script(3)
    source.stop_at = 1
    run = await runner.start(source)
    await source.stopped.wait()

    async def wait() -> SyncJob:
        return await run

    waiter = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    source.go.set()
    assert (await run).status is SyncStatus.COMPLETED


async def test_notes_are_bounded_and_all_are_counted(runner: SyncRunner) -> None:
    class Refuses(Script):
        @staticmethod
        def writer(number: int) -> Any:
            return lambda tx, now: [
                ("packs", Outcome("refused", f"{number}-{one}", reason="r" * 5000))
                for one in range(MOST_NOTES)
            ]

    job = await runner.run(Refuses(3))
    assert (job.failedItems, job.successItems) == (3 * MOST_NOTES, 0)
    assert len(job.results["entries"]) == MOST_NOTES
    assert job.results["entries_left_out"] == 2 * MOST_NOTES
    assert max(len(one["reason"]) for one in job.results["entries"]) == 500


async def test_refusals_are_told_however_many_remarks_there_are(runner: SyncRunner) -> None:
    class Remarks(Script):
        @staticmethod
        def writer(number: int) -> Any:
            kind: Any = "refused" if number else "new"
            return lambda tx, now: [
                ("packs", Outcome(kind, f"{number}-{one}", reason="why"))
                for one in range(MOST_NOTES if number == 0 else 9)
            ]

    job = await runner.run(Remarks(2))
    assert [one.entry for one in refusals_of(job)] == [f"1-{one}" for one in range(9)]
    view = SyncView.of(job)
    assert (len(view.refusals), view.failed) == (8, 9)
    assert job.results["entries_left_out"] == 0


async def test_waiting_for_a_service_is_seen(runner: SyncRunner, service: Any, fault: Any) -> None:
    class Asks(Script):
        async def batches(self, ask: Asker, cursor: Any) -> AsyncIterator[Batch]:
            await ask.json(f"{service.base}/x")
            self.stopped.set()
            await self.go.wait()
            yield Batch({"at": 1}, self.writer(0))

    service.say("/x", {})
    service.faults.append(fault.status(429, Retry_After="30"))
    source = Asks()
    run = await runner.start(source)
    await source.stopped.wait()
    assert (run.view.waiting_s, "429" in str(run.view.waiting)) == (30.0, True)
    source.go.set()
    await run
    assert run.view.waiting is None
