"""What a person types: Workbench, and the handles that it gives out."""

from comfynb.workbench.backends import Backend, Backends
from comfynb.workbench.core import Workbench
from comfynb.workbench.jobs import JobHandle, JobList, Jobs, Outputs, StoppedWaiting
from comfynb.workbench.library import Workflows
from comfynb.workbench.workflows import Parameters, Workflow

__all__ = [
    "Backend",
    "Backends",
    "JobHandle",
    "JobList",
    "Jobs",
    "Outputs",
    "Parameters",
    "StoppedWaiting",
    "Workbench",
    "Workflow",
    "Workflows",
]
