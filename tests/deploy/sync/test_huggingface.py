"""Hugging Face: files of repositories, and that we read its answers as its own library does."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.sync import HuggingFaceModels, SyncRunner
from comfynb.errors import UsageError
from comfynb.models import Model, ModelType, ModelVersion, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]
SHA = "0123456789abcdef0123456789abcdef01234567"


def sibling(path: str, number: int = 1) -> dict[str, Any]:
    return {
        "rfilename": path,
        "size": number,
        "blobId": "b" * 40,
        "lfs": {"sha256": f"{number:064x}", "size": number, "pointerSize": 134},
    }


def repo(name: str, *siblings: Any, **fields: Any) -> dict[str, Any]:
    return {
        "_id": "1",
        "id": name,
        "modelId": name,
        "sha": SHA,
        "gated": False,
        "private": False,
        "tags": ["lora", "license:mit", "base_model:o/base"],
        "downloads": 5,
        "likes": 2,
        "siblings": list(siblings),
        **fields,
    }


def serve(service: Any, *repos: dict[str, Any]) -> None:
    for one in repos:
        service.say(f"/api/models/{one['id']}/revision/main", one)


async def test_files_of_repositories_with_commit_size_and_hash(
    runner: SyncRunner, service: Any, store: Store, fault: Any, *, clock: Any, rows: Rows
) -> None:
    serve(
        service,
        repo(
            "o/first",
            sibling("README.md"),
            sibling("a b.safetensors", 7),
            sibling("split_files/vae/v.safetensors", 8),
            sibling("model-00001-of-00002.safetensors"),
            sibling("x/../y.safetensors"),
            {"rfilename": 5},
            "text",
            {"rfilename": "plain.gguf", "size": 3, "lfs": "none"},
        ),
        repo("o/gated", sibling("g.ckpt", 9), gated="manual"),
        repo("o/empty", sibling("README.md")),
        repo("o/nocommit", sibling("x.safetensors"), sha="main"),
    )
    service.faults += [fault.status(429, Retry_After="8"), fault.cut, None, fault.html()]
    names = ["o/first", "o/gated", "o/empty", "o/nocommit", "o/missing"]
    job = await runner.run(HuggingFaceModels(service.base, repos=names))
    assert job.status is SyncStatus.COMPLETED
    assert clock.waits == [8, 2, 1]
    assert job.results["counts"] == {"new": 4, "refused": 5}
    assert job.totalItems == job.processedItems == 9
    found = {one.filename: one for one in await store.find(Model)}
    first = found["a b.safetensors"]
    assert first.downloadUrl == f"{service.base}/o/first/resolve/main/a%20b.safetensors"
    assert (first.type, first.sourceId, first.fileSize) == (ModelType.LORA, "o/first", 7)
    assert first.metadata["license"] == "mit"
    assert found["v.safetensors"].type is ModelType.VAE
    assert found["v.safetensors"].metadata["directory"] == "vae"
    assert found["g.ckpt"].authRequired
    versions = {one.filename: one for one in await store.find(ModelVersion)}
    assert versions["g.ckpt"].sha256 == f"{9:064x}"
    assert versions["g.ckpt"].revision == SHA
    assert versions["g.ckpt"].downloadUrl == f"{service.base}/o/gated/resolve/{SHA}/g.ckpt"
    assert (versions["plain.gguf"].fileSize, versions["plain.gguf"].sha256) == (3, None)
    before = rows(store)
    again = await runner.run(HuggingFaceModels(service.base, repos=names))
    assert again.results["counts"] == {"same": 4, "refused": 5}
    assert rows(store) == before


async def test_a_search_goes_from_page_to_page_and_ends_at_most(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    names = [f"o/r{number}" for number in range(7)]
    serve(service, *(repo(name, sibling(f"{name[2:]}.safetensors")) for name in names))

    def answer(query: Any) -> web.Response:
        at = int(query.get("cursor", 0))
        items: list[Any] = [{"id": name} for name in [*names, names[1]][at : at + 3]]
        headers = {}
        if at + 3 < 8:
            headers["Link"] = f'<{service.base}/api/models?cursor={at + 3}>; rel="next"'
        return web.json_response([*items, {"id": "../x"}] if at == 0 else items, headers=headers)

    service.answers["/api/models"] = answer
    job = await runner.run(HuggingFaceModels(service.base, search="flux", most=100))
    assert job.results["counts"] == {"new": 7, "merged": 1, "refused": 1}
    few = await runner.run(HuggingFaceModels(service.base, search="flux", most=2))
    assert few.results["counts"] == {"same": 2}


async def test_a_next_page_at_another_host_is_an_error(runner: SyncRunner, service: Any) -> None:
    headers = {"Link": '<https://evil.example/api/models>; rel="next"'}
    service.answers["/api/models"] = lambda _: web.json_response([], headers=headers)
    job = await runner.run(HuggingFaceModels(service.base))
    assert job.status is SyncStatus.FAILED
    assert "another host" in str(job.errorLog)


async def test_its_own_library_reads_the_same(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    # Only how it reads an answer: its HfApi looks huggingface.co up, whatever its endpoint is.
    hub = pytest.importorskip("huggingface_hub")
    data = repo("o/r", sibling("a.safetensors", 7), sibling("vae/b.ckpt", 8))
    serve(service, data)
    info = hub.ModelInfo(**data)
    await runner.run(HuggingFaceModels(service.base, repos=["o/r"]))
    ours = {
        (one.filename, one.fileSize, one.sha256, one.revision)
        for one in await store.find(ModelVersion)
    }
    assert ours == {
        (one.rfilename.rpartition("/")[2], one.size, one.lfs.sha256, info.sha)
        for one in info.siblings
    }


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "a b", "a?x"])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="owner/name"):
        HuggingFaceModels(repos=[name])
