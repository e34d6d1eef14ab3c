"""Node classes that make plain pictures, blend and filter them, and change their colours."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG002

from typing import ClassVar

import numpy as np

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrays import Array
from comfynb.sandbox.nodes.blend import BLEND_MODES, blend
from comfynb.sandbox.nodes.declare import (
    IMAGE,
    MAX_RESOLUTION,
    Inputs,
    LibraryNode,
    combo,
    real,
    whole,
)
from comfynb.sandbox.nodes.filters import blur, sharpen
from comfynb.sandbox.nodes.quantize import DITHERS, quantize

__all__ = [
    "EmptyImage",
    "ImageBlend",
    "ImageBlur",
    "ImageInvert",
    "ImageQuantize",
    "ImageSharpen",
]

_POST_PROCESSING = "comfy_extras.nodes_post_processing"


class EmptyImage(LibraryNode):
    """Makes pictures of one colour."""

    NAME = "EmptyImage"
    CATEGORY = "image"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "width": whole(512, 1, MAX_RESOLUTION),
            "height": whole(512, 1, MAX_RESOLUTION),
            "batch_size": whole(1, 1, 4096, None),
            "color": whole(0, 0, 0xFFFFFF, display="color"),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self, ctx: Context, width: int, height: int, batch_size: int = 1, color: int = 0
    ) -> Result:
        """Return ``batch_size`` pictures of ``color`` 0xRRGGBB."""
        channels = [(color >> shift & 0xFF) / 0xFF for shift in (16, 8, 0)]
        pixels = np.empty((batch_size, height, width, 3), np.float32)
        pixels[...] = channels
        return Result((pixels,))


class ImageInvert(LibraryNode):
    """Turns each channel over."""

    NAME = "ImageInvert"
    DISPLAY_NAME = "Invert Image"
    CATEGORY = "image"
    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE}}
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array) -> Result:
        """Return ``1 - image``."""
        return Result((1 - image,))


class ImageBlend(LibraryNode):
    """Mixes two pictures."""

    NAME = "ImageBlend"
    CATEGORY = "image/postprocessing"
    PYTHON_MODULE = _POST_PROCESSING
    NEWER_SCHEMA_SINCE = "0.3.64"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image1": IMAGE,
            "image2": IMAGE,
            "blend_factor": real(0.5, 0.0, 1.0, 0.01),
            "blend_mode": combo(*BLEND_MODES),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self, ctx: Context, image1: Array, image2: Array, blend_factor: float, blend_mode: str
    ) -> Result:
        """Mix ``image2`` into ``image1``."""
        return Result((blend(image1, image2, blend_factor, blend_mode),))


class ImageBlur(LibraryNode):
    """Blurs."""

    NAME = "ImageBlur"
    CATEGORY = "image/postprocessing"
    PYTHON_MODULE = _POST_PROCESSING
    NEWER_SCHEMA_SINCE = "0.3.64"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "blur_radius": whole(1, 1, 31),
            "sigma": real(1.0, 0.1, 10.0, 0.1),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, blur_radius: int, sigma: float) -> Result:
        """Blur over ``blur_radius`` pixels."""
        return Result((blur(image, blur_radius, sigma) if blur_radius else image,))


class ImageSharpen(LibraryNode):
    """Sharpens."""

    NAME = "ImageSharpen"
    CATEGORY = "image/postprocessing"
    PYTHON_MODULE = _POST_PROCESSING
    NEWER_SCHEMA_SINCE = "0.3.64"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "sharpen_radius": whole(1, 1, 31),
            "sigma": real(1.0, 0.1, 10.0, 0.01),
            "alpha": real(1.0, 0.0, 5.0, 0.01),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self, ctx: Context, image: Array, sharpen_radius: int, sigma: float, alpha: float
    ) -> Result:
        """Sharpen by taking a blurred copy away."""
        if sharpen_radius:
            image = sharpen(image, sharpen_radius, sigma, alpha)
        return Result((image,))


class ImageQuantize(LibraryNode):
    """Reduces the number of colours."""

    NAME = "ImageQuantize"
    CATEGORY = "image/postprocessing"
    PYTHON_MODULE = _POST_PROCESSING
    NEWER_SCHEMA_SINCE = "0.3.64"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "colors": whole(256, 1, 256),
            "dither": combo(*DITHERS),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, colors: int, dither: str) -> Result:
        """Reduce each picture to ``colors`` colours of its own."""
        return Result((quantize(image, colors, dither),))
