"""ComfyUI's model folders: their names, which release knows which, what goes there."""

import re
from collections.abc import Mapping
from typing import Final

from comfynb.models._checks import check_relative_folder

__all__ = [
    "MODEL_SUFFIXES",
    "canonical_folder",
    "folder_problem",
    "is_model_file",
    "known_folders",
    "parse_version",
    "split_name",
]

MODEL_SUFFIXES: Final = frozenset(
    {
        *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"),
        # ComfyUI itself does not list these; node packs do.
        *(".gguf", ".onnx", ".engine"),
    }
)

# The second name is an older one: files lie in either folder, and both are searched.
_ALIASES: Final[Mapping[str, str]] = {
    "unet": "diffusion_models",
    "clip": "text_encoders",
    "t2i_adapter": "controlnet",
}
_ALWAYS: Final = frozenset(
    {
        *("checkpoints", "classifiers", "clip_vision", "configs", "controlnet", "diffusers"),
        *("diffusion_models", "embeddings", "gligen", "hypernetworks", "loras", "photomaker"),
        *("style_models", "text_encoders", "upscale_models", "vae", "vae_approx"),
    }
)
_SINCE: Final[Mapping[str, tuple[int, ...]]] = {
    # The earliest release that an official template naming the folder says it was saved with.
    "model_patches": (0, 3, 51),
    "audio_encoders": (0, 3, 54),
    "latent_upscale_models": (0, 3, 70),
    "frame_interpolation": (0, 19, 3),
    "geometry_estimation": (0, 21),
    "optical_flow": (0, 21),
    "background_removal": (0, 22),
    "detection": (0, 33),
}
_VERSION = re.compile(r"v?(\d{1,6}(?:\.\d{1,6}){0,3})")
_LONGEST = 255


def parse_version(text: str | None) -> tuple[int, ...] | None:
    """Read a release such as ``0.3.64`` or ``v0.3.64``; None for anything else."""
    match = _VERSION.fullmatch(text) if text is not None else None
    return tuple(int(part) for part in match[1].split(".")) if match else None


def canonical_folder(folder: str) -> str:
    """Give the present name: ``models/unet/FLUX`` is ``diffusion_models/FLUX``."""
    first, slash, rest = folder.removeprefix("models/").strip("/").partition("/")
    return _ALIASES.get(first, first) + slash + rest


def known_folders(comfyui: str | None = None) -> frozenset[str]:
    """The model folders of a release of ComfyUI; of all releases where none is given."""
    pinned = parse_version(comfyui)
    later = (name for name, since in _SINCE.items() if pinned is None or pinned >= since)
    return _ALWAYS.union(later)


def folder_problem(folder: str, comfyui: str | None = None) -> str | None:
    """Say why models in a folder would not be found, in half a sentence; None where all is well.

    ``folder`` lies below ``models``. A folder that no release knows may be one that a node pack
    adds, so it is a remark and no error; a path that leads elsewhere is always one.
    """
    try:
        check_relative_folder(folder)
    except ValueError:
        return "is no folder below ComfyUI's models folder"
    first = canonical_folder(folder).partition("/")[0]
    if first in known_folders(comfyui):
        return None
    if first == "custom_nodes":
        return "lies among the node packs, where no models go"
    if first in _SINCE:
        since = ".".join(map(str, _SINCE[first]))
        return f"is not known to ComfyUI {comfyui}, only since about {since}"
    pinned = f" {comfyui}" if parse_version(comfyui) else ""
    return f"is no model folder of ComfyUI{pinned}: a node pack has to look there"


def is_model_file(name: object) -> bool:
    """Whether a value looks like a model's file name: one line that ends as models do."""
    if not isinstance(name, str) or not name or len(name) > _LONGEST:
        return False
    stem, dot, suffix = name.rpartition(".")
    if not dot or f".{suffix.lower()}" not in MODEL_SUFFIXES:
        return False
    # Several paths, a URL or a sentence is no name.
    return bool(stem) and stem[-1] not in "/\\" and name.isprintable() and "://" not in name


def split_name(name: str) -> tuple[str, str]:
    """Give ``(subfolder, file name)`` of a name in a loader's list; Windows writes backslashes."""
    folder, _, filename = name.replace("\\", "/").rpartition("/")
    return folder, filename
