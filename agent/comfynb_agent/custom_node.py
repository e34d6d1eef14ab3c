"""The agent inside ComfyUI: its routes on ComfyUI's own port, and nothing else changed there."""

import importlib
import logging
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from .collector import Collector
from .disks import DiskReader
from .nvml import NvmlReader
from .queues import InnerQueue
from .settings import Settings
from .tokens import SettingsError, find_token
from .web import PREFIX, Agent

__all__ = ["install"]

BACKEND_ID_VARIABLE = "COMFYNB_AGENT_BACKEND_ID"
HOSTS_VARIABLE = "COMFYNB_AGENT_ALLOW_HOSTS"

_FOLDERS = ("output", "input", "temp")

_log = logging.getLogger("comfynb_agent")


def install(environment: Mapping[str, str] = os.environ) -> Agent | None:
    """Add the agent's routes to the ComfyUI that loads this; None where that must not be.

    Whether ComfyUI listens more widely than on this machine decides whether a token is needed:
    ComfyUI itself asks for none, but that is no reason to tell strangers about the machine.
    """
    server = importlib.import_module("server").PromptServer.instance
    folder_paths = importlib.import_module("folder_paths")
    try:
        settings = _settings(environment)
    except SettingsError as problem:
        # ComfyUI starts all the same; its log says why there are no metrics.
        _log.error("The comfynb agent adds no routes: %s.", problem)
        return None
    collector = Collector(
        gpus=NvmlReader(owner=os.getpid()),
        disks=DiskReader(lambda: _folders(folder_paths)),
        queue=InnerQueue(lambda: server.prompt_queue),
        backend_id=settings.backend_id,
        mode="comfyui",
        owner_gpus=_torch_gpus,
    )
    agent = Agent(settings, collector)
    for path, handler in agent.routes().items():
        # Without keyword arguments: ComfyUI, which adds each route under /api once more, cannot
        # carry them over.
        server.routes.get(path)(handler)
    app = getattr(server, "app", None)
    if app is not None and not app.frozen:
        app.on_shutdown.append(lambda _: agent.close())
    try:
        settings.check_reach()
    except SettingsError as problem:
        _log.warning("The comfynb agent refuses all questions under %s: %s.", PREFIX, problem)
    return agent


def _settings(environment: Mapping[str, str]) -> Settings:
    names = environment.get(HOSTS_VARIABLE, "")
    return Settings(
        host=_listening(),
        token=find_token(environment, None),
        allowed_hosts=tuple(name.strip().lower() for name in names.split(",") if name.strip()),
        backend_id=environment.get(BACKEND_ID_VARIABLE) or socket.gethostname(),
    )


def _listening() -> str:
    """Return the addresses on which this ComfyUI listens, separated by commas."""
    try:
        arguments = importlib.import_module("comfy.cli_args").args
    except (ImportError, AttributeError):
        # Not knowing counts as the worst case.
        return "0.0.0.0"  # noqa: S104 - an address to compare with, not to bind
    listen = getattr(arguments, "listen", None)
    return listen if isinstance(listen, str) and listen else "0.0.0.0"  # noqa: S104 - likewise


def _folders(folder_paths: Any) -> Iterable[tuple[str, str]]:
    """Return ComfyUI's folders; of the model folders elsewhere those on other disks."""
    models = str(folder_paths.models_dir)
    yield "models", models
    for role in _FOLDERS:
        yield role, str(getattr(folder_paths, f"get_{role}_directory")())
    seen = {_device(models)}
    for paths, _ in dict(getattr(folder_paths, "folder_names_and_paths", {})).values():
        for path in paths:
            device = _device(path)
            if device is not None and device not in seen:
                seen.add(device)
                yield "models", str(path)


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev  # noqa: PTH116 - paths of others, of whatever type
    except OSError:
        return None


def _torch_gpus() -> set[str]:
    """Return the UUIDs of the GPUs that torch has in use in this process.

    In a container the driver's process ids are those of the host, so they tell nothing.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return set()
    found = set()
    for number in range(cuda.device_count()):
        if cuda.memory_reserved(number) > 0:
            uuid = getattr(cuda.get_device_properties(number), "uuid", None)
            if uuid is not None:
                found.add(f"GPU-{uuid}")
    return found
