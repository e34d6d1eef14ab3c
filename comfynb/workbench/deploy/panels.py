"""What the handles of deployments show in JupyterLab: widgets, tied to the handles."""

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from comfynb.deploy.catalogue import Page
from comfynb.deploy.resolve import ModelCandidate, PackCandidate
from comfynb.deploy.scripts import TARGETS
from comfynb.deploy.service.permission import may_change
from comfynb.deploy.sync import SyncView
from comfynb.deploy.tokens import TokenInfo
from comfynb.engine.watching import INTERVAL
from comfynb.errors import ComfynbError, NotFound
from comfynb.models import Lock, Model, PackageType, Service
from comfynb.widgets import shared_view
from comfynb.widgets.deploy import (
    CatalogueBrowser,
    CatalogueQuery,
    DeploymentBuilder,
    DeploymentState,
    ScriptPreview,
    ScriptState,
    SyncMonitor,
    TokenForm,
)
from comfynb.widgets.live import call, current_loop

if TYPE_CHECKING:
    from comfynb.workbench.deploy.catalogue import Catalogue
    from comfynb.workbench.deploy.deployment import Deployment
    from comfynb.workbench.deploy.scripts import Script
    from comfynb.workbench.deploy.syncs import Sync
    from comfynb.workbench.deploy.tokens import Tokens

__all__ = [
    "catalogue_panel",
    "deployment_panel",
    "deployment_state",
    "script_panel",
    "script_state",
    "sync_panel",
    "token_panel",
]

T = TypeVar("T")
TARGET_TITLES: Mapping[str, str] = {name: target.title for name, target in TARGETS.items()}


def beside(work: Callable[[], T]) -> "T | Awaitable[T]":
    """Do it in a thread where a loop runs, which must not wait; elsewhere do it now."""
    return work() if current_loop() is None else asyncio.to_thread(work)


# The catalogue ----------------------------------------------------------------------------------


def catalogue_panel(catalogue: "Catalogue") -> CatalogueBrowser:
    """The browser of ``wb.catalogue``: one, however often it is shown."""
    deployments = catalogue._session.workbench.deployments  # noqa: SLF001 - of the same package

    def names() -> list[str]:
        lines = deployments._lines()  # noqa: SLF001
        return [line.deployment.name for line in lines if line.mine]

    def add(item: Any, name: str) -> "str | Awaitable[str]":
        def put() -> str:
            made = deployments[name] if name in deployments else deployments.new(name)
            made.add_model(item) if isinstance(item, Model) else made.add_node(item)
            return f"{item.name} is in {name} now: wb.deployments[{name!r}]"

        return beside(put)

    made: list[CatalogueBrowser] = []

    def make() -> CatalogueBrowser:
        query = CatalogueQuery()
        page = found(catalogue, query)
        made.append(
            CatalogueBrowser(
                page,
                lambda query: beside(lambda: found(catalogue, query)),
                add=add,
                deployments=names,
                query=query,
            )
        )
        return made[0]

    panel = shared_view(catalogue, make)
    if not made:
        panel.offer(names())
    return panel


def found(catalogue: "Catalogue", query: CatalogueQuery) -> Page[Any]:
    """One page of what a query finds."""
    verified = True if query.verified else None
    page: Any
    if query.what == "models":
        page = catalogue.models(
            query.words,
            type=query.type,
            source=query.source,
            base_model=query.base_model or None,
            tags=query.tags,
            verified=verified,
            page=query.page,
            limit=query.limit,
        )
    else:
        page = catalogue.nodes(
            query.words, tags=query.tags, verified=verified, page=query.page, limit=query.limit
        )
    return Page(list(page.items), page.page, query.limit, page.total, page.pages)


# A deployment -----------------------------------------------------------------------------------


def deployment_state(deployment: "Deployment") -> DeploymentState:
    """All that is shown of a deployment, as it is now."""
    contents = deployment.contents
    person = deployment._session.person  # noqa: SLF001
    locks = deployment.locks
    report = deployment.report
    return DeploymentState(
        contents=contents,
        resolution=deployment.resolution,
        left_out=tuple(deployment.left_out),
        report=report.state if report is not None else None,
        locked=Lock.model_validate(locks[0].content) if locks else None,
        may_change=may_change(person.user, contents.deployment),
        targets=TARGET_TITLES,
    )


