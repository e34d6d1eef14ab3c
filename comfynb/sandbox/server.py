"""One sandbox server: its routes, its listening socket, and its simulated crashes."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from comfynb.sandbox import (
    samples,
    web_files,
    web_info,
    web_prompt,
    web_sandbox,
    web_userdata,
)
from comfynb.sandbox.catalogue import Catalogue
from comfynb.sandbox.context import STATE, State
from comfynb.sandbox.custom_nodes import CustomNodes
from comfynb.sandbox.faults import Fault, Faults
from comfynb.sandbox.machine import Machine
from comfynb.sandbox.middleware import guard, reset_connection
from comfynb.sandbox.node import Node
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.sockets import Sockets
from comfynb.sandbox.stats import Stats
from comfynb.sandbox.versions import server_version

__all__ = ["SandboxServer"]

_log = logging.getLogger(__name__)


class SandboxServer(State):
    """A server in this process, on the running event loop; an async context manager.

    ``classes`` are its node classes by name, by default those of `comfynb.sandbox.nodes`.
    """

    def __init__(self, settings: Settings, classes: Mapping[str, type[Node]] | None = None) -> None:
        if classes is None:
            from comfynb.sandbox.nodes import NODE_CLASSES

            classes = NODE_CLASSES
        self.settings = settings
        self.version = server_version(settings.version)
        self.catalogue = Catalogue(
            classes,
            version=settings.version,
            choices=settings.choices,
            without=settings.without,
        )
        self.faults = Faults()
        self.stats = Stats()
        self.custom_nodes = CustomNodes(settings, lambda: self.machine.queue)
        self.switch_on = self._switch_on
        self._runner: web.AppRunner | None = None
        self._control_runner: web.AppRunner | None = None
        self._site: web.BaseSite | None = None
        self._publisher: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address that clients use, without a slash at the end."""
        scheme = "http" if self.settings.tls_cert is None else "https"
        return f"{scheme}://{self._netloc(self.settings.port)}{self.settings.path_prefix}"

    @property
    def control_url(self) -> str:
        """The address of ``/sandbox/faults`` and ``/sandbox/stats`` that no fault touches.

        It needs no password, which is why it only ever listens on this machine itself.
        """
        return f"http://127.0.0.1:{self.settings.control_port}"

    def _netloc(self, port: int) -> str:
        host = self.settings.host
        if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - an address to compare with, not to bind
            host = "127.0.0.1" if host != "::" else "::1"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Prepare the base directory and listen; raises OSError when the port is taken."""
        await asyncio.to_thread(samples.prepare, self.settings, self.catalogue)
        await self._begin_life()
        app = web.Application(client_max_size=self.settings.max_upload_size, middlewares=[guard])
        # On the event loop's thread, where ComfyUI imports its extensions too.
        self.custom_nodes.load(app)
        self._runner = await self._run_app(self._routes(), app)
        try:
            await self._open_listener()
            control = await self._run_app(web_sandbox.ROUTES, web.Application())
            self._control_runner = control
            site = web.TCPSite(control, "127.0.0.1", self.settings.control_port or 0)
            await site.start()
        except BaseException:
            await self.stop()
            raise
        self.settings.control_port = _port(site)

    async def stop(self) -> None:
        """Close everything in order; what hangs on a fault is let go."""
        self.faults.clear()
        for task in list(self._tasks):
            task.cancel()
        await self.sockets.close()
        self._end_life()
        for runner in (self._runner, self._control_runner):
            if runner is not None:
                await runner.cleanup()
        self.custom_nodes.unload()
        if not await asyncio.to_thread(self.machine.join, 5):
            _log.warning("a node still computes while its sandbox has ended")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def restart(self, down: float = 0.0, spare: asyncio.BaseTransport | None = None) -> None:
        """Crash and come back after ``down`` seconds, with what a real restart loses lost."""
        self.stats.count("restart")
        await self._close_listener()
        self._kill_connections(spare)
        machine = self.machine
        for item in (*machine.queue.running(), *machine.queue.pending()):
            self.stats.ended(item[1], "lost")
        self._end_life()
        # A node that computes cannot be stopped; it must not write into the next life's folders.
        if not await asyncio.to_thread(machine.join, 5):
            _log.warning("a node of the last life still computes")
        await self._begin_life()
        if down > 0:
            self._spawn(self._open_later(down))
        else:
            await self._open_listener()

    def _routes(self) -> Iterable[web.RouteDef]:
        routes = [
            *web_prompt.ROUTES,
            *web_files.ROUTES,
            *web_info.ROUTES,
            *web_userdata.ROUTES,
            *(web_info.SUBGRAPH_ROUTES if self.version.has_subgraphs else ()),
            *self.custom_nodes.routes,
        ]
        api_only = [
            *(web_prompt.JOB_ROUTES if self.version.has_jobs else ()),
            *(web_prompt.CANCEL_ROUTES if self.settings.job_cancel else ()),
        ]
        for route in routes:
            yield _moved(route, "/api" + route.path)
        yield from api_only
        yield from routes
        yield from web_sandbox.ROUTES
        # Where ComfyUI serves its front-end's files; the sandbox has none.
        yield web.get("/{path:.*}", _no_such_file)

    async def _run_app(self, routes: Iterable[web.RouteDef], app: web.Application) -> web.AppRunner:
        app[STATE] = self
        prefix = self.settings.path_prefix if app.middlewares else ""
        app.add_routes([_moved(route, prefix + route.path) for route in routes])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        return runner

    # lives

    async def _begin_life(self) -> None:
        self.sockets = Sockets(self.faults.is_deaf)
        self.machine = await asyncio.to_thread(
            Machine, self.settings, self.catalogue, self.sockets, self.faults, self.stats
        )
        self._publisher = asyncio.get_running_loop().create_task(self.sockets.run())

    def _end_life(self) -> None:
        self.machine.end()
        if self._publisher is not None:
            self._publisher.cancel()

    # the listening socket

    async def _open_listener(self) -> None:
        if self._site is not None or any(
            fault.refuses_connections for fault in self.faults.active("dead")
        ):
            return
        assert self._runner is not None
        settings = self.settings
        site = web.TCPSite(self._runner, settings.host, settings.port, ssl_context=_tls(settings))
        await site.start()
        self._site = site
        # a port that was chosen by the system is kept through all lives
        settings.port = _port(site)

    async def _close_listener(self) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()

    async def _open_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._open_listener()

    def _kill_connections(self, spare: asyncio.BaseTransport | None = None) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not spare:
                reset_connection(connection.transport)

    # faults

    async def _switch_on(self, fault: Fault, spare: asyncio.BaseTransport | None) -> None:
        if fault.kind == "restart":
            await self.restart(fault.down, spare)
            return
        if fault.kind == "drop":
            self.sockets.drop(fault.client_id)
            return
        self.faults.add(fault)
        if fault.refuses_connections:
            await self._close_listener()
            self._spawn(self._open_after(fault))
        if fault.kills_connections:
            self._kill_connections(spare)

    async def _open_after(self, fault: Fault) -> None:
        await fault.wait_async()
        await self._open_listener()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _no_such_file(_: web.Request) -> web.Response:
    return web.Response(status=404, content_type="application/octet-stream")


def _moved(route: web.RouteDef, path: str) -> web.RouteDef:
    return web.RouteDef(route.method, path, route.handler, route.kwargs)


def _port(site: web.BaseSite) -> int:
    server = site._server  # noqa: SLF001 - the only way to learn a port that the system chose
    assert isinstance(server, asyncio.Server)
    listening: socket.socket = server.sockets[0]
    port = listening.getsockname()[1]
    assert isinstance(port, int)
    return port


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
