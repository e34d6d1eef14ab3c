"""Node classes that put batches together and take them apart."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG002

from typing import ClassVar

import numpy as np

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrange import join_batches
from comfynb.sandbox.nodes.arrays import Array
from comfynb.sandbox.nodes.declare import IMAGE, Inputs, LibraryNode, whole

__all__ = ["ImageBatch", "ImageFromBatch", "RepeatImageBatch"]


class ImageBatch(LibraryNode):
    """Joins two batches."""

    NAME = "ImageBatch"
    DISPLAY_NAME = "Batch Images"
    CATEGORY = "image"
    INPUTS: ClassVar[Inputs] = {"required": {"image1": IMAGE, "image2": IMAGE}}
    OUTPUTS = (("IMAGE", "IMAGE"),)

    @classmethod
    def object_info(cls, ctx: Context) -> dict[str, object]:
        """Say which versions call the class deprecated."""
        info = super().object_info(ctx)
        return info if ctx.version == "0.3.64" else {**info, "deprecated": True}

    def execute(self, ctx: Context, image1: Array, image2: Array) -> Result:
        """Return the pictures of ``image1`` and then those of ``image2``, in the former's size."""
        return Result((join_batches(image1, image2),))


class ImageFromBatch(LibraryNode):
    """Takes pictures out of a batch."""

    NAME = "ImageFromBatch"
    CATEGORY = "image/batch"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "image": IMAGE,
            "batch_index": whole(0, 0, 4095, None),
            "length": whole(1, 1, 4096, None),
        }
    }
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, batch_index: int, length: int) -> Result:
        """Return ``length`` pictures from ``batch_index`` on, fewer where the batch ends."""
        start = min(len(image) - 1, batch_index)
        return Result((image[start : start + length],))


class RepeatImageBatch(LibraryNode):
    """Repeats a batch."""

    NAME = "RepeatImageBatch"
    CATEGORY = "image/batch"
    PYTHON_MODULE = "comfy_extras.nodes_images"
    NEWER_SCHEMA_SINCE = "0.8.0"
    INPUTS: ClassVar[Inputs] = {"required": {"image": IMAGE, "amount": whole(1, 1, 4096, None)}}
    OUTPUTS = (("IMAGE", "IMAGE"),)

    def execute(self, ctx: Context, image: Array, amount: int) -> Result:
        """Return the whole batch ``amount`` times."""
        return Result((np.tile(image, (amount, 1, 1, 1)),))
