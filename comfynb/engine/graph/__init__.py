"""The orchestration graph: ports, checks, the pure reducer, and the runner that obeys it.

``expressions`` and ``delivery`` are what CONDITION and OUTPUT nodes do.
"""

from comfynb.engine.graph.check import GraphProblem, check_connection, check_graph
from comfynb.engine.graph.ports import (
    WorkflowInput,
    WorkflowOutput,
    WorkflowPorts,
    compatible,
    find_input,
    find_output,
    ports_of,
    workflow_ports,
)
from comfynb.engine.graph.titles import title_of

__all__ = [
    "GraphProblem",
    "WorkflowInput",
    "WorkflowOutput",
    "WorkflowPorts",
    "check_connection",
    "check_graph",
    "compatible",
    "find_input",
    "find_output",
    "ports_of",
    "title_of",
    "workflow_ports",
]
