"""Runs syncs: one of a type at a time, batch by batch, cancelled and resumed without loss."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from comfynb.deploy.net import Fetcher
from comfynb.deploy.sync.batch import Cursor, SyncSource
from comfynb.deploy.sync.journal import SyncJournal, TakenAwayError
from comfynb.deploy.sync.polite import Asker
from comfynb.deploy.sync.progress import Progress, SyncView
from comfynb.errors import ComfynbError, NotFound
from comfynb.models import SyncJob, SyncStatus
from comfynb.store import Store

__all__ = ["SyncRun", "SyncRunner"]


class SyncRun:
    """One running sync: ``await`` it for its job as it ended, failed and cancelled ones too."""

    def __init__(self, job: SyncJob) -> None:
        self.id = job.id
        self._progress = Progress(SyncView.of(job))
        self._task: asyncio.Task[SyncJob] | None = None

    @property
    def view(self) -> SyncView:
        """How far it is."""
        return self._progress.view

    def watch(self, callback: Callable[[SyncView], None]) -> Callable[[], None]:
        """Tell ``callback`` now, then at most ten times a second; returns the way to stop."""
        return self._progress.add(callback)

    async def cancel(self) -> SyncJob:
        """Stop it after what is being written, and return its job; it can be resumed."""
        assert self._task is not None
        if not self._task.done():
            self._task.cancel()
        return await self

    def __await__(self) -> Generator[Any, None, SyncJob]:
        assert self._task is not None
        # Whoever gives up waiting does not end the sync.
        return asyncio.shield(self._task).__await__()

    def __repr__(self) -> str:
        view = self.view
        of = "" if view.total is None else f" of {view.total}"
        return f"<SyncRun {view.source}: {view.status.value}, {view.processed}{of} entries>"


class SyncRunner:
    """Brings sources into the catalogue of a store; lives on one event loop."""

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._sleep = sleep
        self._clock = clock
        self._journal = SyncJournal(store)
        self._runs: dict[str, SyncRun] = {}

    @property
    def runs(self) -> Sequence[SyncRun]:
        """The syncs that run here."""
        return tuple(self._runs.values())

    async def start(self, source: SyncSource, *, resume: str | None = None) -> SyncRun:
        """Begin a sync, or take up the one with the id ``resume`` where it stopped.

        Raises UsageError if another of its type runs, here or in another program, or if the one
        to be resumed is complete or was of another source; NotFound if there is none.
        """
        job = await self._journal.begin(source, resume)
        run = SyncRun(job)
        run._task = asyncio.create_task(self._run(run, source, job))  # noqa: SLF001 - its maker
        self._runs[job.id] = run
        run._task.add_done_callback(lambda _: self._runs.pop(job.id, None))  # noqa: SLF001
        return run

    async def run(self, source: SyncSource, *, resume: str | None = None) -> SyncJob:
        """Start a sync and wait for its end; the job's status says how that was."""
        return await (await self.start(source, resume=resume))

    async def cancel(self, job_id: str) -> SyncJob:
        """Cancel a sync, of this program or another; raises NotFound."""
        run = self._runs.get(job_id)
        if run is not None:
            return await run.cancel()
        return await self._journal.stop(job_id)

    async def interrupted(self) -> list[SyncJob]:
        """Return the syncs that a dead program left: resume them, or cancel them."""
        return await self._journal.interrupted()

    async def jobs(self, limit: int = 50) -> list[SyncJob]:
        """Return the latest syncs, the newest first."""
        return await self._store.find(SyncJob, order_by="-createdAt", limit=limit)

    async def job(self, job_id: str) -> SyncJob:
        """Return one sync; raises NotFound."""
        job = await self._store.get(SyncJob, job_id)
        if job is None:
            raise NotFound(f"there is no sync with the id {job_id!r:.80}")
        return job

    async def aclose(self) -> None:
        """Cancel what runs here."""
        for run in list(self._runs.values()):
            await run.cancel()

    async def _run(self, run: SyncRun, source: SyncSource, job: SyncJob) -> SyncJob:
        progress = run._progress  # noqa: SLF001 - its maker

        def waits(seconds: float, reason: str) -> None:
            progress.note(SyncView.of(job, waiting=reason, waiting_s=seconds))

        ask = Asker(
            self._fetcher, source.spacing, sleep=self._sleep, clock=self._clock, on_wait=waits
        )
        cursor: Cursor | None = job.results.get("cursor")
        status, error = SyncStatus.COMPLETED, None
        try:
            async with contextlib.aclosing(source.batches(ask, cursor)) as batches:  # type: ignore[type-var]
                async for batch in batches:
                    job = await _whole(self._journal.commit(job.id, batch))
                    progress.note(SyncView.of(job))
        except asyncio.CancelledError:
            status = SyncStatus.CANCELLED
        except TakenAwayError as taken:
            progress.finish(SyncView.of(taken.job or job))
            return taken.job or job
        except ComfynbError as problem:
            status, error = SyncStatus.FAILED, str(problem)
        except Exception as problem:
            # A source that trips over what nobody foresaw fails its sync, and says over what.
            status, error = SyncStatus.FAILED, f"{type(problem).__name__}: {problem}"
            await self._end(run, job, status, error)
            raise
        return await self._end(run, job, status, error)

    async def _end(
        self, run: SyncRun, job: SyncJob, status: SyncStatus, error: str | None
    ) -> SyncJob:
        try:
            job = await _whole(self._journal.end(job.id, status, error))
        except TakenAwayError as taken:
            job = taken.job or job
        run._progress.finish(SyncView.of(job))  # noqa: SLF001 - its maker
        return job


async def _whole(pending: Awaitable[SyncJob]) -> SyncJob:
    """Wait for a write that goes on whatever happens here; being cancelled comes after it."""

    async def wait() -> SyncJob:
        return await pending

    task = asyncio.ensure_future(wait())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
