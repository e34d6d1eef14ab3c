"""Pinning models: by what the catalogue knows, by what the source says, and by a former lock."""

from typing import Any

import pytest
from aiohttp import web

from comfynb.models import Service, Source

COMMIT, OTHER = "c" * 40, "d" * 40
SHA, SHB = "a" * 64, "b" * 64
HF = "https://huggingface.co/org/repo/resolve/main/x.safetensors"
CIVITAI = "https://civitai.com/api/download/models/7"


class Services:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sha256 = SHA
        self.status = 302

    async def huggingface(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": "1000",
            "X-Linked-Etag": f'"{self.sha256}"',
            "Location": "https://cdn.example/x",
        }
        return web.Response(status=self.status, headers=headers)

    async def civitai(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        file = {"id": 5, "name": "x.safetensors", "sizeKB": 1.5, "hashes": {"SHA256": SHB}}
        return web.json_response({"files": [{**file, "pickleScanResult": "Success"}]})


@pytest.fixture
async def services(world: Any, serve: Any) -> Services:
    services = Services()
    base = await serve(
        {
            "/api/v1/model-versions/{id}": services.civitai,
            "/org/repo/resolve/main/x.safetensors": services.huggingface,
        }
    )
    world.allowed.add(base.removeprefix("http://"))
    world.sources = type(world.sources)(base, base)
    return services


async def test_the_source_pins_what_the_catalogue_cannot(world: Any, services: Services) -> None:
    world.model(HF, "x.safetensors", authRequired=True)
    world.model(CIVITAI, "y.safetensors", source=Source.CIVITAI)
    first, second = (await world.lock()).lock.models
    assert first.url == HF.replace("main", COMMIT)
    assert (first.revision, first.size, first.sha256) == (COMMIT, 1000, SHA)
    assert (first.auth, first.license) == (Service.HUGGINGFACE, "mit")
    assert second.url == f"{CIVITAI}?fileId=5"
    assert (second.revision, second.size, second.sha256) == ("7", 1536, SHB)


async def test_what_the_catalogue_knows_is_not_asked(world: Any, services: Services) -> None:
    known = {"revision": OTHER, "sha256": SHB, "fileSize": 5}
    world.model(HF, "x.safetensors", version=known)
    (model,) = (await world.lock()).lock.models
    assert (model.url, model.sha256) == (HF.replace("main", OTHER), SHB)
    assert services.asked == []


async def test_a_file_that_has_changed_is_remarked(world: Any, services: Services) -> None:
    world.model(HF, "x.safetensors", version={"sha256": SHB, "fileSize": 5})
    report = await world.lock()
    assert report.lock.models[0].sha256 == SHA
    assert report.lock.models[0].size == 1000
    assert any("has changed at its source" in note for note in report.notes)


async def test_a_source_that_is_silent_leaves_what_is_known(world: Any, services: Services) -> None:
    services.status = 404
    world.model(HF, "x.safetensors", version={"sha256": SHB, "fileSize": 5})
    report = await world.lock()
    (model,) = report.lock.models
    assert (model.url, model.revision, model.sha256, model.size) == (HF, None, SHB, 5)
    assert any(risk.kind == "not asked" for risk in report.risks)


async def test_a_former_lock_is_believed_until_renewed(world: Any, services: Services) -> None:
    world.model(HF, "x.safetensors")
    first = (await world.lock()).lock
    asked = len(services.asked)
    services.sha256 = SHB
    assert (await world.lock(former=first)).lock.models == first.models
    assert len(services.asked) == asked
    renewed = (await world.lock(former=first, upgrade={"x.safetensors"})).lock
    assert renewed.models[0].sha256 == SHB


async def test_a_file_may_have_another_name_and_be_another_version(
    world: Any, services: Services
) -> None:
    known = {"filename": "v2.safetensors", "sha256": SHB, "fileSize": 5}
    url = HF.replace("x.safetensors", "v2.safetensors")
    version = {**known, "revision": OTHER, "downloadUrl": url}
    world.model(HF, "x.safetensors", version=version, custom="v2.safetensors")
    (model,) = (await world.lock()).lock.models
    assert (model.filename, model.url) == ("v2.safetensors", url.replace("main", OTHER))
    world.models[0].choice.customName = "mine.safetensors"
    (renamed,) = (await world.lock()).lock.models
    assert renamed.filename == "mine.safetensors"


async def test_what_could_not_be_told_is_asked_again(world: Any, services: Services) -> None:
    services.status = 404
    world.model(HF, "x.safetensors")
    first = (await world.lock()).lock
    assert first.models[0].sha256 is None
    services.status = 302
    assert (await world.lock(former=first)).lock.models[0].sha256 == SHA
