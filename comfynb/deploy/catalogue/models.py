"""Writing models and their versions: one model for each file, or for each page of CivitAI."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from comfynb.deploy.catalogue.entries import CIVITAI, FileEntry, ModelEntry, Outcome, rank
from comfynb.deploy.catalogue.merging import Merger
from comfynb.deploy.catalogue.rows import Rows, Values, blank
from comfynb.errors import InvalidValue
from comfynb.models import Model, ModelVersion, Source, new_id
from comfynb.store import Transaction

__all__ = ["model_key", "write_models"]

_FIELDS = ("name", "filename", "type", "sourceId", "sourceUrl", "category", "baseModel", "fileSize")
_ABSENT: tuple[Any, ...] = (None, "", [], {})


def model_key(
    source: str, source_id: str | None, url: str, filename: str | None
) -> tuple[str, ...]:
    """Return what two rows have in common if they are the same model."""
    if source == Source.CIVITAI.value and source_id:
        return ("civitai", source_id)
    return ("url", url, filename or "")


def _key_of(row: Values) -> tuple[str, ...]:
    source = row["source"]
    text = source.value if isinstance(source, Source) else str(source)
    return model_key(text, row["sourceId"], row["downloadUrl"], row["filename"])


def _sources(metadata: Mapping[str, Any]) -> dict[str, Any]:
    sources = metadata.get("sources")
    return dict(sources) if isinstance(sources, dict) else {}


def _curated(metadata: Mapping[str, Any]) -> Collection[str]:
    fields = metadata.get("curated")
    return fields if isinstance(fields, list) else []


def _finite(value: Any) -> Any:
    """A number that is none differs from itself, so it would seem new each time."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


