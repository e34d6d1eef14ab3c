"""What every request passes before its handler: counting, faults, authentication, origin."""

import asyncio
import ipaddress
import socket
import struct
import urllib.parse

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from comfynb.sandbox.context import canonical_path, state_of
from comfynb.sandbox.faults import Fault

__all__ = ["CONTROL_PATH", "guard", "reset_connection"]

CONTROL_PATH = "/sandbox"
"""Paths under it control the sandbox itself: they need the password but suffer no faults."""


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its handler, or not."""
    state = state_of(request)
    path = canonical_path(request.path, state.settings.path_prefix)
    if path == CONTROL_PATH or path.startswith(CONTROL_PATH + "/"):
        refusal = _unauthorised(request)
        return await handler(request) if refusal is None else refusal
    method = request.method
    state.stats.request(method, path)
    faults = state.faults
    if faults.strike("dead", method=method, path=path):
        return _broken(request)
    refusal = _unauthorised(request)
    if refusal is None:
        refusal = _foreign(request)
    if refusal is not None:
        return refusal
    slow = faults.strike("slow", method=method, path=path)
    if slow is not None and slow.latency > 0:
        await asyncio.sleep(slow.latency)
    hang = faults.strike("hang", method=method, path=path, when="before")
    if hang is not None:
        await hang.wait_async()
    refuse = faults.strike("refuse", method=method, path=path)
    if refuse is not None:
        return web.Response(status=int(refuse.status), text=refuse.body)
    response = await handler(request)
    if isinstance(response, web.WebSocketResponse):
        return response
    hang = faults.strike("hang", method=method, path=path, when="after")
    if hang is not None:
        await hang.wait_async()
    if faults.strike("lost", method=method, path=path):
        return _broken(request)
    cut = faults.strike("cut", method=method, path=path)
    if cut is not None:
        return await _cut(request, response, cut)
    return response


def _unauthorised(request: web.Request) -> web.Response | None:
    wanted = state_of(request).settings.auth
    if wanted is None:
        return None
    shown = request.headers.get(wanted.name, "") if wanted.kind == "header" else ""
    if wanted.admits(
        request.headers.get(hdrs.AUTHORIZATION, ""), shown, request.query.get("token", "")
    ):
        return None
    response = web.Response(status=401, text="401: Unauthorized")
    if wanted.challenge is not None:
        response.headers[hdrs.WWW_AUTHENTICATE] = wanted.challenge
    return response


def _foreign(request: web.Request) -> web.Response | None:
    """Refuse what a strange web page sends to a server on loopback, as ComfyUI does."""
    if request.method == hdrs.METH_OPTIONS:
        return web.Response()
    origin = request.headers.get(hdrs.ORIGIN)
    host = request.headers.get(hdrs.HOST)
    if origin is None or host is None:
        return None
    ours = urllib.parse.urlsplit(f"//{host.lower()}")
    theirs = urllib.parse.urlsplit(origin.lower())
    if not ours.hostname or not theirs.hostname or not _is_loopback(ours.hostname):
        return None
    with_port = ours.port is not None and theirs.port is not None
    same = ours.netloc == theirs.netloc if with_port else ours.hostname == theirs.hostname
    return None if same else web.Response(status=403)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reset_connection(transport: asyncio.BaseTransport | None) -> None:
    """End a connection with a TCP reset, losing what was not sent."""
    if not isinstance(transport, asyncio.Transport):
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        # closing with a linger time of 0 resets
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _broken(request: web.Request) -> web.Response:
    reset_connection(request.transport)
    return web.Response()  # nobody gets it


async def _cut(
    request: web.Request, response: web.StreamResponse, fault: Fault
) -> web.StreamResponse:
    """Send the head and a part of the body, then end the connection."""
    body = await _body(response)
    part = web.StreamResponse(status=response.status, headers=response.headers)
    part.content_length = len(body)
    await part.prepare(request)
    await part.write(body[: int(len(body) * fault.fraction)])
    assert request.transport is not None
    request.transport.close()
    return part


async def _body(response: web.StreamResponse) -> bytes:
    if isinstance(response, web.FileResponse):
        return await asyncio.to_thread(response._path.read_bytes)  # noqa: SLF001
    assert isinstance(response, web.Response)
    body = response.body
    assert body is None or isinstance(body, bytes | bytearray)
    return bytes(body or b"")
