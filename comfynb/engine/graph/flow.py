"""The graph's rules as one pure function: from what has happened to what happens next.

:func:`step` takes a job's graph and its node executions as they are stored, and says which nodes
end now without a backend (CONDITION, FANOUT, MERGE, INPUT, whatever is skipped) and which are
ready to run, with their input data. It looks at nothing else, so it says the same before and after
a crash: recovery is asking again. docs/graph.md has the rules as a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from comfynb.engine.graph.evaluate import evaluate, workflow_runs
from comfynb.engine.graph.items import Item
from comfynb.engine.graph.network import DONE, Edge, Graph
from comfynb.errors import ComfynbError
from comfynb.models import JobStatus, NodeExecution, NodeType

__all__ = [
    "Decision",
    "Ended",
    "Facts",
    "Fate",
    "Ready",
    "fates",
    "final_status",
    "is_ready",
    "step",
]


class Fate(Enum):
    """What became of a node, as the nodes after it see it."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"  # not on a path that was taken
    BLOCKED = "blocked"  # it, or something before it, failed


@dataclass(frozen=True, slots=True)
class Facts:
    """What expressions may ask about the job."""

    job: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """A node that ends now, without a backend."""

    node_id: str
    status: JobStatus
    input_data: dict[str, Any] = field(default_factory=dict)
    output_data: dict[str, Any] | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A WORKFLOW or OUTPUT that can run: one input data for each of its runs."""

    node_id: str
    runs: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens next: ``ended`` in an order in which causes come first."""

    ended: tuple[Ended, ...] = ()
    ready: tuple[Ready, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ended or self.ready)


@dataclass(slots=True)
class _State:
    fate: Fate
    ports: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    reason: str = ""
    """Why nothing comes, for those that wait for it: "Upscale failed"."""


def step(graph: Graph, executions: Iterable[NodeExecution], facts: Facts | None = None) -> Decision:
    """Say what happens next in a job; an empty decision means that something must end first."""
    rows = _by_node(executions)
    states: dict[str, _State] = {}
    ended: list[Ended] = []
    ready: list[Ready] = []
    for node_id in graph.order:
        mine = rows.get(node_id, [])
        states[node_id] = state = _state(graph, node_id, mine, states)
        if state.fate is not Fate.WAITING or not _untouched(mine):
            continue
        inputs = [(edge, states[edge.source]) for edge in graph.incoming[node_id]]
        if any(source.fate is Fate.WAITING for _, source in inputs):
            continue
        outcome = _judge(graph, node_id, inputs, facts or Facts(), rows)
        if isinstance(outcome, Ready):
            ready.append(outcome)
        else:
            ended.append(outcome)
            states[node_id] = _after(graph, outcome, inputs)
    return Decision(tuple(ended), tuple(ready))


def fates(graph: Graph, executions: Iterable[NodeExecution]) -> dict[str, Fate]:
    """What became of each node so far."""
    rows = _by_node(executions)
    states: dict[str, _State] = {}
    for node_id in graph.order:
        states[node_id] = _state(graph, node_id, rows.get(node_id, []), states)
    return {node_id: state.fate for node_id, state in states.items()}


def final_status(executions: Iterable[NodeExecution]) -> JobStatus | None:
    """How a job ended, or None while it goes on: the worst of its nodes; skipped ones are fine."""
    statuses = {execution.status for execution in executions}
    if not all(status.is_terminal for status in statuses):
        return None
    for worst in (JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED):
        if worst in statuses:
            return worst
    return JobStatus.COMPLETED


def is_ready(execution: NodeExecution) -> bool:
    """Whether it was stored that this execution may run."""
    return "run" in execution.input_data


def _by_node(executions: Iterable[NodeExecution]) -> dict[str, list[NodeExecution]]:
    rows: dict[str, list[NodeExecution]] = {}
    for execution in executions:
        rows.setdefault(execution.canvas_node_id, []).append(execution)
    for mine in rows.values():
        if len(mine) > 1:
            mine.sort(key=lambda execution: execution.input_data.get("run", 0))
    return rows


def _untouched(rows: Sequence[NodeExecution]) -> bool:
    return all(row.status is JobStatus.PENDING and not is_ready(row) for row in rows)


def _state(
    graph: Graph,
    node_id: str,
    rows: Sequence[NodeExecution],
    states: Mapping[str, _State],
) -> _State:
    title = graph.titles[node_id]
    statuses = {row.status for row in rows}
    if not rows or not all(status.is_terminal for status in statuses):
        return _State(Fate.WAITING)
    for status, word in (
        (JobStatus.FAILED, "failed"),
        (JobStatus.LOST, "was lost"),
        (JobStatus.CANCELLED, "was cancelled"),
    ):
        if status in statuses:
            return _State(Fate.BLOCKED, reason=f"{title} {word}")
    if JobStatus.SKIPPED in statuses:
        inputs = [(edge, states[edge.source]) for edge in graph.incoming[node_id]]
        return _skipped(title, inputs)
    ports: dict[str, list[Item]] = {}
    for row in rows:
        for port, items in (row.output_data or {}).get("ports", {}).items():
            ports.setdefault(port, []).extend(items)
    return _State(Fate.DONE, ports)


