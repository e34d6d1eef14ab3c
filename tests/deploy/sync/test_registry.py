"""The Comfy Registry: pages, bans, releases, and answers that are not what they should be."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.sync import RegistryNodes, SyncRunner
from comfynb.models import CustomNode, NodeVersion, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]


def pack(number: int | str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"pack-{number}",
        "name": f"Pack {number}",
        "repository": f"https://github.com/ada/pack-{number}",
        "description": "d",
        "license": '{"text": "MIT"}',
        "tags": ["a"],
        "publisher": {"id": "ada", "name": "Ada"},
        "status": "NodeStatusActive",
        "github_stars": 7,
        "latest_version": {
            "version": "1.0.0",
            "dependencies": ["numpy>=1"],
            "downloadUrl": f"https://cdn.comfy.org/ada/pack-{number}/1.0.0/node.zip",
            "status": "NodeVersionStatusActive",
        },
        **fields,
    }


class Registry:
    """Answers /nodes and /versions page by page."""

    def __init__(self, service: Any, nodes: list[Any], banned: list[Any] = ()) -> None:  # type: ignore[assignment]
        self.nodes, self.banned = nodes, list(banned)
        self.queries: list[dict[str, str]] = []
        service.answers["/nodes"] = self.answer
        service.answers["/versions"] = self.versions

    def answer(self, query: Mapping[str, str]) -> Any:
        self.queries.append(dict(query))
        page, limit = int(query["page"]), int(query["limit"])
        return {
            "nodes": self.nodes[(page - 1) * limit : page * limit],
            "total": len(self.nodes),
            "page": page,
            "limit": limit,
            "totalPages": -(-len(self.nodes) // limit),
        }

    def versions(self, query: Mapping[str, str]) -> Any:
        page = int(query["page"])
        return {
            "versions": self.banned[(page - 1) * 100 : page * 100],
            "totalPages": -(-len(self.banned) // 100),
        }


async def test_pages_faults_and_dirt_are_counted_to_the_last(
    runner: SyncRunner, service: Any, store: Store, fault: Any, *, clock: Any, rows: Rows
) -> None:
    nodes: list[Any] = [pack(number) for number in range(30)]
    nodes += [
        pack(3),  # a second time, as happens when pages shift
        pack("banned", status="NodeStatusBanned"),
        pack("fork", repository="https://github.com/Ada/Pack-5.git", description="mine"),
        pack("zip", repository=""),
        pack("typo", repository="htps://github.com/ada/typo", tags="x, y", github_stars="many"),
        pack("bare", latest_version=None, license="GPL-3.0", publisher=None, author="Bob"),
        # Nothing can be made of these.
        pack("nowhere", repository="", latest_version=None),
        pack("x", id="../../etc/passwd"),
        pack("y", id=5),
        pack("gone", status="NodeStatusDeleted"),
        "text",
        None,
    ]
    banned = [
        {"node_id": "pack-1", "version": "0.9", "status": "NodeVersionStatusBanned"},
        {"node_id": "pack-unknown", "version": "1", "status": "NodeVersionStatusBanned"},
        {"version": "1"},
        7,
    ]
    Registry(service, nodes, banned)
    service.faults += [
        fault.status(429, Retry_After="11"),
        None,
        fault.status(500),
        fault.cut,
        fault.html(),
        None,
        fault.says('{"nodes": "none"}', "application/json"),
    ]
    source = RegistryNodes(service.base, limit=10)
    job = await runner.run(source)
    assert (job.status, job.errorLog is not None) == (SyncStatus.COMPLETED, True)
    assert clock.waits == [11, 1, 2, 4, 1]
    assert job.results["parts"] == {
        "nodes": {"new": 34, "merged": 2, "refused": 6},
        "banned versions": {"changed": 1, "refused": 3},
    }
    assert job.processedItems == job.totalItems == len(nodes) + len(banned)
    assert (job.successItems, job.failedItems) == (37, 9)
    catalogue = Catalogue(store)
    known = await catalogue.nodes_by_registry_id("pack-1", "pack-zip", "pack-banned", "pack-bare")
    found = {name: one for name, one in known.items() if one is not None}
    assert len(found) == 4
    first = found["pack-1"]
    assert first.facts is not None
    assert (first.facts.license, first.facts.latestVersion, first.facts.stars) == (
        "MIT",
        "1.0.0",
        7,
    )
    assert {one.version: one.status for one in first.versions} == {
        "1.0.0": "NodeVersionStatusActive",
        "0.9": "NodeVersionStatusBanned",
    }
    assert first.node.pipRequirements == ["numpy>=1"]
    assert found["pack-zip"].node.installType == "unzip"
    assert not found["pack-banned"].node.isActive
    assert (found["pack-bare"].node.author, found["pack-bare"].versions) == ("Bob", ())
    before = rows(store)
    again = await runner.run(source)
    assert set(again.results["counts"]) == {"same", "merged", "refused"}
    assert again.processedItems == job.processedItems
    assert again.failedItems == job.failedItems
    assert rows(store) == before


async def test_what_changed_since_is_asked_for_with_the_time(
    runner: SyncRunner, service: Any
) -> None:
    registry = Registry(service, [pack(1)])
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    await runner.run(RegistryNodes(service.base, since=since))
    assert registry.queries == [
        {
            "limit": "100",
            "include_banned": "true",
            "timestamp": "2026-01-02T03:04:05Z",
            "page": "1",
        }
    ]


async def test_all_releases_come_where_they_are_wanted(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    Registry(service, [pack(1)])
    service.say(
        "/nodes/pack-1/versions",
        [{"version": f"1.{number}", "dependencies": []} for number in range(3)] + [{}, 5],
    )
    job = await runner.run(RegistryNodes(service.base, releases=True))
    assert job.status is SyncStatus.COMPLETED
    assert {one.version for one in await store.find(NodeVersion)} == {"1.0", "1.1", "1.2"}


async def test_a_registry_that_never_ends_is_left(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    service.answers["/nodes"] = lambda _: {"nodes": [pack(1)]}  # whatever the page
    service.say("/versions", {"versions": []})
    job = await runner.run(RegistryNodes(service.base))
    assert job.status is SyncStatus.COMPLETED
    assert job.results["parts"]["nodes"] == {"new": 1, "merged": 1}
    assert await store.count(CustomNode) == 1


async def test_a_pack_that_the_registry_deletes_is_listed_no_more(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    registry = Registry(service, [pack(1)])
    await runner.run(RegistryNodes(service.base))
    registry.nodes = [pack(1, status="NodeStatusDeleted")]
    await runner.run(RegistryNodes(service.base))
    [node] = await store.find(CustomNode)
    assert not node.isActive


@pytest.mark.parametrize("body", ["[]", '{"nodes": {}}', "<html>"])
async def test_what_is_no_registry_fails_the_sync(
    runner: SyncRunner, service: Any, store: Store, body: str
) -> None:
    service.answers["/nodes"] = lambda _: body.encode()
    job = await runner.run(RegistryNodes(service.base))
    assert job.status is SyncStatus.FAILED
    assert "JSON" in str(job.errorLog)
    assert await store.count(CustomNode) == 0
