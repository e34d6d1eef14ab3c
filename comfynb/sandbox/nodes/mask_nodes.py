"""Node classes that make, change and use masks."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG002, PLR0917

from typing import ClassVar

import numpy as np

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrays import Array
from comfynb.sandbox.nodes.blend import composite
from comfynb.sandbox.nodes.declare import (
    IMAGE,
    MASK,
    MAX_RESOLUTION,
    Inputs,
    LibraryNode,
    boolean,
    combo,
    real,
    whole,
)
from comfynb.sandbox.nodes.masks import CHANNELS, channel_mask, colour_mask, grow

__all__ = [
    "GrowMask",
    "ImageColorToMask",
    "ImageCompositeMasked",
    "ImageToMask",
    "InvertMask",
    "MaskToImage",
    "SolidMask",
]


class MaskNode(LibraryNode):
    """What the node classes of ComfyUI's mask module share."""

    CATEGORY = "mask"
    PYTHON_MODULE = "comfy_extras.nodes_mask"
    NEWER_SCHEMA_SINCE = "0.8.0"
    OUTPUTS = (("MASK", "MASK"),)


class ImageCompositeMasked(MaskNode):
    """Lays one picture over another."""

    NAME = "ImageCompositeMasked"
    CATEGORY = "image"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "destination": IMAGE,
            "source": IMAGE,
            "x": whole(0, 0, MAX_RESOLUTION),
            "y": whole(0, 0, MAX_RESOLUTION),
            "resize_source": boolean(False),
        },
        "optional": {"mask": MASK},
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(
        self,
        ctx: Context,
        destination: Array,
        source: Array,
        x: int,
        y: int,
        resize_source: bool,
        mask: Array | None = None,
    ) -> Result:
        """Lay ``source`` over ``destination`` at ``x``, ``y``, where ``mask`` lets it show."""
        return Result(
            (composite(destination, source, x, y, mask=mask, resize_source=resize_source),)
        )


class ImageColorToMask(MaskNode):
    """Masks one colour."""

    NAME = "ImageColorToMask"
    INPUTS: ClassVar[Inputs] = {
        "required": {"image": IMAGE, "color": whole(0, 0, 0xFFFFFF, display="color")}
    }

    @classmethod
    def declared(cls, ctx: Context) -> Inputs:
        """Declare how ``color`` is shown, which the newer schema changed."""
        if not cls.in_newer_schema(ctx.version):
            return cls.INPUTS
        return {"required": {"image": IMAGE, "color": whole(0, 0, 0xFFFFFF, display="number")}}

    def execute(self, ctx: Context, image: Array, color: int) -> Result:
        """Return 1 where ``image`` has ``color`` 0xRRGGBB."""
        return Result((colour_mask(image, color),))


class ImageToMask(MaskNode):
    """Takes one channel as a mask."""

    NAME = "ImageToMask"
    DISPLAY_NAME = "Convert Image to Mask"
    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "channel": combo(*CHANNELS)}}

    def execute(self, ctx: Context, image: Array, channel: str) -> Result:
        """Return the channel; a picture without alpha has no ``alpha``."""
        return Result((channel_mask(image, channel),))


class MaskToImage(MaskNode):
    """Shows a mask as a grey picture."""

    NAME = "MaskToImage"
    DISPLAY_NAME = "Convert Mask to Image"
    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK}}
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, mask: Array) -> Result:
        """Return the mask in all three channels."""
        return Result((np.repeat(mask[..., None], 3, axis=-1),))


class SolidMask(MaskNode):
    """Makes a mask of one value."""

    NAME = "SolidMask"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "value": real(1.0, 0.0, 1.0, 0.01),
            "width": whole(512, 1, MAX_RESOLUTION),
            "height": whole(512, 1, MAX_RESOLUTION),
        }
    }

    def execute(self, ctx: Context, value: float, width: int, height: int) -> Result:
        """Return one mask full of ``value``."""
        return Result((np.full((1, height, width), value, np.float32),))


class InvertMask(MaskNode):
    """Turns a mask over."""

    NAME = "InvertMask"
    INPUTS: ClassVar[Inputs] = {"required": {"mask": MASK}}

    def execute(self, ctx: Context, mask: Array) -> Result:
        """Return ``1 - mask``."""
        return Result((1 - mask,))


class GrowMask(MaskNode):
    """Grows or shrinks a mask."""

    NAME = "GrowMask"
    DISPLAY_NAME = "Grow Mask"
    OLDER_DISPLAY_NAME = "GrowMask"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "mask": MASK,
            "expand": whole(0, -MAX_RESOLUTION, MAX_RESOLUTION),
            "tapered_corners": boolean(True),
        }
    }

    def execute(self, ctx: Context, mask: Array, expand: int, tapered_corners: bool) -> Result:
        """Grow by ``expand`` pixels, or shrink where it is negative."""
        return Result((grow(mask, expand, tapered_corners=tapered_corners),))
