"""What running ComfyUI servers already have: classes and model files."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from comfynb.comfy import ComfyClient
from comfynb.comfy.object_info import ObjectInfo, as_object_info
from comfynb.deploy.resolve.folders import canonical_folder, is_model_file
from comfynb.deploy.resolve.loaders import LOADERS
from comfynb.deploy.resolve.needs import ModelNeed

__all__ = ["BackendFacts", "facts_of"]

_CORE_MODULES = ("nodes", "comfy_extras", "comfy_api_nodes")


@dataclass(frozen=True)
class BackendFacts:
    """One server: its ``/object_info`` and, where it was asked, its files by folder."""

    name: str
    object_info: Mapping[str, Any]
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names by folder, as ``GET /models/FOLDER`` lists them."""
    version: str | None = None
    """ComfyUI's release."""

    @cached_property
    def info(self) -> ObjectInfo:
        """The classes, parsed when they are asked for."""
        return as_object_info(self.object_info)

    @cached_property
    def names(self) -> Mapping[str, frozenset[str]]:
        """All model names that the server lists, by folder, with / between their parts."""
        found: dict[str, set[str]] = {}
        for folder, names in self.files.items():
            found.setdefault(canonical_folder(folder), set()).update(_plain(names))
        for class_type, loaders in LOADERS.items():
            node_class = self.info.node(class_type)
            for loader in loaders if node_class is not None else ():
                spec = node_class.inputs.get(loader.input) if node_class is not None else None
                if spec is not None and spec.choices is not None:
                    found.setdefault(loader.folder, set()).update(_plain(spec.choices))
        return {folder: frozenset(names) for folder, names in found.items()}

    def has_model(self, need: ModelNeed) -> bool:
        """Whether the server lists a file of that name where the workflow looks for it."""
        if need.folder is None:
            return any(need.name in names for names in self.names.values())
        first, _, rest = need.folder.partition("/")
        name = f"{rest}/{need.name}" if rest else need.name
        return name in self.names.get(first, frozenset())

    def core_classes(self) -> set[str]:
        """The classes that come with ComfyUI itself."""
        return {name for name in self.info if _is_core(self.info, name)}


def _plain(names: Iterable[Any]) -> Iterable[str]:
    return (name.replace("\\", "/") for name in names if is_model_file(name))


def _is_core(info: ObjectInfo, name: str) -> bool:
    node_class = info.node(name)
    return node_class is not None and node_class.python_module.split(".")[0] in _CORE_MODULES


async def facts_of(client: ComfyClient, *, name: str = "") -> BackendFacts:
    """Ask a server what it has. Raises :class:`~comfynb.errors.BackendError`."""
    object_info, stats, folders = await asyncio.gather(
        client.object_info(), client.system_stats(), client.models()
    )
    lists = await asyncio.gather(*(client.models(folder) for folder in folders))
    return BackendFacts(
        name or client.base_url,
        object_info,
        dict(zip(folders, lists, strict=True)),
        stats.version or None,
    )
