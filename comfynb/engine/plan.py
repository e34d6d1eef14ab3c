"""Makes jobs out of workflows, and prompts out of jobs: the same prompt before and after a crash.

A job keeps a frozen snapshot: its WORKFLOW node names the version of the workflow (a hash of its
content) and which parameter sets which input, so that later edits change nothing about it.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from comfynb.comfy.dynamic_prompts import fill_date, resolve_at
from comfynb.engine.graph.feeding import fed_by_graph, set_inputs
from comfynb.engine.live import LiveJob
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.errors import UsageError
from comfynb.models import (
    CanvasLayout,
    CanvasNode,
    ExposedParameter,
    FallbackStrategy,
    Job,
    NodeExecution,
    NodeType,
    WorkflowVersion,
    content_sha256,
    new_id,
)

__all__ = [
    "DYNAMIC_SEED",
    "RUNS_PROJECT",
    "RunPlan",
    "frozen_texts",
    "job_of",
    "make_job",
    "make_jobs",
    "make_task",
    "node_titles",
    "version_of",
]

RUNS_PROJECT = "00000000-0000-4000-8000-000000000001"
"""Id of the project that single runs belong to, since every job has one."""

DYNAMIC_SEED = "dynamic_seed"
"""Key in a job's ``parameter_values`` of the seed that its dynamic prompts were resolved by.

With it and the snapshot, the same texts can be made again at any time: nothing else is drawn."""


def version_of(
    workflow_id: str,
    number: int,
    workflow_json: dict[str, Any],
    api_json: dict[str, Any],
    exposed: Sequence[ExposedParameter] | None = None,
) -> WorkflowVersion:
    """The version of a workflow that has exactly this content.

    Of parameters counts what a person made of them: which there are, their names, groups and order.
    What a backend says (limits, choices) is no content, else a new model would make a new version.
    """
    looks = [[p.node_id, p.field_name, p.display_name, p.group] for p in exposed or ()]
    content = [workflow_json, api_json] if exposed is None else [workflow_json, api_json, looks]
    return WorkflowVersion(
        id=content_sha256(workflow_id, *content),
        workflow_id=workflow_id,
        version=number,
        workflow_json=workflow_json,
        api_json=api_json,
        exposed_parameters=None if exposed is None else [_without_choices(p) for p in exposed],
    )


def _without_choices(parameter: ExposedParameter) -> ExposedParameter:
    limits = parameter.constraints
    if limits is None or limits.choices is None:
        return parameter
    return parameter.model_copy(update={"constraints": limits.model_copy(update={"choices": None})})


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a person asked for: one workflow, some values, perhaps a certain backend."""

    version: WorkflowVersion
    name: str
    values: Mapping[str, Any]
    bindings: Mapping[str, tuple[str, str]]
    """Parameter name to (ComfyUI node id, input name)."""
    choices: Collection[str] = ()
    """Those inputs, as "node id/input name", whose value must be in a list on the backend."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Parameter name to the kept copy of a file on this machine."""
    project_id: str = RUNS_PROJECT
    backend_id: str | None = None
    fallback: FallbackStrategy = FallbackStrategy.NONE
    capabilities: Collection[str] = field(default_factory=tuple)
    dynamic: Collection[tuple[str, str]] = ()
    """Inputs, as (node id, input name), whose text is resolved as a dynamic prompt."""
    dynamic_seed: int | None = None
    """What their choices are made by; None where nothing is left to chance."""
    dated: Collection[tuple[str, str]] = ()
    """Inputs in which ``%date:...%`` means the moment when the job was made."""
    group: str | None = None
    """The sweep that it is a point of; None for a run by itself, which goes first."""
    weight: float = 1.0
    """The group's share of the backends, compared to other groups."""


def make_jobs(plans: Iterable[RunPlan]) -> list[Job]:
    """One job with one WORKFLOW node for each plan, ready to be stored and submitted."""
    snapshots: dict[object, CanvasLayout] = {}
    jobs = []
    for plan in plans:
        # Points of a sweep differ in their values only: they share one frozen snapshot.
        alike = (
            plan.version.id,
            plan.name,
            tuple(plan.values),
            tuple(plan.files.items()),
            frozenset(plan.choices),
            tuple(plan.dynamic),
            tuple(plan.dated),
            plan.backend_id,
            plan.fallback,
            plan.group,
            plan.weight,
        )
        if alike not in snapshots:
            snapshots[alike] = _snapshot(plan)
        values = dict(plan.values)
        if plan.dynamic_seed is not None:
            values[DYNAMIC_SEED] = plan.dynamic_seed
        jobs.append(job_of(snapshots[alike], values, plan.project_id))
    return jobs


def make_job(plan: RunPlan) -> Job:
    """As :func:`make_jobs`, for one."""
    return make_jobs([plan])[0]


def _snapshot(plan: RunPlan) -> CanvasLayout:
    node = CanvasNode(
        id=new_id(),
        node_type=NodeType.WORKFLOW,
        position=(0.0, 0.0),
        workflow_id=plan.version.workflow_id,
        backend_affinity=plan.backend_id,
        fallback_strategy=plan.fallback,
        config={
            "name": plan.name,
            "workflow_version": plan.version.id,
            "bindings": {key: list(plan.bindings[key]) for key in plan.values},
            "choices": sorted(plan.choices),
            "files": {key: str(path) for key, path in plan.files.items()},
            "required_capabilities": sorted(plan.capabilities),
            **frozen_texts(plan),
            **({} if plan.group is None else {"group": plan.group, "weight": plan.weight}),
        },
    )
    return CanvasLayout(nodes=[node])


