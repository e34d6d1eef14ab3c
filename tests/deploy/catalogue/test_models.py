"""Models are merged by file, or by CivitAI's id; their versions by release, name and hash."""

import math
from collections.abc import Callable
from typing import Any

from comfynb.deploy.catalogue import Catalogue, FileEntry
from comfynb.deploy.catalogue.entries import CIVITAI, HUGGINGFACE, MANAGER, OWN, TEMPLATES
from comfynb.models import Model, ModelType, ModelVersion, Source
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]
URL = "https://huggingface.co/o/r/resolve/main/a.safetensors"


def file(**fields: Any) -> FileEntry:
    fields = {"filename": "a.safetensors", "url": URL, **fields}
    return FileEntry(**fields)


async def test_a_file_is_one_model_and_another_name_for_it_another(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entries = [
        make.model(URL),
        make.model(URL, name="Second"),
        make.model(URL, filename="other.safetensors"),
    ]
    tally, _ = await catalogue.upsert_models(entries, source=MANAGER)
    assert str(tally) == "2 new, 1 changed"
    assert {model.filename for model in await store.find(Model)} == {
        "a.safetensors",
        "other.safetensors",
    }


async def test_a_second_time_changes_nothing_at_all(
    store: Store, catalogue: Catalogue, make: Any, rows: Rows
) -> None:
    entries = [
        make.model(
            f"https://example.org/{number}.safetensors",
            directory="loras",
            fileSize=number,
            metadata={"tags": ["a"], "stats": {"rating": math.nan, "downloads": 3}},
            files=(file(filename=f"{number}.safetensors", sha256=f"{number:064x}", size=number),),
        )
        for number in range(20)
    ]
    await catalogue.upsert_models(entries, source=TEMPLATES)
    before = rows(store)
    tally, _ = await catalogue.upsert_models(entries, source=TEMPLATES)
    assert str(tally) == "20 same"
    assert rows(store) == before


async def test_what_people_set_stays_key_by_key(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entry = make.model(URL, metadata={"description": "theirs", "license": "mit"}, directory="loras")
    await catalogue.upsert_models([entry], source=MANAGER)
    [model] = await store.find(Model)
    await catalogue.curate_model(
        model.id, type="LORA", isVerified=True, metadata={"description": "mine"}
    )
    entry.metadata = {"description": "newer", "license": "apache"}
    entry.type = ModelType.VAE
    await catalogue.upsert_models([entry], source=MANAGER)
    [model] = await store.find(Model)
    assert (model.type, model.isVerified) == (ModelType.LORA, True)
    assert (model.metadata["description"], model.metadata["license"]) == ("mine", "apache")
    assert model.metadata["curated"] == ["description", "isVerified", "type"]
    await catalogue.curate_model(model.id, type=..., metadata={"description": ...})
    await catalogue.upsert_models([entry], source=MANAGER)
    [model] = await store.find(Model)
    assert (model.type, model.metadata["description"]) == (ModelType.VAE, "newer")


async def test_the_service_that_has_the_file_is_believed(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    said = {
        HUGGINGFACE: {"name": "hub", "baseModel": "SDXL", "fileSize": 7, "type": ModelType.LORA},
        MANAGER: {"name": "manager", "baseModel": "SD1", "type": ModelType.VAE, "category": "c"},
        OWN: {"name": "own", "category": "o", "type": ModelType.OTHER},
    }
    for order in ((OWN, MANAGER, HUGGINGFACE), (HUGGINGFACE, MANAGER, OWN)):
        for source in order * 2:
            entry = make.model(URL, source=Source.HUGGINGFACE, **said[source])
            await catalogue.upsert_models([entry], source=source)
        [model] = await store.find(Model)
        assert (model.name, model.baseModel, model.fileSize) == ("hub", "SDXL", 7)
        assert (model.type, model.category) == (ModelType.LORA, "c")
        await store.delete(Model, model.id)


async def test_folders_that_sources_disagree_about_are_all_kept(
    store: Store, catalogue: Catalogue, make: Any, rows: Rows
) -> None:
    for source, folder in ((TEMPLATES, "checkpoints"), (MANAGER, "checkpoints/SDXL")) * 2:
        before = rows(store)
        await catalogue.upsert_models([make.model(URL, directory=folder)], source=source)
    [model] = await store.find(Model)
    assert model.metadata["directory"] == "checkpoints"
    assert model.metadata["directories"] == ["checkpoints/SDXL"]
    assert rows(store) == before


async def test_a_new_commit_with_the_same_file_is_the_same_version(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entry = make.model(URL, files=(file(revision="a" * 40, sha256="0" * 64, size=3),))
    await catalogue.upsert_models([entry], source=HUGGINGFACE)
    entry.files = (file(revision="b" * 40, sha256="0" * 64, size=3),)
    tally, _ = await catalogue.upsert_models([entry], source=HUGGINGFACE)
    assert str(tally) == "1 same"
    entry.files = (file(revision="c" * 40, sha256="1" * 64, size=4),)
    await catalogue.upsert_models([entry], source=HUGGINGFACE)
    versions = {one.sha256: one.revision for one in await store.find(ModelVersion)}
    assert versions == {"0" * 64: "a" * 40, "1" * 64: "c" * 40}


async def test_versions_of_civitai_are_told_apart_and_taken_away(
    store: Store, catalogue: Catalogue, make: Any, rows: Rows
) -> None:
    def url(version: int, number: int) -> str:
        return f"https://civitai.com/api/download/models/{version}?fileId={number}"

    def entry(*versions: tuple[int, int]) -> Any:
        return make.model(
            url(*versions[0]),
            filename="a.safetensors",
            source=Source.CIVITAI,
            sourceId="5",
            files=tuple(file(url=url(v, n), revision=str(v), name=f"v{v}") for v, n in versions),
            whole=True,
        )

    # Two files of one name in one release, as CivitAI has them for fp16 and fp32.
    await catalogue.upsert_models([entry((1, 10), (1, 11), (2, 20))], source=CIVITAI)
    before = rows(store)
    await catalogue.upsert_models([entry((1, 10), (1, 11), (2, 20))], source=CIVITAI)
    assert rows(store) == before
    # Somebody else's link to a release is that release, and says nothing new of it.
    link = make.model(
        "https://civitai.com/api/download/models/2",
        filename="a.safetensors",
        source=Source.CIVITAI,
        sourceId="5",
        files=(file(url="https://civitai.com/api/download/models/2", revision="2"),),
    )
    await catalogue.upsert_models([link], source=MANAGER)
    assert await store.count(ModelVersion) == 3
    await catalogue.upsert_models([entry((2, 20))], source=CIVITAI)
    state = {one.downloadUrl: one.isActive for one in await store.find(ModelVersion)}
    assert state == {url(1, 10): False, url(1, 11): False, url(2, 20): True}
    assert (await store.find(Model))[0].downloadUrl == url(2, 20)


async def test_what_the_model_refuses_is_refused_whole(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entries = [
        make.model("https://example.org/x", filename="../x"),
        make.model(URL, files=(file(sha256="nonsense"),)),
        make.model("https://example.org/ok.safetensors"),
    ]
    tally, outcomes = await catalogue.upsert_models(entries, source=MANAGER)
    assert str(tally) == "1 new, 2 refused"
    assert "filename" in str(outcomes[0].reason)
    assert "sha256" in str(outcomes[1].reason)
    assert (await store.count(Model), await store.count(ModelVersion)) == (1, 0)
