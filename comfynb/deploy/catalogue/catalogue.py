"""The catalogue of node packs and models: searched, looked up, filled, and put right by people."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.deploy.catalogue import classes as by_class
from comfynb.deploy.catalogue.classes import ClassIndex, NodeMatch
from comfynb.deploy.catalogue.entries import OWN, PEOPLE, ModelEntry, NodeEntry, Outcome, Tally
from comfynb.deploy.catalogue.models import write_models
from comfynb.deploy.catalogue.nodes import IDENTITY, write_nodes
from comfynb.deploy.catalogue.search import Page, model_query, node_query, search
from comfynb.deploy.catalogue.urls import model_url, repository
from comfynb.errors import NotFound, UsageError
from comfynb.models import (
    CustomNode,
    Model,
    ModelType,
    ModelVersion,
    NodeFacts,
    NodeVersion,
    Source,
    utcnow,
)
from comfynb.store import Store, Transaction, View

__all__ = ["Catalogue", "KnownModel", "KnownNode"]

_OF_THE_ROW = frozenset({"id", "createdAt", "updatedAt"})


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with all versions of it that are known, the newest first."""

    model: Model
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A pack with what else is known of it, and its releases, the newest first."""

    node: CustomNode
    facts: NodeFacts | None
    versions: tuple[NodeVersion, ...]


class Catalogue:
    """What can be installed; every method may be awaited on any loop, and none blocks it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index: tuple[tuple[object, ...], ClassIndex] | None = None

    # Searching --------------------------------------------------------------------------------

    async def search_models(
        self,
        query: str = "",
        *,
        type: ModelType | str | None = None,  # noqa: A002 - the field's name
        source: Source | str | None = None,
        base_model: str | Iterable[str] | None = None,
        tags: Iterable[str] = (),
        verified: bool | None = None,
        active: bool | None = True,
        name: str | None = None,
        description: str | None = None,
        page: int = 1,
        limit: int = 20,
    ) -> Page[Model]:
        """Find models: all words of ``query`` somewhere in name, file, tags, type or description.

        ``"two words"`` in double quotes are looked for as they are. ``tags`` must all be there;
        ``base_model`` may be several, of which one must be; ``name`` and ``description`` are parts
        of theirs. None is "whichever". Verified ones come first, then those that fit best, then
        the newest. Pages count from 1; raises UsageError for what is no page or limit (to 500).
        """
        wanted = model_query(
            self._dialect,
            query,
            type=type,
            source=source,
            base_model=base_model,
            tags=tags,
            verified=verified,
            active=active,
            name=name,
            description=description,
        )
        return await self._store.read(lambda view: search(view, wanted, page, limit), "search")

    async def search_nodes(
        self,
        query: str = "",
        *,
        author: str | Iterable[str] | None = None,
        install_type: str | Iterable[str] | None = None,
        tags: Iterable[str] = (),
        verified: bool | None = None,
        active: bool | None = True,
        name: str | None = None,
        description: str | None = None,
        page: int = 1,
        limit: int = 20,
    ) -> Page[CustomNode]:
        """Find node packs, as :meth:`search_models` finds models; node classes are looked at too.

        Among packs that fit equally well, those with more stars come first.
        """
        wanted = node_query(
            self._dialect,
            query,
            author=author,
            install_type=install_type,
            tags=tags,
            verified=verified,
            active=active,
            name=name,
            description=description,
        )
        return await self._store.read(lambda view: search(view, wanted, page, limit), "search")

    @property
    def _dialect(self) -> str:
        return "postgres" if self._store.path.startswith("postgresql://") else "duckdb"

    # Looking up -------------------------------------------------------------------------------

    async def models_by_filename(self, *names: str) -> dict[str, list[KnownModel]]:
        """Return the models of which a file has one of these names, by name; no folder in it."""

        def look(view: View) -> dict[str, list[KnownModel]]:
            known = _known_models(
                view,
                "filename = any($1::text[]) or id in "
                "(select model_id from model_versions where filename = any($1::text[]))",
                [list(names)],
            )
            return {
                name: [
                    one
                    for one in known
                    if one.model.filename == name or any(v.filename == name for v in one.versions)
                ]
                for name in names
            }

        return await self._store.read(look, "models by file name")

    async def models_by_sha256(self, *hashes: str) -> dict[str, list[KnownModel]]:
        """Return the models of which a file has one of these hashes (hexadecimal), by hash."""
        wanted = [text.lower() for text in hashes]

        def look(view: View) -> dict[str, list[KnownModel]]:
            known = _known_models(
                view,
                "id in (select model_id from model_versions where sha256 = any($1::text[]))",
                [wanted],
            )
            return {
                text: [one for one in known if any(v.sha256 == text.lower() for v in one.versions)]
                for text in hashes
            }

        return await self._store.read(look, "models by hash")

    async def models_by_url(self, *urls: str) -> dict[str, list[KnownModel]]:
        """Return the models that can be had at these URLs, however those are spelt, by URL."""
        normal = {}
        for url in urls:
            try:
                normal[url] = model_url(url)
            except ValueError:
                continue  # what is no URL is nobody's

        def look(view: View) -> dict[str, list[KnownModel]]:
            known = _known_models(
                view,
                "download_url = any($1::text[]) or id in "
                "(select model_id from model_versions where download_url = any($1::text[]))",
                [sorted(set(normal.values()))],
            )
            return {
                url: [
                    one
                    for one in known
                    if url in normal
                    and normal[url]
                    in {one.model.downloadUrl, *(v.downloadUrl for v in one.versions)}
                ]
                for url in urls
            }

        return await self._store.read(look, "models by URL")

    async def nodes_by_class(self, *class_types: str) -> dict[str, list[NodeMatch]]:
        """Return the packs that may bring each node class; an empty list for a class of nobody's.

        ComfyUI's own classes have it alone (``how="core"``). A pack that claims a class over
        others comes first; packs' patterns count only for classes that nobody lists. Packs that
        are not active are among them: whoever asks says why they cannot be used.
        """
        asked = list(dict.fromkeys(class_types))

        def look(view: View) -> dict[str, list[NodeMatch]]:
            index = self._class_index(view)
            found = {name: index.find(name) for name in asked}
            if unknown := [name for name, some in found.items() if not some]:
                for name, packs in index.by_pattern(unknown).items():
                    found[name] = [(pack, "pattern") for pack in packs]
            return by_class.matches(view, found)

        return await self._store.read(look, "nodes by class")

    def _class_index(self, view: View) -> ClassIndex:
        # Reads happen in one thread, one after another.
        mark = by_class.fingerprint(view)
        if self._index is None or self._index[0] != mark:
            self._index = (mark, ClassIndex.read(view))
        return self._index[1]

    async def nodes_by_url(self, *urls: str) -> dict[str, KnownNode | None]:
        """Return the pack of each repository, however its URL is spelt (owner/name is GitHub's)."""
        keys = {}
        for url in urls:
            bare = url.count("/") == 1 and "." not in url.partition("/")[0]
            try:
                keys[url] = repository(f"https://github.com/{url}" if bare else url).key
            except ValueError:
                continue

        def look(view: View) -> dict[str, KnownNode | None]:
            rows = view.execute(
                f"select {IDENTITY}, id from custom_nodes "  # noqa: S608
                f"where {IDENTITY} = any($1::text[])",
                [sorted(set(keys.values()))],
            )
            known = _known_nodes(view, [row[1] for row in rows])
            by_key = {row[0]: known[row[1]] for row in rows}
            return {url: by_key.get(keys.get(url, "")) for url in urls}

        return await self._store.read(look, "nodes by URL")

    async def nodes_by_registry_id(self, *ids: str) -> dict[str, KnownNode | None]:
        """Return the pack of each id in the Comfy Registry (a workflow's ``cnr_id``)."""

        def look(view: View) -> dict[str, KnownNode | None]:
            rows = view.execute(
                "select lower(registry_id), custom_node_id from node_facts "
                "where lower(registry_id) = any($1::text[])",
                [[one.lower() for one in ids]],
            )
            known = _known_nodes(view, [row[1] for row in rows])
            by_id = {row[0]: known.get(row[1]) for row in rows}
            return {one: by_id.get(one.lower()) for one in ids}

        return await self._store.read(look, "nodes by registry id")

    async def node(self, node_id: str) -> KnownNode:
        """Return one pack by its row's id; raises NotFound."""
        known = await self._store.read(lambda view: _known_nodes(view, [node_id]), "node")
        if node_id not in known:
            raise NotFound(f"the catalogue has no node pack with the id {node_id!r:.80}")
        return known[node_id]

    async def model(self, model_id: str) -> KnownModel:
        """Return one model by its row's id; raises NotFound."""
        found = await self._store.read(
            lambda view: _known_models(view, "id = $1", [model_id]), "model"
        )
        if not found:
            raise NotFound(f"the catalogue has no model with the id {model_id!r:.80}")
        return found[0]

    # Filling ----------------------------------------------------------------------------------

    async def upsert_nodes(
        self, entries: Sequence[NodeEntry], *, source: str = OWN
    ) -> tuple[Tally, list[Outcome]]:
        """Merge what a source says about packs; twice changes nothing, and people's word stays."""
        taken = list(entries)
        now = utcnow()
        outcomes = await self._store.transact(lambda tx: write_nodes(tx, taken, source, now))
        return Tally.of(outcomes), outcomes

    async def upsert_models(
        self, entries: Sequence[ModelEntry], *, source: str = OWN
    ) -> tuple[Tally, list[Outcome]]:
        """Merge what a source says about models; twice changes nothing, and people's word stays."""
        taken = list(entries)
        now = utcnow()
        outcomes = await self._store.transact(lambda tx: write_models(tx, taken, source, now))
        return Tally.of(outcomes), outcomes

    async def seed(self) -> Tally:
        """Bring in the catalogue that ships with comfynb; a second time changes nothing."""
        from comfynb.deploy.catalogue.seed import own_entries

        nodes, models = await asyncio.to_thread(own_entries)
        now = utcnow()

        def write(tx: Transaction) -> list[Outcome]:
            return write_nodes(tx, nodes, OWN, now) + write_models(tx, models, OWN, now)

        return Tally.of(await self._store.transact(write))

    async def curate_node(self, node_id: str, **fields: Any) -> CustomNode:
        """Set fields of a pack by hand; no sync changes them again. Raises NotFound, UsageError.

        A field that is given as ``...`` goes back to what the sources say at their next sync.
        """
        _check_fields(CustomNode, fields)

        def write(tx: Transaction) -> CustomNode:
            node = tx.get(CustomNode, node_id)
            if node is None:
                raise NotFound(f"the catalogue has no node pack with the id {node_id!r:.80}")
            facts = tx.get(NodeFacts, node_id) or NodeFacts(customNodeId=node_id)
            now = utcnow()
            people = dict(facts.sources.get(PEOPLE) or {"since": now.isoformat()})
            people["fields"] = _curated(people.get("fields"), fields)
            sources = {**facts.sources, PEOPLE: people}
            if not people["fields"]:
                del sources[PEOPLE]
            node = node.model_copy(update={**_set(fields), "updatedAt": now})
            node = CustomNode.model_validate(node.model_dump())
            facts = facts.model_copy(update={"sources": sources, "updatedAt": now})
            tx.put(node, facts)
            return node

        return await self._store.transact(write)

    async def curate_model(self, model_id: str, **fields: Any) -> Model:
        """Set fields of a model by hand, as :meth:`curate_node`; ``metadata`` keys one by one.

        ``curate_model(id, type="LORA", metadata={"directory": "loras/own"})``.
        """
        _check_fields(Model, fields)
        details: dict[str, Any] = fields.pop("metadata", {})

        def write(tx: Transaction) -> Model:
            model = tx.get(Model, model_id)
            if model is None:
                raise NotFound(f"the catalogue has no model with the id {model_id!r:.80}")
            metadata = {**model.metadata, **_set(details)}
            metadata["curated"] = _curated(metadata.get("curated"), {**fields, **details})
            if not metadata["curated"]:
                del metadata["curated"]
            changes = {**_set(fields), "metadata": metadata, "updatedAt": utcnow()}
            model = Model.model_validate({**model.model_dump(), **changes})
            tx.put(model)
            return model

        return await self._store.transact(write)


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def _curated(before: object, fields: dict[str, Any]) -> list[str]:
    known = set(before) if isinstance(before, list) else set()
    for name, value in fields.items():
        if value is ...:
            known.discard(name)
        else:
            known.add(name)
    return sorted(known)


