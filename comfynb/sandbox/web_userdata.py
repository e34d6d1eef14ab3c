"""The routes about a user's files and settings; saved workflows are among the files."""

import asyncio
import json
import mimetypes
import os
import shutil
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

from aiohttp import web

from comfynb.sandbox.context import State, state_of

__all__ = ["ROUTES"]


class _Answer(Exception):
    def __init__(self, status: int, text: str | None = None) -> None:
        self.response = web.Response(status=status, text=text)


def _root(state: State) -> Path:
    return state.settings.folder("user") / "default"


def _path(state: State, name: str, status: int = 403, text: str | None = None) -> Path:
    """Return the path of a user's file; answers ``status`` when it lies elsewhere."""
    root = _root(state)
    # names may come encoded twice, so that a slash survives in one path segment
    path = Path(os.path.normpath(root / urllib.parse.unquote(name)))
    if not path.is_relative_to(root) or "\0" in str(path):
        raise _Answer(status, text)
    return path


async def _list(request: web.Request) -> web.Response:
    state, query = state_of(request), request.query
    name = query.get("dir", "")
    if not name:
        return web.Response(status=400, text="Directory not provided")
    try:
        path = _path(state, name, text="Invalid directory")
    except _Answer as answer:
        return answer.response
    if not path.exists():
        return web.Response(status=404, text="Directory not found")
    recurse, full, split = (
        query.get(flag, "").lower() == "true" for flag in ("recurse", "full_info", "split")
    )

    def collect() -> list[Any]:
        # hidden files stay hidden, as with any shell pattern
        files = [
            file
            for file in sorted(path.rglob("*") if recurse else path.glob("*"))
            if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
        ]
        if full:
            return [_info(file, path) for file in files]
        names = [file.relative_to(path).as_posix() for file in files]
        return [[name, *name.split("/")] for name in names] if split else names

    return web.json_response(await asyncio.to_thread(collect))


async def _list_v2(request: web.Request) -> web.Response:
    state = state_of(request)
    try:
        path = _path(state, request.query.get("path", ""), 400, "Invalid path requested")
    except _Answer as answer:
        return answer.response
    root = _root(state)
    if not path.exists():
        if path == root:
            return web.json_response([])
        return web.Response(status=404, text="Requested path not found")
    if not path.is_dir():
        return web.Response(status=400, text="Requested path is not a directory")

    def collect() -> list[dict[str, Any]]:
        found = []
        for member in path.rglob("*"):
            entry: dict[str, Any] = {
                "name": member.name,
                "path": member.relative_to(root).as_posix(),
                "type": "directory" if member.is_dir() else "file",
            }
            if entry["type"] == "file":
                stat = member.stat()
                entry |= {"size": stat.st_size, "modified": stat.st_mtime}
            found.append(entry)
        return sorted(found, key=lambda e: (e["type"] != "directory", e["name"].lower()))

    return web.json_response(await asyncio.to_thread(collect))


async def _get(request: web.Request) -> web.StreamResponse:
    try:
        path = _path(state_of(request), request.match_info["file"])
    except _Answer as answer:
        return answer.response
    if path.is_dir():
        return web.Response(status=403)
    if not path.is_file():
        return web.Response(status=404)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return web.FileResponse(path, headers={"Content-Type": kind})


async def _post(request: web.Request) -> web.Response:
    state, query = state_of(request), request.query
    try:
        path = _path(state, request.match_info["file"])
    except _Answer as answer:
        return answer.response
    if query.get("overwrite", "true") == "false" and path.exists():
        return web.Response(status=409, text="File already exists")
    body = await request.read()
    await asyncio.to_thread(_write, path, body)
    return _written(state, path, full=query.get("full_info", "false").lower() == "true")


async def _delete(request: web.Request) -> web.Response:
    try:
        path = _path(state_of(request), request.match_info["file"])
    except _Answer as answer:
        return answer.response
    if not path.exists():
        return web.Response(status=404)
    path.unlink()
    return web.Response(status=204)


async def _move(request: web.Request) -> web.Response:
    state, query = state_of(request), request.query
    try:
        source = _path(state, request.match_info["file"])
        target = _path(state, request.match_info["dest"])
    except _Answer as answer:
        return answer.response
    if not source.exists():
        return web.Response(status=404)
    if query.get("overwrite", "true") == "false" and target.exists():
        return web.Response(status=409, text="File already exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
    return _written(state, target, full=query.get("full_info", "false").lower() == "true")


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _written(state: State, path: Path, *, full: bool) -> web.Response:
    root = _root(state)
    return web.json_response(_info(path, root) if full else path.relative_to(root).as_posix())


def _info(path: Path, base: Path) -> dict[str, Any]:
    stat = path.stat()
    return {
        "path": path.relative_to(base).as_posix(),
        "size": stat.st_size,
        "modified": int(stat.st_mtime * 1000),
        "created": int(stat.st_ctime * 1000),
    }


async def _users(request: web.Request) -> web.Response:
    migrated = _root(state_of(request)).exists()
    return web.json_response({"storage": "server", "migrated": migrated})


def _read_settings(state: State) -> dict[str, Any]:
    path = _root(state) / "comfy.settings.json"
    settings = json.loads(path.read_text()) if path.exists() else {}
    assert isinstance(settings, dict)
    return settings


async def _get_settings(request: web.Request) -> web.Response:
    return web.json_response(_read_settings(state_of(request)))


async def _get_setting(request: web.Request) -> web.Response:
    return web.json_response(_read_settings(state_of(request)).get(request.match_info["id"]))


async def _post_settings(request: web.Request) -> web.Response:
    state = state_of(request)
    settings = _read_settings(state) | await request.json()
    _write(_root(state) / "comfy.settings.json", json.dumps(settings, indent=4).encode())
    return web.Response()


async def _post_setting(request: web.Request) -> web.Response:
    state = state_of(request)
    settings = _read_settings(state) | {request.match_info["id"]: await request.json()}
    _write(_root(state) / "comfy.settings.json", json.dumps(settings, indent=4).encode())
    return web.Response()


ROUTES = [
    web.get("/userdata", _list),
    web.get("/v2/userdata", _list_v2),
    web.get("/userdata/{file}", _get),
    web.post("/userdata/{file}", _post),
    web.delete("/userdata/{file}", _delete),
    web.post("/userdata/{file}/move/{dest}", _move),
    web.get("/users", _users),
    web.get("/settings", _get_settings),
    web.get("/settings/{id}", _get_setting),
    web.post("/settings", _post_settings),
    web.post("/settings/{id}", _post_setting),
]
