"""Makes jobs out of workflows, and prompts out of jobs: the same prompt before and after a crash.

A job keeps a frozen snapshot: its WORKFLOW node names the version of the workflow (a hash of its
content) and which parameter sets which input, so that later edits change nothing about it.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfynb.engine.live import LiveJob
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.errors import UsageError
from comfynb.models import (
    CanvasLayout,
    CanvasNode,
    FallbackStrategy,
    Job,
    NodeExecution,
    NodeType,
    WorkflowVersion,
    content_sha256,
    new_id,
)

__all__ = [
    "RUNS_PROJECT",
    "RunPlan",
    "make_job",
    "make_jobs",
    "make_task",
    "node_titles",
    "version_of",
]

RUNS_PROJECT = "00000000-0000-4000-8000-000000000001"
"""Id of the project that single runs belong to, since every job has one."""


def version_of(
    workflow_id: str, number: int, workflow_json: dict[str, Any], api_json: dict[str, Any]
) -> WorkflowVersion:
    """The version of a workflow that has exactly this content."""
    return WorkflowVersion(
        id=content_sha256(workflow_id, workflow_json, api_json),
        workflow_id=workflow_id,
        version=number,
        workflow_json=workflow_json,
        api_json=api_json,
    )


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
            plan.backend_id,
            plan.fallback,
        )
        if alike not in snapshots:
            snapshots[alike] = _snapshot(plan)
        jobs.append(_job(plan, snapshots[alike]))
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
        },
    )
    return CanvasLayout(nodes=[node])


def _job(plan: RunPlan, snapshot: CanvasLayout) -> Job:
    # Everything here is our own or was checked: validating it again, twenty thousand times, would
    # cost more than running it.
    job_id = new_id()
    execution = NodeExecution.model_construct(
        id=new_id(), job_id=job_id, canvas_node_id=snapshot.nodes[0].id
    )
    return Job.model_construct(
        id=job_id,
        project_id=plan.project_id,
        canvas_snapshot=snapshot,
        parameter_values=dict(plan.values),
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
    prompt = _bind(version.api_json, bindings, live.job.parameter_values)
    titles = node_titles(prompt)
    live.node_titles.update(titles)
    choices = set()
    for place in node.config.get("choices", ()):
        node_id, _, input_name = place.partition("/")
        value = prompt[node_id]["inputs"].get(input_name)
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
        files=files,
        workflow=version.workflow_json or None,
    )


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
