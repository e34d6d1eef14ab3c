"""Packs are merged: by where they live, by who is believed, and never over what people said."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.deploy.catalogue import Catalogue, NodeEntry, ReleaseEntry
from comfynb.deploy.catalogue.entries import BACKEND, MANAGER, OWN, REGISTRY
from comfynb.deploy.catalogue.nodes import retire_nodes, write_nodes
from comfynb.models import CustomNode, NodeFacts, NodeVersion, utcnow
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]


async def only(store: Store) -> tuple[CustomNode, NodeFacts]:
    [node] = await store.find(CustomNode)
    [facts] = await store.find(NodeFacts)
    return node, facts


async def test_two_spellings_of_a_place_are_one_pack(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    await catalogue.upsert_nodes([make.pack("https://github.com/Ada/Pack")], source=MANAGER)
    tally, [outcome] = await catalogue.upsert_nodes(
        [make.pack("http://www.github.com/ada/PACK.git", name="Pack", author="Ada")],
        source=MANAGER,
    )
    node, _ = await only(store)
    assert str(tally) == "1 changed"
    assert outcome.into == node.id
    assert node.githubUrl == "https://github.com/Ada/Pack"
    assert node.author == "Ada"


async def test_a_row_that_was_put_by_hand_is_found_in_any_spelling(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    await store.put(CustomNode(name="mine", githubUrl="http://github.com/Ada/Pack.git/"))
    tally, _ = await catalogue.upsert_nodes([make.pack()], source=MANAGER)
    assert tally.counts["new"] == 0
    assert await store.count(CustomNode) == 1


async def test_a_second_time_changes_nothing_at_all(
    store: Store, catalogue: Catalogue, make: Any, rows: Rows
) -> None:
    entries = [
        make.pack(
            f"https://github.com/Ada/Pack{number}",
            description="d",
            tags=["x", "y"],
            nodeClasses=["A", "B"],
            registryId=f"pack-{number}",
            nodenamePattern="^A",
            stars=number,
            lastUpdate=utcnow(),
            releases=(ReleaseEntry("1.0", dependencies=["numpy"]),),
        )
        for number in range(20)
    ]
    first, _ = await catalogue.upsert_nodes(entries, source=REGISTRY)
    before = rows(store)
    second, _ = await catalogue.upsert_nodes(entries, source=REGISTRY)
    assert (first.counts["new"], second.counts["same"]) == (20, 20)
    assert rows(store) == before


async def test_what_people_set_stays_and_can_be_given_back(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entry = make.pack(name="Pack", description="theirs", tags=["a"], nodeClasses=["A"])
    await catalogue.upsert_nodes([entry], source=MANAGER)
    node, _ = await only(store)
    await catalogue.curate_node(
        node.id, description="mine", isVerified=True, isActive=False, tags=["b"]
    )
    entry.description = "theirs, newer"
    entry.tags = ["c"]
    await catalogue.upsert_nodes([entry], source=MANAGER)
    node, _ = await only(store)
    assert (node.description, node.isVerified, node.isActive, node.tags) == (
        "mine",
        True,
        False,
        ["b"],
    )
    await catalogue.curate_node(node.id, description=..., isActive=...)
    await catalogue.upsert_nodes([entry], source=MANAGER)
    node, facts = await only(store)
    assert (node.description, node.isActive, node.tags) == ("theirs, newer", True, ["b"])
    assert facts.sources["people"]["fields"] == ["isVerified", "tags"]


async def test_a_sync_never_verifies_or_unverifies(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    await catalogue.upsert_nodes([make.pack(isVerified=True)], source=OWN)
    await catalogue.upsert_nodes([make.pack(isVerified=False)], source=MANAGER)
    assert (await only(store))[0].isVerified
    await store.put((await only(store))[0].model_copy(update={"isVerified": False}))
    await catalogue.upsert_nodes([make.pack(isVerified=True)], source=REGISTRY)
    assert not (await only(store))[0].isVerified


async def test_who_is_believed_does_not_depend_on_who_came_first(
    file_store: Store, make: Any
) -> None:
    catalogue = Catalogue(file_store)
    said = {
        MANAGER: {"name": "Manager's", "description": "m", "license": "MIT", "pipRequirements": []},
        REGISTRY: {
            "name": "Registry's",
            "description": "r",
            "license": "GPL",
            "author": "r",
            "pipRequirements": ["numpy"],
            "registryId": "pack",
            "status": "NodeStatusActive",
        },
        OWN: {"name": "Own", "description": "o", "author": "o", "branch": "dev"},
    }
    found = []
    for number, order in enumerate(((MANAGER, REGISTRY, OWN), (OWN, REGISTRY, MANAGER))):
        url = f"https://github.com/ada/pack{number}"
        for _ in range(2):
            for source in order:
                fields = dict(said[source])
                if "registryId" in fields:
                    fields["registryId"] = f"pack-{number}"
                await catalogue.upsert_nodes([make.pack(url, **fields)], source=source)
        known = (await catalogue.nodes_by_url(url))[url]
        assert known is not None
        assert known.facts is not None
        node = known.node
        found.append(
            (node.name, node.description, node.author, node.pipRequirements, known.facts.license)
        )
    assert found[0] == found[1] == ("Manager's", "m", "r", ["numpy"], "GPL")


_SOURCES = st.sampled_from([MANAGER, REGISTRY, OWN, f"{BACKEND}/pc1", f"{MANAGER}/dev"])
_TEXT = st.sampled_from([None, "a", "b", "c"])
_LIST = st.sampled_from([None, [], ["A"], ["A", "B"], ["C"]])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(_SOURCES, _TEXT, _TEXT, _LIST, _LIST, _LIST),
        min_size=1,
        max_size=5,
        unique_by=lambda said: said[0],
    )
)
def test_sources_in_turn_come_to_rest(
    file_store: Store, make: Any, said: list[tuple[Any, ...]]
) -> None:
    """However sources disagree: once each was heard twice, hearing them again changes nothing."""

    def entries(one: tuple[Any, ...]) -> list[NodeEntry]:
        _, description, author, classes, pip, tags = one
        return [
            make.pack(
                description=description,
                author=author,
                nodeClasses=classes,
                pipRequirements=pip,
                tags=tags,
                nodenamePattern="",
            )
        ]

    def round_() -> list[str]:
        return [
            file_store.transact(lambda tx, one=one: write_nodes(tx, entries(one), one[0], utcnow()))
            .result(30)[0]
            .kind
            for one in said
        ]

    [file_store.delete(CustomNode, node.id) for node in file_store.find(CustomNode).result(30)]
    round_()
    round_()
    assert set(round_()) == {"same"}


async def test_classes_that_a_backend_adds_outlive_the_lists_next_sync(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    listed = make.pack(nodeClasses=["A", "B"])
    await catalogue.upsert_nodes([listed], source=MANAGER)
    await catalogue.upsert_nodes([make.pack(nodeClasses=["B", "C"])], source=f"{BACKEND}/pc1")
    listed.nodeClasses = ["A"]
    await catalogue.upsert_nodes([listed], source=MANAGER)
    assert (await only(store))[0].nodeClasses == ["A", "B", "C"]
    await catalogue.upsert_nodes([make.pack(nodeClasses=["C"])], source=f"{BACKEND}/pc1")
    await catalogue.upsert_nodes([listed], source=MANAGER)
    assert (await only(store))[0].nodeClasses == ["A", "C"]


async def test_an_entry_that_only_adds_brings_no_pack(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entry = make.pack(adds_only=True, stars=5)
    tally, [outcome] = await catalogue.upsert_nodes([entry], source=MANAGER)
    assert tally.refused == 1
    assert outcome.reason == "no listed pack has this URL"
    await catalogue.upsert_nodes([make.pack()], source=MANAGER)
    tally, _ = await catalogue.upsert_nodes([entry], source=MANAGER)
    assert str(tally) == "1 changed"
    assert (await only(store))[1].stars == 5


async def test_a_pack_that_moved_is_found_by_its_id_in_the_registry(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    await catalogue.upsert_nodes([make.pack(registryId="pack")], source=REGISTRY)
    moved = make.pack("https://github.com/Bob/Pack", registryId="pack")
    await catalogue.upsert_nodes([moved], source=REGISTRY)
    node, _ = await only(store)
    assert node.githubUrl == "https://github.com/Bob/Pack"
    # A list that knows better where it lives is not overruled by the registry.
    await catalogue.upsert_nodes([make.pack("https://github.com/Bob/Pack")], source=MANAGER)
    await catalogue.upsert_nodes([make.pack(registryId="pack")], source=REGISTRY)
    node, _ = await only(store)
    assert node.githubUrl == "https://github.com/Bob/Pack"


async def test_two_packs_of_the_registry_in_one_repository_are_folded(
    store: Store, catalogue: Catalogue, make: Any, rows: Rows
) -> None:
    entries = [
        make.pack(registryId="pack", name="First", description="1"),
        make.pack(registryId="fork", name="Second", description="2", author="Bob"),
    ]
    tally, outcomes = await catalogue.upsert_nodes(entries, source=REGISTRY)
    assert str(tally) == "1 new, 1 merged"
    assert "'pack'" in str(outcomes[1].reason)
    before = rows(store)
    tally, _ = await catalogue.upsert_nodes(entries, source=REGISTRY)
    assert str(tally) == "1 same, 1 merged"
    assert rows(store) == before
    node, facts = await only(store)
    assert (node.name, node.author, facts.registryId) == ("First", "Bob", "pack")


async def test_a_banned_pack_is_not_offered_until_the_ban_is_lifted(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    await catalogue.upsert_nodes([make.pack()], source=MANAGER)
    banned = make.pack(registryId="pack", status="NodeStatusBanned")
    await catalogue.upsert_nodes([banned], source=REGISTRY)
    assert not (await only(store))[0].isActive
    await catalogue.upsert_nodes([make.pack()], source=MANAGER)
    assert not (await only(store))[0].isActive
    banned.status = "NodeStatusActive"
    await catalogue.upsert_nodes([banned], source=REGISTRY)
    assert (await only(store))[0].isActive


async def test_releases_are_kept_and_banned(store: Store, catalogue: Catalogue, make: Any) -> None:
    releases = (ReleaseEntry("1.0"), ReleaseEntry("1.1", commit="a" * 40, dependencies=["numpy"]))
    entry = make.pack(registryId="pack", releases=releases)
    await catalogue.upsert_nodes([entry], source=REGISTRY)
    ban = NodeEntry(
        "pack 1.1",
        adds_only=True,
        registryId="pack",
        releases=(ReleaseEntry("1.1", dependencies=["numpy"], status="NodeVersionStatusBanned"),),
    )
    await catalogue.upsert_nodes([ban], source=REGISTRY)
    found = {one.version: one for one in await store.find(NodeVersion)}
    assert found["1.1"].status == "NodeVersionStatusBanned"
    assert (found["1.1"].commit, found["1.0"].status) == ("a" * 40, None)


async def test_what_the_model_refuses_is_refused_with_its_sentence(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    bad = make.pack("https://github.com/ada/bad")
    bad.url = "https://github.com/ada/bad?token=abc"
    tally, outcomes = await catalogue.upsert_nodes([bad, make.pack()], source=MANAGER)
    assert str(tally) == "1 new, 1 refused"
    assert "token" in str(outcomes[0].reason)
    assert "abc" not in str(outcomes[0].reason)
    assert await store.count(CustomNode) == await store.count(NodeFacts) == 1


async def test_packs_that_a_list_lost_are_retired_and_come_back(
    store: Store, catalogue: Catalogue, make: Any
) -> None:
    entries = [make.pack(f"https://github.com/ada/p{n}", name=f"p{n}") for n in range(4)]
    await catalogue.upsert_nodes(entries, source=MANAGER)
    await catalogue.upsert_nodes(entries[:1], source=OWN)
    listed = {key for entry in entries[2:] for key in entry.keys}
    names, problem = await store.transact(lambda tx: retire_nodes(tx, listed, MANAGER, utcnow()))
    assert (sorted(names), problem) == (["p0", "p1"], None)
    active = {node.name: node.isActive for node in await store.find(CustomNode)}
    # The first is listed by somebody else still.
    assert active == {"p0": True, "p1": False, "p2": True, "p3": True}
    await catalogue.upsert_nodes(entries, source=MANAGER)
    assert all(node.isActive for node in await store.find(CustomNode))


async def test_a_list_that_lost_most_of_its_packs_is_taken_for_broken(
    file_store: Store, make: Any
) -> None:
    catalogue = Catalogue(file_store)
    entries = [make.pack(f"https://github.com/ada/p{n}") for n in range(30)]
    await catalogue.upsert_nodes(entries, source=MANAGER)
    listed = {key for entry in entries[:5] for key in entry.keys}
    names, problem = await file_store.transact(
        lambda tx: retire_nodes(tx, listed, MANAGER, utcnow())
    )
    assert names == []
    assert "25 of the 30" in str(problem)
    assert await file_store.count(CustomNode, {"isActive": True}) == 30
