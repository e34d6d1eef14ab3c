"""The rules that find a file, in their order."""

import asyncio
from typing import Any

import pytest

from comfynb.deploy.catalogue import Catalogue, FileEntry, ModelEntry
from comfynb.deploy.resolve import ModelFile, Resolution, ResolvedModel, Status, resolve
from comfynb.models import ModelType, Source

HF = "https://huggingface.co/{}/resolve/main/{}"
ONE, TWO = "1" * 64, "2" * 64


def entry(
    repo: str,
    filename: str,
    sha256: str | None = None,
    type_: ModelType = ModelType.LORA,
    **fields: Any,
) -> ModelEntry:
    url = fields.pop("url", HF.format(repo, filename))
    file = FileEntry(filename, url, sha256=sha256, size=1000)
    return ModelEntry(repo, Source.HUGGINGFACE, repo, type_, url, filename, files=(file,), **fields)


@pytest.fixture(scope="module")
def full(catalogue: Catalogue) -> Catalogue:
    filling = catalogue.upsert_models(
        [
            entry("a/one", "one.safetensors", ONE),
            entry("b/one", "renamed.safetensors", ONE),
            entry("a/two", "two.safetensors", ONE),
            entry("b/two", "two.safetensors", TWO),
            entry("a/same", "same.safetensors", TWO),
            entry("b/same", "same.safetensors", TWO),
            entry("a/ckpt", "both.safetensors", ONE, ModelType.CHECKPOINT),
            entry("b/lora", "both.safetensors", TWO),
            entry("a/gone", "gone.safetensors", isActive=False),
            entry("a/enc", "enc.safetensors", type_=ModelType.OTHER, directory="clip"),
        ]
    )
    tally, outcomes = asyncio.run(filling)
    assert tally.refused == 0, outcomes
    return catalogue


def lora(name: str, class_type: str = "LoraLoader", **declared: Any) -> dict[str, Any]:
    models = [{"name": name.rsplit("/", 1)[-1], **declared}] if declared else []
    properties = {"models": models}
    nodes = [{"id": 1, "type": class_type, "widgets_values": [name], "properties": properties}]
    return {"nodes": nodes, "links": []}


def one(resolution: Resolution) -> ResolvedModel:
    (found,) = resolution.models
    return found


async def test_the_hash_decides_first(full: Catalogue) -> None:
    declared = {"url": HF.format("b/two", "two.safetensors"), "hash": ONE, "hash_type": "sha256"}
    found = one(await resolve(lora("one.safetensors", **declared), full))
    assert (found.by, found.sha256, found.size) == ("hash", ONE, 1000)
    assert found.url == HF.format("a/one", "one.safetensors")
    assert found.path == "models/loras"


async def test_then_the_address_however_it_is_spelt(full: Catalogue) -> None:
    url = "https://hf.co/b/two/blob/main/two.safetensors?download=true"
    found = one(await resolve(lora("two.safetensors", url=url), full))
    assert (found.by, found.url) == ("url", HF.format("b/two", "two.safetensors"))


async def test_a_hash_that_contradicts_the_address_is_a_question(full: Catalogue) -> None:
    declared = {
        "url": HF.format("b/two", "two.safetensors"),
        "hash": "3" * 64,
        "hash_type": "SHA256",
    }
    found = one(await resolve(lora("two.safetensors", **declared), full))
    assert found.status is Status.AMBIGUOUS
    assert "declares the hash" in found.remarks[0]


async def test_a_name_that_is_unique_in_its_folder_is_taken(full: Catalogue) -> None:
    found = one(await resolve(lora("SDXL/one.safetensors"), full))
    assert (found.by, found.path) == ("name", "models/loras/SDXL")
    lora_ = one(await resolve(lora("both.safetensors"), full))
    assert lora_.url == HF.format("b/lora", "both.safetensors")
    checkpoint = one(await resolve(lora("both.safetensors", "CheckpointLoaderSimple"), full))
    assert checkpoint.url == HF.format("a/ckpt", "both.safetensors")


async def test_two_files_of_one_name_are_a_choice(full: Catalogue) -> None:
    resolution = await resolve(lora("two.safetensors"), full)
    found = one(resolution)
    assert found.status is Status.AMBIGUOUS
    assert {candidate.url for candidate in found.candidates} == {
        HF.format("a/two", "two.safetensors"),
        HF.format("b/two", "two.safetensors"),
    }
    assert found.url is None
    assert resolution.ambiguous == (found,)


