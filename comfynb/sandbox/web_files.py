"""The routes about files: upload, view, and models' metadata."""

import asyncio
import io
import json
import mimetypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from aiohttp import web
from PIL import Image, PngImagePlugin

from comfynb.sandbox.context import State, state_of
from comfynb.sandbox.node import FOLDER_TYPES, split_annotation

__all__ = ["ROUTES"]

# what a browser would execute rather than show
_ACTIVE_TYPES = frozenset(
    {
        "text/html",
        "text/html-sandboxed",
        "application/xhtml+xml",
        "text/javascript",
        "application/javascript",
        "text/css",
        "image/svg+xml",
        "text/xml",
        "application/xml",
    }
)

_Save = Callable[[IO[bytes], Path], None]


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


async def _upload_image(request: web.Request) -> web.Response:
    form = await request.post()

    def save(source: IO[bytes], path: Path) -> None:
        with path.open("wb") as target:
            while block := source.read(1 << 20):
                target.write(block)

    return await _upload(state_of(request), form, save)


async def _upload_mask(request: web.Request) -> web.Response:
    state = state_of(request)
    form = await request.post()

    def save(source: IO[bytes], path: Path) -> None:
        reference = json.loads(str(form.get("original_ref")))
        try:
            original = _locate(
                state,
                reference["filename"],
                reference.get("type", "output"),
                reference.get("subfolder", ""),
                keep_path=True,
            )
        except _Refused:
            return  # ComfyUI answers as if it had saved the mask
        if original.is_file():
            _save_with_alpha_of(source, original, path)

    return await _upload(state, form, save)


def _save_with_alpha_of(mask: IO[bytes], original: Path, path: Path) -> None:
    """Save ``original`` with the alpha channel of ``mask``, keeping its metadata."""
    with Image.open(original) as picture, Image.open(mask) as alpha:
        metadata = PngImagePlugin.PngInfo()
        for key, value in getattr(picture, "text", {}).items():
            metadata.add_text(key, value)
        picture_with_alpha = picture.convert("RGBA")
        picture_with_alpha.putalpha(alpha.convert("RGBA").getchannel("A"))
        picture_with_alpha.save(path, format="PNG", compress_level=4, pnginfo=metadata)


async def _upload(state: State, form: object, save: _Save) -> web.Response:
    assert hasattr(form, "get")
    image = form.get("image")
    if not image:
        return web.Response(status=400)
    if not isinstance(image, web.FileField):
        # ComfyUI has no answer for a part without a file name, its handler fails
        raise TypeError("the part 'image' is no file")
    kind = form.get("type", "input")
    if kind not in FOLDER_TYPES:
        # ComfyUI has no answer for such a type, its handler fails
        raise ValueError(f"no folder of type {kind!r}")
    subfolder = str(form.get("subfolder", ""))
    overwrite = form.get("overwrite") in {"true", "1"}
    base = state.settings.folder(kind)
    try:
        name = await asyncio.to_thread(
            _place, base, subfolder, image.filename, image.file, overwrite=overwrite, save=save
        )
    except _Refused as refusal:
        return web.Response(status=refusal.status)
    state.stats.uploaded(f"{subfolder}/{name}" if subfolder else name)
    return web.json_response({"name": name, "subfolder": subfolder, "type": kind})


def _place(
    base: Path, subfolder: str, filename: str, source: IO[bytes], *, overwrite: bool, save: _Save
) -> str:
    """Save an upload and return its name: a new one when the name is taken by other bytes."""
    folder = base / os.path.normpath(subfolder)
    path = Path(os.path.normpath(folder / filename))
    if not path.is_relative_to(base) or path == base or "\0" in str(path):
        raise _Refused(400)
    folder.mkdir(parents=True, exist_ok=True)
    content = source.read()
    suffix = Path(filename).suffix
    stem = filename.removesuffix(suffix)
    number = 1
    while not overwrite and path.exists():
        if path.is_file() and path.read_bytes() == content:
            return filename
        filename = f"{stem} ({number}){suffix}"
        path = folder / filename
        number += 1
    save(io.BytesIO(content), path)
    return filename