def deployment_panel(deployment: "Deployment") -> DeploymentBuilder:
    """The builder of a deployment: one for each handle, which follows what is changed elsewhere."""
    state = deployment_state(deployment)

    def make() -> DeploymentBuilder:
        actions = _Actions(deployment)
        made = DeploymentBuilder(state, actions)
        actions.panel = weakref.ref(made)
        deployment._session.followers.add(deployment.id, actions)  # noqa: SLF001
        return made

    panel = shared_view(deployment, make)
    if panel.state is not state:
        panel.show(state)
    return panel


def _show(panel: DeploymentBuilder, state: Any) -> None:
    if panel.comm is not None:
        panel.show(state)


class _Actions:
    """What a builder does, done through its handle; and what others do, brought to the builder."""

    def __init__(self, deployment: "Deployment") -> None:
        self.panel: Callable[[], DeploymentBuilder | None] = lambda: None
        self._deployment = deployment
        self._script: _ScriptActions | None = None
        self._loop = current_loop()
        self._looking = False
        self._own = threading.local()

    def changed(self) -> None:
        """Show the deployment as it is now, soon, unless this builder's own work changed it."""
        if getattr(self._own, "working", False):
            return
        if self._loop is None:
            self._look()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._soon)

    def _soon(self) -> None:
        if not self._looking and self._loop is not None:
            # A cell that adds fifty models is looked at once.
            self._looking = True
            self._loop.call_later(INTERVAL, self._look)

    def _look(self) -> None:
        self._looking = False
        panel = self.panel()
        if panel is not None and panel.comm is not None:

            def state() -> "DeploymentState | Awaitable[DeploymentState]":
                return beside(lambda: deployment_state(self._deployment))

            call(state, partial(_show, panel), panel.tell)

    def _then(self, work: Callable[[], object]) -> "DeploymentState | Awaitable[DeploymentState]":
        def both() -> DeploymentState:
            self._own.working = True
            try:
                work()
            finally:
                self._own.working = False
            return deployment_state(self._deployment)

        return beside(both)

    def choose(self, name: str, candidate: int) -> "DeploymentState | Awaitable[DeploymentState]":
        resolution = self._deployment.resolution
        picked = None
        for item in resolution.ambiguous if resolution is not None else ():
            own = getattr(item.need, "class_type", None) or getattr(item.need, "name", None)
            if own == name and 0 <= candidate < len(item.candidates):
                picked = _choice(item.candidates[candidate])
        if picked is None:
            raise NotFound(f"{name!r:.80} is not waiting for a choice any more: show d again.")
        return self._then(lambda: self._deployment.resolve(choices={name: picked}))

    def enable(self, item_id: str, on: bool) -> "DeploymentState | Awaitable[DeploymentState]":
        def change() -> None:
            if any(one.id == item_id for one in self._deployment.nodes):
                self._deployment.enable_node(item_id, on)
            else:
                self._deployment.enable_model(item_id, on)

        return self._then(change)

    def remove(self, item_id: str) -> "DeploymentState | Awaitable[DeploymentState]":
        def change() -> None:
            if any(one.id == item_id for one in self._deployment.nodes):
                self._deployment.remove_node(item_id)
            elif any(one.id == item_id for one in self._deployment.models):
                self._deployment.remove_model(item_id)
            else:
                self._deployment.remove_package(item_id)

        return self._then(change)

    def add_package(
        self, kind: PackageType, name: str, version: str | None
    ) -> "DeploymentState | Awaitable[DeploymentState]":
        return self._then(lambda: self._deployment.add_package(name, kind=kind, version=version))

    def set_environment(
        self, variables: Mapping[str, str]
    ) -> "DeploymentState | Awaitable[DeploymentState]":
        return self._then(lambda: self._deployment.set_environment(variables))

    def set_settings(
        self, settings: Mapping[str, str | None]
    ) -> "DeploymentState | Awaitable[DeploymentState]":
        return self._then(lambda: self._deployment.set_settings(**settings))

    def lock(self, update: bool) -> "DeploymentState | Awaitable[DeploymentState]":
        doing = self._deployment.lock(update=update)
        before = self._deployment.report

        async def wait() -> DeploymentState:
            try:
                await doing
            except ComfynbError:
                # A report says more than the error's sentence: conflict by conflict.
                if self._deployment.report is before:
                    raise
            return await asyncio.to_thread(deployment_state, self._deployment)

        if current_loop() is not None:
            return wait()
        doing.wait()
        return deployment_state(self._deployment)

    def script(self, target: str) -> "ScriptState | Awaitable[ScriptState]":
        def make() -> ScriptState:
            script = self._deployment.script(target)
            self._script = _ScriptActions(script)
            return script_state(script)

        return beside(make)

    def preview(self, target: str) -> "ScriptState | Awaitable[ScriptState]":
        return self._made_script.preview(target)

    def save(self, target: str, folder: str) -> "str | Awaitable[str]":
        return self._made_script.save(target, folder)

    @property
    def _made_script(self) -> "_ScriptActions":
        assert self._script is not None, "what is on show was made"
        return self._script