async def test_the_same_bytes_at_two_places_are_no_choice(full: Catalogue) -> None:
    found = one(await resolve(lora("same.safetensors"), full))
    assert (found.status, found.sha256) == (Status.RESOLVED, TWO)


async def test_a_name_in_another_folder_is_only_offered(full: Catalogue) -> None:
    found = one(await resolve(lora("one.safetensors", "VAELoader"), full))
    assert found.status is Status.AMBIGUOUS
    assert "belongs in another folder" in found.candidates[0].reason


async def test_a_folders_other_name_is_the_same_folder(full: Catalogue) -> None:
    found = one(await resolve(lora("enc.safetensors", "CLIPLoader"), full))
    assert (found.status, found.path) == (Status.RESOLVED, "models/text_encoders")


async def test_what_is_gone_is_not_offered(full: Catalogue) -> None:
    assert one(await resolve(lora("gone.safetensors"), full)).status is Status.UNKNOWN


async def test_nobodys_file_is_unknown(full: Catalogue) -> None:
    resolution = await resolve(lora("mine.safetensors"), full)
    assert one(resolution).status is Status.UNKNOWN
    assert resolution.unknown
    assert resolution.counts()["models unknown"] == 1


async def test_an_address_at_a_known_host_is_taken_at_the_workflows_word(full: Catalogue) -> None:
    url = HF.format("c/new", "new.safetensors")
    declared = {"url": url, "hash": TWO[::-1].replace("2", "4"), "hash_type": "SHA256"}
    found = one(await resolve(lora("new.safetensors", **declared), full))
    assert (found.by, found.url, found.known, found.sha256) == ("workflow", url, None, "4" * 64)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/new.safetensors",
        "http://huggingface.co/c/new/resolve/main/new.safetensors",
        "https://huggingface.co.evil.example/new.safetensors",
        "https://huggingface.co:8443/c/new/resolve/main/new.safetensors",
        "http://169.254.169.254/new.safetensors",
    ],
)
async def test_an_address_anywhere_else_is_a_question(full: Catalogue, url: str) -> None:
    found = one(await resolve(lora("new.safetensors", url=url), full))
    assert found.status is Status.AMBIGUOUS
    assert found.url is None
    assert "nobody knows" in found.candidates[0].reason


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "https://u:p@x/y.pt"])
async def test_what_is_no_address_is_said_and_not_used(full: Catalogue, url: str) -> None:
    found = one(await resolve(lora("new.safetensors", url=url), full))
    assert found.status is Status.UNKNOWN
    assert "it is not used" in found.remarks[0]
    assert "u:p@" not in str(found.remarks)


async def test_another_name_at_the_address_is_remarked(full: Catalogue) -> None:
    url = HF.format("c/new", "base.safetensors")
    found = one(await resolve(lora("new.safetensors", url=url), full))
    assert "is called 'base.safetensors'" in found.remarks[0]


async def test_two_addresses_for_one_file_are_a_choice(full: Catalogue) -> None:
    nodes = [
        lora("two.safetensors", url=HF.format(repo, "two.safetensors"))["nodes"][0] | {"id": i}
        for i, repo in enumerate(("a/two", "b/two"))
    ]
    found = one(await resolve({"nodes": nodes, "links": []}, full))
    assert found.status is Status.AMBIGUOUS
    assert len(found.candidates) == 2


async def test_a_folder_that_the_pinned_release_does_not_know_is_remarked(full: Catalogue) -> None:
    workflow = lora("moge.safetensors", "LoadMoGeModel")
    old = one(await resolve(workflow, full, comfyui="0.3.64"))
    new = one(await resolve(workflow, full, comfyui="0.40.0"))
    assert "not known to ComfyUI 0.3.64" in old.remarks[0]
    assert new.remarks == ()


async def test_a_person_chooses_a_file_or_an_address(full: Catalogue) -> None:
    workflow = lora("two.safetensors")
    known = one(await resolve(workflow, full)).candidates[1].known
    assert isinstance(known, ModelFile)
    chosen = one(await resolve(workflow, full, choices={"two.safetensors": known}))
    assert (chosen.by, chosen.url) == ("chosen", known.url)
    address = "https://files.example/two.safetensors"
    given = one(await resolve(workflow, full, choices={"two.safetensors": address}))
    assert (given.status, given.by, given.url) == (Status.RESOLVED, "chosen", address)