def _locate(
    state: State, filename: str, kind: str, subfolder: str, *, keep_path: bool = False
) -> Path:
    """Return the path a client means; raises `_Refused` when it may not mean it."""
    filename, annotated = split_annotation(filename)
    if not filename or filename.startswith("/") or ".." in filename or "\0" in filename:
        raise _Refused(400)
    kind = annotated or kind
    if kind not in FOLDER_TYPES:
        raise _Refused(400)
    base = folder = state.settings.folder(kind)
    if subfolder:
        folder = Path(os.path.normpath(base / subfolder))
        if not folder.is_relative_to(base):
            raise _Refused(403)
    return folder / (filename if keep_path else Path(filename).name)


async def _view(request: web.Request) -> web.StreamResponse:
    query = request.query
    if "filename" not in query:
        return web.Response(status=404)
    try:
        path = _locate(
            state_of(request),
            query["filename"],
            query.get("type", "output"),
            query.get("subfolder", ""),
        )
    except _Refused as refusal:
        return web.Response(status=refusal.status)
    if not path.is_file():
        return web.Response(status=404)
    quoted = path.name.replace("\\", "\\\\").replace('"', '\\"')
    headers = {"Content-Disposition": f'filename="{quoted}"'}
    channel = query.get("channel", "")
    if "preview" in query:
        kind, body = await asyncio.to_thread(_preview, path, query["preview"], channel)
        return web.Response(body=body, content_type=kind, headers=headers)
    if channel in {"rgb", "a"}:
        body = await asyncio.to_thread(_channel, path, channel)
        return web.Response(body=body, content_type="image/png", headers=headers)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind in _ACTIVE_TYPES:
        kind = "application/octet-stream"
        headers["Content-Disposition"] = f'attachment; filename="{quoted}"'
    return web.FileResponse(path, headers=headers | {"Content-Type": kind})


def _preview(path: Path, wanted: str, channel: str) -> tuple[str, bytes]:
    parts = wanted.split(";")
    # alpha needs webp, whatever was asked for
    kind = parts[0] if parts[0] in {"webp", "jpeg"} and "a" not in channel else "webp"
    quality = int(parts[-1]) if parts[-1].isdigit() else 90
    buffer = io.BytesIO()
    with Image.open(path) as image:
        shown = image.convert("RGB") if kind == "jpeg" or channel == "rgb" else image
        shown.save(buffer, format=kind, quality=quality)
    return f"image/{kind}", buffer.getvalue()


def _channel(path: Path, channel: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        if channel == "rgb":
            picture = image.convert("RGB")
        else:
            picture = Image.new("RGBA", image.size)
            opaque = Image.new("L", image.size, 255)
            picture.putalpha(image.getchannel("A") if image.mode == "RGBA" else opaque)
        picture.save(buffer, format="PNG")
    return buffer.getvalue()


async def _view_metadata(request: web.Request) -> web.Response:
    folder = state_of(request).settings.folder("models") / request.match_info["folder"]
    metadata = await asyncio.to_thread(
        _safetensors_metadata, folder, request.query.get("filename", "")
    )
    return web.Response(status=404) if metadata is None else web.json_response(metadata)


def _safetensors_metadata(folder: Path, filename: str) -> object:
    path = Path(os.path.normpath(folder / filename))
    if path.suffix != ".safetensors" or not path.is_relative_to(folder) or not path.is_file():
        return None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(min(length, 1 << 20)))
    return header.get("__metadata__") if isinstance(header, dict) else None


ROUTES = [
    web.post("/upload/image", _upload_image),
    web.post("/upload/mask", _upload_mask),
    web.get("/view", _view),
    web.get("/view_metadata/{folder}", _view_metadata),
]
