"""A sync of the catalogue: awaited, watched, cancelled and resumed."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from comfynb.deploy.sync import SyncRun, SyncView
from comfynb.models import SyncJob

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Sync"]


class Sync:
    """One sync that runs here: ``await`` it, or ``.wait()``; it shows how far it is."""

    def __init__(self, session: "DeploySession", run: SyncRun) -> None:
        self._session = session
        self._run = run

    @property
    def id(self) -> str:
        """Its id, as in the store."""
        return self._run.id

    @property
    def view(self) -> SyncView:
        """How far it is now."""
        return self._run.view

    def watch(self, callback: Callable[[SyncView], None]) -> Callable[[], None]:
        """Tell ``callback`` now, then at most ten times a second; returns the way to stop."""
        return self._session.workbench.host.ask(self._run.watch, callback)

    def cancel(self) -> None:
        """Stop it after what is being written; ``wb.catalogue.resume(id)`` goes on."""
        raise NotImplementedError

    async def _wait(self) -> SyncJob:
        return await self._run

    def __await__(self) -> Generator[Any, None, SyncJob]:
        return self._session.workbench.host.do(self._wait(), "sync").__await__()

    def wait(self, timeout: float | None = None) -> SyncJob:
        """Wait until it has ended, where there is no ``await``; ``timeout`` in seconds.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
        """
        return self._session.workbench.host.wait(self._wait(), timeout)

    def __repr__(self) -> str:
        return repr(self._run)
