"""What a server is and can do is measured, and somebody else is recognised."""

from typing import Any

import pytest
from aiohttp import web

from comfynb.comfy import ComfyClient, ServerInfo
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    NotComfyUI,
    ServerError,
)
from comfynb.sandbox import in_process

from .conftest import ServeRoutes

STATS = {"system": {"comfyui_version": "9.9", "argv": []}, "devices": []}


def json_answer(body: Any, **options: Any) -> Any:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, **options)

    return handler


def text_answer(text: str, **options: Any) -> Any:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text, **options)

    return handler


async def probe(url: str, **options: Any) -> ServerInfo:
    async with ComfyClient(url, name="PC1", **options) as client:
        return await client.probe()


async def test_a_server_without_anything_new(serve: ServeRoutes) -> None:
    info = await probe(await serve({"GET /system_stats": json_answer(STATS)}))
    assert info == ServerInfo(version="9.9")
    assert not any((info.has_jobs_api, info.has_job_cancel, info.has_assets))
    assert info.max_upload_size is None
    assert info.queue_remaining is None


async def test_a_server_with_everything(serve: ServeRoutes) -> None:
    cancelled = []

    async def cancel(request: web.Request) -> web.Response:
        cancelled.append(request.match_info["id"])
        return web.json_response({"cancelled": False})

    features = {"max_upload_size": 5, "assets": True, "supports_preview_metadata": True}
    url = await serve(
        {
            "GET /system_stats": json_answer(STATS),
            "GET /features": json_answer(features),
            "GET /prompt": json_answer({"exec_info": {"queue_remaining": 3}}),
            "GET /api/jobs": json_answer({"jobs": [], "pagination": {}}),
            "POST /api/jobs/{id}/cancel": cancel,
        }
    )
    info = await probe(url)
    assert info == ServerInfo(
        version="9.9",
        features=features,
        max_upload_size=5,
        has_jobs_api=True,
        has_job_cancel=True,
        has_assets=True,
        supports_preview_metadata=True,
        queue_remaining=3,
    )
    assert len(cancelled) == 1


@pytest.mark.parametrize(
    "odd",
    [
        json_answer([]),
        json_answer({"max_upload_size": "big", "jobs": {}, "cancelled": 1, "exec_info": []}),
        text_answer("{"),
        text_answer("<html>", content_type="text/html"),
        text_answer("", status=500),
    ],
)
async def test_odd_parts_count_as_missing(odd: Any, serve: ServeRoutes) -> None:
    url = await serve(
        {
            "GET /system_stats": json_answer(STATS),
            "GET /features": odd,
            "GET /prompt": odd,
            "GET /api/jobs": odd,
            "POST /api/jobs/{id}/cancel": odd,
        }
    )
    info = await probe(url)
    assert not any((info.has_jobs_api, info.has_job_cancel, info.has_assets))
    assert info.max_upload_size is None
    assert info.queue_remaining is None


@pytest.mark.parametrize(
    "routes",
    [
        {},
        {"GET /system_stats": json_answer({"detail": "Not Found"}, status=404)},
        {"GET /system_stats": json_answer({"status": "ok"})},
        {"GET /system_stats": json_answer({"system": "linux", "devices": 3})},
        {"GET /system_stats": json_answer([1, 2])},
        {"GET /system_stats": text_answer("<html>", content_type="text/html")},
        {"GET /system_stats": text_answer("<html>", status=404, content_type="text/html")},
        {"GET /system_stats": text_answer("<html>400", status=400, content_type="text/html")},
        {"GET /system_stats": text_answer("", status=302, headers={"Location": "/login"})},
        {"GET /system_stats": text_answer("", status=301, headers={"Location": "https://x/"})},
    ],
    ids=range(10),
)
async def test_somebody_else_is_recognised(routes: dict[str, Any], serve: ServeRoutes) -> None:
    with pytest.raises(NotComfyUI, match="PC1"):
        await probe(await serve(routes))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationRequired),
        (403, AuthenticationRequired),
        (502, BackendUnreachable),
        (500, ServerError),
    ],
)
async def test_a_server_in_trouble_is_not_called_somebody_else(
    status: int, kind: type[BackendError], serve: ServeRoutes
) -> None:
    with pytest.raises(kind):
        await probe(await serve({"GET /system_stats": text_answer("x", status=status)}))


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(BackendUnreachable, match="refuses"):
        await probe(f"127.0.0.1:{unused_tcp_port}")


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
@pytest.mark.parametrize("job_cancel", [False, True])
async def test_both_versions_by_what_they_can(version: str, job_cancel: bool) -> None:
    async with in_process(
        version=version, job_cancel=job_cancel, path_prefix="/pc1", vram_total=24 * 2**30
    ) as server:
        info = await probe(server.url)
    assert info.version == version
    assert info.vram_total == 24 * 2**30
    assert info.max_upload_size == 100 * 2**20
    assert info.supports_preview_metadata
    assert info.queue_remaining == 0
    assert info.has_jobs_api == (version == "0.8.0")
    assert info.has_job_cancel == (info.has_jobs_api and job_cancel)
