"""What a server has installed: its packs found by name and classes, never by guessing."""

from collections.abc import Callable
from typing import Any

import pytest

from comfynb.deploy.catalogue import CORE, Catalogue, ModelEntry, NodeEntry, repository
from comfynb.deploy.catalogue.entries import MANAGER
from comfynb.deploy.sync import BackendContents, SyncRunner
from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model, ModelType, Source, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]


def pack(url: str, **fields: Any) -> NodeEntry:
    place = repository(url)
    name = place.url.rpartition("/")[2]
    return NodeEntry(name, url=place.url, keys=(place.key,), name=name, **fields)


def classes(**modules: str) -> dict[str, Any]:
    return {name: {"python_module": module} for name, module in modules.items()}


INFO = {
    **classes(
        KSampler="nodes",
        Extra="comfy_extras.nodes_x",
        A="custom_nodes.Pack-One",
        New="custom_nodes.Pack-One",
        B="custom_nodes.twin",
        C="custom_nodes.undecided",
        D="custom_nodes.nowhere",
        E="custom_nodes.by-id@1_2_3",
    ),
    "Strange": {},
    "Odd": None,
}


@pytest.fixture
async def catalogue(store: Store) -> Catalogue:
    catalogue = Catalogue(store)
    await catalogue.upsert_nodes(
        [
            pack("https://github.com/ada/pack-one", nodeClasses=["A"]),
            pack("https://github.com/ada/twin", nodeClasses=["X"]),
            pack("https://github.com/bob/Twin", nodeClasses=["B"]),
            pack("https://github.com/ada/undecided"),
            pack("https://github.com/bob/undecided"),
            pack("https://github.com/ada/other-name", registryId="By-Id"),
        ],
        source=MANAGER,
    )
    url = "https://example.org/a.safetensors"
    model = ModelEntry("a", Source.DIRECT, "a", ModelType.VAE, url, filename="a.safetensors")
    await catalogue.upsert_models([model], source=MANAGER)
    return catalogue


async def test_what_is_installed_is_told_by_name_and_classes(
    runner: SyncRunner, store: Store, catalogue: Catalogue, rows: Rows
) -> None:
    files = {"vae": ["x/a.safetensors", "mine.pt"]}
    job = await runner.run(BackendContents("PC1", INFO, files))
    assert job.status is SyncStatus.COMPLETED
    assert job.results["parts"] == {
        "packs": {"new": 1, "changed": 3, "refused": 4},
        "model files": {"same": 1, "refused": 1},
    }
    reasons = {one["entry"]: one["reason"] for one in job.results["entries"]}
    assert reasons["undecided"].startswith("2 packs have that name: github.com/ada/undecided")
    assert "no pack" in reasons["nowhere"]
    assert "no module" in reasons["Odd"]
    nodes = {node.githubUrl: node for node in await store.find(CustomNode)}
    assert nodes["https://github.com/ada/pack-one"].nodeClasses == ["A", "New"]
    assert nodes["https://github.com/ada/other-name"].nodeClasses == ["E"]
    core = [node for node in nodes.values() if node.installType == CORE]
    assert [node.nodeClasses for node in core] == [["Extra", "KSampler"]]
    known = await catalogue.nodes_by_url("bob/twin", "ada/twin")
    sources = [one.facts.sources for one in known.values() if one and one.facts]
    assert ["backend/PC1" in some for some in sources] == [True, False]
    [model] = await store.find(Model)
    assert set(model.metadata["sources"]) == {MANAGER, "backend/PC1"}
    before = rows(store)
    again = await runner.run(BackendContents("PC1", INFO, files))
    assert again.results["counts"] == {"same": 5, "refused": 5}
    assert rows(store) == before


async def test_what_was_removed_is_noted(
    runner: SyncRunner, store: Store, catalogue: Catalogue
) -> None:
    await runner.run(BackendContents("PC1", INFO, {"vae": ["a.safetensors"]}))
    job = await runner.run(BackendContents("PC1", classes(KSampler="nodes"), {}))
    gone = {one["entry"] for one in job.results["entries"] if one["outcome"] == "note"}
    assert gone == {"pack-one", "Twin", "other-name", "a"}
    # They are listed elsewhere, so they can be had as before.
    assert await store.count(CustomNode, {"isActive": False}) == 0
    [model] = await store.find(Model)
    assert set(model.metadata["sources"]) == {MANAGER}


async def test_a_server_is_asked_for_everything() -> None:
    class Client:
        async def object_info(self) -> dict[str, Any]:
            return INFO

        async def models(self, folder: str | None = None) -> list[str]:
            return ["vae", "loras"] if folder is None else [f"{folder}.pt"]

    source = await BackendContents.of("PC1", Client())
    assert source.files == {"vae": ["vae.pt"], "loras": ["loras.pt"]}
    assert source.object_info == INFO
    with pytest.raises(UsageError, match="has a name"):
        BackendContents(" ", INFO)
