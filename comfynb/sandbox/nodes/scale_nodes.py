"""Node classes that resize pictures."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG002, PLR0917

import math
from typing import ClassVar

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrays import Array
from comfynb.sandbox.nodes.declare import (
    IMAGE,
    MAX_RESOLUTION,
    Inputs,
    LibraryNode,
    combo,
    real,
    whole,
)
from comfynb.sandbox.nodes.resample import UPSCALE_METHODS, upscale

__all__ = ["ImageScale", "ImageScaleBy", "ImageScaleToMaxDimension", "ImageScaleToTotalPixels"]


class ImageScale(LibraryNode):
    """Resizes to a width and a height."""

    NAME = "ImageScale"
    DISPLAY_NAME = "Upscale Image"
    CATEGORY = "image/upscaling"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": combo(*UPSCALE_METHODS),
            "width": whole(512, 0, MAX_RESOLUTION),
            "height": whole(512, 0, MAX_RESOLUTION),
            "crop": combo("disabled", "center"),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self, ctx: Context, image: Array, upscale_method: str, width: int, height: int, crop: str
    ) -> Result:
        """Resize; a width or height of 0 follows from the other, both 0 change nothing."""
        if width == 0 and height == 0:
            return Result((image,))
        old_height, old_width = image.shape[1:3]
        if width == 0:
            width = max(1, round(old_width * height / old_height))
        elif height == 0:
            height = max(1, round(old_height * width / old_width))
        return Result((upscale(image, width, height, upscale_method, crop),))


class ImageScaleBy(LibraryNode):
    """Resizes by a factor."""

    NAME = "ImageScaleBy"
    DISPLAY_NAME = "Upscale Image By"
    CATEGORY = "image/upscaling"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": combo(*UPSCALE_METHODS),
            "scale_by": real(1.0, 0.01, 8.0, 0.01),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, upscale_method: str, scale_by: float) -> Result:
        """Resize width and height by ``scale_by``."""
        height, width = (round(length * scale_by) for length in image.shape[1:3])
        return Result((upscale(image, width, height, upscale_method),))


class ImageScaleToTotalPixels(LibraryNode):
    """Resizes to a number of pixels."""

    NAME = "ImageScaleToTotalPixels"
    CATEGORY = "image/upscaling"
    PYTHON_MODULE = "comfy_extras.nodes_post_processing"
    NEWER_SCHEMA_SINCE = "0.3.64"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "upscale_method": combo(*UPSCALE_METHODS),
            "megapixels": real(1.0, 0.01, 16.0, 0.01),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    @classmethod
    def declared(cls, ctx: Context) -> Inputs:
        """Declare ``resolution_steps`` for the versions that have it."""
        if ctx.version == "0.3.64":
            return cls.INPUTS
        steps = {"resolution_steps": whole(1, 1, 256, None)}
        return {"required": {**cls.INPUTS["required"], **steps}}

    def execute(
        self,
        ctx: Context,
        image: Array,
        upscale_method: str,
        megapixels: float,
        resolution_steps: int = 1,
    ) -> Result:
        """Resize to ``megapixels`` x 1024 x 1024, each side a multiple of ``resolution_steps``."""
        total = megapixels * 1024 * 1024
        if ctx.version == "0.3.64":
            total = int(total)
        old_height, old_width = image.shape[1:3]
        scale_by = math.sqrt(total / (old_width * old_height))
        width, height = (
            round(length * scale_by / resolution_steps) * resolution_steps
            for length in (old_width, old_height)
        )
        return Result((upscale(image, width, height, upscale_method),))


class ImageScaleToMaxDimension(LibraryNode):
    """Resizes so that the longer side has a given length."""

    NAME = "ImageScaleToMaxDimension"
    CATEGORY = "image/upscaling"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            # ComfyUI offers bilinear twice
            "upscale_method": combo(
                "area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic"
            ),
            "largest_size": whole(512, 0, MAX_RESOLUTION),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, upscale_method: str, largest_size: int) -> Result:
        """Resize the longer side to ``largest_size``, the other one in proportion."""
        old_height, old_width = image.shape[1:3]
        width = height = largest_size
        if old_height > old_width:
            width = round((old_width / old_height) * largest_size)
        elif old_width > old_height:
            height = round((old_height / old_width) * largest_size)
        return Result((upscale(image, width, height, upscale_method),))
