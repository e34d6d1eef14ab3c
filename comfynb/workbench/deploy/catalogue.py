"""``wb.catalogue``: find node packs and models, fill the catalogue, and put it right."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from comfynb.deploy.catalogue import Page
from comfynb.deploy.service import (
    DeactivateModel,
    DeactivateNode,
    Downloads,
    EditModel,
    EditNode,
    ListSyncs,
    ListValidations,
    ReadDownloads,
    ReadSync,
    RegisterModel,
    RegisterNode,
    ResumeSync,
    StartSync,
    VerifyModel,
    VerifyNode,
)
from comfynb.engine.host import run_blocking
from comfynb.errors import NotFound
from comfynb.models import CustomNode, Model, ModelType, Source, StoredModel, UrlValidation
from comfynb.widgets.composite import Composite
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.panels import catalogue_panel
from comfynb.workbench.deploy.showing import Shown, day, one_of, size
from comfynb.workbench.deploy.syncs import Refused, Sync, SyncList

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Broken", "Catalogue", "Found", "MostDownloaded"]

M = TypeVar("M", bound=StoredModel)


class Found(Shown, Sequence[M], Generic[M]):
    """A page of node packs or models: a sequence of rows, and a table where it is shown."""

    def __init__(self, page: Page[M], what: str) -> None:
        self.items = tuple(page.items)
        self.page = page.page
        self.pages = page.pages
        self.total = page.total
        self._what = what

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[M]: ...
    def __getitem__(self, index: int | slice) -> M | Sequence[M]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[M]:
        return iter(self.items)

    def _heading(self) -> str:
        which = f", page {self.page} of {self.pages}" if self.pages > 1 else ""
        return f"{self.total} {self._what}{which}"

    def _table(self) -> StaticTable:
        if self._what == "models":
            columns = ["name", "type", "base model", "size", "file", "verified"]
        else:
            columns = ["name", "author", "node classes", "repository", "verified"]
        return StaticTable(columns, map(_row, self.items), limit=len(self.items) or 1, wrap=True)


def _row(item: Any) -> tuple[object, ...]:
    verified = "yes" if item.isVerified else ""
    if isinstance(item, Model):
        return (
            *(item.name, item.type.value, item.baseModel or "", size(item.fileSize)),
            *(item.filename or "", verified),
        )
    return (item.name, item.author or "", len(item.nodeClasses), item.githubUrl, verified)


class Broken(Shown):
    """URLs that gave no file when they were last looked at."""

    def __init__(self, rows: Sequence[UrlValidation]) -> None:
        self.rows = tuple(rows)
        """As the store has them."""

    def _heading(self) -> str:
        if not self.rows:
            return "no address is known to be broken"
        return f"{len(self.rows)} addresses gave no file"

    def _table(self) -> StaticTable:
        rows = [
            (one.url, one.statusCode or "", one.errorMessage or "", day(one.lastChecked))
            for one in self.rows
        ]
        columns = ["address", "status", "why", "looked at (UTC)"]
        return StaticTable(columns, rows, limit=100, wrap=True)


class MostDownloaded(Shown):
    """How often models were downloaded, the most frequent first."""

    def __init__(self, rows: Sequence[Downloads]) -> None:
        self.rows = tuple(rows)

    def _heading(self) -> str:
        return f"{len(self.rows)} models were downloaded" if self.rows else "no downloads yet"

    def _table(self) -> StaticTable:
        rows = [(one.model.name, one.count, day(one.last)) for one in self.rows]
        return StaticTable(["model", "downloads", "last (UTC)"], rows, limit=100)


class Catalogue(Shown):
    """``wb.catalogue``: what can be installed.

    ``wb.catalogue.models("sdxl vae", type="VAE")`` and ``wb.catalogue.nodes("impact")`` find;
    ``await wb.catalogue.sync("manager")`` fills. It begins with a small list of comfynb's own.
    """

    def __init__(self, session: "DeploySession") -> None:
        self._session = session

    # Finding ----------------------------------------------------------------------------------

    def models(
        self,
        query: str = "",
        *,
        type: ModelType | str | None = None,  # noqa: A002 - the field's name
        source: Source | str | None = None,
        base_model: str | Iterable[str] | None = None,
        tags: Iterable[str] = (),
        verified: bool | None = None,
        page: int = 1,
        limit: int = 20,
    ) -> Found[Model]:
        """Find models by words in name, file, tags, type and description; verified ones first.

        Raises:
            UsageError: there is no such type, source, page or limit.
        """
        self._session.fill()
        found = self._session.rows.search_models(
            query,
            type=type,
            source=source,
            base_model=base_model,
            tags=tags,
            verified=verified,
            page=page,
            limit=limit,
        )
        return Found(run_blocking(found), "models")

    def nodes(
        self,
        query: str = "",
        *,
        author: str | None = None,
        tags: Iterable[str] = (),
        verified: bool | None = None,
        page: int = 1,
        limit: int = 20,
    ) -> Found[CustomNode]:
        """Find node packs by words in name, author, node classes and description.

        Raises:
            UsageError: there is no such page or limit.
        """
        self._session.fill()
        found = self._session.rows.search_nodes(
            query, author=author, tags=tags, verified=verified, page=page, limit=limit
        )
        return Found(run_blocking(found), "node packs")

    def search(self, query: str = "", **filters: Any) -> Found[Model]:
        """Find models; the same as :meth:`models`."""
        return self.models(query, **filters)

    def model(self, name: str) -> Model:
        """The one model of this id, file name or name; raises NotFound if none or several are."""
        return _only(run_blocking(self._models(name)), name)

    def node(self, name: str) -> CustomNode:
        """The one node pack of this id, URL or name; raises NotFound if none or several are."""
        return _only(run_blocking(self._nodes(name)), name)

    async def _models(self, name: str) -> list[Model]:
        rows = self._session.rows
        with contextlib.suppress(NotFound):
            return [(await rows.model(name)).model]
        found = [
            *(await rows.models_by_filename(name))[name],
            *(await rows.models_by_url(name))[name],
        ]
        models = [one.model for one in found]
        if not models:
            page = await rows.search_models(name=name, limit=500)
            models = [one for one in page.items if one.name == name]
        return list({one.id: one for one in models}.values())

    async def _nodes(self, name: str) -> list[CustomNode]:
        rows = self._session.rows
        with contextlib.suppress(NotFound):
            return [(await rows.node(name)).node]
        known = (await rows.nodes_by_url(name))[name]
        if known is not None:
            return [known.node]
        page = await rows.search_nodes(name=name, limit=500)
        return [one for one in page.items if one.name == name]

    # Filling ----------------------------------------------------------------------------------

    def sync(self, source: str, **options: Any) -> "Sync":
        """Begin to fill the catalogue from a source; ``await`` it, show it, ``cancel()`` it.

        ``source`` is one of ``wb.catalogue.sources``. For a CURATOR or an ADMIN.

        Raises:
            NotAllowed: you are neither.
            NotFound: there is no such source.
            UsageError: a sync of this type runs already.
        """
        if source not in self.sources:
            raise NotFound(
                f"There is no source {source!r:.80}; there are: {', '.join(self.sources)}."
            )
        # The list that ships with comfynb comes first: afterwards the catalogue is not empty.
        self._session.fill()
        command = StartSync(source=source, options=_plain(options))
        return Sync(self._session, self._session.do(command, f"sync {source}"), source)

    def resume(self, sync_id: str) -> "Sync":
        """Go on with a sync that failed or was cancelled; ``wb.catalogue.syncs`` lists them."""
        command = ResumeSync(syncId=sync_id)
        return Sync(self._session, self._session.do(command, "resume"), f"sync {sync_id:.8}")

    def errors(self, sync_id: str) -> Refused:
        """What a sync did not take, with the reasons; ``wb.catalogue.syncs`` lists syncs."""
        return Refused(self._session.run(ReadSync(syncId=sync_id)))

    def validate(self, *, models: bool = True, nodes: bool = True) -> "Sync":
        """Begin to look whether what is listed is still there; ``await`` it. As :meth:`sync`.

        What was looked at within a day is not asked again. ``wb.catalogue.broken`` says what for.
        """
        return self.sync("urls", models=models, nodes=nodes)

    @property
    def broken(self) -> "Broken":
        """URLs that gave no file when they were last looked at, the latest first."""
        rows = self._session.run(ListValidations(valid=False))
        return Broken(rows)

    @property
    def sources(self) -> list[str]:
        """What :meth:`sync` can fill the catalogue from."""
        return list(self._session.sources)

    @property
    def syncs(self) -> SyncList:
        """The latest syncs, of all programs; the newest first."""
        return SyncList(self._session.run(ListSyncs()))

    # Putting right ----------------------------------------------------------------------------

    def add_node(self, url: str, **fields: Any) -> CustomNode:
        """Add a node pack by its repository's URL; for a CURATOR or an ADMIN."""
        return self._session.run(RegisterNode(githubUrl=url, **fields))

    def add_model(
        self,
        url: str,
        *,
        type: ModelType | str,  # noqa: A002
        name: str | None = None,
        **fields: Any,
    ) -> Model:
        """Add a model by its file's URL; for a CURATOR or an ADMIN.

        Without ``filename`` the file is called as the URL says, or as its server says, which is
        asked for it; without ``name`` the model is called as its file.

        Raises:
            InvalidValue: neither says what the file is called.
            UsageError: there is no such type, or the catalogue has this file.
        """
        kind = one_of(ModelType, type, "type of models")
        return self._session.run(RegisterModel(downloadUrl=url, name=name, type=kind, **fields))

    def edit(self, item: M, **fields: Any) -> M:
        """Put fields right; no sync changes them again. For a CURATOR or an ADMIN."""
        made: Any
        if isinstance(item, Model):
            made = self._session.run(EditModel(modelId=item.id, fields=fields))
        else:
            made = self._session.run(EditNode(customNodeId=_node_id(item), fields=fields))
        return made  # type: ignore[no-any-return]

    def verify(self, item: M, verified: bool = True) -> M:
        """Say that you have looked at it; for a CURATOR or an ADMIN."""
        made: Any
        if isinstance(item, Model):
            made = self._session.run(VerifyModel(modelId=item.id, verified=verified))
        else:
            made = self._session.run(VerifyNode(customNodeId=_node_id(item), verified=verified))
        return made  # type: ignore[no-any-return]

    def deactivate(self, item: M, active: bool = False) -> M:
        """Take it out of searches and new deployments, or put it back."""
        made: Any
        if isinstance(item, Model):
            made = self._session.run(DeactivateModel(modelId=item.id, active=active))
        else:
            made = self._session.run(DeactivateNode(customNodeId=_node_id(item), active=active))
        return made  # type: ignore[no-any-return]

    @property
    def downloads(self) -> "MostDownloaded":
        """The models that machines have downloaded most often, as ``d.register`` counted them."""
        rows = self._session.run(ReadDownloads())
        return MostDownloaded(rows)

    def _heading(self) -> str:
        nodes, models = self.nodes(limit=1), self.models(limit=1)
        return (
            f'{nodes.total} node packs and {models.total} models: wb.catalogue.models("sdxl") '
            'finds some, wb.catalogue.sync("manager") brings more'
        )

    def _table(self) -> StaticTable:
        return StaticTable([], [])

    def _panel(self) -> Composite | None:
        return catalogue_panel(self)


def _node_id(item: Any) -> str:
    if not isinstance(item, CustomNode):
        raise NotFound("Give a node pack or a model that wb.catalogue found.")
    return item.id


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON has them: a source reads a date as text as well."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in options.items()
    }


def _only(found: list[M], name: str) -> M:
    if len(found) != 1:
        count = "nothing" if not found else f"{len(found)} things"
        raise NotFound(f"The catalogue has {count} called {name!r:.80}: give an id.")
    return found[0]
