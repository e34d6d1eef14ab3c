"""What one ComfyUI server has installed as a source: the packs of its classes, its model files."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, Self

from comfynb.deploy.catalogue.classes import CORE, CORE_KEYS
from comfynb.deploy.catalogue.entries import BACKEND, NodeEntry, Outcome
from comfynb.deploy.catalogue.nodes import IDENTITY, retire_nodes, write_nodes
from comfynb.deploy.catalogue.rows import Rows
from comfynb.deploy.catalogue.text import line
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource
from comfynb.deploy.sync.polite import Asker
from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model, SyncType
from comfynb.store import Transaction

__all__ = ["BackendContents"]

PACKS = "packs"
FILES = "model files"

_CORE_MODULES = frozenset({"nodes", "comfy_extras", "comfy_api_nodes", "comfy_api"})
# How ComfyUI-Manager once named the folder of a release: pack@1_2_3.
_RELEASE = re.compile(r"@[0-9A-Za-z_.-]+$")


class Client(Protocol):
    """What is asked of a server; :class:`comfynb.comfy.ComfyClient` is one."""

    async def object_info(self) -> Mapping[str, Any]:
        """Return ``GET /object_info``."""

    async def models(self, folder: str | None = None) -> Sequence[str]:
        """Return ``GET /models`` or ``GET /models/FOLDER``."""


class BackendContents(SyncSource):
    """The answers of one server: ``object_info`` whole, and file names by folder below models/.

    A folder in custom_nodes has no URL: it is found by its name among the packs that the catalogue
    knows, and where several have that name, by the classes that they bring.
    """

    name = BACKEND
    type = SyncType.COMFYUI_NODES

    def __init__(
        self,
        backend: str,
        object_info: Mapping[str, Any],
        files: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if not backend.strip() or not backend.isprintable():
            raise UsageError("a backend has a name")
        self.backend = backend
        self.object_info = object_info
        self.files = files or {}

    @classmethod
    async def of(cls, backend: str, client: Client) -> Self:
        """Ask a server."""
        folders = await client.models()
        return cls(
            backend,
            await client.object_info(),
            {folder: await client.models(folder) for folder in folders},
        )

    def settings(self) -> dict[str, Any]:
        """Its name; what it has installed is asked for anew."""
        return {"backend": self.backend}

    @property
    def _listed_as(self) -> str:
        return f"{BACKEND}/{self.backend}"

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Everything in two transactions: it is small, and comes from one moment."""
        del ask
        modules, ended = _modules(self.object_info)
        names = sorted(
            {
                (folder, name)
                for folder, some in self.files.items()
                for name in some
                if isinstance(name, str)
            }
        )
        source = self._listed_as

        def packs(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
            return [(PACKS, one) for one in _write_packs(tx, modules, source, now)]

        def files(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
            return [(FILES, one) for one in _write_files(tx, names, source, now)]

        total = len(modules) + len(ended) + len(names)
        if cursor is None:
            done = [(PACKS, one) for one in ended]
            yield Batch({"packs": True}, packs, done, total=total)
        yield Batch({"packs": True, "files": True}, files)


def _modules(object_info: Mapping[str, Any]) -> tuple[dict[str, list[str]], list[Outcome]]:
    """Return classes by folder in custom_nodes ('' is ComfyUI itself), and what says nothing."""
    found: dict[str, list[str]] = {}
    ended = []
    for name, item in object_info.items():
        module = item.get("python_module") if isinstance(item, dict) else None
        if not isinstance(module, str) or not module:
            label = line(name, 120) or "?"
            ended.append(Outcome("refused", label, reason="the server names no module of it"))
            continue
        first, _, rest = module.partition(".")
        if first == "custom_nodes" and rest:
            found.setdefault(rest, []).append(name)
        elif first in _CORE_MODULES:
            found.setdefault("", []).append(name)
        else:
            found.setdefault(module, []).append(name)
    return found, ended


def _write_packs(
    tx: Transaction, modules: Mapping[str, list[str]], source: str, now: datetime
) -> list[Outcome]:
    names = sorted({_folder(module) for module in modules if module})
    rows = tx.execute(
        f"select custom_nodes.id, {IDENTITY}, lower(name), lower(registry_id), "  # noqa: S608
        f"node_classes::text from custom_nodes "
        "left join node_facts on node_facts.custom_node_id = custom_nodes.id "
        f"where regexp_replace({IDENTITY}, '^.*/', '') = any($1::text[]) "
        "or lower(name) = any($1::text[]) or lower(registry_id) = any($1::text[])",
        [names],
    )
    nodes: Rows[CustomNode] = Rows(CustomNode)
    nodes.load(tx, "id = any($1::text[])", [[row[0] for row in rows]])
    by_name: dict[str, dict[str, str]] = {}
    for pack, identity, title, registry_id, _ in rows:
        for name in {identity.rpartition("/")[2], title, registry_id} - {None}:
            by_name.setdefault(name, {})[pack] = identity
    outcomes: list[Outcome] = []
    entries = []
    for module, classes in sorted(modules.items()):
        if not module:
            entries.append(
                NodeEntry(
                    "ComfyUI",
                    url="https://github.com/comfyanonymous/ComfyUI",
                    keys=CORE_KEYS,
                    name="ComfyUI",
                    installType=CORE,
                    nodeClasses=sorted(classes),
                )
            )
            continue
        label = line(module, 120) or "?"
        candidates = by_name.get(_folder(module), {})
        chosen = _choose(candidates, nodes, classes)
        if chosen is None:
            if not candidates:
                reason = "the catalogue has no pack whose folder has that name"
            else:
                some = ", ".join(sorted(candidates.values())[:5])
                reason = f"{len(candidates)} packs have that name: {some}"
            outcomes.append(Outcome("refused", label, reason=reason))
            continue
        key = candidates[chosen]
        entries.append(
            NodeEntry(
                label,
                url=nodes.by_key[chosen]["githubUrl"],
                keys=(key,),
                name=nodes.by_key[chosen]["name"],
                nodeClasses=sorted(classes),
            )
        )
    outcomes += write_nodes(tx, entries, source, now)
    listed = {key for entry in entries for key in entry.keys}
    gone, _ = retire_nodes(tx, listed, source, now, whole=True)
    outcomes += [Outcome("note", name, reason="it is not installed any more") for name in gone]
    return outcomes


def _folder(module: str) -> str:
    return _RELEASE.sub("", module).removesuffix(".py").removesuffix(".disabled").lower()


def _choose(
    candidates: Mapping[str, str], nodes: Rows[CustomNode], classes: Sequence[str]
) -> str | None:
    """Return the pack that a folder is, if there is no doubt about it."""
    if len(candidates) == 1:
        return next(iter(candidates))
    wanted = set(classes)
    fits = {pack: len(wanted & set(nodes.by_key[pack]["nodeClasses"])) for pack in candidates}
    best = max(fits.values(), default=0)
    leading = [pack for pack, number in fits.items() if number == best]
    return leading[0] if best and len(leading) == 1 else None


def _write_files(
    tx: Transaction, names: Sequence[tuple[str, str]], source: str, now: datetime
) -> list[Outcome]:
    """Note which models the server has; a file that has gone is noted too."""
    files = sorted({name.replace("\\", "/").rpartition("/")[2] for _, name in names})
    models: Rows[Model] = Rows(Model)
    found = models.load(
        tx,
        "filename = any($1::text[]) or id in "
        "(select model_id from model_versions where filename = any($1::text[]))",
        [files],
    )
    versions: dict[str, list[str]] = {}
    for model_id, filename in tx.execute(
        "select model_id, filename from model_versions where filename = any($1::text[])", [files]
    ):
        versions.setdefault(filename, []).append(model_id)
    for row in found:
        if row["filename"]:
            versions.setdefault(row["filename"], []).append(row["id"])
    here: set[str] = set()
    outcomes = []
    for folder, name in names:
        label = f"{folder}/{name}"[:200]
        ids = versions.get(name.replace("\\", "/").rpartition("/")[2], [])
        if not ids:
            reason = "the catalogue has no model with a file of that name"
            outcomes.append(Outcome("refused", label, reason=reason))
            continue
        here.update(ids)
        outcomes.append(Outcome("same", label, ids[0]))
    mark = f'%"{source}"%'
    models.load(tx, "metadata::text like $1", [mark])
    for key, row in list(models.by_key.items()):
        metadata = row["metadata"]
        sources = metadata.get("sources")
        sources = dict(sources) if isinstance(sources, dict) else {}
        if key in here:
            sources.setdefault(source, {"since": now.isoformat()})
        elif source in sources:
            del sources[source]
            reason = "it is not installed any more"
            outcomes.append(Outcome("note", row["name"], reason=reason))
        plain = models.prepare(key, {**row, "metadata": {**metadata, "sources": sources}}, now)
        if plain is not None:
            models.take(key, plain)
    models.write(tx)
    return outcomes
