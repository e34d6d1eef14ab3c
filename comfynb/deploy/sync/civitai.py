"""CivitAI as a source: models with their versions and files, hashes and scans."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from comfynb.deploy.catalogue.entries import CIVITAI, FileEntry, ModelEntry, Outcome
from comfynb.deploy.catalogue.folders import civitai_type
from comfynb.deploy.catalogue.models import write_models
from comfynb.deploy.catalogue.text import from_html, line, lines, words
from comfynb.deploy.sync import values as get
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.polite import Asker
from comfynb.errors import UsageError
from comfynb.models import Source, SyncType
from comfynb.models._checks import check_file_name
from comfynb.store import Transaction

__all__ = ["CivitaiModels"]

BASE = "https://civitai.com"
MODELS = "models"

_BAD = re.compile(r"[/\\:\x00-\x1f\x7f]+")
# Files of a version that are no models: they are not what a workflow loads.
_BESIDE = frozenset({"training data", "archive", "workflow", "config"})
_FEWEST = 1
_PICTURES = 3


class CivitaiModels(SyncSource):
    """Models of CivitAI: all that fit, up to ``most``, in the service's own order.

    ``query``, ``tag``, ``username``, ``types`` (CivitAI's words), ``base_models``, ``sort``,
    ``period`` and ``ids`` are CivitAI's own filters. Models for adults are left out unless
    ``nsfw``.
    """

    name = CIVITAI
    type = SyncType.CIVITAI_MODELS
    spacing = 1.0

    def __init__(
        self,
        base: str = BASE,
        *,
        query: str | None = None,
        tag: str | None = None,
        username: str | None = None,
        types: Iterable[str] = (),
        base_models: Iterable[str] = (),
        sort: str | None = None,
        period: str | None = None,
        ids: Iterable[int] = (),
        nsfw: bool = False,
        most: int = 10_000,
        limit: int = 100,
    ) -> None:
        if not 1 <= limit <= 100:
            raise UsageError(f"a page of CivitAI has 1 to 100 models, not {limit!r:.20}")
        if most < _FEWEST:
            raise UsageError(f"most must be a whole number from 1, not {most!r:.20}")
        self.base = base.rstrip("/")
        self.most = most
        self.params: dict[str, str | int | list[str]] = {
            "limit": limit,
            "nsfw": "true" if nsfw else "false",
        }
        for name, value in (
            ("query", query),
            ("tag", tag),
            ("username", username),
            ("sort", sort),
            ("period", period),
            ("types", list(types)),
            ("baseModels", list(base_models)),
            ("ids", [str(one) for one in ids]),
        ):
            if value:
                self.params[name] = value

    def settings(self) -> dict[str, Any]:
        """Address, filters, and how many."""
        return {"base": self.base, "most": self.most, "params": self.params}

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Follow the service's cursor; its pages by number end at 1,000 models."""
        at: str | None = None
        seen: dict[str, None] = {}
        if cursor is not None:
            at = cursor.get("at")
            seen = dict.fromkeys(cursor.get("seen") or ())
        taken = int(cursor.get("taken", 0)) if cursor is not None else 0
        while True:
            params = {**self.params, "cursor": at} if at is not None else self.params
            reply = await ask.json(f"{self.base}/api/v1/models", params=params, key="items")
            items = reply.data["items"][: self.most - taken]
            done: list[tuple[str, Outcome]] = []
            entries = []
            for number, item in enumerate(items):
                entry = _model(self.base, f"#{taken + number}", item, seen)
                if isinstance(entry, Outcome):
                    done.append((MODELS, entry))
                else:
                    entries.append(entry)
            taken += len(items)
            following = _next(reply.data.get("metadata"))
            if following == at and at is not None:
                reason = f"the service points from page {at!r:.60} to itself: it ends there"
                done.append((MODELS, Outcome("note", "cursor", reason=reason)))
                following = None
            last = following is None or not items or taken >= self.most
            place: Cursor = {"at": following, "taken": taken, "seen": list(seen)}
            total = get.whole(reply.data.get("metadata") or {}, "totalItems")
            yield Batch(
                place,
                _writer(entries),
                done,
                total=taken if last else (min(total, self.most) if total is not None else None),
            )
            if last:
                return
            at = following


def _next(metadata: object) -> str | None:
    """Return the cursor of the next page; only that, so that no other host is ever asked."""
    if not isinstance(metadata, dict):
        return None
    value = metadata.get("nextCursor")
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
        return str(value)[:500]
    page = metadata.get("nextPage")
    if isinstance(page, str):
        found = parse_qs(urlsplit(page).query).get("cursor")
        if found and found[0]:
            return found[0][:500]
    return None


def _writer(entries: Sequence[ModelEntry]) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        return [(MODELS, outcome) for outcome in write_models(tx, entries, CIVITAI, now)]

    return write


def _model(base: str, label: str, item: object, seen: dict[str, None]) -> ModelEntry | Outcome:
    if not isinstance(item, dict):
        return Outcome("refused", label, reason=f"it is a {type(item).__name__}, no object")
    number = get.whole(item, "id")
    name = get.text(item, "name")
    label = name[:120] if name else label
    if number is None or name is None:
        return Outcome("refused", label, reason="it has no id or no name")
    model_id = str(number)
    if model_id in seen:
        return Outcome("merged", label, reason="the service gave it a second time")
    seen[model_id] = None
    try:
        kind = civitai_type(str(item.get("type") or ""))
    except ValueError as error:
        return Outcome("refused", label, reason=f"it {error}")
    if kind is None:
        return Outcome("refused", label, reason=f"{item['type']!s:.40} are nothing ComfyUI loads")
    versions = get.objects(item, "modelVersions")
    files, repaired = _files(base, versions)
    if not files:
        return Outcome("refused", label, reason="none of its versions has a model file")
    main = next((file for file in files if file.active), files[0])
    stats = item.get("stats") if isinstance(item.get("stats"), dict) else {}
    creator = item.get("creator") if isinstance(item.get("creator"), dict) else {}
    metadata: dict[str, Any] = {
        "description": from_html(item.get("description")),
        "tags": words(item.get("tags")),
        "stats": _kept(
            downloads=get.number(stats or {}, "downloadCount"),
            likes=get.number(stats or {}, "thumbsUpCount"),
            rating=get.number(stats or {}, "rating"),
        ),
        "nsfw": get.flag(item, "nsfw"),
        "creator": line((creator or {}).get("username")),
        "trained_words": _trained(versions),
        "preview_images": _pictures(versions),
        "commercial_use": lines(item.get("allowCommercialUse")) or None,
        "derivatives": get.flag(item, "allowDerivatives"),
        "kind": get.text(item, "type", 60),
    }
    taken_down = str(item.get("mode") or "").lower() in {"archived", "takendown"}
    return ModelEntry(
        label=label,
        source=Source.CIVITAI,
        name=name,
        type=kind[0],
        downloadUrl=main.url,
        filename=main.filename,
        sourceId=model_id,
        sourceUrl=f"{base}/models/{model_id}",
        baseModel=main.base_model,
        fileSize=main.size,
        isActive=not taken_down and any(file.active for file in files),
        directory=kind[1],
        metadata={key: value for key, value in metadata.items() if value not in (None, [], {})},
        files=tuple(files),
        whole=True,
        note=repaired,
    )


def _kept(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _files(base: str, versions: Sequence[dict[str, Any]]) -> tuple[list[FileEntry], str | None]:
    """Return the files of all versions, the primary one of each first, and what was repaired."""
    found = []
    repaired = None
    for version in versions:
        version_id = get.whole(version, "id")
        if version_id is None:
            continue
        active = (
            str(version.get("status") or "Published") == "Published"
            and str(version.get("usageControl") or "Download") == "Download"
            and str(version.get("availability") or "Public") != "Private"
        )
        files = sorted(
            get.objects(version, "files"), key=lambda one: one.get("primary") is not True
        )
        for file in files:
            if str(file.get("type") or "").strip().lower() in _BESIDE:
                continue
            raw = file.get("name")
            if not isinstance(raw, str) or not raw.strip():
                continue
            filename = _BAD.sub("_", raw.strip()).lstrip("-")
            if filename != raw.strip():
                repaired = f"the file name {raw!r:.80} became {filename!r:.80}"
            try:
                check_file_name(filename)
            except ValueError:
                continue
            file_id = get.whole(file, "id")
            url = f"{base}/api/download/models/{version_id}"
            kilobytes = get.number(file, "sizeKB")
            hashes = file.get("hashes") if isinstance(file.get("hashes"), dict) else {}
            details = file.get("metadata") if isinstance(file.get("metadata"), dict) else {}
            found.append(
                FileEntry(
                    filename=filename,
                    url=url if file_id is None else f"{url}?fileId={file_id}",
                    name=get.text(version, "name") or f"version {version_id}",
                    revision=str(version_id),
                    size=None if kilobytes is None or kilobytes < 0 else round(kilobytes * 1024),
                    sha256=get.sha256((hashes or {}).get("SHA256")),
                    format=line((details or {}).get("format"), 40),
                    base_model=get.text(version, "baseModel", 100),
                    scan=_scan(file),
                    published_at=get.moment(version, "publishedAt"),
                    active=active,
                )
            )
    return found, repaired


def _scan(file: dict[str, Any]) -> str | None:
    """Return what the scans found: 'Success' if both did, else both."""
    pickle, virus = get.text(file, "pickleScanResult", 40), get.text(file, "virusScanResult", 40)
    if pickle == virus:
        return pickle
    return f"pickle {pickle or 'not scanned'}, virus {virus or 'not scanned'}"


def _trained(versions: Sequence[dict[str, Any]]) -> list[str] | None:
    return lines(versions[0].get("trainedWords"), 300, 50) or None if versions else None


def _pictures(versions: Sequence[dict[str, Any]]) -> list[str] | None:
    """Return a few pictures of the newest version; they are addresses, nothing is fetched."""
    if not versions:
        return None
    found: list[str] = []
    for picture in get.objects(versions[0], "images")[:12]:
        address = get.url(picture, "url") if len(found) < _PICTURES else None
        if address is not None:
            found.append(address)
    return found or None
