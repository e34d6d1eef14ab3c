"""The rules that find a pack, in their order."""

import asyncio
from typing import Any

import pytest

from comfynb.deploy.catalogue import CORE, Catalogue
from comfynb.deploy.resolve import Resolution, Status, resolve
from comfynb.deploy.resolve.resolution import ResolvedClass
from comfynb.errors import UsageError


def workflow(*classes: str, **properties: Any) -> dict[str, Any]:
    return {
        "nodes": [
            {"id": i, "type": name, "properties": properties} for i, name in enumerate(classes)
        ],
        "links": [],
    }


def one(resolution: Resolution) -> ResolvedClass:
    (found,) = resolution.classes
    return found


@pytest.fixture(scope="module")
def full(catalogue: Catalogue, make_pack: Any) -> Catalogue:
    filling = catalogue.upsert_nodes(
        [
            make_pack(
                "ComfyUI",
                url="https://github.com/comfyanonymous/ComfyUI",
                installType=CORE,
                nodeClasses=["KSampler", "VAELoader"],
            ),
            make_pack("alpha", nodeClasses=["Only", "Shared", "KSampler"], registryId="alpha-id"),
            make_pack("beta", nodeClasses=["Shared", "Claimed"], stars=5),
            make_pack("gamma", nodeClasses=["Claimed"], preempts=["Claimed"]),
            make_pack("delta", nodenamePattern=r" \(delta\)$"),
            make_pack("greedy", nodenamePattern="."),
            make_pack("hostile", nodenamePattern="(a+)+$"),
            make_pack("bad", nodeClasses=["Evil"], status="NodeStatusBanned", registryId="bad"),
        ],
        source="comfy-registry",
    )
    asyncio.run(filling)
    return catalogue


async def test_comfyuis_own_classes_are_its_own_whoever_shadows_them(full: Catalogue) -> None:
    found = one(await resolve(workflow("KSampler", cnr_id="alpha-id"), full))
    assert (found.status, found.by, found.pack) == (Status.RESOLVED, "core", None)


async def test_the_only_owner_is_taken(full: Catalogue) -> None:
    resolution = await resolve(workflow("Only"), full)
    assert one(resolution).by == "owner"
    assert [(use.node.name, use.classes) for use in resolution.packs] == [("alpha", ("Only",))]
    assert resolution.complete


async def test_two_owners_are_a_choice_the_better_known_first(full: Catalogue) -> None:
    resolution = await resolve(workflow("Shared"), full)
    found = one(resolution)
    assert found.status is Status.AMBIGUOUS
    assert [candidate.label for candidate in found.candidates] == ["beta", "alpha"]
    assert resolution.packs == ()
    assert not resolution.complete
    assert "Class Shared: ambiguous: beta (it has a class of that name)" in str(resolution)


async def test_the_workflow_decides_between_owners(full: Catalogue) -> None:
    found = one(await resolve(workflow("Shared", cnr_id="Alpha-ID", ver="2.0"), full))
    assert found.by == "metadata"
    assert found.pack is not None
    assert found.pack.name == "alpha"
    by_place = await resolve(workflow("Shared", aux_id="beta/beta"), full)
    assert [use.node.name for use in by_place.packs] == ["beta"]


async def test_a_claim_comes_before_a_listing(full: Catalogue) -> None:
    found = one(await resolve(workflow("Claimed"), full))
    assert (found.by, found.pack and found.pack.name) == ("preemption", "gamma")


async def test_a_pattern_serves_where_nobody_lists_the_class(full: Catalogue) -> None:
    found = one(await resolve(workflow("Thing (delta)"), full))
    assert (found.by, found.pack and found.pack.name) == ("pattern", "delta")


async def test_a_pattern_that_fits_anything_fits_nothing(full: Catalogue) -> None:
    found = one(await resolve(workflow("a" * 60 + "!"), full))
    assert found.status is Status.UNKNOWN
    assert found.candidates == ()


