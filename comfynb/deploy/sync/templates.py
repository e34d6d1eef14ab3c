"""ComfyUI's own workflow templates as a source: the models that they name, and node classes."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from comfynb.deploy.catalogue.classes import CORE, CORE_KEYS
from comfynb.deploy.catalogue.entries import (
    TEMPLATES,
    FileEntry,
    ModelEntry,
    NodeEntry,
    Outcome,
)
from comfynb.deploy.catalogue.folders import model_folder, type_of_folder
from comfynb.deploy.catalogue.models import model_key, write_models
from comfynb.deploy.catalogue.nodes import write_nodes
from comfynb.deploy.catalogue.text import line
from comfynb.deploy.catalogue.urls import model_url
from comfynb.deploy.sync import values as get
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.manager_models import source_of
from comfynb.deploy.sync.polite import Asker
from comfynb.errors import FetchError, UsageError
from comfynb.models import SyncType
from comfynb.models._checks import check_file_name
from comfynb.store import Transaction

__all__ = ["TemplateModels", "core_entry"]

PACKAGE = "comfyui_workflow_templates_json"

_BATCH = 500
_MOST_NAMED = 20


class TemplateModels(SyncSource):
    """The models of the workflows in the package ``comfyui-workflow-templates-json``.

    ``folder`` is another one with workflows in it; each JSON file there is looked at.
    """

    name = TEMPLATES
    type = SyncType.HUGGINGFACE_MODELS

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = str(folder) if folder is not None else None

    def settings(self) -> dict[str, Any]:
        """The folder, if it is not the package's."""
        return {"folder": self.folder}

    def _folder(self) -> Path:
        if self.folder is not None:
            return Path(self.folder)
        try:
            place = resources.files(PACKAGE)
        except ModuleNotFoundError as error:
            raise UsageError(
                "the templates are not installed: pip install 'comfynb[templates]'"
            ) from error
        return Path(str(place)) / "templates"

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Read all workflows, then write each model once, with the templates that name it.

        The package is ComfyUI's own: what its nodes say to be ComfyUI's becomes known as that.
        """
        del ask  # it lies on this machine
        models, done, total, digest = await asyncio.to_thread(_read, self._folder())
        again = cursor is not None and cursor.get("digest") != digest
        if cursor is None or again:
            cursor = {"digest": digest, "at": 0}
            core = await asyncio.to_thread(core_entry) if self.folder is None else None
            write = _core_writer(core) if core is not None else None
            yield Batch(cursor, write, done, total=total, again=again)
        for start in range(int(cursor["at"]), len(models), _BATCH):
            some = models[start : start + _BATCH]
            yield Batch({"digest": digest, "at": start + len(some)}, _writer(some))


def _core_writer(entry: NodeEntry) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        (made,) = write_nodes(tx, [entry], TEMPLATES, now)
        if made.kind == "same":
            return []
        reason = f"{len(entry.nodeClasses or ())} node classes of its own are in the templates"
        return [("node classes", Outcome("note", entry.label, made.into, reason))]

    return write


@cache
def core_entry() -> NodeEntry | None:
    """ComfyUI with the node classes that its templates say are its own; None without the package.

    They are about half of its classes. Blocks for some tenths of a second, once in a process.
    """
    try:
        folder = Path(str(resources.files(PACKAGE))) / "templates"
    except ModuleNotFoundError:
        return None
    found: set[str] = set()
    for file in sorted(folder.rglob("*.json")):
        try:
            data = json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            continue
        found |= _core_classes(data)
    return NodeEntry(
        "ComfyUI",
        url="https://github.com/comfyanonymous/ComfyUI",
        keys=CORE_KEYS,
        name="ComfyUI",
        installType=CORE,
        nodeClasses=sorted(found),
    )


def _core_classes(data: object) -> set[str]:
    """The classes of nodes, in subgraphs too, that say ``comfy-core`` of themselves."""
    if not isinstance(data, dict):
        return set()
    definitions = data.get("definitions")
    graphs = get.objects(definitions, "subgraphs") if isinstance(definitions, dict) else []
    names = {graph.get("id") for graph in graphs}
    found = set()
    for graph in (data, *graphs):
        for node in get.objects(graph, "nodes"):
            properties, kind = node.get("properties"), node.get("type")
            said = properties.get("cnr_id") if isinstance(properties, dict) else None
            if said == "comfy-core" and isinstance(kind, str) and kind not in names:
                found.add(kind)
    return found


def _writer(entries: Sequence[ModelEntry]) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        return [("models", outcome) for outcome in write_models(tx, entries, TEMPLATES, now)]

    return write


def _read(
    folder: Path,
) -> tuple[list[ModelEntry], list[tuple[str, Outcome]], int, str]:
    """Return the models, the entries that ended before, how many there are, and a digest."""
    if not folder.is_dir():
        raise FetchError(f"{folder} is no folder with workflows", url=str(folder))
    found: dict[tuple[str, ...], ModelEntry] = {}
    done: list[tuple[str, Outcome]] = []
    digest = hashlib.sha256()
    spellings: set[tuple[str, str]] = set()
    total = 0
    for file in sorted(folder.rglob("*.json")):
        body = file.read_bytes()
        digest.update(body)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            total += 1
            done.append(("files", Outcome("refused", file.name, reason="it is not JSON")))
            continue
        for item in _named(data):
            total += 1
            label = line(item.get("name"), 120) or f"{file.stem} #{total}"
            try:
                entry = _entry(label, item)
            except ValueError as error:
                reason = f"{error} (in {file.name})"
                done.append(("models", Outcome("refused", label, reason=reason)))
                continue
            key = model_key(entry.source.value, entry.sourceId, entry.downloadUrl, entry.filename)
            known = found.setdefault(key, entry)
            spelling = (str(item["url"]), str(item["name"]))
            if known is not entry:
                other = spelling not in spellings
                note = f"the same file as {known.label!r:.80}, spelt otherwise" if other else None
                done.append(("models", Outcome("merged", label, reason=note)))
                _fold(known, entry)
            spellings.add(spelling)
            used = known.metadata.setdefault("templates", [])
            if file.stem not in used and len(used) < _MOST_NAMED:
                used.append(file.stem)
    return list(found.values()), done, total, digest.hexdigest()


def _named(data: object) -> Iterator[dict[str, Any]]:
    """Give what nodes, in subgraphs too, and the workflow itself say about their models."""
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        yield from get.objects(data, "models")
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            properties = value.get("properties")
            if isinstance(properties, dict) and "type" in value:
                yield from get.objects(properties, "models")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _entry(label: str, item: dict[str, Any]) -> ModelEntry:
    name, url = item.get("name"), item.get("url")
    if not isinstance(name, str) or not isinstance(url, str):
        raise ValueError("it has no name or no URL")  # noqa: TRY004 - said of the data
    try:
        filename = check_file_name(name.strip())
    except ValueError as error:
        raise ValueError(f"its name {error}") from None
    try:
        place = model_url(url)
    except ValueError as error:
        raise ValueError(f"its URL {error}") from None
    folder = None
    if isinstance(item.get("directory"), str) and item["directory"].strip():
        try:
            folder = model_folder(item["directory"])
        except ValueError as error:
            raise ValueError(f"it {error}") from None
    source, source_id, files = source_of(place, None, filename)
    digest = get.sha256(item.get("hash"))
    if digest is not None and str(item.get("hash_type", "SHA256")).upper() == "SHA256":
        files = (FileEntry(filename=filename, url=place, sha256=digest),)
    page = "/".join(place.split("/")[:5]) if source_id and "huggingface.co/" in place else None
    return ModelEntry(
        label=label,
        source=source,
        name=filename,
        type=type_of_folder(folder or ""),
        downloadUrl=place,
        filename=filename,
        sourceId=source_id,
        sourceUrl=page,
        directory=folder,
        files=files,
    )


def _fold(into: ModelEntry, other: ModelEntry) -> None:
    into.files = into.files or other.files
    if other.directory and other.directory != into.directory:
        wanted = {*into.metadata.get("directories", ()), other.directory}
        into.metadata["directories"] = sorted(wanted)
