"""Search: what is found, in which order, and page by page without gap or repetition."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.deploy.catalogue import CORE, Catalogue
from comfynb.deploy.catalogue.entries import MANAGER
from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model, ModelType, Source
from comfynb.store import Store

NASTY = ["%", "_", "'", '"', "\\", "$1", "';drop table models;--", "\x00", "ß", "(a+)+$", '"a b']


async def names(found: Any) -> list[str]:
    return [one.name for one in (await found).items]


async def test_all_words_must_be_there_and_the_best_comes_first(
    store: Store, catalogue: Catalogue
) -> None:
    await store.put(
        *(
            CustomNode(name=name, githubUrl=f"https://github.com/x/r{number}", **fields)
            for number, (name, fields) in enumerate(
                [
                    ("Other", {"description": "resizes an image"}),
                    ("Image Resize", {}),
                    ("Image-Resize-Plus", {}),
                    ("Tagged", {"tags": ["image", "resize"]}),
                    ("Classes", {"nodeClasses": ["ImageResize"], "author": "Image"}),
                    ("Preimage", {"description": "unresized"}),
                    ("Resize only", {}),
                ]
            )
        )
    )
    found = await names(catalogue.search_nodes("image resize"))
    assert found[:3] == ["Image Resize", "Image-Resize-Plus", "Tagged"]
    assert sorted(found[3:]) == ["Classes", "Other", "Preimage"]
    assert await names(catalogue.search_nodes('"image resize"')) == ["Image Resize"]
    assert await names(catalogue.search_nodes("IMAGE  resize PLUS")) == ["Image-Resize-Plus"]
    assert await names(catalogue.search_nodes("nothing of it")) == []


async def test_verified_first_then_rank_then_newest(store: Store, catalogue: Catalogue) -> None:
    models = [
        Model(
            name=name,
            source=Source.DIRECT,
            type=ModelType.LORA,
            downloadUrl=f"https://example.org/{number}",
            isVerified=verified,
            metadata={"description": text},
        )
        for number, (name, text, verified) in enumerate(
            [
                ("flux", "", False),
                ("old", "flux", False),
                ("new", "flux", False),
                ("checked", "flux", True),
            ]
        )
    ]
    # One after another, so that one is the newest.
    for model in models:
        await store.put(model)
    assert await names(catalogue.search_models("flux")) == ["checked", "flux", "new", "old"]
    assert await names(catalogue.search_models()) == ["checked", "new", "old", "flux"]


async def test_filters_of_models(store: Store, catalogue: Catalogue) -> None:
    def model(name: str, **fields: Any) -> Model:
        fields = {"source": Source.DIRECT, "type": ModelType.LORA, **fields}
        return Model(name=name, downloadUrl=f"https://example.org/{name}", **fields)

    await store.put(
        model("a", type=ModelType.VAE, baseModel="SDXL", metadata={"tags": ["Anime", 'x","y']}),
        model("b", source=Source.CIVITAI, sourceId="1", baseModel="SD 1.5", isVerified=True),
        model("c", isActive=False, metadata={"description": "Very\nfine", "tags": ["animesque"]}),
        model("d", metadata={"stats": {"rating": float("nan")}, "description": "\\u0000 \x00 end"}),
    )
    search = catalogue.search_models
    assert await names(search(type="vae")) == await names(search(type=ModelType.VAE)) == ["a"]
    assert await names(search(source="civitai")) == await names(search(verified=True)) == ["b"]
    assert await names(search(base_model="sdxl")) == ["a"]
    assert sorted(await names(search(base_model=["SDXL", "sd 1.5"]))) == ["a", "b"]
    assert await names(search(tags=["anime"], active=None)) == ["a"]
    assert await names(search(tags=['X","Y', "anime"])) == ["a"]
    assert await names(search(tags=["y"])) == []
    assert await names(search(active=False)) == ["c"]
    assert await names(search(active=None, description="very\nFINE")) == ["c"]
    assert await names(search("end")) == ["d"]
    assert sorted(await names(search(verified=False))) == ["a", "d"]
    assert await names(search("lora end")) == ["d"]
    with pytest.raises(UsageError, match="CHECKPOINT, LORA"):
        await search(type="picture")


async def test_filters_of_packs_and_comfyui_is_none(store: Store, catalogue: Catalogue) -> None:
    await store.put(
        CustomNode(name="a", githubUrl="https://github.com/ada/a", author="Ada", tags=["video"]),
        CustomNode(name="b", githubUrl="https://github.com/bob/b", installType="copy"),
        CustomNode(name="ComfyUI", githubUrl="https://github.com/x/comfyui", installType=CORE),
    )
    search = catalogue.search_nodes
    assert sorted(await names(search())) == ["a", "b"]
    assert await names(search(author="ada")) == await names(search(tags="Video")) == ["a"]
    assert await names(search(install_type=["COPY"])) == await names(search("bob")) == ["b"]
    assert await names(search(name="B")) == ["b"]


async def test_of_two_that_fit_equally_the_better_known_comes_first(
    catalogue: Catalogue, make: Any
) -> None:
    packs = [
        make.pack(f"https://github.com/ada/p{number}", name="Pack", stars=stars)
        for number, stars in enumerate((3, 5000, None, 40))
    ]
    await catalogue.upsert_nodes(packs, source=MANAGER)
    found = (await catalogue.search_nodes("pack")).items
    assert [node.githubUrl[-1] for node in found] == ["1", "3", "0", "2"]


@pytest.mark.parametrize("query", NASTY)
async def test_no_text_is_anything_but_text(store: Store, catalogue: Catalogue, query: str) -> None:
    plain = query.replace("\x00", "")
    await store.put(
        CustomNode(name="other", githubUrl="https://github.com/x/other"),
        CustomNode(name=f"<{plain}>", githubUrl="https://github.com/x/this"),
    )
    page = await catalogue.search_nodes(query, tags=[])
    if plain.strip('"'):
        assert [node.name for node in page.items] == [f"<{plain}>"]
    assert (await catalogue.search_nodes(tags=[query])).total == 0
    assert (await catalogue.search_models(query, name=query, description=query)).total == 0
    assert await store.count(CustomNode) == 2


@pytest.mark.parametrize(
    ("page", "limit"), [(0, 20), (-1, 20), (1, 0), (1, 501), (True, 20), (1.5, 20), ("1", 20)]
)
async def test_pages_that_cannot_be_are_refused(file_store: Store, page: Any, limit: Any) -> None:
    with pytest.raises(UsageError, match="must be a whole number"):
        await Catalogue(file_store).search_nodes(page=page, limit=limit)


async def test_a_page_past_the_end_is_empty_and_knows_the_total(
    store: Store, catalogue: Catalogue
) -> None:
    page = await catalogue.search_nodes(page=7)
    assert (page.items, page.total, page.pages, page.page) == ([], 0, 0, 7)
    await store.put(CustomNode(name="a", githubUrl="https://github.com/x/a"))
    page = await catalogue.search_nodes(page=7, limit=5)
    assert (page.items, page.total, page.pages, page.limit) == ([], 1, 1, 5)


@pytest.fixture(scope="module")
def pile() -> list[CustomNode]:
    chance = random.Random(7)
    words = ["flux", "image", "resize", "video", "face", "mask", "tile"]
    made = CustomNode(name="x", githubUrl="https://github.com/x/x").createdAt
    return [
        CustomNode(
            id=f"n{number:04}",
            name=" ".join(chance.sample(words, chance.randint(1, 3))),
            githubUrl=f"https://github.com/x/p{number}",
            description=" ".join(chance.sample(words, 3)),
            tags=chance.sample(words, chance.randint(0, 2)),
            isVerified=chance.random() < 0.1,
            createdAt=made,
        )
        for number in range(120)
    ]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.lists(st.sampled_from(["flux", "image", "res", "ma", "zzz"]), max_size=2),
    verified=st.sampled_from([None, True, False]),
    limit=st.integers(9, 50),
)
async def test_pages_together_are_all_that_was_found(
    file_store: Store, pile: list[CustomNode], query: list[str], verified: bool | None, limit: int
) -> None:
    catalogue = Catalogue(file_store)
    if not await file_store.count(CustomNode):
        await file_store.put(*pile)
    wanted = {
        node.id
        for node in pile
        if all(
            any(word in text for text in (node.name, str(node.description), *node.tags))
            for word in query
        )
        and verified in {None, node.isVerified}
    }
    text = " ".join(query)
    whole = await catalogue.search_nodes(text, verified=verified, limit=500)
    assert {node.id for node in whole.items} == wanted
    assert whole.total == len(wanted)
    pages = [
        await catalogue.search_nodes(text, verified=verified, limit=limit, page=number)
        for number in range(1, -(-len(wanted) // limit) + 2)
    ]
    assert [node for page in pages for node in page.items] == whole.items
    assert {page.total for page in pages} == {len(wanted)}
    flags = [node.isVerified for node in whole.items]
    assert flags == sorted(flags, reverse=True)