async def test_a_banned_pack_is_named_and_not_taken(full: Catalogue) -> None:
    for hints in ({}, {"cnr_id": "bad"}):
        found = one(await resolve(workflow("Evil", **hints), full))
        assert found.status is Status.UNKNOWN
        assert [candidate.label for candidate in found.candidates] == ["bad"]
        assert "not offered any more" in found.candidates[0].reason


async def test_a_pack_that_only_the_workflow_names_is_asked_about(full: Catalogue) -> None:
    found = one(await resolve(workflow("Nobodys", aux_id="stranger/pack"), full))
    assert found.status is Status.AMBIGUOUS
    assert [candidate.label for candidate in found.candidates] == ["stranger/pack"]
    assert found.candidates[0].node is None


async def test_a_stranger_beside_an_owner_is_a_choice(full: Catalogue) -> None:
    found = one(await resolve(workflow("Only", aux_id="stranger/pack"), full))
    assert found.status is Status.AMBIGUOUS
    assert [candidate.label for candidate in found.candidates] == ["stranger/pack", "alpha"]


async def test_an_unknown_id_does_not_speak_against_an_owner_without_one(full: Catalogue) -> None:
    found = one(await resolve(workflow("Claimed", cnr_id="gamma-id"), full))
    assert (found.by, found.pack and found.pack.name) == ("preemption", "gamma")


async def test_the_workflow_may_know_newer_core_classes(full: Catalogue) -> None:
    resolution = await resolve(
        workflow("KSampler", "BrandNew", cnr_id="comfy-core", ver="0.33.1"), full
    )
    assert all(found.is_core for found in resolution.classes)
    assert resolution.saved_with == "0.33.1"
    new = next(c for c in resolution.classes if c.need.class_type == "BrandNew")
    assert "a newer one perhaps" in new.remarks[0]


async def test_a_pack_that_does_not_list_the_class_is_remarked(full: Catalogue) -> None:
    found = one(await resolve(workflow("Unlisted", cnr_id="alpha-id"), full))
    assert found.by == "metadata"
    assert "does not list it" in found.remarks[0]


async def test_a_person_chooses(full: Catalogue) -> None:
    first = await resolve(workflow("Shared"), full)
    beta = one(first).candidates[0].node
    assert beta is not None
    found = one(await resolve(workflow("Shared"), full, choices={"Shared": beta}))
    assert (found.by, found.pack) == ("chosen", beta)


async def test_beside_newer_core_classes_an_owner_is_only_proposed(full: Catalogue) -> None:
    old = workflow("Only", "VAELoader")
    new = workflow("BrandNew", cnr_id="comfy-core", ver="0.33.1")
    mixed = {"nodes": [*old["nodes"], {**new["nodes"][0], "id": 9}], "links": []}
    resolution = await resolve(mixed, full)
    found = next(c for c in resolution.classes if c.need.class_type == "Only")
    assert found.status is Status.AMBIGUOUS
    assert [candidate.label for candidate in found.candidates] == ["comfy-core", "alpha"]
    chosen = await resolve(mixed, full, choices={"Only": "comfy-core"})
    assert all(c.is_core for c in chosen.classes)


async def test_a_pack_is_chosen_by_its_url_too(full: Catalogue) -> None:
    url = "https://github.com/Beta/beta.git"
    found = one(await resolve(workflow("Shared"), full, choices={"Shared": url}))
    assert (found.by, found.pack and found.pack.name) == ("chosen", "beta")
    with pytest.raises(UsageError, match=r"no node pack at 'https://github.com/x/y' to take 'Shar"):
        await resolve(workflow("Shared"), full, choices={"Shared": "https://github.com/x/y"})


async def test_a_choice_of_another_kind_is_refused(full: Catalogue) -> None:
    pick = one(await resolve(workflow("Only"), full)).pack
    assert pick is not None
    loader = {"1": {"class_type": "VAELoader", "inputs": {"vae_name": "x.pt"}}}
    with pytest.raises(UsageError, match="choose a file"):
        await resolve(loader, full, choices={"x.pt": pick})
