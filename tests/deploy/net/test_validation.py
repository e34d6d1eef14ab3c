"""URL validation as a sync: what is written, what is left alone, cancel and resume."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.net.validation import UrlChecks
from comfynb.deploy.net.verdicts import UrlClass, class_of
from comfynb.deploy.sync import SyncRunner
from comfynb.models import (
    CustomNode,
    Model,
    ModelType,
    ModelVersion,
    Source,
    SyncStatus,
    SyncType,
    UrlValidation,
    utcnow,
)
from comfynb.store import Store, open_store

HERE = "https://models.example"
NO_SPACING = {"models.example": 0.0, "private.example": 0.0, "127.0.0.1": 0.0}


class Server:
    """Answers by path: a status, or a status with headers."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str]]] = {}
        self.asked: list[str] = []
        self.hold: dict[str, asyncio.Event] = {}
        self.held = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.hold:
            self.held.set()
            await self.hold[request.path].wait()
        status, headers = self.answers.get(request.path, (200, {}))
        return web.Response(status=status, headers=headers, body=b"x" * 100)


@pytest.fixture
async def server(world: Any) -> Server:
    made = Server()
    await world.serve("models.example", made)
    return made


@pytest.fixture(params=["duckdb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store; tests that go to both databases ask for the other one, too."""
    place: str | Path = tmp_path / "lab.duckdb"
    if request.param == "postgres":
        place = request.getfixturevalue("postgres_server").new()
    made = open_store(place, label="tests")
    yield made
    await made.close()


@pytest.fixture
async def runner(world: Any, store: Store) -> AsyncIterator[SyncRunner]:
    async with world.fetcher() as fetcher:
        made = SyncRunner(store, fetcher)
        yield made
        await made.aclose()


def model(name: str, **fields: Any) -> Model:
    return Model(
        **{
            "id": name,
            "source": Source.DIRECT,
            "name": name,
            "type": ModelType.LORA,
            "downloadUrl": f"{HERE}/{name}",
            **fields,
        }
    )


def checks(store: Store, **options: Any) -> UrlChecks:
    return UrlChecks(store, **{"spacing": NO_SPACING, **options})


async def rows(store: Store) -> dict[str, UrlValidation]:
    return {row.url.removeprefix(f"{HERE}/"): row for row in await store.find(UrlValidation)}


@pytest.mark.parametrize("store", ["duckdb", "postgres"], indirect=True)
async def test_every_url_gets_a_row_with_its_class(
    store: Store, runner: SyncRunner, server: Server
) -> None:
    await store.put(
        model("ok", fileSize=100),
        model("changed", fileSize=9_000_000),
        model("gone"),
        model("locked"),
        model("inside", downloadUrl="https://127.0.0.1/x"),
        model("off", isActive=False),
        model("versioned", downloadUrl=f"{HERE}/v2"),
        CustomNode(id="pack", name="pack", githubUrl=f"{HERE}/pack"),
    )
    await store.put(
        ModelVersion(
            modelId="versioned",
            name="v1",
            filename="a.safetensors",
            downloadUrl=f"{HERE}/v1",
            fileSize=100,
        )
    )
    server.answers = {
        "/gone": (404, {}),
        "/locked": (401, {"X-Error-Code": "GatedRepo"}),
        "/pack": (200, {"Content-Type": "text/html"}),
    }
    before = utcnow()
    job = await runner.run(checks(store))
    assert (job.type, job.status) == (SyncType.URL_VALIDATION, SyncStatus.COMPLETED)
    assert (job.totalItems, job.processedItems, job.successItems, job.failedItems) == (8, 8, 8, 0)
    found = await rows(store)
    classes = {name: class_of(row).value for name, row in found.items()}
    assert classes == {
        "ok": "OK",
        "changed": "SIZE_CHANGED",
        "gone": "GONE",
        "locked": "GATED",
        "https://127.0.0.1/x": "REFUSED",
        "v1": "OK",
        "v2": "OK",
        "pack": "OK",
    }
    assert {part: sum(counts.values()) for part, counts in job.results["parts"].items()} == {
        "OK": 4,
        "SIZE_CHANGED": 1,
        "GONE": 1,
        "GATED": 1,
        "REFUSED": 1,
    }
    assert job.results["counts"] == {"new": 8}
    gone = found["gone"]
    assert (gone.isValid, gone.statusCode, gone.modelId) == (False, 404, "gone")
    assert gone.errorMessage == "GONE: there is nothing at this address any more."
    assert (found["ok"].isValid, found["ok"].errorMessage) == (True, None)
    assert (found["pack"].customNodeId, found["pack"].modelId) == ("pack", None)
    assert found["v1"].modelId == "versioned"
    dates = {one.id: one.lastValidated for one in await store.find(Model)}
    assert dates.pop("off") is None
    assert all(at is not None and at >= before for at in dates.values())
    pack = await store.get(CustomNode, "pack")
    assert pack is not None
    assert pack.lastValidated is not None
    # Looking at a URL is no change of what is known of the model.
    ok = await store.get(Model, "ok")
    assert ok is not None
    assert ok.updatedAt <= before


async def test_what_was_looked_at_a_short_while_ago_is_not_asked_again(
    store: Store, runner: SyncRunner, server: Server
) -> None:
    await store.put(model("ok"), model("gone"), model("down"))
    server.answers = {"/gone": (404, {}), "/down": (500, {})}
    await runner.run(checks(store))
    first = await rows(store)
    server.asked.clear()

    job = await runner.run(checks(store))
    assert server.asked == []
    assert (job.processedItems, job.results["counts"]) == (3, {"same": 3})
    assert await rows(store) == first

    # In two hours, only what was wrong with the way there is tried again.
    later = utcnow() + timedelta(hours=2)
    server.answers = {"/gone": (404, {})}
    job = await runner.run(checks(store, now=lambda: later))
    assert server.asked == ["/down"]
    assert job.results["counts"] == {"same": 2, "changed": 1}

    server.asked.clear()
    job = await runner.run(checks(store, fresh_for=timedelta(0)))
    assert sorted(server.asked) == ["/down", "/gone", "/gone", "/ok"]  # HEAD, and GET for a 404
    assert job.results["counts"] == {"same": 3}
    second = await rows(store)
    assert {row.id for row in second.values()} == {row.id for row in first.values()}


@pytest.mark.parametrize("store", ["duckdb", "postgres"], indirect=True)
async def test_rate_limited_never_means_dead(
    store: Store, runner: SyncRunner, server: Server
) -> None:
    await store.put(model("known"), model("unknown"))
    server.answers = {"/unknown": (404, {})}
    await runner.run(checks(store))
    await store.put(model("fresh"))
    before = await rows(store)
    limited = (429, {"Retry-After": "100000"})
    server.answers = {"/known": limited, "/unknown": limited, "/fresh": limited}
    server.asked.clear()
    job = await runner.run(checks(store, fresh_for=timedelta(0)))
    assert job.status is SyncStatus.COMPLETED
    assert (job.processedItems, job.failedItems) == (3, 3)
    assert list(job.results["parts"]) == ["RATE_LIMITED"]
    # What was known stays as it was, dates included; what was not known still is not.
    assert await rows(store) == before
    assert class_of(before["known"]) is UrlClass.OK
    assert len(server.asked) <= 2
    fresh = await store.get(Model, "fresh")
    assert fresh is not None
    assert fresh.lastValidated is None


async def test_a_cancelled_sync_goes_on_where_it_stopped(
    store: Store, runner: SyncRunner, server: Server
) -> None:
    names = [f"m{i:02}" for i in range(20)]
    await store.put(*(model(name) for name in names))
    server.hold = {"/m12": asyncio.Event(), "/m13": asyncio.Event()}
    run = await runner.start(checks(store, batch=4))
    await server.held.wait()
    written = asyncio.Event()
    stop = run.watch(lambda view: written.set() if view.processed >= 12 else None)
    await asyncio.wait_for(written.wait(), 20)
    stop()
    job = await run.cancel()
    assert job.status is SyncStatus.CANCELLED
    done = await rows(store)
    assert len(done) == job.processedItems == 12
    server.hold.clear()
    asked = list(server.asked)
    server.asked.clear()

    job = await runner.run(checks(store, batch=4), resume=job.id)
    assert job.status is SyncStatus.COMPLETED
    assert (job.totalItems, job.processedItems) == (20, 20)
    assert job.results["counts"] == {"new": 20}
    assert not {f"/{name}" for name in done} & set(server.asked)
    assert set(asked) | set(server.asked) == {f"/{name}" for name in names}
    assert len(await rows(store)) == 20


async def test_two_models_with_one_url_are_asked_for_once(
    store: Store, runner: SyncRunner, server: Server
) -> None:
    url = f"{HERE}/shared"
    await store.put(model("a", downloadUrl=url), model("b", downloadUrl=url))
    job = await runner.run(checks(store))
    assert (job.totalItems, server.asked) == (1, ["/shared"])
    assert all(one.lastValidated for one in await store.find(Model))


async def test_only_models_or_only_packs(store: Store, runner: SyncRunner, server: Server) -> None:
    await store.put(model("m"), CustomNode(id="pack", name="pack", githubUrl=f"{HERE}/pack"))
    await runner.run(checks(store, nodes=False))
    assert server.asked == ["/m"]
    await runner.run(checks(store, models=False))
    assert server.asked == ["/m", "/pack"]
