"""The catalogue of node packs and models: searched, looked up, filled, and put right by people."""

import asyncio
from collections.abc import Sequence
from typing import Any, Unpack

from comfynb.deploy.catalogue import classes as by_class
from comfynb.deploy.catalogue.classes import ClassIndex, NodeMatch
from comfynb.deploy.catalogue.curation import check_fields, curate_model, curate_node
from comfynb.deploy.catalogue.entries import OWN, ModelEntry, NodeEntry, Outcome, Tally
from comfynb.deploy.catalogue.known import KnownModel, KnownNode, known_models, known_nodes
from comfynb.deploy.catalogue.models import write_models
from comfynb.deploy.catalogue.nodes import IDENTITY, write_nodes
from comfynb.deploy.catalogue.search import (
    ModelFilters,
    NodeFilters,
    Page,
    model_query,
    node_query,
    search,
)
from comfynb.deploy.catalogue.urls import model_url, repository
from comfynb.errors import NotFound
from comfynb.models import CustomNode, Model, utcnow
from comfynb.store import Store, Transaction, View

__all__ = ["Catalogue"]


class Catalogue:
    """What can be installed; every method may be awaited on any loop, and none blocks it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index: tuple[tuple[object, ...], ClassIndex] | None = None

    # Searching --------------------------------------------------------------------------------

    async def search_models(
        self, query: str = "", *, page: int = 1, limit: int = 20, **filters: Unpack[ModelFilters]
    ) -> Page[Model]:
        """Find models: all words of ``query`` somewhere in name, file, tags, type or description.

        ``"two words"`` in double quotes are looked for as they are. Filters are ``type``,
        ``source``, ``base_model`` (one or several, of which one must be), ``tags`` (all of them),
        ``verified``, ``active`` (True, if it is not given), and ``name`` and ``description``, parts
        of theirs. Verified ones come first, then those that fit best, then the newest. Pages count
        from 1; raises UsageError for what is no page, limit (to 500) or filter.
        """
        wanted = model_query(self._dialect, query, filters)
        return await self._store.read(lambda view: search(view, wanted, page, limit), "search")

    async def search_nodes(
        self, query: str = "", *, page: int = 1, limit: int = 20, **filters: Unpack[NodeFilters]
    ) -> Page[CustomNode]:
        """Find node packs, as :meth:`search_models` finds models; node classes are looked at too.

        Filters are ``author`` and ``install_type`` (one or several), ``tags``, ``verified``,
        ``active``, ``name`` and ``description``. Among packs that fit equally well, those with more
        stars come first.
        """
        wanted = node_query(query, filters)
        return await self._store.read(lambda view: search(view, wanted, page, limit), "search")

    @property
    def _dialect(self) -> str:
        return "postgres" if self._store.path.startswith("postgresql://") else "duckdb"

    # Looking up -------------------------------------------------------------------------------

    async def models_by_filename(self, *names: str) -> dict[str, list[KnownModel]]:
        """Return the models of which a file has one of these names, by name; no folder in it."""

        def look(view: View) -> dict[str, list[KnownModel]]:
            known = known_models(
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
            known = known_models(
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
            known = known_models(
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
            known = known_nodes(view, [row[1] for row in rows])
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
            known = known_nodes(view, [row[1] for row in rows])
            by_id = {row[0]: known.get(row[1]) for row in rows}
            return {one: by_id.get(one.lower()) for one in ids}

        return await self._store.read(look, "nodes by registry id")

    async def node(self, node_id: str) -> KnownNode:
        """Return one pack by its row's id; raises NotFound."""
        known = await self._store.read(lambda view: known_nodes(view, [node_id]), "node")
        if node_id not in known:
            raise NotFound(f"the catalogue has no node pack with the id {node_id!r:.80}")
        return known[node_id]

    async def model(self, model_id: str) -> KnownModel:
        """Return one model by its row's id; raises NotFound."""
        found = await self._store.read(
            lambda view: known_models(view, "id = $1", [model_id]), "model"
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
        check_fields(CustomNode, fields)
        return await self._store.transact(lambda tx: curate_node(tx, node_id, fields))

    async def curate_model(self, model_id: str, **fields: Any) -> Model:
        """Set fields of a model by hand, as :meth:`curate_node`; ``metadata`` keys one by one.

        ``curate_model(id, type="LORA", metadata={"directory": "loras/own"})``.
        """
        check_fields(Model, fields)
        return await self._store.transact(lambda tx: curate_model(tx, model_id, fields))