class _Merger(Merger[ModelEntry]):
    """The models that a batch of entries touches."""

    def __init__(self, tx: Transaction, source: str, now: datetime) -> None:
        super().__init__(tx, source, now)
        self.models: Rows[Model] = Rows(Model)
        self.versions: Rows[ModelVersion] = Rows(ModelVersion)
        self.by_key: dict[tuple[str, ...], str] = {}
        self.of_model: dict[str, list[str]] = {}

    def load(self, entries: Sequence[ModelEntry]) -> None:
        ids = sorted({e.sourceId for e in entries if e.source is Source.CIVITAI and e.sourceId})
        urls = sorted({entry.downloadUrl for entry in entries})
        found = self.models.load(self.tx, "download_url = any($1::text[])", [urls])
        if ids:
            found += self.models.load(
                self.tx, "source = 'CIVITAI' and source_id = any($1::text[])", [ids]
            )
        for row in found:
            self.by_key.setdefault(_key_of(row), row["id"])
        if any(entry.files or entry.whole for entry in entries):
            known = sorted({row["id"] for row in found})
            for row in self.versions.load(self.tx, "model_id = any($1::text[])", [known]):
                self.of_model.setdefault(row["modelId"], []).append(row["id"])

    def merge(self, entry: ModelEntry) -> Outcome:
        key = model_key(entry.source.value, entry.sourceId, entry.downloadUrl, entry.filename)
        model_id = self.by_key.get(key)
        old = self.models.by_key.get(model_id) if model_id else None
        row = dict(old) if old else _blank(entry, self.now)
        row["metadata"] = dict(row["metadata"])
        model_id = row["id"]
        self._fill(entry, row, new=old is None)
        try:
            plain = self.models.prepare(model_id, row, self.now)
            versions = self._versions(entry, model_id)
        except InvalidValue as error:
            return Outcome("refused", entry.label, reason=str(error))
        if plain is not None:
            self.models.take(model_id, plain)
        for version_id, values in versions:
            if version_id not in self.versions.by_key:
                self.of_model.setdefault(model_id, []).append(version_id)
            self.versions.take(version_id, values)
        self.by_key.setdefault(key, model_id)
        if old is None:
            return Outcome("new", entry.label, model_id, entry.note)
        changed = bool(versions) or plain is not None
        return Outcome("changed" if changed else "same", entry.label, model_id, entry.note)

    def _fill(self, entry: ModelEntry, row: Values, *, new: bool) -> None:
        source = self.source
        metadata = row["metadata"]
        sources, curated = _sources(metadata), _curated(metadata)
        others = set(sources) - {source}
        if source not in sources:
            sources[source] = {"since": self.now.isoformat()}
        metadata["sources"] = sources
        believed = rank(source) >= max((rank(other) for other in others), default=0)

        def better(value: Any, old: Any) -> Any:
            if value in _ABSENT or value == old:
                return old
            return value if old in _ABSENT or believed else old

        if not new:
            said = {name: getattr(entry, name) for name in _FIELDS}
            # A file's own service knows its place; others only have copies of the URL.
            said["downloadUrl"] = entry.downloadUrl
            said["authRequired"] = entry.authRequired
            for name, value in said.items():
                if name not in curated:
                    row[name] = better(value, row[name])
            if "isActive" not in curated and believed:
                row["isActive"] = entry.isActive
        given = {**entry.metadata, "directory": entry.directory}
        elsewhere = set(given.pop("directories", ()))
        for name, value in _finite(given).items():
            if name not in curated and value not in _ABSENT:
                metadata[name] = better(value, metadata.get(name))
        # Two sources, or two entries of one, may want one file in two folders.
        more = metadata.get("directories")
        elsewhere |= {*(more if isinstance(more, list) else ()), entry.directory}
        elsewhere -= {None, metadata.get("directory")}
        if elsewhere:
            metadata["directories"] = sorted(elsewhere)
        else:
            metadata.pop("directories", None)

    def _versions(self, entry: ModelEntry, model_id: str) -> list[tuple[str, Values]]:
        changed: dict[str, Values] = {}
        mine = self.of_model.get(model_id, [])
        rows = {key: self.versions.by_key[key] for key in mine}
        seen = set()
        for file in entry.files:
            key = _same_version(rows, file)
            seen.add(key)
            plain = self.versions.prepare(
                key, self._version(rows.get(key), key, model_id, file), self.now
            )
            if plain is not None:
                changed[key] = rows[key] = plain
        if entry.whole and self.source == CIVITAI:
            for key in set(rows) - seen:
                plain = self.versions.prepare(key, {**rows[key], "isActive": False}, self.now)
                if plain is not None:
                    changed[key] = plain
        return list(changed.items())

    def _version(self, old: Values | None, key: str, model_id: str, file: FileEntry) -> Values:
        values: Values = {
            **(old or {"id": key, "modelId": model_id, "createdAt": self.now, "isActive": True}),
            "filename": file.filename,
        }
        # Others than the service that has the file know no more than a link to it.
        fills_only = old is not None and rank(self.source) < rank(CIVITAI)
        moved = old is not None and old["revision"] is not None and old["revision"] != file.revision
        for name, new in (
            ("name", None if old and file.name == "main" else file.name),
            # What is known under one commit keeps it: that one can still be had.
            ("revision", None if moved else file.revision),
            ("downloadUrl", None if moved else file.url),
            ("fileSize", file.size),
            ("sha256", file.sha256),
            ("format", file.format),
            ("baseModel", file.base_model),
            ("scan", file.scan),
            ("publishedAt", file.published_at),
            ("isActive", file.active),
        ):
            if new is not None and not (fills_only and values.get(name) is not None):
                values[name] = new
        return values

    def write(self) -> None:
        self.models.write(self.tx)
        self.versions.write(self.tx)


def _blank(entry: ModelEntry, now: datetime) -> Values:
    return blank(
        Model,
        source=entry.source,
        sourceId=entry.sourceId,
        sourceUrl=entry.sourceUrl,
        name=entry.name,
        filename=entry.filename,
        type=entry.type,
        category=entry.category,
        baseModel=entry.baseModel,
        downloadUrl=entry.downloadUrl,
        fileSize=entry.fileSize,
        authRequired=bool(entry.authRequired),
        isActive=entry.isActive,
        isVerified=entry.isVerified,
        createdAt=now,
    )


def _same_version(rows: Mapping[str, Values], file: FileEntry) -> str:
    """Return the id of the version that a file is, or a new one.

    A file with the same hash is the same version, though its repository has got a new commit; and
    one release may have two files of one name, which CivitAI tells apart by ``fileId``.
    """
    same_content = same_file = None
    for key, row in rows.items():
        if row["filename"] != file.filename:
            continue
        if row["revision"] == file.revision:
            if row["downloadUrl"] == file.url:
                return key
            if not ("fileId=" in row["downloadUrl"] and "fileId=" in file.url):
                same_file = same_file or key
        if file.sha256 is not None and row["sha256"] == file.sha256:
            same_content = same_content or key
    return same_file or same_content or new_id()


def write_models(
    tx: Transaction, entries: Sequence[ModelEntry], source: str, now: datetime
) -> list[Outcome]:
    """Merge what a source says into the catalogue; one outcome for each entry, in order.

    What people have set stays as it is. Nothing is written where nothing is new.
    """
    return _Merger(tx, source, now).run(entries)
