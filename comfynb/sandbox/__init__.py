"""A small server that speaks ComfyUI's protocol and really executes nodes, for demos and tests.

`Sandbox` runs it as a process of its own, `serve_in_process` on the running event loop, `serve`
until cancelled; ``python -m comfynb.sandbox`` is the command line.
"""

import asyncio
import importlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.sandbox.process import Sandbox, SandboxError
from comfynb.sandbox.workflows import workflow_names, workflow_text

if TYPE_CHECKING:
    from comfynb.sandbox.node import Node
    from comfynb.sandbox.server import SandboxServer
    from comfynb.sandbox.settings import Authentication, CacheMode, Settings

__all__ = [
    "Authentication",
    "CacheMode",
    "Sandbox",
    "SandboxError",
    "SandboxServer",
    "Settings",
    "in_process",
    "serve",
    "serve_in_process",
    "workflow_names",
    "workflow_text",
]

# Loaded when first asked for: who only starts a process need not load the server itself.
_HOMES = {
    "Authentication": "comfynb.sandbox.settings",
    "CacheMode": "comfynb.sandbox.settings",
    "SandboxServer": "comfynb.sandbox.server",
    "Settings": "comfynb.sandbox.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'comfynb.sandbox' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


@asynccontextmanager
async def in_process(
    *,
    base_dir: Path | None = None,
    classes: "Mapping[str, type[Node]] | None" = None,
    port: int = 0,
    **settings: Any,
) -> "AsyncIterator[SandboxServer]":
    """Serve on the running event loop; yields the server, whose faults and stats are at hand.

    ``settings`` are those of `Settings`; ``auth`` may be the text that the command line takes.
    Without ``base_dir`` the files lie in a temporary folder and go with the server.
    """
    from comfynb.sandbox.server import SandboxServer
    from comfynb.sandbox.settings import Authentication, Settings

    if isinstance(settings.get("auth"), str):
        settings["auth"] = Authentication.parse(settings["auth"])
    folder = None
    if base_dir is None:
        folder = await asyncio.to_thread(
            tempfile.TemporaryDirectory, prefix="comfynb-sandbox-", ignore_cleanup_errors=True
        )
        base_dir = Path(folder.name)
    try:
        chosen = Settings(base_dir=base_dir, port=port, **settings)
        async with SandboxServer(chosen, classes) as server:
            yield server
    finally:
        if folder is not None:
            await asyncio.to_thread(folder.cleanup)


@asynccontextmanager
async def serve_in_process(**options: Any) -> AsyncIterator[str]:
    """Serve on the running event loop as `in_process` does; yields the address."""
    async with in_process(**options) as server:
        yield server.url


async def serve(**options: Any) -> None:
    """Serve as `in_process` does until cancelled."""
    async with in_process(**options):
        await asyncio.Event().wait()
