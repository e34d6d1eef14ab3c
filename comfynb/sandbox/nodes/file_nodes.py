"""Node classes that read and write picture files, or send pictures to the client."""

# A node takes its inputs by name, and the context, whether it needs them all or not.
# ruff: noqa: ARG003

import secrets
import string
from typing import Any, ClassVar

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes.arrays import Array, to_pillow
from comfynb.sandbox.nodes.declare import IMAGE, Inputs, LibraryNode, combo
from comfynb.sandbox.nodes.loading import (
    MASK_CHANNELS,
    file_digest,
    input_files,
    load_mask,
    load_pictures,
    missing,
)
from comfynb.sandbox.nodes.saving import save_batch

__all__ = ["LoadImage", "LoadImageMask", "PreviewImage", "SaveImage", "SaveImageWebsocket"]

_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class LoadImage(LibraryNode):
    """Reads a picture from the input folder."""

    NAME = "LoadImage"
    DISPLAY_NAME = "Load Image"
    CATEGORY = "image"
    OUTPUTS = (("IMAGE", "IMAGE"), ("MASK", "MASK"))

    @classmethod
    def declared(cls, ctx: Context) -> Inputs:
        """Offer the pictures that lie in the input folder."""
        names = input_files(ctx.folder("input"), pictures_only=True)
        return {"required": {"image": combo(*names, image_upload=True)}}

    @classmethod
    def fingerprint(cls, ctx: Context, image: Any = None) -> object:
        """Return the file's hash, so that a changed file is read again."""
        return None if image is None else file_digest(ctx.resolve_input(image))

    @classmethod
    def validate(cls, ctx: Context, image: Any = None) -> str | None:
        """Accept any file that is there, in the list or not."""
        return missing(ctx, image)

    def execute(self, ctx: Context, image: str) -> Result:
        """Return all frames and what is transparent in them."""
        return Result(load_pictures(ctx.resolve_input(image)))


class LoadImageMask(LibraryNode):
    """Reads one channel of a picture from the input folder."""

    NAME = "LoadImageMask"
    DISPLAY_NAME = "Load Image (as Mask)"
    CATEGORY = "mask"
    OUTPUTS = (("MASK", "MASK"),)

    @classmethod
    def declared(cls, ctx: Context) -> Inputs:
        """Offer all files that lie in the input folder."""
        names = input_files(ctx.folder("input"), pictures_only=False)
        return {
            "required": {
                "image": combo(*names, image_upload=True),
                "channel": combo(*MASK_CHANNELS),
            }
        }

    @classmethod
    def fingerprint(cls, ctx: Context, image: Any = None, channel: Any = None) -> object:
        """Return the file's hash, so that a changed file is read again."""
        return None if image is None else file_digest(ctx.resolve_input(image))

    @classmethod
    def validate(cls, ctx: Context, image: Any = None) -> str | None:
        """Accept any file that is there, in the list or not."""
        return missing(ctx, image)

    def execute(self, ctx: Context, image: str, channel: str) -> Result:
        """Return the channel as a mask."""
        return Result((load_mask(ctx.resolve_input(image), channel),))


class SaveImage(LibraryNode):
    """Writes pictures to the output folder."""

    NAME = "SaveImage"
    DISPLAY_NAME = "Save Image"
    CATEGORY = "image"
    DESCRIPTION = "Writes each picture of a batch as a PNG file to the output folder."
    INPUTS: ClassVar[Inputs] = {
        "required": {
            "images": ["IMAGE", {"tooltip": "What to write."}],
            "filename_prefix": [
                "STRING",
                {
                    "default": "ComfyUI",
                    "tooltip": "How file names begin; a slash leads into a subfolder, and "
                    "%width% or %date:yyyy-MM-dd% stand for their values.",
                },
            ],
        },
        "hidden": _HIDDEN,
    }
    OUTPUT_NODE = True

    def execute(self, ctx: Context, images: Array, filename_prefix: str = "ComfyUI") -> Result:
        """Save ``images`` under the next free numbers."""
        return _save(ctx, images, filename_prefix, "output", compress_level=4)


class PreviewImage(LibraryNode):
    """Writes pictures to the temp folder, to be looked at."""

    NAME = "PreviewImage"
    DISPLAY_NAME = "Preview Image"
    CATEGORY = "image"
    DESCRIPTION = "Shows pictures without keeping them: they lie in the temp folder."
    INPUTS: ClassVar[Inputs] = {"required": {"images": IMAGE}, "hidden": _HIDDEN}
    OUTPUT_NODE = True

    def execute(self, ctx: Context, images: Array) -> Result:
        """Save ``images`` under a random prefix that stays while the node is in the cache."""
        if "prefix" not in ctx.instance:
            letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
            ctx.instance["prefix"] = f"ComfyUI_temp_{letters}"
        return _save(ctx, images, ctx.instance["prefix"], "temp", compress_level=1)


class SaveImageWebsocket(LibraryNode):
    """Sends pictures to the client as it sends previews, and writes no file."""

    NAME = "SaveImageWebsocket"
    CATEGORY = "api/image"
    PYTHON_MODULE = "custom_nodes.websocket_image_save"
    INPUTS: ClassVar[Inputs] = {"required": {"images": IMAGE}}
    OUTPUT_NODE = True

    @classmethod
    def fingerprint(cls, ctx: Context, images: Any = None) -> object:
        """Return a value that equals nothing: the pictures are sent each time."""
        return float("nan")

    def execute(self, ctx: Context, images: Array) -> Result:
        """Send each picture of ``images`` as PNG."""
        for index, picture in enumerate(images):
            ctx.progress(index, len(images), to_pillow(picture), "PNG")
        return Result()


def _save(ctx: Context, images: Array, prefix: str, kind: str, *, compress_level: int) -> Result:
    saved = save_batch(
        images,
        ctx.folder(kind),
        prefix,
        prompt=ctx.prompt,
        extra_pnginfo=ctx.extra_pnginfo,
        compress_level=compress_level,
    )
    entries = [
        {"filename": name, "subfolder": subfolder, "type": kind} for name, subfolder in saved
    ]
    return Result(ui={"images": entries})
