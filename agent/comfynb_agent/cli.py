"""``comfynb-agent``: the agent on a port of its own."""

import argparse
import asyncio
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence

from aiohttp import web

from . import __version__
from .collector import Collector
from .disks import DiskReader
from .nvml import NvmlReader
from .queues import HttpQueue, NoQueue
from .settings import PORT, Settings
from .tokens import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, SettingsError, find_token
from .web import PREFIX, Agent

__all__ = ["main", "make_agent", "make_app"]

_ALLOWED = {"Allow": "GET,HEAD"}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit status. The first line printed is JSON."""
    arguments = _parser().parse_args(argv)
    try:
        settings = _settings(arguments)
        settings.check_reach()
        tls = _tls(arguments.tls_cert, arguments.tls_key)
        return asyncio.run(_serve(settings, tls))
    except (SettingsError, OSError) as problem:
        print(f"comfynb-agent: {problem}", file=sys.stderr)
        return 1


def make_agent(settings: Settings) -> Agent:
    """Return an agent that stands alone."""
    queue = NoQueue() if settings.comfyui is None else HttpQueue(settings.comfyui)
    collector = Collector(
        gpus=NvmlReader(only=settings.gpus),
        disks=DiskReader(lambda: settings.folders),
        queue=queue,
        backend_id=settings.backend_id,
        mode="standalone",
    )
    return Agent(settings, collector)


def make_app(agent: Agent) -> web.Application:
    """Return the application that serves an agent on its own port.

    ``/metrics`` is there once more at the root, where Prometheus looks first.
    """
    app = web.Application()
    routes = agent.routes()
    routes["/metrics"] = routes[f"{PREFIX}/metrics"]
    for path, handler in routes.items():
        app.router.add_get(path, handler, expect_handler=_expect_nothing)

    async def elsewhere(request: web.Request) -> web.Response:
        if request.path in routes:
            return web.Response(status=405, text="405: Method Not Allowed", headers=_ALLOWED)
        return web.Response(status=404, text="404: Not Found")

    app.router.add_route("*", "/{path:.*}", elsewhere, expect_handler=_expect_nothing)

    async def close(_: web.Application) -> None:
        await agent.close()

    app.on_shutdown.append(close)
    return app


async def _expect_nothing(_: web.Request) -> None:
    """Let any ``Expect`` pass: no body is read, and aiohttp's own check ends in a 500 for some."""


async def _serve(settings: Settings, tls: ssl.SSLContext | None) -> int:
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":  # where Ctrl-C raises KeyboardInterrupt instead
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end.set)
    runner = web.AppRunner(make_app(make_agent(settings)), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
        await site.start()
        address = runner.addresses[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        url = f"{'http' if tls is None else 'https'}://{host}:{address[1]}"
        ready = {"url": url, "port": address[1], "pid": os.getpid(), "version": __version__}
        print(json.dumps(ready), flush=True)
        await end.wait()
    finally:
        await runner.cleanup()
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    if arguments.host == "":
        raise SettingsError("give --host an address, for example 127.0.0.1")
    return Settings(
        host=arguments.host,
        port=arguments.port,
        token=find_token(os.environ, arguments.token_file),
        comfyui=arguments.comfyui,
        folders=tuple(arguments.folder),
        gpus=tuple(arguments.gpu),
        allowed_hosts=tuple(name.lower() for name in arguments.allow_host),
        backend_id=arguments.backend_id or socket.gethostname(),
    )


def _tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("TLS needs both --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _folder(text: str) -> tuple[str, str]:
    role, separator, path = text.partition("=")
    if not separator or not role or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form models=/path/to/models")
    return role, os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - bytes stay


class _NoToken(argparse.Action):
    """Refuses a token on the command line, where all users can read it, without repeating it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parser.error(
            f"a token is never given on the command line: set {TOKEN_VARIABLE} or give --token-file"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="comfynb-agent",
        # --token must not be taken for the beginning of --token-file, and shown in its error
        allow_abbrev=False,
        description="Tells what the GPUs, memory, disks and queue of a ComfyUI machine do, at "
        f"{PREFIX}/metrics.json, {PREFIX}/metrics/stream and {PREFIX}/metrics (OpenMetrics).",
        epilog=f"Where others can reach it, a token is asked for; it is read from the variable "
        f"{TOKEN_VARIABLE} or from the file that --token-file or {TOKEN_FILE_VARIABLE} names, "
        "and sent by clients as 'Authorization: Bearer TOKEN'.",
    )
    add = parser.add_argument
    add("--port", type=int, default=PORT, help=f"0 lets the system choose (default {PORT})")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--token-file", metavar="PATH", help="file that holds the token and nothing else")
    add("--token", action=_NoToken, help=argparse.SUPPRESS)
    add("--comfyui", metavar="URL", help="ComfyUI whose queue is told: http://127.0.0.1:8188")
    add(
        "--folder",
        type=_folder,
        action="append",
        default=[],
        metavar="ROLE=PATH",
        help="folder whose disk space is told, such as models=/srv/models (several times)",
    )
    add(
        "--gpu",
        action="append",
        default=[],
        metavar="INDEX|UUID",
        help="tell of this GPU only (several times; default: all)",
    )
    add("--backend-id", metavar="NAME", help="what the agent calls itself (default: host name)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer under this host name too (without a token: localhost and 127.0.0.1 only)",
    )
    add("--tls-cert", metavar="PATH", help="certificate (PEM), for https")
    add("--tls-key", metavar="PATH", help="its key (PEM)")
    add("--version", action="version", version=f"comfynb-agent {__version__}")
    return parser
