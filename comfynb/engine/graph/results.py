"""What a job comes to: the outputs of its OUTPUT nodes."""

from collections.abc import Iterable, Sequence
from typing import Any

from comfynb.engine.graph.network import Graph
from comfynb.models import NodeExecution, NodeType

__all__ = ["job_outputs"]


def job_outputs(graph: Graph | None, executions: Sequence[NodeExecution]) -> dict[str, Any]:
    """A job's ``outputs`` by canvas node id.

    In a graph those of its OUTPUT nodes; where it has none, those of the nodes that nothing comes
    after. A run by itself has one node.
    """
    made = [execution for execution in executions if execution.output_data is not None]
    if graph is None:
        return {execution.canvas_node_id: execution.output_data for execution in made}
    ends = {id_ for id_, node in graph.nodes.items() if node.node_type is NodeType.OUTPUT}
    if not ends:
        sources = {edge.source for edges in graph.incoming.values() for edge in edges}
        ends = graph.nodes.keys() - sources
    return {
        node_id: _together(e for e in made if e.canvas_node_id == node_id)
        for node_id in graph.order
        if node_id in ends and any(e.canvas_node_id == node_id for e in made)
    }


def _together(executions: Iterable[NodeExecution]) -> dict[str, Any]:
    """One output of all runs of a node, in the order of its items."""
    runs = sorted(executions, key=lambda execution: execution.input_data.get("run", 0))
    if len(runs) == 1:
        return dict(runs[0].output_data or {})
    ports: dict[str, list[Any]] = {}
    for execution in runs:
        for port, items in (execution.output_data or {}).get("ports", {}).items():
            ports.setdefault(port, []).extend(items)
    return {"ports": ports, "runs": [dict(execution.output_data or {}) for execution in runs]}
