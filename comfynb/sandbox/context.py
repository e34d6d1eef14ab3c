"""What the request handlers work on."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from comfynb.sandbox.catalogue import Catalogue
from comfynb.sandbox.faults import Fault, Faults
from comfynb.sandbox.machine import Machine
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.sockets import Sockets
from comfynb.sandbox.stats import Stats
from comfynb.sandbox.versions import ServerVersion

__all__ = ["STATE", "State", "canonical_path", "state_of"]


class State:
    """One sandbox server; `machine` and `sockets` are replaced by a simulated restart."""

    settings: Settings
    version: ServerVersion
    catalogue: Catalogue
    faults: Faults
    stats: Stats
    machine: Machine
    sockets: Sockets
    switch_on: Callable[[Fault, asyncio.BaseTransport | None], Awaitable[None]]
    """Switch a fault on; the connection given, over which it was asked for, is spared."""


STATE: web.AppKey[State] = web.AppKey("state", State)


def state_of(request: web.Request) -> State:
    """Return the server that a request came to."""
    return request.app[STATE]


def canonical_path(path: str, prefix: str) -> str:
    """Return a request's path without the server's prefix and without ``/api``."""
    path = path.removeprefix(prefix)
    return path.removeprefix("/api") if path.startswith("/api/") else path
