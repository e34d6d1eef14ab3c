"""Looking packs and models up, the seed, and putting things right by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from comfynb.deploy.catalogue import CORE, Catalogue, FileEntry, ReleaseEntry, model_url
from comfynb.deploy.catalogue.entries import MANAGER, REGISTRY
from comfynb.deploy.catalogue.seed import own_entries
from comfynb.errors import NotFound, UsageError
from comfynb.models import CustomNode, Model, NodeFacts
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]
HUB = "https://huggingface.co/o/r/resolve/main"


async def test_models_are_found_by_file_name_hash_and_url(catalogue: Catalogue, make: Any) -> None:
    first = make.model(
        f"{HUB}/a.safetensors",
        files=(
            FileEntry("a.safetensors", f"{HUB}/a.safetensors", sha256="a" * 64),
            FileEntry("old.ckpt", f"{HUB}/old.ckpt", revision="1", sha256="b" * 64),
        ),
    )
    second = make.model("https://example.org/a.safetensors")
    await catalogue.upsert_models([first, second], source=MANAGER)
    by_name = await catalogue.models_by_filename("a.safetensors", "old.ckpt", "A.safetensors", "x")
    assert [len(some) for some in by_name.values()] == [2, 1, 0, 0]
    [known] = by_name["old.ckpt"]
    assert {version.filename for version in known.versions} == {"a.safetensors", "old.ckpt"}
    by_hash = await catalogue.models_by_sha256("B" * 64, "c" * 64)
    assert [len(some) for some in by_hash.values()] == [1, 0]
    asked = ["http://hf.co/o/r/blob/main/a.safetensors?download=true", f"{HUB}/old.ckpt", "no URL"]
    by_url = await catalogue.models_by_url(*asked)
    assert [len(by_url[url]) for url in asked] == [1, 1, 0]
    assert by_url[asked[0]][0].model == by_url[asked[1]][0].model == known.model
    assert (await catalogue.model(known.model.id)).versions == known.versions
    with pytest.raises(NotFound, match="'nobody'"):
        await catalogue.model("nobody")


async def test_packs_are_found_by_url_and_registry_id(catalogue: Catalogue, make: Any) -> None:
    pack = make.pack(registryId="my-pack", releases=(ReleaseEntry("1.0"),))
    await catalogue.upsert_nodes([pack], source=REGISTRY)
    asked = ["ada/pack", "git@github.com:Ada/Pack.git", "https://github.com/ada/other", "?"]
    by_url = await catalogue.nodes_by_url(*asked)
    assert [known is not None for known in by_url.values()] == [True, True, False, False]
    by_id = await catalogue.nodes_by_registry_id("My-Pack", "other")
    assert by_id["My-Pack"] == by_url["ada/pack"]
    assert by_id["other"] is None
    known = by_id["My-Pack"]
    assert known is not None
    assert [version.version for version in known.versions] == ["1.0"]
    assert await catalogue.node(known.node.id) == known
    with pytest.raises(NotFound, match="'nobody'"):
        await catalogue.node("nobody")


async def test_classes_are_comfyuis_claimed_listed_or_fit_a_pattern(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    core = make.pack(
        "https://github.com/comfyanonymous/ComfyUI", installType=CORE, nodeClasses=["KSampler"]
    )
    packs = [
        make.pack("https://github.com/a/one", nodeClasses=["KSampler", "X", "Y"]),
        make.pack("https://github.com/a/two", nodeClasses=["Y", "Z"], preempts=["Z"]),
        make.pack("https://github.com/a/three", nodeClasses=["Z"]),
        make.pack("https://github.com/a/tail", nodenamePattern=r" \(tail\)$"),
        make.pack("https://github.com/a/greedy", nodenamePattern=".*"),
        make.pack("https://github.com/a/broken", nodenamePattern="(("),
        make.pack("https://github.com/a/slow", nodenamePattern="^(a+)+b?$"),
    ]
    await catalogue.upsert_nodes([core, *packs], source=MANAGER)
    asked = ["KSampler", "X", "Y", "Z", "New (tail)", "Nobody's", "a" * 60 + "!"]
    found = await catalogue.nodes_by_class(*asked)
    assert [[(one.node.name, one.how) for one in found[name]] for name in asked] == [
        [("ComfyUI", "core")],
        [("one", "lists")],
        [("one", "lists"), ("two", "lists")],
        [("two", "preempts"), ("three", "lists")],
        [("tail", "pattern")],
        [],
        [],
    ]
    facts = found["Z"][0].facts
    assert facts is not None
    assert facts.preempts == ["Z"]


async def test_a_pattern_that_takes_in_too_much_takes_in_nothing(
    file_store: Store, make: Any
) -> None:
    catalogue = Catalogue(file_store)
    many = make.pack("https://github.com/a/many", nodeClasses=[f"Node{n}" for n in range(301)])
    greedy = make.pack("https://github.com/a/greedy", nodenamePattern="^Node")
    await catalogue.upsert_nodes([many, greedy], source=MANAGER)
    assert await catalogue.nodes_by_class("NodeX") == {"NodeX": []}


async def test_classes_are_those_of_now_whoever_wrote_them(
    store: Store, catalogue: Catalogue
) -> None:
    assert await catalogue.nodes_by_class("A") == {"A": []}
    node = CustomNode(name="n", githubUrl="https://github.com/a/b", nodeClasses=["A"])
    await store.put(node)
    assert len((await catalogue.nodes_by_class("A"))["A"]) == 1
    # Not even updatedAt tells that this row was changed.
    await store.put(node.model_copy(update={"nodeClasses": ["B"]}))
    assert await catalogue.nodes_by_class("A") == {"A": []}
    facts = NodeFacts(customNodeId=node.id, preempts=["C"])
    await store.put(facts)
    assert (await catalogue.nodes_by_class("C"))["C"][0].how == "preempts"
    await store.delete(CustomNode, node.id)
    assert await catalogue.nodes_by_class("B", "C") == {"B": [], "C": []}


async def test_the_seed_is_there_after_once_and_twice(
    store: Store, catalogue: Catalogue, rows: Rows
) -> None:
    nodes, models = own_entries()
    tally = await catalogue.seed()
    assert tally.counts["new"] == tally.total == len(nodes) + len(models)
    before = rows(store)
    assert str(await catalogue.seed()) == f"{tally.total} same"
    assert rows(store) == before
    manager = await catalogue.nodes_by_url("https://github.com/ltdrdata/ComfyUI-Manager")
    [known] = manager.values()
    assert known is not None
    assert known.node.isVerified
    assert known.node.tags == ["management", "utility"]
    [base] = (await catalogue.search_models("SDXL Base", verified=True)).items
    assert base.sourceId == "stabilityai/stable-diffusion-xl-base-1.0"
    assert base.filename == "sd_xl_base_1.0.safetensors"
    assert base.metadata["resolution"] == "1024x1024"
    assert all(model_url(one.downloadUrl) == one.downloadUrl for one in await store.find(Model))


@pytest.mark.parametrize("fields", [{}, {"id": "x"}, {"stars": 3}, {"createdAt": None}])
async def test_only_fields_of_people_can_be_set(file_store: Store, fields: dict[str, Any]) -> None:
    catalogue = Catalogue(file_store)
    with pytest.raises(UsageError, match="give one of name"):
        await catalogue.curate_node("x", **fields)
    with pytest.raises(NotFound):
        await catalogue.curate_node("x", name="n")
    with pytest.raises(NotFound):
        await catalogue.curate_model("x", name="n")
