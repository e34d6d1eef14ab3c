"""Folders: other names, releases, and what leads elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.resolve.folders import (
    canonical_folder,
    folder_problem,
    is_model_file,
    known_folders,
    parse_version,
    split_name,
)


@pytest.mark.parametrize(
    ("given_", "present"),
    [
        ("unet", "diffusion_models"),
        ("clip", "text_encoders"),
        ("t2i_adapter", "controlnet"),
        ("models/unet/FLUX1", "diffusion_models/FLUX1"),
        ("loras", "loras"),
        ("clip_vision", "clip_vision"),
    ],
)
def test_a_folder_has_one_present_name(given_: str, present: str) -> None:
    assert canonical_folder(given_) == present


def test_a_release_knows_the_folders_of_its_time() -> None:
    assert "latent_upscale_models" not in known_folders("0.3.64")
    assert "model_patches" in known_folders("0.3.64")
    assert "latent_upscale_models" in known_folders("v0.9.0")
    assert known_folders("0.3.64") < known_folders()
    assert folder_problem("loras", "0.3.64") is None
    assert "only since about 0.21" in str(folder_problem("geometry_estimation", "0.3.64"))
    assert "a node pack has to look there" in str(folder_problem("ipadapter", "0.3.64"))


@pytest.mark.parametrize("folder", ["../loras", "/etc", "a//b", "..", "~", "C:x", "-x", "a\\b", ""])
def test_a_folder_that_leads_elsewhere_is_a_problem(folder: str) -> None:
    assert folder_problem(folder) == "is no folder below ComfyUI's models folder"


def test_packs_are_no_place_for_models() -> None:
    assert "among the node packs" in str(folder_problem("custom_nodes/x"))


@pytest.mark.parametrize(
    "name", ["a.safetensors", "SDXL/a.ckpt", "SDXL\\a.SFT", "a b (1).gguf", "é.pth", "bbox/x.pt"]
)
def test_model_files_look_like_models(name: str) -> None:
    assert is_model_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "safetensors",
        ".safetensors",
        "x/.ckpt",
        "a\n.pt",
        "",
        3,
        None,
        "x" * 300 + ".pt",
        "https://example.org/a.safetensors",
        "euler",
        "a.safetensors ",
    ],
)
def test_other_values_do_not(name: object) -> None:
    assert not is_model_file(name)


@given(st.text(), st.text())
def test_a_name_is_split_at_its_last_separator(folder: str, name: str) -> None:
    assert "/" not in split_name(f"{folder}\\{name}")[1]
    assert "\\" not in "".join(split_name(f"{folder}/{name}"))


@pytest.mark.parametrize("text", ["", "latest", "1.2.3.4.5", "v", "1..2", None, "9" * 40])
def test_what_is_no_release(text: str | None) -> None:
    assert parse_version(text) is None
