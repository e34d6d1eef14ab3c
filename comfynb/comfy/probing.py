"""Finds out what a server is and can do by asking it, in one round of parallel requests."""

import asyncio
import uuid
from typing import Any

from comfynb.comfy.answers import Reply
from comfynb.comfy.protocol import ServerInfo, SystemStats
from comfynb.comfy.transport import Transport

__all__ = ["probe", "system_stats"]

_STATS = "/system_stats"


async def system_stats(transport: Transport) -> SystemStats:
    """GET /system_stats; NotComfyUI where the answer is somebody else's."""
    return _stats_of(transport, await transport.get(_STATS))


def _stats_of(transport: Transport, reply: Reply) -> SystemStats:
    judge = transport.judge
    if reply.status in {404, 405, 410} or (reply.status == 400 and reply.is_html):
        raise judge.not_comfyui(f"HTTP {reply.status}", _STATS)
    stats = SystemStats.parse(judge.json_of(reply, _STATS))
    if stats is None:
        raise judge.not_comfyui("JSON of another shape than ComfyUI's", _STATS)
    return stats


async def probe(transport: Transport) -> ServerInfo:
    """Ask for everything at once; only /system_stats must be there."""
    nobody = uuid.uuid4()
    # Cancelling a job that nobody has sent does nothing, and tells whether jobs can be cancelled.
    stats_reply, features_reply, jobs_reply, cancel_reply, prompt_reply = await _all(
        transport.get(_STATS),
        transport.get("/features"),
        transport.get("/api/jobs", {"limit": "1"}),
        transport.post_json(f"/api/jobs/{nobody}/cancel", {}),
        transport.get("/prompt"),
    )
    stats = _stats_of(transport, stats_reply)
    features = features_reply.json_object()
    has_jobs = isinstance(jobs_reply.json_object().get("jobs"), list)
    limit = features.get("max_upload_size")
    info = prompt_reply.json_object().get("exec_info")
    remaining = info.get("queue_remaining") if isinstance(info, dict) else None
    return ServerInfo(
        **{name: getattr(stats, name) for name in SystemStats.__slots__},
        features=features,
        max_upload_size=limit if isinstance(limit, int) and limit > 0 else None,
        has_jobs_api=has_jobs,
        has_job_cancel=has_jobs and isinstance(cancel_reply.json_object().get("cancelled"), bool),
        has_assets=bool(features.get("assets")),
        supports_preview_metadata=features.get("supports_preview_metadata") is True,
        queue_remaining=remaining if isinstance(remaining, int) else None,
    )


async def _all(*requests: Any) -> list[Reply]:
    """Wait for all; raise the first failure once none is left running."""
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Reply)]
