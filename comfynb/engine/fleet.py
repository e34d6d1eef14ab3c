"""The backends of one kernel: known, looked after, and watched."""

import asyncio
from collections.abc import Callable
from typing import Any

from comfynb.comfy import Credentials
from comfynb.engine.backend import LiveBackend
from comfynb.engine.background import Spawn
from comfynb.engine.desk import Desk
from comfynb.engine.patience import Patience
from comfynb.engine.views import BackendView
from comfynb.engine.watching import Watchers
from comfynb.errors import UsageError
from comfynb.models import BackendConfig, ObjectInfoRecord, content_sha256
from comfynb.store import Store

__all__ = ["Fleet"]


class Fleet:
    """Told by each backend how it is; tells whoever hands out tasks, and whoever looks."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        spawn: Spawn,
        *,
        pump: Callable[[LiveBackend | None], None],
        report: Callable[[BaseException], None],
    ) -> None:
        self._backends = desk.backends
        self._scheduler = desk.scheduler
        self._store = store
        self._spawn = spawn
        self._pump = pump
        self._report = report
        self._patience = Patience(desk, spawn)
        self._tending: dict[str, asyncio.Task[None]] = {}
        self._standings: dict[str, tuple[object, ...]] = {}
        self.watchers: Watchers[tuple[BackendView, ...]] = Watchers()
        self._dirty = False

    # Coming and going -------------------------------------------------------------------------

    def add(self, backend: LiveBackend) -> None:
        """Know a backend from now on and keep an eye on it."""
        self._backends[backend.id] = backend
        self._tending[backend.id] = self._spawn(self._tend(backend), f"tend {backend.name}")
        self.changed(backend)

    async def _tend(self, backend: LiveBackend) -> None:
        try:
            await backend.tend()
        finally:
            await backend.courier.close()

    async def remove(self, backend_id: str) -> None:
        """Forget a backend.

        Raises:
            UsageError: prompts of ours are still on it, or on their way home.
        """
        backend = self._backends[backend_id]
        if backend.courier.busy:
            out = sum(1 for _ in backend.courier.flights)
            raise UsageError(
                f"{backend.name} still has {out} prompts of yours: "
                "wait for them or cancel them before you remove it."
            )
        del self._backends[backend_id]
        self._scheduler.gone(backend_id)
        self._standings.pop(backend_id, None)
        task = self._tending.pop(backend_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._dirty = True
        self._pump(None)

    def update(self, config: BackendConfig, credentials: Credentials | None) -> LiveBackend:
        """Take changed settings and credentials of a known backend into use."""
        backend = self._backends[config.id]
        if credentials != backend.credentials or config.base_url != backend.config.base_url:
            backend.reconnect(config, credentials)
        self.reconfigure(config)
        return backend

    def reconfigure(self, config: BackendConfig) -> None:
        """Take changed settings of a known backend (not its address) into use."""
        backend = self._backends[config.id]
        backend.config = config
        self.changed(backend)

    def clear(self) -> None:
        """Know none any more."""
        self._backends.clear()
        self._tending.clear()

    # From the backends ------------------------------------------------------------------------

    def changed(self, backend: LiveBackend) -> None:
        """A backend's health or load is another one."""
        self._dirty = True
        standing = backend.standing
        if self._standings.get(backend.id) == standing:
            self._pump(backend)
        else:
            self._standings[backend.id] = standing
            if not backend.online:
                self._scheduler.gone(backend.id)
            self._pump(None)
        self._patience.watch(backend)

    def report(self, error: BaseException) -> None:
        """An error in the background that nobody waits for."""
        self._report(error)

    def save_object_info(self, backend_id: str, object_info: dict[str, Any]) -> None:
        """Keep a backend's node classes, so that forms work before it has answered again."""

        async def save() -> None:
            sha256 = await asyncio.to_thread(content_sha256, object_info)
            await self._store.put(
                ObjectInfoRecord(backend_id=backend_id, sha256=sha256, data=object_info)
            )

        self._spawn(save(), "save object_info")

    # For people -------------------------------------------------------------------------------

    @property
    def view(self) -> tuple[BackendView, ...]:
        """What a person sees of the backends now."""
        return tuple(backend.view for backend in list(self._backends.values()))

    def tell(self) -> None:
        """Tell the watchers, if anything has changed since they were told."""
        if self._dirty:
            self._dirty = False
            if self.watchers:
                self.watchers.tell(self.view, self._report)
