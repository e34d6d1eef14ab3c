"""What kind of model a service's word means, and the folder below models/ where such files go."""

from collections.abc import Mapping

from comfynb.models import ModelType
from comfynb.models._checks import check_relative_folder

__all__ = ["FOLDERS", "civitai_type", "folder_of", "manager_type", "model_folder", "type_of_folder"]

FOLDERS: Mapping[ModelType, str | None] = {
    ModelType.CHECKPOINT: "checkpoints",
    ModelType.LORA: "loras",
    ModelType.VAE: "vae",
    ModelType.CONTROLNET: "controlnet",
    ModelType.UPSCALER: "upscale_models",
    ModelType.EMBEDDING: "embeddings",
    ModelType.HYPERNETWORK: "hypernetworks",
    ModelType.UNET: "diffusion_models",
    ModelType.CLIP: "text_encoders",
    ModelType.T2I_ADAPTER: "controlnet",
    ModelType.IPADAPTER: "ipadapter",
    ModelType.PREPROCESSOR: None,
    ModelType.OTHER: None,
}

# ComfyUI-Manager's words in lower case; those that are not here are of kind OTHER.
_MANAGER: Mapping[str, tuple[ModelType, str | None]] = {
    "checkpoint": (ModelType.CHECKPOINT, "checkpoints"),
    "checkpoints": (ModelType.CHECKPOINT, "checkpoints"),
    "unclip": (ModelType.CHECKPOINT, "checkpoints"),
    "clip": (ModelType.CLIP, "text_encoders"),
    "text_encoders": (ModelType.CLIP, "text_encoders"),
    "vae": (ModelType.VAE, "vae"),
    "taesd": (ModelType.VAE, "vae_approx"),
    "lora": (ModelType.LORA, "loras"),
    "t2i-adapter": (ModelType.T2I_ADAPTER, "controlnet"),
    "t2i-style": (ModelType.T2I_ADAPTER, "controlnet"),
    "controlnet": (ModelType.CONTROLNET, "controlnet"),
    "clip_vision": (ModelType.OTHER, "clip_vision"),
    "gligen": (ModelType.OTHER, "gligen"),
    "upscale": (ModelType.UPSCALER, "upscale_models"),
    "embedding": (ModelType.EMBEDDING, "embeddings"),
    "embeddings": (ModelType.EMBEDDING, "embeddings"),
    "hypernetwork": (ModelType.HYPERNETWORK, "hypernetworks"),
    "unet": (ModelType.UNET, "diffusion_models"),
    "diffusion_model": (ModelType.UNET, "diffusion_models"),
    "ip-adapter": (ModelType.IPADAPTER, "ipadapter"),
    "ultralytics": (ModelType.PREPROCESSOR, None),
    "sam": (ModelType.PREPROCESSOR, "sams"),
    "sam2": (ModelType.PREPROCESSOR, "sams"),
    "sam2.1": (ModelType.PREPROCESSOR, "sams"),
    "efficient_sam": (ModelType.PREPROCESSOR, None),
    "groundingdino": (ModelType.PREPROCESSOR, None),
    "depthanything": (ModelType.PREPROCESSOR, None),
    "depth-pro": (ModelType.PREPROCESSOR, None),
}

# CivitAI's ModelType; None: nothing that ComfyUI could load.
_CIVITAI: Mapping[str, tuple[ModelType, str | None] | None] = {
    "checkpoint": (ModelType.CHECKPOINT, "checkpoints"),
    "lora": (ModelType.LORA, "loras"),
    "locon": (ModelType.LORA, "loras"),
    "dora": (ModelType.LORA, "loras"),
    "vae": (ModelType.VAE, "vae"),
    "controlnet": (ModelType.CONTROLNET, "controlnet"),
    "upscaler": (ModelType.UPSCALER, "upscale_models"),
    "textualinversion": (ModelType.EMBEDDING, "embeddings"),
    "hypernetwork": (ModelType.HYPERNETWORK, "hypernetworks"),
    "unet": (ModelType.UNET, "diffusion_models"),
    "clip": (ModelType.CLIP, "text_encoders"),
    "textencoder": (ModelType.CLIP, "text_encoders"),
    "clipvision": (ModelType.OTHER, "clip_vision"),
    "motionmodule": (ModelType.OTHER, "animatediff_models"),
    "visionlanguage": (ModelType.OTHER, "LLM"),
    "llm": (ModelType.OTHER, "LLM"),
    "detection": (ModelType.PREPROCESSOR, None),
    "other": (ModelType.OTHER, None),
    "poses": None,
    "wildcards": None,
    "workflows": None,
    "comfyworkflows": None,
    "aestheticgradient": None,
}

_BY_FOLDER: Mapping[str, ModelType] = {
    "checkpoints": ModelType.CHECKPOINT,
    "loras": ModelType.LORA,
    "vae": ModelType.VAE,
    "vae_approx": ModelType.VAE,
    "controlnet": ModelType.CONTROLNET,
    "t2i_adapter": ModelType.T2I_ADAPTER,
    "upscale_models": ModelType.UPSCALER,
    "latent_upscale_models": ModelType.UPSCALER,
    "embeddings": ModelType.EMBEDDING,
    "hypernetworks": ModelType.HYPERNETWORK,
    "unet": ModelType.UNET,
    "diffusion_models": ModelType.UNET,
    "clip": ModelType.CLIP,
    "text_encoders": ModelType.CLIP,
    "ipadapter": ModelType.IPADAPTER,
    "ultralytics": ModelType.PREPROCESSOR,
    "sams": ModelType.PREPROCESSOR,
}


def manager_type(word: str) -> tuple[ModelType, str | None]:
    """Return kind and folder of ComfyUI-Manager's word; no folder where it has none of its own."""
    return _MANAGER.get(word.strip().lower(), (ModelType.OTHER, None))


def civitai_type(word: str) -> tuple[ModelType, str | None] | None:
    """Return kind and folder of CivitAI's word; None for what no ComfyUI loads.

    Raises ValueError for a word that CivitAI did not have when this was written.
    """
    key = word.strip().lower()
    if key not in _CIVITAI:
        raise ValueError(f"is of the type {word!r:.40}, which is not known")
    return _CIVITAI[key]


def type_of_folder(folder: str) -> ModelType:
    """Return the kind of what lies in a folder below models/, or below one of its folders."""
    return _BY_FOLDER.get(folder.partition("/")[0].lower(), ModelType.OTHER)


def folder_of(kind: ModelType) -> str | None:
    """Return the folder where models of a kind go, or None where the kind does not tell."""
    return FOLDERS[kind]


def model_folder(text: str) -> str:
    """Return a folder below models/ in one spelling.

    Raises ValueError with what is wrong, as the end of a sentence, where it leads out of there or
    into custom_nodes.
    """
    parts = [part for part in text.replace("\\", "/").strip().split("/") if part]
    if parts[:1] == ["models"]:
        parts = parts[1:]
    if not parts:
        raise ValueError("names no folder")
    if parts[0].lower() == "custom_nodes":
        raise ValueError("wants a folder in custom_nodes, where nothing but packs may write")
    folder = "/".join(parts)
    if text.strip().startswith(("/", "\\")) or len(folder) > 200:
        raise ValueError(f"wants the folder {text!r:.60}, which is not below models/")
    try:
        return check_relative_folder(folder)
    except ValueError:
        raise ValueError(f"wants the folder {text!r:.60}, which is not below models/") from None
