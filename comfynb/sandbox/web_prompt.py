"""The routes about prompts: submit, queue, history, interrupt, free, jobs, and the websocket."""

import json
import logging
import re
import time
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from comfynb.sandbox.context import state_of
from comfynb.sandbox.jobs import STATUSES, find_job, list_jobs
from comfynb.sandbox.prompt_queue import QueueItem
from comfynb.sandbox.validation import validate_prompt

__all__ = ["CANCEL_ROUTES", "JOB_ROUTES", "ROUTES"]

_log = logging.getLogger(__name__)

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECRET_EXTRAS = ("auth_token_comfy_org", "api_key_comfy_org")


async def _websocket(request: web.Request) -> web.StreamResponse:
    state = state_of(request)
    sockets = state.sockets
    # Compression would only cost time here. Who does not answer a close is not waited for long.
    ws = web.WebSocketResponse(compress=False, timeout=0.5)
    await ws.prepare(request)
    client_id = request.query.get("clientId", "") or uuid.uuid4().hex
    assert request.transport is not None
    sockets.register(client_id, ws, request.transport)
    state.stats.count("websocket")
    try:
        greeting = {"status": state.machine.info(), "sid": client_id}
        await sockets.send("status", greeting, client_id)
        if sockets.client_id == client_id and sockets.last_node is not None:
            await sockets.send("executing", {"node": sockets.last_node}, client_id)
        first = True
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                data = json.loads(message.data)
            except json.JSONDecodeError:
                _log.info("a websocket client sent something that is no JSON")
                continue
            is_flags = isinstance(data, dict) and data.get("type") == "feature_flags"
            if first and is_flags:
                flags = data.get("data")
                sockets.set_features(client_id, flags if isinstance(flags, dict) else {})
                features = state.version.features(state.settings.max_upload_size)
                await sockets.send("feature_flags", features, client_id)
            first = False
    finally:
        sockets.unregister(client_id, ws)
    return ws


