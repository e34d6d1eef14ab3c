"""What a run of a graph's WORKFLOW is fed: values and files, by ComfyUI node and input."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfynb.comfy import FileRef
from comfynb.engine.graph.titles import title_of
from comfynb.engine.graph.workflow import WorkflowPorts
from comfynb.engine.tasks import FileSource
from comfynb.models import CanvasNode

__all__ = ["Fed", "fed_by_graph", "set_inputs"]

Place = tuple[str, str]
_SEEDS = ("seed", "noise_seed")


@dataclass(frozen=True, slots=True)
class Fed:
    """What a run gets through its ports."""

    ports: WorkflowPorts
    values: Mapping[Place, Any]
    sources: Mapping[Place, FileSource]
    origin: Mapping[str, Any]


def fed_by_graph(node: CanvasNode, input_data: Mapping[str, Any]) -> Fed | None:
    """Read the input data of a run; None where the node is not part of a graph."""
    frozen = node.config.get("ports")
    if frozen is None:
        return None
    ports = WorkflowPorts.from_json(frozen)
    values: dict[Place, Any] = {}
    sources: dict[Place, FileSource] = {}
    known = dict(node.config.get("parameters") or {})
    for name, items in input_data.get("ports", {}).items():
        port = ports.input(name)
        if port is None or not items:
            continue
        place = (port.node_id, port.input_name)
        if "file" in items[0]:
            sources[place] = _source(items[0]["file"], annotated=port.annotated)
        else:
            values[place] = known[port.name] = items[0].get("value")
    origin = {"node": title_of(node), "workflow": ports.name}
    seed = next((known[key] for key in _SEEDS if known.get(key) is not None), None)
    if seed is not None:
        origin["seed"] = seed
    return Fed(ports, values, sources, origin)


def _source(file: Mapping[str, Any], *, annotated: bool) -> FileSource:
    backend_id = file.get("backend_id")
    name = None
    if annotated and backend_id and file.get("type"):
        name = FileRef(file["filename"], file.get("subfolder", ""), file["type"]).annotated
    path = file.get("path")
    return FileSource(Path(path) if path else None, file.get("sha256"), backend_id, name)


def set_inputs(prompt: Mapping[str, Any], values: Mapping[Place, Any]) -> dict[str, Any]:
    """The prompt with some inputs set; nodes that no value touches are shared, not copied."""
    changed = dict(prompt)
    for (node_id, name), value in values.items():
        node = changed[node_id]
        changed[node_id] = {**node, "inputs": {**node["inputs"], name: value}}
    return changed
