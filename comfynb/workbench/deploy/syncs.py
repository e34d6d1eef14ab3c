"""A sync of the catalogue: awaited, watched, cancelled and resumed."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from comfynb.deploy.service import CancelSync, ReadSync
from comfynb.deploy.sync import SyncRun, SyncView, refusals_of
from comfynb.engine.host import Doing
from comfynb.errors import UsageError
from comfynb.models import SyncJob
from comfynb.widgets.composite import Composite
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.panels import sync_panel
from comfynb.workbench.deploy.showing import Shown, day

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Refused", "Sync", "SyncList"]


class Sync(Shown):
    """One sync that runs here: ``await`` it, or ``.wait()``; it shows how far it is.

    It ends as COMPLETED, FAILED or CANCELLED, and raises nothing for that: ``sync.view`` says how.
    """

    def __init__(self, session: "DeploySession", starting: Doing[SyncRun], source: str) -> None:
        self._session = session
        self._starting = starting
        self.source = source
        """What it is a sync of."""

    @property
    def id(self) -> str | None:
        """Its id, as in the store; None until it has begun."""
        view = self.view
        return view.id if view is not None else None

    @property
    def view(self) -> SyncView | None:
        """How far it is now; None until it has begun."""
        if not self._starting.done:
            return None
        return self._starting.result.view

    @property
    def errors(self) -> "Refused":
        """The entries that were not taken so far, with the reasons."""
        if self.id is None:
            raise UsageError(f"The sync of {self.source} has not begun yet: await it.")
        return Refused(self._session.run(ReadSync(syncId=self.id)))

    def watch(self, callback: Callable[[SyncView], None]) -> None:
        """Tell ``callback``, on the Workbench's loop, at most ten times a second."""

        async def begin() -> None:
            (await self._starting).watch(callback)

        self._session.workbench.host.start(begin(), f"watch the sync of {self.source}")

    async def _wait(self) -> "Sync":
        await (await self._starting)
        return self

    def __await__(self) -> Generator[Any, None, "Sync"]:
        return self._session.workbench.host.do(self._wait(), f"sync {self.source}").__await__()

    def wait(self, timeout: float | None = None) -> "Sync":
        """Wait until it has ended, where there is no ``await``; ``timeout`` in seconds.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
        """
        return self._session.workbench.host.wait(self._wait(), timeout)

    def cancel(self) -> Doing[SyncJob]:
        """Stop it after what is being written; ``wb.catalogue.resume(id)`` goes on."""

        async def cancel() -> SyncJob:
            run = await self._starting
            return await self._session.service.run(CancelSync(syncId=run.id))

        return self._session.workbench.host.do(cancel(), f"cancel the sync of {self.source}")

    def _heading(self) -> str:
        view = self.view
        if view is None:
            return f"{self.source}: begins"
        of = f" of {view.total}" if view.total is not None else ""
        waits = f"; {view.waiting}" if view.waiting else ""
        error = f"; {view.error}" if view.error else ""
        return f"{self.source}: {view.status.value}, {view.processed}{of} entries{waits}{error}"

    def _table(self) -> StaticTable:
        view = self.view
        return StaticTable(["entries", "number"], view.counts if view is not None else ())

    def _good(self) -> bool | None:
        view = self.view
        states = {"COMPLETED": True, "FAILED": False}
        return states.get(view.status.value) if view is not None else None

    def _panel(self) -> Composite | None:
        return sync_panel(self)


class Refused(Shown):
    """The entries of a sync that were not taken, with the reasons."""

    def __init__(self, job: SyncJob) -> None:
        self.rows = refusals_of(job)
        """As far as they are told one by one."""
        self.total = job.failedItems
        """All of them."""

    def __len__(self) -> int:
        return len(self.rows)

    def _heading(self) -> str:
        if not self.total:
            return "nothing was refused"
        told = f"; the first {len(self)} of them" if self.total > len(self) else ""
        return f"{self.total} entries were refused{told}"

    def _table(self) -> StaticTable:
        rows = [(one.part, one.entry, one.reason) for one in self.rows]
        return StaticTable(["part", "entry", "why"], rows, total=self.total, limit=200, wrap=True)


class SyncList(Shown):
    """The latest syncs, the newest first."""

    def __init__(self, jobs: list[SyncJob]) -> None:
        self.jobs = jobs
        """Their records."""

    def _heading(self) -> str:
        return f"{len(self.jobs)} syncs" if self.jobs else 'no syncs: wb.catalogue.sync("manager")'

    def _table(self) -> StaticTable:
        rows = [
            (
                *(str(job.results.get("source", "")), job.status.value, job.processedItems),
                *(job.failedItems, day(job.startedAt), job.id),
            )
            for job in self.jobs
        ]
        return StaticTable(["source", "status", "entries", "refused", "began (UTC)", "id"], rows)
