"""The orchestration graph: ports, checks, the pure reducer, and the runner that obeys it.

``expressions`` and ``delivery`` are what CONDITION and OUTPUT nodes do.
"""

from comfynb.engine.graph.check import GraphProblem, check_connection, check_graph
from comfynb.engine.graph.ports import compatible, find_input, find_output, ports_of
from comfynb.engine.graph.titles import title_of
from comfynb.engine.graph.workflow import (
    WorkflowInput,
    WorkflowOutput,
    WorkflowPorts,
    workflow_ports,
)

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
