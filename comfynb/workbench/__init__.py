"""What a person types: Workbench, and the handles that it gives out."""

from comfynb.workbench.backends import Backend, Backends
from comfynb.workbench.core import Workbench
from comfynb.workbench.graphs import Graph, GraphNode, Graphs, Port, Problems
from comfynb.workbench.job_nodes import JobNode, JobNodes
from comfynb.workbench.jobs import JobHandle, JobList, Jobs, Outputs, StoppedWaiting
from comfynb.workbench.library import Workflows
from comfynb.workbench.workflows import Parameters, Workflow

__all__ = [
    "Backend",
    "Backends",
    "Graph",
    "GraphNode",
    "Graphs",
    "JobHandle",
    "JobList",
    "JobNode",
    "JobNodes",
    "Jobs",
    "Outputs",
    "Parameters",
    "Port",
    "Problems",
    "StoppedWaiting",
    "Workbench",
    "Workflow",
    "Workflows",
]
