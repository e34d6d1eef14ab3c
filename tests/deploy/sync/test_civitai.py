"""CivitAI: its cursor, its versions and files, and what is no model."""

from collections.abc import Callable, Mapping
from typing import Any

from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.sync import CivitaiModels, SyncRunner
from comfynb.models import Model, ModelType, ModelVersion, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]


def file(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"file-{number}.safetensors",
        "type": "Model",
        "sizeKB": 2.5,
        "metadata": {"format": "SafeTensor", "fp": "fp16"},
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "hashes": {"SHA256": f"{number:064X}", "AutoV2": "x"},
        "downloadUrl": "https://civitai.com/api/download/models/1",
        "primary": True,
        **fields,
    }


def version(number: int, *files: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"v{number}",
        "baseModel": "SDXL 1.0",
        "status": "Published",
        "availability": "Public",
        "publishedAt": "2025-01-02T03:04:05.000Z",
        "trainedWords": ["word"],
        "files": list(files or (file(number * 10),)),
        "images": [{"url": "https://image.civitai.com/x.jpeg"}, {"url": "javascript:alert(1)"}, 3],
        **fields,
    }


def model(number: int, *versions: Any, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Model {number}",
        "type": "LORA",
        "description": "<p>One &amp; <b>two</b></p>",
        "nsfw": False,
        "tags": ["anime"],
        "creator": {"username": "ada"},
        "stats": {"downloadCount": 5, "thumbsUpCount": 2},
        "allowCommercialUse": ["Image"],
        "modelVersions": list(versions or (version(number * 10),)),
        **fields,
    }


class Civitai:
    """Answers /api/v1/models by cursor."""

    def __init__(self, service: Any, models: list[Any], limit: int = 10) -> None:
        self.models, self.limit = models, limit
        self.queries: list[list[tuple[str, str]]] = []
        service.answers["/api/v1/models"] = self.answer

    def answer(self, query: Any) -> Any:
        self.queries.append(list(query.items()))
        at = int(query.get("cursor", 0))
        metadata: dict[str, Any] = {"pageSize": self.limit}
        if at + self.limit < len(self.models):
            metadata["nextCursor"] = str(at + self.limit)
            metadata["nextPage"] = "https://evil.example/models"
        return {"items": self.models[at : at + self.limit], "metadata": metadata}


async def test_pages_faults_and_dirt_are_counted_to_the_last(
    runner: SyncRunner, service: Any, store: Store, fault: Any, *, clock: Any, rows: Rows
) -> None:
    models: list[Any] = [model(number) for number in range(1, 26)]
    models += [
        model(3, name="again"),
        model(
            40,
            version(
                401,
                file(4012, name="b.safetensors", primary=False),
                file(4011, name="a/b:c.ckpt", pickleScanResult="Danger"),
                file(4013, type="Training Data"),
                file(4014, name="-rf", hashes={"SHA256": "short"}, sizeKB=-1),
                file(4015, name=5),
                "no file",
            ),
            version(402, usageControl="Generation"),
            "no version",
        ),
        model(41, mode="TakenDown", type="TextualInversion"),
        # Nothing can be made of these.
        model(50, type="Poses"),
        model(51, type="Hologram"),
        model(52, version(520, file(5200, type="Archive"))),
        model(53, modelVersions="none"),
        model(54, name=None),
        model(55, id="x"),
        None,
    ]
    Civitai(service, models)
    service.faults += [
        fault.status(503, Retry_After="3"),
        None,
        fault.cut,
        fault.says('{"items": null}', "application/json"),
        None,
        fault.status(429, Retry_After="20"),
        fault.html(),
    ]
    source = CivitaiModels(service.base)
    job = await runner.run(source)
    assert job.status is SyncStatus.COMPLETED
    assert [wait for wait in clock.waits if wait > 1] == [3, 2, 20, 2]
    assert job.results["counts"] == {"new": 27, "merged": 1, "refused": 7}
    assert job.processedItems == job.totalItems == len(models)
    found = {one.sourceId: one for one in await store.find(Model)}
    first = found["1"]
    assert (first.name, first.type, first.baseModel) == ("Model 1", ModelType.LORA, "SDXL 1.0")
    assert (first.fileSize, first.filename) == (2560, "file-100.safetensors")
    assert first.downloadUrl == f"{service.base}/api/download/models/10?fileId=100"
    assert first.metadata["description"] == "One & two"
    assert first.metadata["stats"] == {"downloads": 5, "likes": 2}
    assert first.metadata["preview_images"] == ["https://image.civitai.com/x.jpeg"]
    assert not found["41"].isActive
    [known] = (await Catalogue(store).models_by_filename("a_b_c.ckpt"))["a_b_c.ckpt"]
    versions = {one.filename: one for one in known.versions}
    assert set(versions) == {"a_b_c.ckpt", "b.safetensors", "rf", "file-4020.safetensors"}
    assert versions["a_b_c.ckpt"].scan == "pickle Danger, virus Success"
    assert versions["b.safetensors"].sha256 == f"{4012:064x}"
    assert (versions["rf"].sha256, versions["rf"].fileSize) == (None, None)
    assert not versions["file-4020.safetensors"].isActive
    before = rows(store)
    again = await runner.run(source)
    assert again.results["counts"] == {"same": 27, "merged": 1, "refused": 7}
    assert rows(store) == before


async def test_filters_go_to_the_service_and_most_is_the_end(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    civitai = Civitai(service, [model(number) for number in range(1, 40)])
    source = CivitaiModels(
        service.base, query="flux", types=["LORA", "VAE"], base_models=["SDXL 1.0"], most=15
    )
    job = await runner.run(source)
    assert (job.processedItems, job.totalItems) == (15, 15)
    assert len(civitai.queries) == 2
    assert ("types", "VAE") in civitai.queries[1]
    assert ("cursor", "10") in civitai.queries[1]
    assert ("baseModels", "SDXL 1.0") in civitai.queries[0]
    assert not any(name == "page" for query in civitai.queries for name, _ in query)


async def test_a_cursor_that_points_to_itself_ends(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    def answer(query: Mapping[str, str]) -> Any:
        return {"items": [model(1)], "metadata": {"nextCursor": 7}}

    service.answers["/api/v1/models"] = answer
    job = await runner.run(CivitaiModels(service.base))
    assert job.status is SyncStatus.COMPLETED
    assert job.results["counts"] == {"new": 1, "merged": 1}
    assert await store.count(ModelVersion) == 1


async def test_a_next_page_elsewhere_is_never_asked(
    runner: SyncRunner, service: Any, store: Store
) -> None:
    pages = {
        None: {"items": [model(1)], "metadata": {"nextPage": "https://evil.example/?cursor=b"}},
        "b": {"items": [model(2)], "metadata": {}},
    }
    service.answers["/api/v1/models"] = lambda query: pages[query.get("cursor")]
    job = await runner.run(CivitaiModels(service.base))
    assert (job.status, job.processedItems) == (SyncStatus.COMPLETED, 2)