def _check_fields(model: type[CustomNode | Model], fields: dict[str, Any]) -> None:
    unknown = sorted(set(fields) - (set(model.model_fields) - _OF_THE_ROW))
    if unknown or not fields:
        known = ", ".join(name for name in model.model_fields if name not in _OF_THE_ROW)
        what = f"{unknown[0]!r:.40} cannot be set" if unknown else "nothing is set"
        raise UsageError(f"{what}: give one of {known}")


def _known_models(view: View, where: str, params: Sequence[Any]) -> list[KnownModel]:
    from comfynb.store.schema import table_of

    table = table_of(Model)
    rows = view.execute(
        f"select {table.select_list} from models where {where} "  # noqa: S608
        "order by is_verified desc, created_at, id",
        params,
    )
    models = view.models(Model, rows)
    ids = [model.id for model in models]
    versions: dict[str, list[ModelVersion]] = {one: [] for one in ids}
    if ids:
        for version in view.find(ModelVersion, where={"modelId": ids}):
            versions[version.modelId].append(version)
    for some in versions.values():
        some.sort(key=lambda v: (v.publishedAt or v.createdAt, v.createdAt, v.id), reverse=True)
    return [KnownModel(model, tuple(versions[model.id])) for model in models]


def _known_nodes(view: View, ids: Sequence[str]) -> dict[str, KnownNode]:
    if not ids:
        return {}
    wanted = sorted(set(ids))
    facts = {one.customNodeId: one for one in view.find(NodeFacts, where={"customNodeId": wanted})}
    versions: dict[str, list[NodeVersion]] = {}
    for version in view.find(NodeVersion, where={"customNodeId": wanted}, order_by="-createdAt"):
        versions.setdefault(version.customNodeId, []).append(version)
    return {
        node.id: KnownNode(node, facts.get(node.id), tuple(versions.get(node.id, ())))
        for node in view.find(CustomNode, where={"id": wanted})
    }