def _choice(candidate: PackCandidate | ModelCandidate) -> Any:
    if isinstance(candidate, PackCandidate):
        if candidate.node is None:
            raise NotFound(
                f"The catalogue does not have {candidate.label:.80}: sync more of it, or add it "
                "with wb.catalogue.add_node."
            )
        return candidate.node
    return candidate.known if candidate.known is not None else candidate.url


# Scripts, syncs, tokens -------------------------------------------------------------------------


def script_state(script: "Script") -> ScriptState:
    """All that is shown of a script."""
    return ScriptState(script.target, script.files, script.main, script.tokens, script.notes)


def script_panel(script: "Script") -> ScriptPreview:
    """The preview of a script; other targets are only looked at until they are saved."""
    actions = _ScriptActions(script)
    return shared_view(
        script,
        lambda: ScriptPreview(
            script_state(script), targets=TARGET_TITLES, make=actions.preview, save=actions.save
        ),
    )


class _ScriptActions:
    """What a preview does: look at the same lock's script for other targets, and save one."""

    def __init__(self, script: "Script") -> None:
        self._made = script

    def preview(self, target: str) -> "ScriptState | Awaitable[ScriptState]":
        return beside(lambda: script_state(self._made.preview(target)))

    def save(self, target: str, folder: str) -> "str | Awaitable[str]":
        def write() -> str:
            self._made = self._made.make(target)
            return str(self._made.save(Path(folder)))

        return beside(write)


class _SyncSource:
    """A sync as something that widgets watch."""

    def __init__(self, sync: "Sync") -> None:
        self._sync = sync

    @property
    def view(self) -> SyncView | None:
        return self._sync.view

    def watch(self, callback: Callable[[SyncView | None], None]) -> Callable[[], None]:
        watching = [True]

        def tell(view: SyncView) -> None:
            if watching:
                callback(view)

        self._sync.watch(tell)
        return watching.clear


def sync_panel(sync: "Sync") -> SyncMonitor:
    """The monitor of a sync: one, however often it is shown."""
    latest = [sync]

    def cancel() -> Awaitable[object]:
        return latest[0].cancel()

    def resume() -> _SyncSource:
        session = sync._session  # noqa: SLF001
        ended = latest[0].id
        assert ended is not None, "what has not begun has not ended"
        latest[0] = session.workbench.catalogue.resume(ended)
        return _SyncSource(latest[0])

    return shared_view(
        sync,
        lambda: SyncMonitor(
            f"Sync of {sync.source}",
            _SyncSource(sync),
            cancel=cancel,
            resume=resume,
        ),
    )


def token_panel(tokens: "Tokens") -> TokenForm:
    """The form of ``wb.tokens``: one, brought up to date when it is shown."""

    def then(work: Callable[[], object]) -> "Sequence[TokenInfo] | Awaitable[Sequence[TokenInfo]]":
        def both() -> Sequence[TokenInfo]:
            work()
            return tokens.list

        return beside(both)

    def add(service: Service, name: str, token: str) -> Any:
        return then(lambda: tokens.add(service, token, name=name or None))

    now = tokens.list
    panel = shared_view(
        tokens,
        lambda: TokenForm(
            now,
            add=add,
            use=lambda token_id, on: then(lambda: tokens.use(token_id, on)),
            remove=lambda token_id: then(lambda: tokens.remove(token_id)),
        ),
    )
    panel.show(now)
    return panel
