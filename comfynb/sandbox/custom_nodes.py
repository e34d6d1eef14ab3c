"""Loads extensions from a custom_nodes folder, as far as they add routes to ComfyUI's server.

ComfyUI's own modules that such an extension imports (``server``, ``folder_paths``,
``comfy.cli_args``) are stood in for by small ones with what concerns routes, folders and the
queue. Nodes that an extension brings are not loaded: they are written against torch, and the
sandbox computes without it.
"""

import asyncio
import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from aiohttp import web

from comfynb.sandbox.prompt_queue import PromptQueue, QueueItem
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.versions import server_version

__all__ = ["CustomNodes"]

_log = logging.getLogger(__name__)


class CustomNodes:
    """The extensions of one sandbox, and the modules that they take for ComfyUI's.

    ``queue`` returns the prompt queue of the moment: a simulated restart makes a new one. The
    modules are there for imports as long as the sandbox runs; of several sandboxes in one process
    the one that started last has its modules there.
    """

    _running: ClassVar[list["CustomNodes"]] = []

    def __init__(self, settings: Settings, queue: Callable[[], PromptQueue]) -> None:
        self._settings = settings
        self._routes = web.RouteTableDef()
        self._queue = queue
        self._modules: dict[str, ModuleType] = {}
        self._loaded: list[str] = []

    @property
    def routes(self) -> list[web.RouteDef]:
        """The routes that the extensions added."""
        return [route for route in self._routes if isinstance(route, web.RouteDef)]

    def load(self, app: web.Application) -> None:
        """Import every extension; one that fails is logged and left out, as ComfyUI does."""
        folder = self._settings.custom_nodes
        if folder is None:
            return
        self._modules = self._stand_ins(app)
        self._running.append(self)
        self._be_importable()
        for path in sorted(folder.iterdir()):
            source = path / "__init__.py" if path.is_dir() else path
            if path.suffix == ".disabled" or source.suffix != ".py" or not source.is_file():
                continue
            self._import(path, source)

    def unload(self) -> None:
        """Forget the extensions, and put back what is imported under ComfyUI's names."""
        for name in list(sys.modules):
            if any(name == own or name.startswith(f"{own}.") for own in self._loaded):
                del sys.modules[name]
        self._loaded.clear()
        if self not in self._running:
            return
        self._running.remove(self)
        for name, module in self._modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        if self._running:
            self._running[-1]._be_importable()  # noqa: SLF001 - of the same class

    def _be_importable(self) -> None:
        sys.modules.update(self._modules)

    def _import(self, path: Path, source: Path) -> None:
        # Several sandboxes may load the same folder: each has modules of its own.
        name = f"{path}@{id(self):x}".replace(".", "_x_")
        spec = importlib.util.spec_from_file_location(name, source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        self._loaded.append(name)
        try:
            spec.loader.exec_module(module)
        except Exception:  # noqa: BLE001 - whatever an extension does wrong, the server goes on
            _log.warning("the extension %s cannot be imported", path, exc_info=True)
            return
        if getattr(module, "NODE_CLASS_MAPPINGS", None):
            _log.warning("the sandbox leaves out the nodes of the extension %s", path)

    def _stand_ins(self, app: web.Application) -> dict[str, ModuleType]:
        settings = self._settings
        prompt_server = type("PromptServer", (), {})
        instance: Any = prompt_server()
        instance.routes = self._routes
        instance.app = app
        instance.loop = asyncio.get_running_loop()
        instance.prompt_queue = _Queue(self._queue)
        vars_of_server = {"PromptServer": prompt_server}
        prompt_server.instance = instance  # type: ignore[attr-defined]
        folders = {
            f"get_{kind}_directory": (lambda kind=kind: str(settings.folder(kind)))
            for kind in ("input", "output", "temp", "user")
        }
        models = settings.folder("models")
        names: dict[str, tuple[list[str], set[str]]] = {
            name: ([str(models / name)], set())
            for name in server_version(settings.version).model_folders
        }
        arguments = type("Arguments", (), {"listen": settings.host, "port": settings.port})()
        cli_args = _module("comfy.cli_args", {"args": arguments})
        return {
            "server": _module("server", vars_of_server),
            "folder_paths": _module(
                "folder_paths",
                {
                    **folders,
                    "base_path": str(settings.base_dir),
                    "models_dir": str(models),
                    "folder_names_and_paths": names,
                },
            ),
            "comfy": _module("comfy", {"cli_args": cli_args, "__path__": []}),
            "comfy.cli_args": cli_args,
        }


class _Queue:
    """The prompt queue with the methods by which extensions read ComfyUI's."""

    def __init__(self, queue: Callable[[], PromptQueue]) -> None:
        self._find = queue

    def get_current_queue_volatile(self) -> tuple[list[QueueItem], list[QueueItem]]:
        """Return the running and the pending prompts."""
        queue = self._find()
        # A prompt that starts in between is in both lists rather than in neither.
        pending = queue.pending()
        running = queue.running()
        ids = {item[1] for item in running}
        return running, [item for item in pending if item[1] not in ids]

    get_current_queue = get_current_queue_volatile

    def get_tasks_remaining(self) -> int:
        """Return how many prompts run or wait."""
        return self._find().remaining()


def _module(name: str, contents: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module
