import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.catalogue.folders import (
    FOLDERS,
    civitai_type,
    folder_of,
    manager_type,
    model_folder,
    type_of_folder,
)
from comfynb.models import ModelType


def test_each_kind_has_a_folder_or_says_that_it_has_none() -> None:
    assert set(FOLDERS) == set(ModelType)
    assert folder_of(ModelType.UNET) == "diffusion_models"
    assert folder_of(ModelType.OTHER) is None


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("LoCon", (ModelType.LORA, "loras")),
        ("TextualInversion", (ModelType.EMBEDDING, "embeddings")),
        ("MotionModule", (ModelType.OTHER, "animatediff_models")),
        ("Poses", None),
    ],
)
def test_civitais_words(word: str, found: object) -> None:
    assert civitai_type(word) == found


def test_a_new_word_of_civitai_is_no_guess() -> None:
    with pytest.raises(ValueError, match="'Hologram', which is not known"):
        civitai_type("Hologram")


def test_managers_words() -> None:
    assert manager_type("vae") == manager_type("VAE") == (ModelType.VAE, "vae")
    assert manager_type("TAESD") == (ModelType.VAE, "vae_approx")
    assert manager_type("unclip") == (ModelType.CHECKPOINT, "checkpoints")
    assert manager_type("something new") == (ModelType.OTHER, None)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("checkpoints", "checkpoints"),
        ("models/loras/x", "loras/x"),
        ("loras\\flux\\", "loras/flux"),
        ("text_encoders//t5", "text_encoders/t5"),
    ],
)
def test_folders_have_one_spelling(text: str, folder: str) -> None:
    assert model_folder(text) == folder


@pytest.mark.parametrize(
    "text",
    [
        *("", "models", "..", "../x", "loras/../../x", "/etc", "\\\\host\\x", "C:\\x", "~/x"),
        *("custom_nodes/x", "Custom_Nodes/x", "a" * 300, "loras/\x00", "-x"),
    ],
)
def test_folders_that_lead_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(names|wants)"):
        model_folder(text)


@given(st.text(max_size=40))
def test_no_folder_leaves_models(text: str) -> None:
    try:
        folder = model_folder(text)
    except ValueError:
        return
    parts = folder.split("/")
    assert not {"", ".", ".."} & {part.strip() for part in parts}
    assert parts[0].lower() != "custom_nodes"
    assert model_folder(folder) == folder


def test_the_kind_of_what_lies_in_a_folder() -> None:
    assert type_of_folder("diffusion_models/FLUX1") is ModelType.UNET
    assert type_of_folder("somewhere") is ModelType.OTHER
