"""Makes a job of a canvas: a frozen snapshot of the graph, versions of its workflows, values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comfynb.engine.graph.check import check_graph
from comfynb.engine.graph.titles import title_of
from comfynb.engine.graph.workflow import WorkflowPorts
from comfynb.engine.plan import DYNAMIC_SEED, RunPlan, frozen_texts
from comfynb.errors import GraphInvalid, NotFound
from comfynb.models import CanvasLayout, CanvasNode, Job, NodeExecution, NodeType, new_id

__all__ = ["is_graph", "job_name", "make_graph_job"]

_INPUT_KEYS = ("value", "values", "files")


def is_graph(layout: CanvasLayout) -> bool:
    """Whether a job's snapshot is a graph; a single run is one WORKFLOW without ports."""
    return len(layout.nodes) != 1 or "ports" in layout.nodes[0].config or bool(layout.connections)


def job_name(layout: CanvasLayout) -> str:
    """What a graph's job is called."""
    named = (node.config.get("job_name") for node in layout.nodes)
    return next((str(name) for name in named if name), "graph")


def make_graph_job(
    layout: CanvasLayout,
    plans: Mapping[str, RunPlan],
    ports: Mapping[str, WorkflowPorts],
    *,
    name: str,
    project_id: str,
    values: Mapping[str, Any] | None = None,
) -> Job:
    """One job that runs ``layout`` as it is now, ready to be stored and launched.

    ``plans`` and ``ports`` are by canvas node id, one for each WORKFLOW node: its version, the
    bindings of all its parameters, the values and files set by hand, and its ports. The canvas
    node says which backend it prefers. ``values`` are by an INPUT's id or title: one value, or a
    list of values or of files (``Path``) of which each is one item.

    Raises:
        GraphInvalid: the graph cannot run; ``problems`` lists all reasons.
        NotFound: there is no INPUT of a name in ``values``.
    """
    given = _inputs(layout, values or {})
    nodes = []
    for node in layout.nodes:
        config = dict(node.config)
        if node.id in plans and node.id in ports:
            config |= _frozen(node, plans[node.id], ports[node.id])
        if node.id in given:
            config = {k: v for k, v in config.items() if k not in _INPUT_KEYS} | given[node.id]
        nodes.append(node.model_copy(update={"config": config}))
    if nodes:
        nodes[0].config["job_name"] = name
    snapshot = layout.model_copy(update={"nodes": nodes}).model_copy(deep=True)
    problems = check_graph(snapshot, {})
    if problems:
        raise GraphInvalid.of(name, [str(problem) for problem in problems])
    job_id = new_id()
    return Job(
        id=job_id,
        project_id=project_id,
        canvas_snapshot=snapshot,
        parameter_values=_shown(snapshot, values or {}),
        node_executions=[
            NodeExecution(id=new_id(), job_id=job_id, canvas_node_id=node.id) for node in nodes
        ],
    )


def _frozen(node: CanvasNode, plan: RunPlan, ports: WorkflowPorts) -> dict[str, Any]:
    prompt = plan.version.api_json
    defaults = {
        key: prompt[node_id]["inputs"].get(name)
        for key, (node_id, name) in plan.bindings.items()
        if node_id in prompt and not isinstance(prompt[node_id]["inputs"].get(name), list)
    }
    seed = {} if plan.dynamic_seed is None else {DYNAMIC_SEED: plan.dynamic_seed}
    return {
        "name": node.config.get("name") or plan.name,
        "workflow_version": plan.version.id,
        "bindings": {key: list(place) for key, place in plan.bindings.items()},
        "choices": sorted(plan.choices),
        "files": {key: str(path) for key, path in plan.files.items()},
        "required_capabilities": sorted(plan.capabilities),
        "values": {**plan.values, **seed},
        "parameters": {**defaults, **plan.values},
        "ports": ports.to_json(),
        **frozen_texts(plan),
    }


def _inputs(layout: CanvasLayout, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The config of each INPUT that a value is given for, by node id."""
    names: dict[str, str] = {}
    for node in layout.nodes:
        if node.node_type is NodeType.INPUT:
            for name in (title_of(node), node.config.get("name")):
                if isinstance(name, str):
                    names.setdefault(name, node.id)
            names[node.id] = node.id
    given = {}
    for name, value in values.items():
        if name not in names:
            inputs = [node for node in layout.nodes if node.node_type is NodeType.INPUT]
            known = ", ".join(sorted({title_of(node) for node in inputs})) or "none"
            raise NotFound(f"The graph has no input {name!r:.80}; its inputs are: {known}.")
        given[names[name]] = _given(value)
    return given


def _given(value: Any) -> dict[str, Any]:
    if isinstance(value, Path):
        return {"files": [str(value)]}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(each, Path) for each in value):
            return {"files": [str(each) for each in value]}
        return {"values": list(value)}
    return {"value": value}


def _shown(snapshot: CanvasLayout, values: Mapping[str, Any]) -> dict[str, Any]:
    """All that was set by hand, for people: "Upscale.steps" and the inputs by name."""
    titles = Counter(title_of(node) for node in snapshot.nodes)
    shown: dict[str, Any] = {}
    for node in snapshot.nodes:
        title = title_of(node)
        name = title if titles[title] == 1 else f"{title} ({node.id[:8]})"
        if node.node_type is NodeType.WORKFLOW:
            for key, value in node.config.get("values", {}).items():
                shown[f"{name}.{key}"] = value
        elif node.node_type is NodeType.INPUT and {title, node.id} & values.keys():
            given = node.config
            shown[name] = next((given[key] for key in _INPUT_KEYS if key in given), None)
    return shown
