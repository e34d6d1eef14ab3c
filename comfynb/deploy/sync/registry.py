"""The Comfy Registry as a source: packs page by page, banned ones too, with their releases."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from comfynb.deploy.catalogue.entries import REGISTRY, NodeEntry, Outcome, ReleaseEntry
from comfynb.deploy.catalogue.nodes import write_nodes
from comfynb.deploy.catalogue.text import line, lines, several, words
from comfynb.deploy.catalogue.urls import repository
from comfynb.deploy.sync import values as get
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.polite import Asker
from comfynb.errors import FetchError, UsageError
from comfynb.models import SyncType
from comfynb.store import Transaction

__all__ = ["RegistryNodes"]

BASE = "https://api.comfy.org"
PAGE = "https://registry.comfy.org/nodes"

NODES = "nodes"
BANNED = "banned versions"

_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _time(given: datetime | str) -> datetime:
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise UsageError(f"since must be a time such as 2026-11-01, not {given!r:.40}") from None
    return moment.astimezone(UTC)


class RegistryNodes(SyncSource):
    """All packs of a registry, or those that changed since a time (also as text, in ISO 8601).

    ``releases`` asks for all releases of each pack, one more request each; without it there is the
    latest one. ``limit`` is how many packs a page has.
    """

    name = REGISTRY
    type = SyncType.COMFYUI_NODES
    spacing = 0.5

    def __init__(
        self,
        base: str = BASE,
        *,
        since: datetime | str | None = None,
        releases: bool = False,
        limit: int = 100,
    ) -> None:
        if not 1 <= limit <= 100:
            raise UsageError(f"a page of the registry has 1 to 100 packs, not {limit!r:.20}")
        self.base = base.rstrip("/")
        self.since = _time(since) if since is not None else None
        self.releases = releases
        self.limit = limit

    def settings(self) -> dict[str, Any]:
        """Address, time, and how much is asked for."""
        return {
            "base": self.base,
            "since": self.since.isoformat() if self.since else None,
            "releases": self.releases,
            "limit": self.limit,
        }

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """Packs first, then the releases that were banned."""
        stage, page = NODES, 1
        seen: dict[str, None] = {}
        if cursor is not None:
            stage, page = str(cursor["stage"]), int(cursor["page"])
            seen = dict.fromkeys(cursor.get("seen") or ())
        if stage == NODES:
            async for batch in self._nodes(ask, page, seen):
                yield batch
            page = 1
        async for batch in self._banned(ask, page):
            yield batch

    async def _nodes(self, ask: Asker, page: int, seen: dict[str, None]) -> AsyncIterator[Batch]:
        params: dict[str, str | int | list[str]] = {
            "limit": self.limit,
            "include_banned": "true",
        }
        if self.since is not None:
            params["timestamp"] = self.since.isoformat().replace("+00:00", "Z")
        while True:
            reply = await ask.json(f"{self.base}/nodes", params={**params, "page": page}, key=NODES)
            found, pages = reply.data[NODES], _pages(reply.data, self.limit)
            before = len(seen)
            done: list[tuple[str, Outcome]] = []
            entries = []
            for number, item in enumerate(found):
                entry = _node(f"#{(page - 1) * self.limit + number}", item, seen)
                if isinstance(entry, Outcome):
                    done.append((NODES, entry))
                    continue
                if self.releases and entry.registryId is not None:
                    entry.releases = await self._releases(ask, entry.registryId)
                entries.append(entry)
            last = not found or (page >= pages if pages else len(seen) == before)
            place: Cursor = {"stage": BANNED if last else NODES, "page": 1 if last else page + 1}
            if not last:
                place["seen"] = list(seen)
            yield Batch(place, _writer(entries), done, total=get.whole(reply.data, "total"))
            if last:
                return
            page += 1

    async def _releases(self, ask: Asker, registry_id: str) -> tuple[ReleaseEntry, ...]:
        reply = await ask.json(f"{self.base}/nodes/{quote(registry_id, safe='')}/versions")
        items = reply.data
        if isinstance(items, dict):
            items = items.get("versions")
        if not isinstance(items, list):
            raise FetchError(
                f"{self.base} answered for the releases of {registry_id} with something else",
                url=self.base,
                status=200,
            )
        found = [_release(item) for item in items if isinstance(item, dict)]
        return tuple(one for one in found if one is not None)

    async def _banned(self, ask: Asker, page: int) -> AsyncIterator[Batch]:
        while True:
            reply = await ask.json(
                f"{self.base}/versions",
                params={
                    "statuses": "NodeVersionStatusBanned",
                    "include_status_reason": "true",
                    "pageSize": 100,
                    "page": page,
                },
                key="versions",
            )
            done: list[tuple[str, Outcome]] = []
            entries = []
            for number, item in enumerate(reply.data["versions"]):
                label = f"#{(page - 1) * 100 + number}"
                entry = _banned_release(label, item)
                if isinstance(entry, Outcome):
                    done.append((BANNED, entry))
                else:
                    entries.append(entry)
            pages = _pages(reply.data, 100)
            place = {"stage": BANNED, "page": page + 1}
            yield Batch(place, _writer(entries, BANNED), done)
            if not reply.data["versions"] or page >= pages:
                return
            page += 1


def _pages(data: dict[str, Any], limit: int) -> int:
    """Return how many pages there are; 0 where the answer does not say."""
    pages = get.whole(data, "totalPages")
    if pages is not None:
        return pages
    total, size = get.whole(data, "total"), get.whole(data, "limit") or limit
    return 0 if total is None else -(-total // size)


E = TypeVar("E")


def _writer(entries: Sequence[NodeEntry], part: str = NODES) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        return [(part, outcome) for outcome in write_nodes(tx, entries, REGISTRY, now)]

    return write


def _node(label: str, item: object, seen: dict[str, None]) -> NodeEntry | Outcome:
    if not isinstance(item, dict):
        return Outcome("refused", label, reason=f"it is a {type(item).__name__}, no object")
    registry_id = item.get("id")
    if not isinstance(registry_id, str) or not _ID.fullmatch(registry_id):
        return Outcome("refused", label, reason="it has no id, or none that an address may hold")
    if registry_id in seen:
        return Outcome("merged", registry_id, reason="the registry gave it a second time")
    seen[registry_id] = None
    status = get.text(item, "status", 60)
    latest = item.get("latest_version")
    release = _release(latest) if isinstance(latest, dict) else None
    address = item.get("repository")
    files: list[str] | None = None
    install = "git"
    note = None
    url, keys = f"{PAGE}/{registry_id}", (f"registry.comfy.org/nodes/{registry_id}".lower(),)
    if isinstance(address, str) and address.strip():
        try:
            place = repository(address)
        except ValueError as error:
            note = f"its repository {error}"
        else:
            url, keys, note = place.url, (place.key,), place.repaired
    if url.startswith(PAGE):
        # What has no repository is had as the registry's own archive.
        if release is None or release.download_url is None:
            reason = f"{note or 'it names no repository'}, and it has no archive"
            return Outcome("refused", registry_id, reason=reason)
        install, files = "unzip", [release.download_url]
    publisher = item.get("publisher")
    author = get.text(item, "author") or (
        line(publisher.get("name") or publisher.get("id")) if isinstance(publisher, dict) else None
    )
    gone = status == "NodeStatusDeleted"
    return NodeEntry(
        label=registry_id,
        url=url,
        keys=keys,
        adds_only=gone,
        gone=gone,
        name=get.text(item, "name") or registry_id,
        description=several(item.get("description")),
        author=author,
        installType=install,
        pipRequirements=release.dependencies if release is not None else None,
        tags=[*words(item.get("tags")), *words(item.get("category"))],
        registryId=registry_id,
        latestVersion=release.version if release is not None else None,
        status=status,
        license=get.license_name(item.get("license")),
        stars=get.whole(item, "github_stars"),
        preempts=lines(item.get("preempted_comfy_node_names")) or None,
        files=files,
        releases=(release,) if release is not None else (),
        note=note,
    )


def _release(item: dict[str, Any]) -> ReleaseEntry | None:
    version = get.text(item, "version", 100)
    if version is None:
        return None
    commit = item.get("commit")
    return ReleaseEntry(
        version,
        commit=commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None,
        dependencies=lines(item.get("dependencies"), 500, 500),
        download_url=get.url(item, "downloadUrl"),
        status=get.text(item, "status", 60),
    )


def _banned_release(label: str, item: object) -> NodeEntry | Outcome:
    if not isinstance(item, dict):
        return Outcome("refused", label, reason=f"it is a {type(item).__name__}, no object")
    registry_id = item.get("node_id") or item.get("nodeId")
    release = _release(item)
    if not isinstance(registry_id, str) or not _ID.fullmatch(registry_id) or release is None:
        return Outcome("refused", label, reason="it names no pack, or no version")
    return NodeEntry(
        label=f"{registry_id} {release.version}",
        adds_only=True,
        registryId=registry_id,
        releases=(release,),
    )
