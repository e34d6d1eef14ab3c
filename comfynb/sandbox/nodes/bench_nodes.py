"""Bench node classes of our own: they take time, report progress, and fail, without any model."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: PLR0917

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from comfynb.sandbox.node import Context, Node, OutOfMemoryError, Result
from comfynb.sandbox.nodes.arrays import Array, to_pillow
from comfynb.sandbox.nodes.declare import IMAGE, Inputs, combo, real, whole
from comfynb.sandbox.nodes.picture import waves

__all__ = ["LabEncode", "LabFail", "LabLoader", "LabLora", "LabModel", "LabSampler"]

_LATENT_PIXELS = 8  # a latent has one value where the picture has this many pixels across


@dataclass(frozen=True, slots=True)
class LabModel:
    """What `LabLoader` hands on as a MODEL."""

    name: str


class LabLoader(Node):
    """Waits as long as a checkpoint takes to load."""

    NAME = "LabLoader"
    DISPLAY_NAME = "Lab Loader"
    CATEGORY = "lab"
    PYTHON_MODULE = "custom_nodes.lab_nodes"
    DESCRIPTION = "Takes the given seconds, as loading a checkpoint would, unless it is cached."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "name": [
                ["small.safetensors", "medium.safetensors", "large.safetensors", "xl.safetensors"],
                {},
            ],
            "seconds": real(1.0, 0.0, 3600.0, 0.01),
        }
    }
    OUTPUTS = (("MODEL", "MODEL"),)

    def execute(self, ctx: Context, name: str, seconds: float) -> Result:
        """Load ``name`` in ``seconds``."""
        ctx.sleep(seconds)
        ctx.model_loaded(name)
        return Result((LabModel(name),))


class LabLora(Node):
    """Waits as long as patching a model takes."""

    NAME = "LabLora"
    DISPLAY_NAME = "Lab LoRA"
    CATEGORY = "lab"
    PYTHON_MODULE = "custom_nodes.lab_nodes"
    DESCRIPTION = "Takes the given seconds, as patching a model does, unless it is cached."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": ["MODEL"],
            "name": [["detail.safetensors", "style.safetensors", "light.safetensors"], {}],
            "seconds": real(0.5, 0.0, 3600.0, 0.01),
        }
    }
    OUTPUTS = (("MODEL", "MODEL"),)

    def execute(self, ctx: Context, model: LabModel, name: str, seconds: float) -> Result:
        """Patch ``model`` with ``name`` in ``seconds``."""
        ctx.sleep(seconds)
        ctx.model_loaded(name)
        return Result((LabModel(f"{model.name}+{name}"),))


class LabEncode(Node):
    """Waits as long as encoding a text takes."""

    NAME = "LabEncode"
    DISPLAY_NAME = "Lab Encode"
    CATEGORY = "lab"
    PYTHON_MODULE = "custom_nodes.lab_nodes"
    DESCRIPTION = "Takes the given seconds for a text, as a large text encoder would."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": ["MODEL"],
            "text": ["STRING", {"multiline": True, "default": ""}],
            "seconds": real(0.2, 0.0, 3600.0, 0.01),
        }
    }
    OUTPUTS = (("STRING", "TEXT"),)

    def execute(self, ctx: Context, model: LabModel, text: str, seconds: float) -> Result:  # noqa: ARG002 - it waits for it
        """Hand ``text`` on after ``seconds``."""
        ctx.sleep(seconds)
        return Result((text,))


class LabSampler(Node):
    """Makes a picture in steps, as a sampler does."""

    NAME = "LabSampler"
    DISPLAY_NAME = "Lab Sampler"
    CATEGORY = "lab"
    PYTHON_MODULE = "custom_nodes.lab_nodes"
    DESCRIPTION = "Makes a picture out of its inputs, step by step, with progress and previews."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "model": ["MODEL"],
            "seed": whole(0, 0, 0xFFFFFFFFFFFFFFFF, None, control_after_generate=True),
            "steps": whole(20, 1, 10_000, None),
            "seconds_per_step": real(0.1, 0.0, 60.0, 0.01),
            "text": ["STRING", {"multiline": True, "default": ""}],
        },
        "optional": {
            "width": whole(256, 16, 2048, 8),
            "height": whole(256, 16, 2048, 8),
            "batch_size": whole(1, 1, 64, None),
        },
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self,
        ctx: Context,
        model: LabModel,
        seed: int,
        steps: int,
        seconds_per_step: float,
        text: str,
        width: int = 256,
        height: int = 256,
        batch_size: int = 1,
    ) -> Result:
        """Sample ``batch_size`` pictures; all inputs but ``seconds_per_step`` shape them."""
        batch = [
            waves(model=model.name, seed=seed, text=text, index=index)
            for index in range(batch_size)
        ]
        # few steps leave more noise behind than many
        rest = 0.5 / steps
        for step in range(1, steps + 1):
            ctx.sleep(seconds_per_step)
            preview = None
            if ctx.preview_method != "none":
                latent = (max(1, height // _LATENT_PIXELS), max(1, width // _LATENT_PIXELS))
                noise = 1 - (1 - rest) * step / steps
                preview = to_pillow(batch[0].draw(*latent, noise))
            ctx.progress(step, steps, preview)
        return Result((np.stack([picture.draw(height, width, rest) for picture in batch]),))


class LabFail(Node):
    """Fails the first few times, and hands its picture on after that."""

    NAME = "LabFail"
    DISPLAY_NAME = "Lab Fail"
    CATEGORY = "lab"
    PYTHON_MODULE = "custom_nodes.lab_nodes"
    DESCRIPTION = "Fails as often as it is told to for each key, then passes the picture through."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "key": ["STRING", {"default": ""}],
            "times": whole(1, 0, 1_000_000, None),
            "kind": combo("error", "oom"),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, key: str, times: int, kind: str) -> Result:
        """Raise ``kind`` for the first ``times`` runs of ``key`` on this server."""
        failures = ctx.memory.setdefault("LabFail", Counter())
        if failures[key] < times:
            failures[key] += 1
            if kind == "oom":
                raise OutOfMemoryError("Allocation on device (lab)")
            raise RuntimeError(f"lab failure {failures[key]} of {times} for {key}")
        return Result((image,))
