"""``wb.backends``: which ComfyUI servers there are, and how they are."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from comfynb.comfy import (
    Address,
    BearerAuth,
    ComfyClient,
    Credentials,
    parse_address,
)
from comfynb.engine.backend import LiveBackend
from comfynb.engine.host import Doing, run_blocking
from comfynb.engine.views import BackendView
from comfynb.errors import NotFound, UsageError
from comfynb.models import BackendConfig, new_id, utcnow
from comfynb.widgets import BackendPicker, BackendsTable, mimebundle, shared_view
from comfynb.workbench.known_backends import auth_config, backend_config, credentials_for
from comfynb.workbench.sources import History, SavedWorkflows

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Backend", "Backends"]

CHECK_TIMEOUT = 5.0
"""Seconds that a server gets to answer when it is added."""


class Backend:
    """One ComfyUI server, by name."""

    def __init__(self, workbench: "Workbench", live: LiveBackend) -> None:
        self._workbench = workbench
        self._live = live

    @property
    def id(self) -> str:
        """Its id, as in the store."""
        return self._live.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._live.name

    @property
    def url(self) -> str:
        """Its address, without secrets."""
        return self._live.config.base_url

    @property
    def config(self) -> BackendConfig:
        """A copy of its settings."""
        return self._live.config.model_copy(deep=True)

    @property
    def view(self) -> BackendView:
        """A snapshot of its health now."""
        return self._live.view

    @property
    def online(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._live.online

    @property
    def object_info(self) -> dict[str, Any]:
        """Its node classes as the server describes them; asked for if not known yet."""
        return self._workbench.node_classes.of(self._live)

    @property
    def workflows(self) -> SavedWorkflows:
        """What was saved in its own front-end: ``backend.workflows["portrait"]``."""
        return SavedWorkflows(self._workbench, self._live)

    def history(self, limit: int = 20) -> History:
        """The newest prompts that ended there: ``backend.history().load(prompt_id)``."""
        return History.ask(self._workbench, self._live, limit)

    def move(self, url: str) -> None:
        """It answers at another address now; credentials in ``url`` are not taken."""
        address = parse_address(url)[0]
        self._change(
            scheme=address.scheme,
            host=address.host,
            port=address.port,
            path_prefix=address.path_prefix,
        )

    def enable(self) -> None:
        """Use it."""
        self._change(enabled=True)

    def disable(self) -> None:
        """Give it no more work; what runs there ends there."""
        self._change(enabled=False)

    def change(
        self,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        capabilities: Iterable[str] | None = None,
        max_concurrent_jobs: int | None = None,
    ) -> None:
        """Change some of its settings; they take effect at once and are stored.

        Raises:
            UsageError: a value that is not allowed, or a name that another backend has.
        """
        if name is not None:
            self._workbench.backends.check_name(name, self.id)
        changes = {
            "name": name,
            "tags": None if tags is None else list(tags),
            "capabilities": None if capabilities is None else list(capabilities),
            "max_concurrent_jobs": max_concurrent_jobs,
        }
        self._change(**{key: value for key, value in changes.items() if value is not None})

    def _change(self, **changes: Any) -> None:
        self._workbench.known_backends.change(self._live, **changes)

    def __repr__(self) -> str:
        view = self.view
        if view.online is None:
            state = "not asked yet"
        elif view.online:
            state = f"online, ComfyUI {view.version}, {view.gpu or 'unknown device'}"
        else:
            state = f"offline ({view.error})"
        return f"<Backend {view.name} at {view.url}: {state}>"


class Backends:
    """``wb.backends``: a live table where it is shown; ``add`` and ``remove``; by name or id."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench

    def add(
        self,
        url: str,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        capabilities: Iterable[str] = (),
        max_concurrent_jobs: int = 1,
        enabled: bool = True,
        auth: Credentials | None = None,
        auth_env: str | None = None,
        check: bool = True,
    ) -> Backend:
        """Add a ComfyUI server: "gpu1", "gpu1:8188", "https://user:password@host/prefix".

        The server is asked at once, so that a typing error shows here; ``check=False`` adds one
        that is switched off. The same address again only changes its settings. A password or token
        in the address or in ``auth`` is kept in a file that only you can read, never in the store;
        with ``auth_env`` it is read from that environment variable whenever it is needed.

        Raises:
            UsageError: a setting that is not allowed, or a name that another backend has.
            BackendUnreachable: nobody answers there.
            NotComfyUI: somebody else answers there.
            AuthenticationRequired: it wants a password or token, or another one.
        """
        address, found = parse_address(url)
        credentials = auth or found
        if auth_env is not None:
            credentials = _from_environment(credentials, auth_env)
        if check:
            run_blocking(_ask(address, name, credentials))
        known = self._at(address)
        config = backend_config(
            id=known.id if known else new_id(),
            name=name or (known.name if known else self._free_name(address)),
            host=address.host,
            port=address.port,
            scheme=address.scheme,
            path_prefix=address.path_prefix,
            enabled=enabled,
            capabilities=list(capabilities),
            max_concurrent_jobs=max_concurrent_jobs,
            tags=list(tags),
            auth=auth_config(credentials, auth_env),
            created_at=known.config.created_at if known else utcnow(),
            # It is said elsewhere: wb.metrics.agent(...).
            agent_url=known.config.agent_url if known else None,
        )
        self.check_name(config.name, config.id)
        live = self._workbench.known_backends.add(
            config, credentials, store_secret=auth_env is None
        )
        return Backend(self._workbench, live)

    def check_name(self, name: str, backend_id: str) -> None:
        """Refuse a name that another backend has; raises UsageError."""
        other = next((b for b in self if b.name == name and b.id != backend_id), None)
        if other is not None:
            raise UsageError(
                f"There is another backend called {name} at {other.url}: "
                "give this one another name=."
            )

    def _at(self, address: Address) -> Backend | None:
        return next((b for b in self if b.url == address.base_url), None)

    def _free_name(self, address: Address) -> str:
        return address.netloc + address.path_prefix

    def remove(self, name: str) -> "Doing[None]":
        """Forget a backend; ``await`` it or ``.wait()``. Its jobs stay in the store."""
        return self._workbench.known_backends.remove(self[name]._live)  # noqa: SLF001

    def picker(self) -> BackendPicker:
        """A widget to choose backends with; its ``value`` is the chosen backends' ids."""
        return BackendPicker(self._workbench.engine)

    def table(self) -> BackendsTable:
        """The live table as a widget."""
        return BackendsTable(self._workbench.engine, on_enable=self._enable)

    def _enable(self, backend_id: str, enabled: bool) -> None:
        backend = self[backend_id]
        if enabled:
            backend.enable()
        else:
            backend.disable()

    @property
    def online(self) -> list[Backend]:
        """Those that answered when they were last asked."""
        return [backend for backend in self if backend.online]

    def __iter__(self) -> Iterator[Backend]:
        for live in list(self._workbench.engine.backends.values()):
            yield Backend(self._workbench, live)

    def __len__(self) -> int:
        return len(self._workbench.engine.backends)

    def __contains__(self, name: object) -> bool:
        return any(name in {backend.id, backend.name} for backend in self)

    def __getitem__(self, name: str) -> Backend:
        for backend in self:
            if name in {backend.id, backend.name}:
                return backend
        names = ", ".join(backend.name for backend in self) or "none yet"
        raise NotFound(f"There is no backend called {name!r}; there are: {names}.")

    def _ipython_key_completions_(self) -> list[str]:
        return [backend.name for backend in self]

    def __repr__(self) -> str:
        return "\n".join(repr(backend) for backend in self) or (
            'no backends yet: wb.backends.add("http://gpu1:8188")'
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = shared_view(self, self.table)
        return mimebundle(shown, repr(self), shown.static_html())


async def _ask(address: Address, name: str | None, credentials: Credentials | None) -> None:
    client = ComfyClient(address.base_url, name=name or "", auth=credentials, timeout=CHECK_TIMEOUT)
    async with client:
        await client.probe()


def _from_environment(credentials: Credentials | None, variable: str) -> Credentials:
    config = auth_config(credentials or BearerAuth("unused"), variable)
    found = credentials_for(config, None)
    if found is None:
        raise UsageError(f"The environment variable {variable} is not set: set it and try again.")
    return found