def frozen_texts(plan: RunPlan) -> dict[str, Any]:
    """What is filled in when the prompt is made: the same after every restart."""
    found: dict[str, Any] = {}
    if plan.dynamic:
        found["dynamic"] = [list(place) for place in plan.dynamic]
    if plan.dated:
        found["dated"] = [list(place) for place in plan.dated]
        # A date in a file name is what the clock on the wall said when the job was made.
        offset = datetime.now().astimezone().utcoffset() or timedelta()
        found["utc_offset"] = int(offset.total_seconds())
    return found


def job_of(snapshot: CanvasLayout, values: dict[str, Any], project_id: str = RUNS_PROJECT) -> Job:
    """A new job of a frozen snapshot with one WORKFLOW node; ``values`` by parameter name."""
    # Everything here is our own or was checked: validating it again, twenty thousand times, would
    # cost more than running it.
    job_id = new_id()
    execution = NodeExecution.build(id=new_id(), job_id=job_id, canvas_node_id=snapshot.nodes[0].id)
    return Job.build(
        id=job_id,
        project_id=project_id,
        canvas_snapshot=snapshot,
        parameter_values=values,
        node_executions=[execution],
    )


def make_task(live: LiveJob, execution: NodeExecution, version: WorkflowVersion) -> NodeTask:
    """The unit of work for one node of a job's snapshot; the same after every restart.

    Raises:
        UsageError: the snapshot has no such node, or one that is not a workflow.
    """
    node = next(
        (n for n in live.job.canvas_snapshot.nodes if n.id == execution.canvas_node_id), None
    )
    if node is None or node.node_type is not NodeType.WORKFLOW:
        kind = f"a {node.node_type.value} node" if node else "no such node"
        raise UsageError(
            f"Job {live.id} cannot run node {execution.canvas_node_id}: its snapshot has {kind}."
        )
    bindings = node.config.get("bindings", {})
    fed = fed_by_graph(node, execution.input_data)
    # In a graph each node has its own values; a run by itself has the job's.
    values = dict(live.job.parameter_values if fed is None else node.config.get("values", {}))
    seed = values.pop(DYNAMIC_SEED, 0)
    prompt = _bind(version.api_json, bindings, values)
    if fed is not None:
        prompt = set_inputs(prompt, fed.values)
    prompt = resolve_at(prompt, map(tuple, node.config.get("dynamic", ())), seed)
    prompt = _dated(prompt, node.config, live.job.created_at)
    titles = node_titles(prompt)
    live.node_titles.update(titles)
    choices = set()
    for place in node.config.get("choices", ()):
        node_id, _, input_name = place.partition("/")
        value = prompt[node_id]["inputs"].get(input_name)
        if fed is not None and (node_id, input_name) in fed.sources:
            continue  # the file comes there with the prompt
        if isinstance(value, str):
            choices.add((str(prompt[node_id]["class_type"]), input_name, value))
    files = {}
    for key, path in node.config.get("files", {}).items():
        node_id, input_name = bindings[key]
        files[node_id, input_name] = Path(path)
    return NodeTask(
        live=live,
        execution=execution,
        prompt=prompt,
        prompt_sha256=_sha256(prompt),
        node_titles=titles,
        requirements=Requirements(
            node_classes=frozenset(str(each["class_type"]) for each in prompt.values()),
            choices=frozenset(choices),
            capabilities=frozenset(node.config.get("required_capabilities", ())),
            affinity=node.backend_affinity,
            fallback=node.fallback_strategy,
        ),
        files=files if fed is None else {k: v for k, v in files.items() if k not in fed.sources},
        sources=fed.sources if fed is not None else {},
        ports=fed.ports if fed is not None else None,
        origin=fed.origin if fed is not None else {},
        workflow=version.workflow_json or None,
        version=version.id,
        group=node.config.get("group"),
        weight=float(node.config.get("weight", 1.0)),
    )


def _dated(
    prompt: dict[str, Any], config: Mapping[str, Any], created_at: datetime
) -> dict[str, Any]:
    moment = created_at.astimezone(timezone(timedelta(seconds=config.get("utc_offset", 0))))
    for node_id, name in config.get("dated", ()):
        node = prompt[node_id]
        text = node["inputs"].get(name)
        if isinstance(text, str):
            filled = {**node["inputs"], name: fill_date(text, moment)}
            prompt = {**prompt, node_id: {**node, "inputs": filled}}
    return prompt


def _sha256(prompt: Mapping[str, Any]) -> str:
    text = json.dumps(prompt, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def node_titles(prompt: Mapping[str, Any]) -> dict[str, str]:
    """A name for each node of an API prompt: its title, else its class."""
    return {
        node_id: str((node.get("_meta") or {}).get("title") or node.get("class_type") or node_id)
        for node_id, node in prompt.items()
    }


def _bind(
    prompt: Mapping[str, Any],
    bindings: Mapping[str, Sequence[str]],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Set the bound inputs; nodes that no value touches are shared, not copied."""
    bound = dict(prompt)
    for key, value in values.items():
        node_id, input_name = bindings[key]
        node = bound[node_id]
        bound[node_id] = {**node, "inputs": {**node["inputs"], input_name: value}}
    return bound
