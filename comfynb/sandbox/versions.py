"""What the server versions that the sandbox can play differ in."""

import os
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["VERSIONS", "ServerVersion", "server_version"]

_MODEL_FOLDERS = (
    "checkpoints configs loras vae text_encoders diffusion_models clip_vision style_models "
    "embeddings diffusers vae_approx controlnet gligen upscale_models {0}custom_nodes "
    "hypernetworks photomaker classifiers model_patches audio_encoders"
)


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """One ComfyUI version as clients see it."""

    name: str
    os_name: str
    frontend_version: str
    templates_version: str
    model_folders: tuple[str, ...]
    extensions: dict[str, Any]
    """What ``/features`` says under ``extension``."""
    has_jobs: bool
    """``/api/jobs`` exists, and with it ``create_time`` in a prompt's extra data."""
    has_subgraphs: bool
    """``/global_subgraphs`` exists."""
    checks_new_combos: bool
    """A value that is not among the options of a newer schema's combo refuses the prompt."""
    preview_per_prompt: bool
    """``extra_data.preview_method`` overrules the server's preview method."""

    def features(self, max_upload_size: int) -> dict[str, Any]:
        """Return what ``/features`` and the websocket's ``feature_flags`` answer."""
        features: dict[str, Any] = {
            "supports_preview_metadata": True,
            "max_upload_size": max_upload_size,
        }
        if self.extensions:
            features["extension"] = self.extensions
        return features


VERSIONS = {
    version.name: version
    for version in (
        ServerVersion(
            name="0.3.64",
            os_name=os.name,
            frontend_version="1.27.10",
            templates_version="0.1.95",
            model_folders=tuple(_MODEL_FOLDERS.format("").split()),
            extensions={},
            has_jobs=False,
            has_subgraphs=False,
            checks_new_combos=False,
            preview_per_prompt=False,
        ),
        ServerVersion(
            name="0.8.0",
            os_name=sys.platform,
            frontend_version="1.35.9",
            templates_version="0.7.67",
            model_folders=tuple(_MODEL_FOLDERS.format("latent_upscale_models ").split()),
            extensions={"manager": {"supports_v4": True}},
            has_jobs=True,
            has_subgraphs=True,
            checks_new_combos=True,
            preview_per_prompt=True,
        ),
    )
}


def server_version(name: str) -> ServerVersion:
    """Return the version ``name``; raises ValueError that lists what there is."""
    try:
        return VERSIONS[name]
    except KeyError:
        known = ", ".join(VERSIONS)
        raise ValueError(f"the sandbox plays no version {name!r}; it plays {known}") from None
