"""Which inputs of which node classes name model files, and in which folders those lie."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["LOADERS", "Loader", "folder_by_input", "may_name_a_model", "takes_text"]


class Loader(NamedTuple):
    """A model input of a node class; ``place`` is its position among the saved widget values."""

    input: str
    folder: str
    place: int


def _one(name: str, folder: str, place: int = 0) -> tuple[Loader, ...]:
    return (Loader(name, folder, place),)


def _clips(*names: str) -> tuple[Loader, ...]:
    return tuple(Loader(name, "text_encoders", place) for place, name in enumerate(names))


_CHECKPOINT = _one("ckpt_name", "checkpoints")
_DIFFUSION = _one("unet_name", "diffusion_models")
_LORA = _one("lora_name", "loras")
_CONTROLNET = _one("control_net_name", "controlnet")
_MOTION = _one("model_name", "animatediff_models")

LOADERS: Final[Mapping[str, tuple[Loader, ...]]] = {
    # ComfyUI's own
    "AudioEncoderLoader": _one("audio_encoder_name", "audio_encoders"),
    "CLIPLoader": _clips("clip_name"),
    "CLIPVisionLoader": _one("clip_name", "clip_vision"),
    "CheckpointLoader": (
        Loader("config_name", "configs", 0),
        Loader("ckpt_name", "checkpoints", 1),
    ),
    "CheckpointLoaderSimple": _CHECKPOINT,
    "ConditioningLoader": _one("conditioning_name", "embeddings"),
    "ControlNetLoader": _CONTROLNET,
    "DiffControlNetLoader": _CONTROLNET,
    "DualCLIPLoader": _clips("clip_name1", "clip_name2"),
    "FrameInterpolationModelLoader": _one("model_name", "frame_interpolation"),
    "GLIGENLoader": _one("gligen_name", "gligen"),
    "HypernetworkLoader": _one("hypernetwork_name", "hypernetworks"),
    "ImageOnlyCheckpointLoader": _CHECKPOINT,
    "LTXAVTextEncoderLoader": (
        Loader("text_encoder", "text_encoders", 0),
        Loader("ckpt_name", "checkpoints", 1),
    ),
    "LTXVAudioVAELoader": _CHECKPOINT,
    "LatentUpscaleModelLoader": _one("model_name", "latent_upscale_models"),
    "LoadBackgroundRemovalModel": _one("bg_removal_name", "background_removal"),
    "LoadDA3Model": _one("model_name", "geometry_estimation"),
    "LoadMoGeModel": _one("model_name", "geometry_estimation"),
    "LoraLoader": _LORA,
    "LoraLoaderBypass": _LORA,
    "LoraLoaderBypassModelOnly": _LORA,
    "LoraLoaderModelOnly": _LORA,
    "ModelPatchLoader": _one("name", "model_patches"),
    "OpticalFlowLoader": _one("model_name", "optical_flow"),
    "PhotoMakerLoader": _one("photomaker_model_name", "photomaker"),
    "QuadrupleCLIPLoader": _clips("clip_name1", "clip_name2", "clip_name3", "clip_name4"),
    "SAM3DBody_Loader": _one("model_name", "detection"),
    "StyleModelLoader": _one("style_model_name", "style_models"),
    "TripleCLIPLoader": _clips("clip_name1", "clip_name2", "clip_name3"),
    "UNETLoader": _DIFFUSION,
    "UpscaleModelLoader": _one("model_name", "upscale_models"),
    "VAELoader": _one("vae_name", "vae"),
    "unCLIPCheckpointLoader": _CHECKPOINT,
    # widely used node packs' own
    "ADE_AnimateDiffLoaderGen1": _MOTION,
    "ADE_LoadAnimateDiffModel": _MOTION,
    "CLIPLoaderGGUF": _clips("clip_name"),
    "ControlNetLoaderAdvanced": _CONTROLNET,
    "DualCLIPLoaderGGUF": _clips("clip_name1", "clip_name2"),
    "IPAdapterModelLoader": _one("ipadapter_file", "ipadapter"),
    "InstantIDModelLoader": _one("instantid_file", "instantid"),
    "PulidFluxModelLoader": _one("pulid_file", "pulid"),
    "PulidModelLoader": _one("pulid_file", "pulid"),
    "SAMLoader": _one("model_name", "sams"),
    "TripleCLIPLoaderGGUF": _clips("clip_name1", "clip_name2", "clip_name3"),
    "UltralyticsDetectorProvider": _one("model_name", "ultralytics"),
    "UnetLoaderGGUF": _DIFFUSION,
    "UnetLoaderGGUFAdvanced": _DIFFUSION,
}

# What nearly every pack calls such an input; good enough to choose among known files of one name,
# not to say that a file of that name lies there.
_BY_INPUT: Final = tuple(
    (re.compile(pattern), folder)
    for pattern, folder in (
        (r"(?:.*_)?ckpt_name\d?|checkpoint(?:_name)?", "checkpoints"),
        (r"(?:.*_)?unet_name|diffusion_model(?:_name)?", "diffusion_models"),
        (r"(?:.*_)?vae_name", "vae"),
        (r"(?:.*_)?lora(?:_name)?(?:_?\d{1,3})?", "loras"),
        (r"control_?net(?:_name)?(?:_?\d{1,3})?", "controlnet"),
        (r"clip_vision(?:_name)?", "clip_vision"),
        (r"clip_name\d?|text_encoder(?:_name)?", "text_encoders"),
        (r"upscale_model(?:_name)?", "upscale_models"),
        (r"ipadapter(?:_file|_name)?", "ipadapter"),
    )
)
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TEXT_WORDS: Final = frozenset(
    {
        *("caption", "code", "comment", "description", "expression", "json", "label", "link"),
        *("message", "note", "notes", "prefix", "prompt", "prompts", "python", "script", "seed"),
        *("string", "text", "texts", "title", "url", "value", "markdown"),
    }
)
_FILE_WORDS: Final = frozenset(
    {"audio", "filename", "image", "images", "latent", "mask", "output", "upload", "video"}
)
_MODEL_WORDS: Final = frozenset(
    {
        "ckpt",
        "checkpoint",
        "decoder",
        "encoder",
        "lora",
        "model",
        "models",
        "unet",
        "vae",
        "weights",
    }
)
_NO_LOADER: Final = frozenset(
    {"label", "markdown", "note", "primitive", "prompt", "string", "text"}
)
_FILE_LOADER: Final = re.compile(r"(?:Save|Preview|Load(?:Image|Video|Audio|Latent|3D)).{0,80}")


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name[:100])]


def folder_by_input(name: str) -> str | None:
    """The folder that an input's name suggests, or None."""
    lower = name[:100].lower()
    return next((folder for pattern, folder in _BY_INPUT if pattern.fullmatch(lower)), None)


def may_name_a_model(name: str) -> bool:
    """Whether an input of this name can be one that chooses a model: not text, not a picture."""
    words = _words(name)
    if folder_by_input(name) is not None or not words:
        return True
    if words[-1] in _MODEL_WORDS or words[-2:-1] == ["model"]:
        return True
    return words[-1] not in _FILE_WORDS and not _TEXT_WORDS.intersection(words)


def takes_text(class_type: str) -> bool:
    """Whether a class of this name is there for text, pictures or saving, not for models."""
    if class_type in LOADERS:
        return False
    words = _words(class_type)
    if _FILE_LOADER.fullmatch(class_type):
        return True
    return bool(_NO_LOADER.intersection(words)) and not {"loader", "load"}.intersection(words)
