"""Keeps jobs up to date that another kernel runs, while somebody here looks or waits."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Final

from comfynb.engine.background import Spawn
from comfynb.engine.desk import Desk
from comfynb.engine.live import LiveJob
from comfynb.errors import StoreError
from comfynb.store import Journal

__all__ = ["Following"]

PAUSE: Final = 1.0
"""Seconds between two looks at a job."""


class Following:
    """Reads other kernels' jobs from the store."""

    def __init__(
        self,
        desk: Desk,
        journal: Journal,
        spawn: Spawn,
        *,
        report: Callable[[BaseException], None],
    ) -> None:
        self._desk = desk
        self._journal = journal
        self._spawn = spawn
        self._report = report
        self._followed: set[str] = set()

    def follow(self, live: LiveJob) -> None:
        """Keep a job up to date until it has ended, is ours, or nobody holds it any more."""
        if live.finished or live.id in self._desk.active or live.id in self._followed:
            return
        self._followed.add(live.id)
        # Only a weak reference: the object shall vanish with the last one who cares for it.
        self._spawn(self._follow(weakref.ref(live), live.id), f"follow {live.id}")

    async def _follow(self, reference: "weakref.ref[LiveJob]", job_id: str) -> None:
        told = ""
        try:
            while (live := reference()) is not None and job_id not in self._desk.active:
                if live.watched or live.awaited:
                    try:
                        await self._read(live)
                        told = ""
                    except StoreError as error:  # busy elsewhere, say: whoever waits goes on
                        if str(error) != told:
                            told = str(error)
                            self._report(error)
                    if live.finished:
                        return
                del live
                await asyncio.sleep(PAUSE)
        finally:
            self._followed.discard(job_id)

    async def _read(self, live: LiveJob) -> None:
        job = await self._journal.load_job(live.id)
        if job is not None:
            live.replace(job, await self._journal.outputs_of([live.id]))
        if live.dirty:
            live.tell(self._report)
        if live.job.status.is_terminal:
            live.finish()

    async def let_go(self, live: LiveJob, owner_id: str) -> None:
        """The store did not let us go on with a job of ours: follow it, if it is not any more."""
        job = await self._journal.load_job(live.id)
        if job is None:
            return
        if not job.status.is_terminal and await self._journal.owner_of(live.id) == owner_id:
            return
        self._desk.active.pop(live.id, None)
        for execution in live.job.node_executions:
            self._desk.take(execution.id)
        self.follow(live)
