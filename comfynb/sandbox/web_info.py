"""The routes that describe the server: statistics, features, node classes, models."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from comfynb.sandbox.context import State, state_of

__all__ = ["ROUTES", "SUBGRAPH_ROUTES"]

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>ComfyUI sandbox</title>
<p>This is a sandbox that speaks ComfyUI's protocol. It has no front-end.</p></html>
"""


async def _root(_: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html")


async def _system_stats(request: web.Request) -> web.Response:
    state = state_of(request)
    memory = psutil.virtual_memory()
    version = state.version
    system = {
        "os": version.os_name,
        "ram_total": memory.total,
        "ram_free": memory.available,
        "comfyui_version": version.name,
        "required_frontend_version": version.frontend_version,
        "installed_templates_version": version.templates_version,
        "required_templates_version": version.templates_version,
        "python_version": sys.version,
        "pytorch_version": "none (sandbox)",
        "embedded_python": False,
        "argv": state.settings.argv,
    }
    return web.json_response({"system": system, "devices": [_device(state, memory)]})


def _device(state: State, memory: Any) -> dict[str, Any]:
    total = state.settings.vram_total
    if total is None:
        name, kind, index = "cpu", "cpu", None
        total, free = memory.total, memory.available
    else:
        name, kind, index = f"cuda:0 {state.settings.gpu_name} : sandbox", "cuda", 0
        free = total
    return {
        "name": name,
        "type": kind,
        "index": index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }


async def _features(request: web.Request) -> web.Response:
    state = state_of(request)
    return web.json_response(state.version.features(state.settings.max_upload_size))


async def _object_info(request: web.Request) -> web.Response:
    state = state_of(request)
    ctx = state.machine.context()
    infos = await asyncio.to_thread(
        lambda: {name: state.catalogue.info(name, ctx) for name in state.catalogue}
    )
    return web.json_response(infos)


async def _object_info_of_class(request: web.Request) -> web.Response:
    state = state_of(request)
    name = request.match_info["node_class"]
    if name not in state.catalogue:
        return web.json_response({})
    return web.json_response({name: state.catalogue.info(name, state.machine.context())})


async def _model_folders(request: web.Request) -> web.Response:
    return web.json_response(list(state_of(request).version.model_folders))


async def _models(request: web.Request) -> web.Response:
    state = state_of(request)
    folder = request.match_info["folder"]
    if folder not in state.version.model_folders:
        return web.Response(status=404)
    return web.json_response([str(path) for path in await _model_files(state, folder)])


async def _embeddings(request: web.Request) -> web.Response:
    files = await _model_files(state_of(request), "embeddings")
    return web.json_response([str(path.with_suffix("")) for path in files])


async def _experiment_folders(request: web.Request) -> web.Response:
    state = state_of(request)
    hidden = {"configs", "custom_nodes"}
    return web.json_response(
        [
            {"name": name, "folders": [str(state.settings.folder("models") / name)]}
            for name in state.version.model_folders
            if name not in hidden
        ]
    )


async def _experiment_models(request: web.Request) -> web.Response:
    state = state_of(request)
    folder = request.match_info["folder"]
    if folder not in state.version.model_folders:
        return web.Response(status=404)
    base = state.settings.folder("models") / folder
    found = []
    for path in await _model_files(state, folder):
        stat = (base / path).stat()
        found.append(
            {
                "name": str(path),
                "pathIndex": 0,
                "modified": stat.st_mtime,
                "created": stat.st_ctime,
                "size": stat.st_size,
            }
        )
    return web.json_response(found)


async def _model_files(state: State, folder: str) -> list[Path]:
    """Return the files of one models folder, relative to it."""
    base = state.settings.folder("models") / folder
    return await asyncio.to_thread(
        lambda: sorted(p.relative_to(base) for p in base.rglob("*") if p.is_file())
    )


async def _empty_list(_: web.Request) -> web.Response:
    return web.json_response([])


async def _empty_object(_: web.Request) -> web.Response:
    return web.json_response({})


ROUTES = [
    web.get("/", _root),
    web.get("/system_stats", _system_stats),
    web.get("/features", _features),
    web.get("/object_info", _object_info),
    web.get("/object_info/{node_class}", _object_info_of_class),
    web.get("/models", _model_folders),
    web.get("/models/{folder}", _models),
    web.get("/embeddings", _embeddings),
    web.get("/experiment/models", _experiment_folders),
    web.get("/experiment/models/{folder}", _experiment_models),
    # the sandbox brings no front-end extensions, translations or templates
    web.get("/extensions", _empty_list),
    web.get("/i18n", _empty_object),
    web.get("/workflow_templates", _empty_object),
]

SUBGRAPH_ROUTES = [web.get("/global_subgraphs", _empty_object)]
