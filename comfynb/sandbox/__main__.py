"""``python -m comfynb.sandbox``: serve until interrupted; the first line printed is JSON."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comfynb.sandbox.faults import FAULT_KINDS, Fault
from comfynb.sandbox.server import SandboxServer
from comfynb.sandbox.settings import (
    AUTH_VARIABLE,
    PREVIEW_METHODS,
    Authentication,
    CacheMode,
    Settings,
)
from comfynb.sandbox.versions import VERSIONS

__all__ = ["main"]

_GIB = 1024**3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox with these arguments; return the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if arguments.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        if arguments.base_dir is not None:
            return asyncio.run(_serve(arguments, arguments.base_dir))
        with tempfile.TemporaryDirectory(prefix="comfynb-sandbox-") as base_dir:
            return asyncio.run(_serve(arguments, Path(base_dir)))
    except (ValueError, OSError) as problem:
        print(f"comfynb sandbox: {problem}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 1


async def _serve(arguments: argparse.Namespace, base_dir: Path) -> int:
    faults = [Fault.parse(spec) for spec in arguments.fault]
    server = SandboxServer(_settings(arguments, base_dir))
    # Two threads take turns here, the event loop and the worker: with Python's 5 ms each would
    # mostly wait for the other.
    sys.setswitchinterval(0.0005)
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":  # where Ctrl-C raises KeyboardInterrupt instead
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end.set)
    async with server:
        for fault in faults:
            await server.switch_on(fault, None)
        ready = {
            "url": server.url,
            "control_url": server.control_url,
            "port": server.settings.port,
            "version": server.settings.version,
            "base_dir": str(server.settings.base_dir),
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)  # noqa: T201 - what the caller waits for
        await end.wait()
    return 0


def _settings(arguments: argparse.Namespace, base_dir: Path) -> Settings:
    secret = arguments.auth or os.environ.get(AUTH_VARIABLE)
    return Settings(
        base_dir=base_dir,
        version=arguments.version,
        host=arguments.host,
        port=arguments.port,
        control_port=arguments.control_port,
        speed=arguments.speed,
        vram_total=None if arguments.vram is None else round(arguments.vram * _GIB),
        gpu_name=arguments.gpu_name,
        samples=arguments.samples,
        auth=Authentication.parse(secret) if secret else None,
        path_prefix=arguments.path_prefix,
        tls_cert=arguments.tls_cert,
        tls_key=arguments.tls_key,
        cache=arguments.cache,
        preview_method=arguments.preview_method,
        max_upload_size=round(arguments.max_upload_size * 1024 * 1024),
        job_cancel=arguments.job_cancel,
        strict_prompt_ids=arguments.strict_prompt_ids,
        choices=dict(arguments.choices),
        custom_nodes=arguments.custom_nodes,
        without=frozenset(filter(None, arguments.without.split(","))),
    )


def _parser() -> argparse.ArgumentParser:
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in FAULT_KINDS.items())
    parser = argparse.ArgumentParser(
        prog="comfynb sandbox",
        description="A small server that speaks ComfyUI's protocol and executes nodes without a "
        "GPU. The first line it prints is a JSON object with its url.",
        epilog=f"Faults: {kinds}.",
    )
    add = parser.add_argument
    add("--port", type=int, default=8188, help="0 lets the system choose (default 8188)")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--version", choices=list(VERSIONS), default="0.8.0", help="server version to play")
    add("--base-dir", type=Path, help="folder for input, output ... (default: a temporary one)")
    add(
        "--samples",
        action=argparse.BooleanOptionalAction,
        help="put sample pictures, models and workflows there (default: if it is new)",
    )
    add("--speed", type=float, default=1.0, help="how many times faster simulated waiting is")
    add("--vram", type=float, help="show a GPU with so many GiB (default: a CPU server)")
    add("--gpu-name", default="Sandbox GPU")
    add(
        "--auth",
        help="ask for basic:USER:PASSWORD, bearer:TOKEN, header:NAME:VALUE or token:TOKEN; "
        f"better given in {AUTH_VARIABLE}, where other users of the machine cannot see it",
    )
    add("--path-prefix", default="", help="serve under this path, as behind a reverse proxy")
    add("--tls-cert", type=Path, help="certificate file (PEM), for https")
    add("--tls-key", type=Path, help="key file (PEM)")
    add("--cache", type=CacheMode.parse, default=CacheMode(), help="classic, lru:N or none")
    add("--preview-method", choices=PREVIEW_METHODS, default="none")
    add("--max-upload-size", type=float, default=100, help="in MiB (default 100)")
    add("--job-cancel", action=argparse.BooleanOptionalAction, help="have /api/jobs/ID/cancel")
    add(
        "--strict-prompt-ids",
        action=argparse.BooleanOptionalAction,
        help="refuse prompt ids that are no canonical UUIDs, as newer servers do",
    )
    add(
        "--choices",
        type=_choices,
        action="append",
        default=[],
        metavar="CLASS.INPUT=A,B",
        help="options of a combo input, for example which models there are",
    )
    add(
        "--custom-nodes",
        type=Path,
        metavar="DIR",
        help="load the extensions in this folder, as far as they add routes",
    )
    add("--without", default="", metavar="CLASS,CLASS", help="node classes to leave out")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[,NAME=VALUE...]",
        help="switch a fault on from the start",
    )
    add("--control-port", type=int, help="port for /sandbox alone (default: any)")
    add("--end-with-stdin", action="store_true", help="end when standard input is closed")
    return parser


def _choices(text: str) -> tuple[str, list[str]]:
    key, separator, options = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Class.input=a,b")
    return key, options.split(",")


def _fault(text: str) -> dict[str, Any]:
    kind, *options = text.split(",")
    spec: dict[str, Any] = {"kind": kind}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator:
            raise argparse.ArgumentTypeError(f"{option!r} is not of the form name=value")
        try:
            spec[name] = json.loads(value)
        except json.JSONDecodeError:
            spec[name] = value
    return spec


def _end_with_stdin() -> None:
    """End at once when whoever started this process is gone, in whatever way."""
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
