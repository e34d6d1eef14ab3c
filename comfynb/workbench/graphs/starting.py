"""Makes a job of a graph as it is now: its values, its files, its workflows' versions."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.engine.graph import WorkflowPorts, title_of
from comfynb.engine.graph.delivery import resolve_folder
from comfynb.engine.graph.job import make_graph_job
from comfynb.engine.live import LiveJob
from comfynb.engine.plan import RunPlan
from comfynb.engine.views import QuestionView
from comfynb.models import CanvasLayout, CanvasNode, FallbackStrategy, Job, NodeType
from comfynb.workbench.jobs import JobHandle

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench
    from comfynb.workbench.graphs.graph import Graph

__all__ = ["Asks", "Frozen", "freeze", "start"]

Asks = Callable[[QuestionView], Any]
"""Gets a question and returns the backend's name (or an awaitable of it), or None."""


def start(
    workbench: "Workbench", graph: "Graph", values: Mapping[str, Any], on_ask: Asks | None
) -> JobHandle:
    """Store a job of the graph, then start it: when this returns, it survives a killed kernel."""
    frozen = freeze(workbench, graph, values)
    job = frozen.job
    graph.save()
    workbench.store.journal.create_jobs([job], workbench.store.owner_id).result()
    titles = {node.id: title_of(node) for node in job.canvas_snapshot.nodes}
    live = LiveJob(job, name=graph.name, titles=titles)
    live.asker = _Starting(workbench, graph).asker(on_ask) if on_ask is not None else None
    for plan in frozen.plans.values():
        workbench.engine.know_version(plan.version)
    workbench.host.call(workbench.engine.launch, [live])
    return JobHandle(workbench, live)


@dataclass(frozen=True)
class Frozen:
    """A job of a graph as it is now, not stored yet, and what each WORKFLOW node runs."""

    job: Job
    plans: Mapping[str, RunPlan]


def freeze(
    workbench: "Workbench",
    graph: "Graph",
    values: Mapping[str, Any],
    *,
    backend_id: str | None = None,
    fallback: FallbackStrategy = FallbackStrategy.NONE,
) -> Frozen:
    """Make a job of the graph; ``backend_id`` binds all its workflows to that backend.

    Raises:
        GraphInvalid: the graph cannot run; ``problems`` lists all reasons.
        NotFound, InvalidValue: a value that is not allowed.
    """
    starting = _Starting(workbench, graph)
    layout, inputs = starting.given(values)
    ports = graph.known_ports()
    plans, node_ports = {}, {}
    for node in layout.nodes:
        known = ports.get(node.workflow_id or "")
        if node.node_type is NodeType.WORKFLOW and known is not None:
            if backend_id is not None:
                node.backend_affinity, node.fallback_strategy = backend_id, fallback
            plans[node.id] = starting.plan(layout, node, known)
            node_ports[node.id] = known
    job = make_graph_job(
        layout, plans, node_ports, name=graph.name, project_id=graph.id, values=inputs
    )
    return Frozen(job, plans)


class _Starting:
    def __init__(self, workbench: "Workbench", graph: "Graph") -> None:
        self._workbench = workbench
        self._graph = graph

    def given(self, values: Mapping[str, Any]) -> tuple[CanvasLayout, dict[str, Any]]:
        """A layout to be run: with values of parameters, and files and folders as they lie now."""
        layout = self._graph.layout
        inputs: dict[str, Any] = {}
        by_title = {title: node.id for title, node in self._graph.nodes.items()}
        nodes = {node.id: node for node in layout.nodes}
        for name, value in values.items():
            title, _, parameter = name.rpartition(".")
            node = nodes.get(by_title.get(title, title))
            if name not in by_title and node is not None and node.node_type is NodeType.WORKFLOW:
                node.config = {
                    **node.config,
                    "values": self._graph.new_values(node, {parameter: value}),
                }
            else:
                # By id, since two inputs may be called the same.
                inputs[by_title.get(name, name)] = self._kept(value)
        for node in layout.nodes:
            if node.node_type is NodeType.INPUT and node.config.get("files"):
                files = [str(self._keep(Path(each))) for each in node.config["files"]]
                node.config = {**node.config, "files": files}
            elif node.node_type is NodeType.OUTPUT and node.config.get("output_folder"):
                folder = resolve_folder(node.config["output_folder"], Path.cwd())
                node.config = {**node.config, "output_folder": str(folder)}
        return layout, inputs

    def _kept(self, value: Any) -> Any:
        if isinstance(value, Path):
            return self._keep(value)
        if isinstance(value, list | tuple) and any(isinstance(each, Path) for each in value):
            return [self._keep(Path(each)) for each in value]
        return value

    def _keep(self, path: Path) -> Path:
        inputs = self._workbench.inputs
        path = path.expanduser()
        return path if path.is_relative_to(inputs.root) else inputs.keep(path)

    def plan(self, layout: CanvasLayout, node: CanvasNode, ports: WorkflowPorts) -> RunPlan:
        workflow = self._workbench.graphs.workflow(node.workflow_id)
        values = node.config.get("values")
        (plan,) = workflow.plans(
            [values if isinstance(values, dict) else {}],
            backend_id=node.backend_affinity,
            fallback=node.fallback_strategy,
            refuse=False,
        )
        # What a connection brings need not lie on the backend before.
        fed = {
            f"{found.node_id}/{found.input_name}"
            for connection in layout.connections
            if connection.target_node_id == node.id
            and (found := ports.input(connection.target_port)) is not None
        }
        return replace(plan, choices=[each for each in plan.choices if each not in fed])

    def asker(self, on_ask: Asks) -> Callable[[QuestionView], Any]:
        """Asks by name: the engine calls it in a thread and awaits what it gives."""

        def named(answer: str | None) -> str | None:
            return None if answer is None else self._workbench.backends[answer].id

        async def later(answer: Awaitable[str | None]) -> str | None:
            return named(await answer)

        def ask(question: QuestionView) -> Any:
            answer = on_ask(question)
            return later(answer) if inspect.isawaitable(answer) else named(answer)

        return ask