def _skipped(title: str, inputs: Sequence[tuple[Edge, _State]]) -> _State:
    for _, source in inputs:
        if source.fate is Fate.BLOCKED:
            return _State(Fate.BLOCKED, reason=source.reason)
    return _State(Fate.DEAD, reason=f"{title} was skipped")


def _after(graph: Graph, ended: Ended, inputs: Sequence[tuple[Edge, _State]]) -> _State:
    title = graph.titles[ended.node_id]
    if ended.status is JobStatus.COMPLETED:
        return _State(Fate.DONE, (ended.output_data or {}).get("ports", {}))
    if ended.status is JobStatus.SKIPPED:
        return _skipped(title, inputs)
    return _State(Fate.BLOCKED, reason=f"{title} failed")


def _is_dead(edge: Edge, source: _State) -> bool:
    if source.fate is not Fate.DONE:
        return True
    return edge.source_port != DONE and not source.ports.get(edge.source_port)


def _judge(
    graph: Graph,
    node_id: str,
    inputs: Sequence[tuple[Edge, _State]],
    facts: Facts,
    rows: Mapping[str, Sequence[NodeExecution]],
) -> Ended | Ready:
    """What becomes of a node whose inputs are all settled."""
    for _, source in inputs:
        if source.fate is Fate.BLOCKED:
            return Ended(node_id, JobStatus.SKIPPED, message=f"Skipped: {source.reason}.")
    node = graph.nodes[node_id]
    dead = [(edge, source) for edge, source in inputs if _is_dead(edge, source)]
    live = [(edge, source) for edge, source in inputs if not _is_dead(edge, source)]
    patient = node.node_type is NodeType.MERGE and not any(edge.is_order for edge, _ in dead)
    if dead and not (patient and any(not edge.is_order for edge, _ in live)):
        return Ended(node_id, JobStatus.SKIPPED, message=f"Skipped: {_why(graph, *dead[0])}.")
    data: dict[str, list[Item]] = {}
    for edge, source in live:
        if not edge.is_order:
            data.setdefault(edge.target_port, []).extend(source.ports[edge.source_port])
    arrived = [list(source.ports[edge.source_port]) for edge, source in live if not edge.is_order]
    try:
        if node.node_type is NodeType.WORKFLOW:
            return Ready(node_id, tuple(workflow_runs(node, data)))
        if node.node_type is NodeType.OUTPUT:
            return Ready(node_id, ({"ports": data, "run": 1, "runs": 1},))
        context = {"params": _params(graph, node_id, rows), "job": dict(facts.job)}
        result = evaluate(node, arrived, context)
    except ComfynbError as error:
        message = f"{graph.titles[node_id]}: {error}"
        return Ended(node_id, JobStatus.FAILED, {"ports": data}, message=message)
    return Ended(node_id, JobStatus.COMPLETED, {"ports": data}, result)


def _why(graph: Graph, edge: Edge, source: _State) -> str:
    title = graph.titles[edge.source]
    if source.fate is Fate.DEAD:
        return source.reason
    if graph.nodes[edge.source].node_type is NodeType.CONDITION:
        taken = next((port for port, items in source.ports.items() if items), "nothing")
        return f"{title} took the side {taken!r}"
    return f'nothing came out of "{edge.source_port}" of {title}'


def _params(
    graph: Graph, node_id: str, rows: Mapping[str, Sequence[NodeExecution]]
) -> dict[str, Any]:
    """The parameters of the workflows before a node; the nearest one's count."""
    found: dict[str, Any] = {}
    level, seen = [node_id], {node_id}
    while level:
        before = [edge.source for each in level for edge in graph.incoming[each]]
        level = [source for source in dict.fromkeys(before) if source not in seen]
        seen.update(level)
        for source in level:
            values = dict(graph.nodes[source].config.get("parameters") or {})
            mine = rows.get(source, [])
            if len(mine) == 1:
                values |= _fed(mine[0])
            for key, value in values.items():
                found.setdefault(key, value)
    return found


def _fed(execution: NodeExecution) -> dict[str, Any]:
    ports = execution.input_data.get("ports", {})
    return {
        port: items[0]["value"]
        for port, items in ports.items()
        if len(items) == 1 and "value" in items[0]
    }
