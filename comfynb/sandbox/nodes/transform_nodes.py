"""Node classes that cut, turn, mirror, stitch and frame pictures."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG002, PLR0917

from typing import ClassVar

import numpy as np

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrange import DIRECTIONS, SPACING_COLOURS, pad_for_outpaint, stitch
from comfynb.sandbox.nodes.arrays import Array
from comfynb.sandbox.nodes.declare import (
    IMAGE,
    MAX_RESOLUTION,
    Inputs,
    LibraryNode,
    boolean,
    combo,
    whole,
)

__all__ = ["ImageCrop", "ImageFlip", "ImagePadForOutpaint", "ImageRotate", "ImageStitch"]


class ImageCrop(LibraryNode):
    """Cuts a rectangle out."""

    NAME = "ImageCrop"
    DISPLAY_NAME = "Image Crop"
    CATEGORY = "image/transform"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "width": whole(512, 1, MAX_RESOLUTION),
            "height": whole(512, 1, MAX_RESOLUTION),
            "x": whole(0, 0, MAX_RESOLUTION),
            "y": whole(0, 0, MAX_RESOLUTION),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self, ctx: Context, image: Array, width: int, height: int, x: int, y: int
    ) -> Result:
        """Cut as much of the rectangle as lies in the picture, at least one pixel."""
        x = min(x, image.shape[2] - 1)
        y = min(y, image.shape[1] - 1)
        return Result((image[:, y : y + height, x : x + width],))


class ImageRotate(LibraryNode):
    """Turns by quarters, clockwise."""

    NAME = "ImageRotate"
    CATEGORY = "image/transform"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "rotation": combo("none", "90 degrees", "180 degrees", "270 degrees"),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, rotation: str) -> Result:
        """Turn by the degrees that ``rotation`` begins with."""
        quarters = 0 if rotation == "none" else int(rotation.split(maxsplit=1)[0]) // 90
        return Result((np.rot90(image, quarters, axes=(2, 1)),))


class ImageFlip(LibraryNode):
    """Mirrors."""

    NAME = "ImageFlip"
    CATEGORY = "image/transform"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "flip_method": combo("x-axis: vertically", "y-axis: horizontally"),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, flip_method: str) -> Result:
        """Mirror top and bottom (``x``) or left and right (``y``)."""
        return Result((np.flip(image, axis=1 if flip_method.startswith("x") else 2),))


class ImageStitch(LibraryNode):
    """Puts two pictures side by side."""

    NAME = "ImageStitch"
    DISPLAY_NAME = "Image Stitch"
    CATEGORY = "image/transform"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    DESCRIPTION = "Puts the second picture beside the first, with or without a strip between them."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image1": IMAGE,
            "direction": combo(*DIRECTIONS, default="right"),
            "match_image_size": boolean(True),
            "spacing_width": whole(0, 0, 1024, 2),
            "spacing_color": combo(*SPACING_COLOURS, default="white"),
        },
        "optional": {"image2": IMAGE},
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self,
        ctx: Context,
        image1: Array,
        direction: str,
        match_image_size: bool,
        spacing_width: int,
        spacing_color: str,
        image2: Array | None = None,
    ) -> Result:
        """Stitch; without a second picture the first is returned as it is."""
        if image2 is None:
            return Result((image1,))
        stitched = stitch(
            image1,
            image2,
            direction,
            match_size=match_image_size,
            spacing=spacing_width,
            colour=spacing_color,
        )
        return Result((stitched,))


class ImagePadForOutpaint(LibraryNode):
    """Frames a picture with grey to be painted over."""

    NAME = "ImagePadForOutpaint"
    DISPLAY_NAME = "Pad Image for Outpainting"
    CATEGORY = "image"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "left": whole(0, 0, MAX_RESOLUTION, 8),
            "top": whole(0, 0, MAX_RESOLUTION, 8),
            "right": whole(0, 0, MAX_RESOLUTION, 8),
            "bottom": whole(0, 0, MAX_RESOLUTION, 8),
            "feathering": whole(40, 0, MAX_RESOLUTION),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"), ("MASK", "MASK"))

    def execute(
        self,
        ctx: Context,
        image: Array,
        left: int,
        top: int,
        right: int,
        bottom: int,
        feathering: int,
    ) -> Result:
        """Return the framed picture and the mask of the frame."""
        return Result(pad_for_outpaint(image, (left, top, right, bottom), feathering))
