"""The routes that control the sandbox itself: faults and statistics."""

import asyncio
from typing import Any

from aiohttp import web

from comfynb.sandbox.context import state_of
from comfynb.sandbox.faults import Fault
from comfynb.sandbox.middleware import CONTROL_PATH

__all__ = ["ROUTES"]


async def _get_faults(request: web.Request) -> web.Response:
    return web.json_response({"faults": state_of(request).faults.snapshot()})


async def _post_faults(request: web.Request) -> web.Response:
    """Switch faults on: one as a JSON object, or several in a list."""
    try:
        body: Any = await request.json()
        faults = [_parse(spec) for spec in (body if isinstance(body, list) else [body])]
    except ValueError as problem:
        return web.json_response({"error": str(problem)}, status=400)
    state = state_of(request)
    for fault in faults:
        await state.switch_on(fault, request.transport)
    return web.json_response({"faults": [fault.to_json() for fault in faults]})


def _parse(spec: Any) -> Fault:
    if not isinstance(spec, dict):
        raise ValueError(f"a fault is a JSON object, not {spec!r}")  # noqa: TRY004
    return Fault.parse(spec)


async def _delete_faults(request: web.Request) -> web.Response:
    text = request.query.get("id")
    if text is not None and not text.isdigit():
        return web.json_response({"error": f"{text!r} is no fault's id"}, status=400)
    gone = state_of(request).faults.clear(None if text is None else int(text))
    # let what hung on them go on before the client does
    await asyncio.sleep(0)
    return web.json_response({"faults": [fault.to_json() for fault in gone]})


async def _get_stats(request: web.Request) -> web.Response:
    state = state_of(request)
    now = {"websockets": state.sockets.connected(), "running": state.machine.running()}
    return web.json_response(state.stats.snapshot() | now)


async def _delete_stats(request: web.Request) -> web.Response:
    state_of(request).stats.reset()
    return web.json_response({})


ROUTES = [
    web.get(f"{CONTROL_PATH}/faults", _get_faults),
    web.post(f"{CONTROL_PATH}/faults", _post_faults),
    web.delete(f"{CONTROL_PATH}/faults", _delete_faults),
    web.get(f"{CONTROL_PATH}/stats", _get_stats),
    web.delete(f"{CONTROL_PATH}/stats", _delete_stats),
]