async def _post_prompt(request: web.Request) -> web.Response:
    state = state_of(request)
    machine = state.machine
    body = _with_keys(await request.json())
    if "number" in body:
        number = float(body["number"])
    else:
        number = -machine.number if body.get("front") else machine.number
        machine.number += 1
    if "prompt" not in body:
        return _refused("no_prompt", "No prompt provided", "No prompt provided")
    prompt_id = str(body.get("prompt_id", uuid.uuid4()))
    if state.settings.strict_prompt_ids and not _CANONICAL_UUID.fullmatch(prompt_id):
        return _refused(
            "invalid_prompt_id", "prompt_id must be a valid UUID", "not a canonical UUID"
        )
    verdict = validate_prompt(
        body["prompt"],
        state.catalogue,
        machine.context(),
        body.get("partial_execution_targets"),
    )
    if verdict.error is not None:
        answer = {"error": verdict.error, "node_errors": verdict.node_errors}
        return web.json_response(answer, status=400)
    extra_data = body.get("extra_data", {})
    if "client_id" in body:
        extra_data["client_id"] = body["client_id"]
    for secret in _SECRET_EXTRAS:
        extra_data.pop(secret, None)
    if state.version.has_jobs:
        extra_data["create_time"] = int(time.time() * 1000)
    machine.queue.put((number, prompt_id, body["prompt"], extra_data, verdict.outputs))
    state.stats.accepted(prompt_id)
    return web.json_response(
        {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
    )


def _with_keys(body: Any) -> Any:
    # ComfyUI only looks for keys, and there are none in a list or a text.
    return {} if isinstance(body, list | str) else body


def _refused(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


async def _get_prompt(request: web.Request) -> web.Response:
    return web.json_response(state_of(request).machine.info())


async def _get_queue(request: web.Request) -> web.Response:
    queue = state_of(request).machine.queue
    items: dict[str, list[QueueItem]] = {
        "queue_running": queue.running(),
        "queue_pending": queue.pending(),
    }
    return web.json_response(items)


async def _post_queue(request: web.Request) -> web.Response:
    queue = state_of(request).machine.queue
    body = _with_keys(await request.json())
    if body.get("clear"):
        queue.clear()
    for prompt_id in body.get("delete", []):
        queue.delete(prompt_id)
    return web.Response()


async def _interrupt(request: web.Request) -> web.Response:
    machine = state_of(request).machine
    try:
        body = await request.json()
    except json.JSONDecodeError:
        body = {}
    prompt_id = body.get("prompt_id")
    if not prompt_id or any(item[1] == prompt_id for item in machine.queue.running()):
        machine.interrupt()
    return web.Response()


async def _free(request: web.Request) -> web.Response:
    queue = state_of(request).machine.queue
    body = await request.json()
    for flag in ("unload_models", "free_memory"):
        if body.get(flag):
            queue.set_flag(flag)
    return web.Response()


async def _get_history(request: web.Request) -> web.Response:
    queue = state_of(request).machine.queue
    max_items = request.query.get("max_items")
    history = queue.history(
        max_items=None if max_items is None else int(max_items),
        offset=int(request.query.get("offset", -1)),
    )
    return web.json_response(history)


async def _get_history_entry(request: web.Request) -> web.Response:
    prompt_id = request.match_info["prompt_id"]
    return web.json_response(state_of(request).machine.queue.history(prompt_id))


async def _post_history(request: web.Request) -> web.Response:
    queue = state_of(request).machine.queue
    body = _with_keys(await request.json())
    if body.get("clear"):
        queue.clear_history()
    for prompt_id in body.get("delete", []):
        queue.delete_history(prompt_id)
    return web.Response()


class _BadQuery(Exception):
    pass


async def _get_jobs(request: web.Request) -> web.Response:
    query = request.query
    try:
        statuses = _statuses(query.get("status", ""))
        sort_by = _one_of(query, "sort_by", ("created_at", "execution_duration"))
        sort_order = _one_of(query, "sort_order", ("desc", "asc"))
        limit = _integer(query, "limit")
        offset = max(_integer(query, "offset") or 0, 0)
        if limit is not None and limit <= 0:
            raise _BadQuery("limit must be a positive integer")
    except _BadQuery as problem:
        return web.json_response({"error": str(problem)}, status=400)
    jobs = list_jobs(
        state_of(request).machine.queue,
        statuses=statuses,
        workflow_id=query.get("workflow_id"),
        by_duration=sort_by == "execution_duration",
        descending=sort_order == "desc",
    )
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    pagination = {
        "offset": offset,
        "limit": limit,
        "total": len(jobs),
        "has_more": offset + len(page) < len(jobs),
    }
    return web.json_response({"jobs": page, "pagination": pagination})


def _statuses(text: str) -> frozenset[str]:
    asked = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [status for status in asked if status not in STATUSES]
    if unknown:
        raise _BadQuery(
            f"Invalid status value(s): {', '.join(unknown)}. Valid values: {', '.join(STATUSES)}"
        )
    return frozenset(asked or STATUSES)


def _one_of(query: Any, name: str, allowed: tuple[str, str]) -> str:
    value = str(query.get(name, allowed[0])).lower()
    if value not in allowed:
        first, second = sorted(allowed)
        raise _BadQuery(f"{name} must be '{first}' or '{second}'")
    return value


def _integer(query: Any, name: str) -> int | None:
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError:
        raise _BadQuery(f"{name} must be an integer") from None


async def _get_job(request: web.Request) -> web.Response:
    job = find_job(state_of(request).machine.queue, request.match_info["job_id"])
    if job is None:
        return web.json_response({"error": "Job not found"}, status=404)
    return web.json_response(job)


async def _cancel_job(request: web.Request) -> web.Response:
    cancelled = state_of(request).machine.cancel(request.match_info["job_id"])
    return web.json_response({"cancelled": cancelled})


async def _cancel_jobs(request: web.Request) -> web.Response:
    try:
        body = await request.json()
    except json.JSONDecodeError:
        return web.json_response({"error": "Request body must be valid JSON"}, status=400)
    job_ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(job_ids, list):
        return web.json_response({"error": "job_ids must be a list"}, status=400)
    wrong = [i for i in job_ids if not isinstance(i, str) or not _CANONICAL_UUID.fullmatch(i)]
    if wrong:
        answer = {
            "error": "job_ids contains invalid id(s)",
            "invalid_ids": [i if isinstance(i, str) else repr(i) for i in wrong],
        }
        return web.json_response(answer, status=400)
    machine = state_of(request).machine
    cancelled = [machine.cancel(job_id) for job_id in job_ids]
    return web.json_response({"cancelled": any(cancelled)})


ROUTES = [
    web.get("/ws", _websocket),
    web.get("/prompt", _get_prompt),
    web.post("/prompt", _post_prompt),
    web.get("/queue", _get_queue),
    web.post("/queue", _post_queue),
    web.post("/interrupt", _interrupt),
    web.post("/free", _free),
    web.get("/history", _get_history),
    web.get("/history/{prompt_id}", _get_history_entry),
    web.post("/history", _post_history),
]

JOB_ROUTES = [
    web.get("/api/jobs", _get_jobs),
    web.get("/api/jobs/{job_id}", _get_job),
]

CANCEL_ROUTES = [
    web.post("/api/jobs/cancel", _cancel_jobs),
    web.post("/api/jobs/{job_id}/cancel", _cancel_job),
]
