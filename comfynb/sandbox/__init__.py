"""A small server that speaks ComfyUI's protocol and really executes nodes, for demos and tests.

`Sandbox` runs it as a process of its own, `serve_in_process` on the running event loop, `serve`
until cancelled; ``python -m comfynb.sandbox`` is the command line.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from comfynb.sandbox.node import Node
from comfynb.sandbox.process import Sandbox, SandboxError
from comfynb.sandbox.samples import workflow_names, workflow_text
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


@asynccontextmanager
async def in_process(
    *,
    base_dir: Path | None = None,
    classes: Mapping[str, type[Node]] | None = None,
    port: int = 0,
    **settings: Any,
) -> AsyncIterator[SandboxServer]:
    """Serve on the running event loop; yields the server, whose faults and stats are at hand.

    ``settings`` are those of `Settings`; ``auth`` may be the text that the command line takes.
    """
    if isinstance(settings.get("auth"), str):
        settings["auth"] = Authentication.parse(settings["auth"])
    if base_dir is not None:
        async with SandboxServer(
            Settings(base_dir=base_dir, port=port, **settings), classes
        ) as server:
            yield server
        return
    with tempfile.TemporaryDirectory(prefix="comfynb-sandbox-") as folder:
        async with SandboxServer(
            Settings(base_dir=Path(folder), port=port, **settings), classes
        ) as server:
            yield server


@asynccontextmanager
async def serve_in_process(**options: Any) -> AsyncIterator[str]:
    """Serve on the running event loop as `in_process` does; yields the address."""
    async with in_process(**options) as server:
        yield server.url


async def serve(**options: Any) -> None:
    """Serve as `in_process` does until cancelled."""
    async with in_process(**options):
        await asyncio.Event().wait()
