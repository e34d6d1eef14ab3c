"""What can be swept: workflows, and graphs of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from comfynb.errors import UsageError
from comfynb.workbench.graphs.graph import Graph
from comfynb.workbench.sweeps.graph_subject import graph_subject
from comfynb.workbench.sweeps.subject import Subject
from comfynb.workbench.sweeps.workflow_subject import workflow_subject
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Sweepable", "subject_of", "sweepables"]

Sweepable = Workflow | Graph


def sweepables(given: Sweepable | Sequence[Sweepable] | None) -> list[Sweepable]:
    """What a person gave to be swept, as a list; empty where nothing was given.

    Raises:
        UsageError: it is neither a workflow nor a graph.
    """
    if given is None:
        return []
    found = [given] if isinstance(given, Sweepable) else list(given)
    for one in found:
        if not isinstance(one, Sweepable):
            raise UsageError(
                f"A sweep runs workflows and graphs, not a {type(one).__name__}: "
                'wf = wb.workflows.load("portrait.json"), then wb.sweep(wf, grid=...).'
            )
    return found


def subject_of(workbench: "Workbench", given: Sweepable) -> Subject:
    """What a sweep asks of a workflow or a graph."""
    if isinstance(given, Graph):
        return graph_subject(workbench, given)
    return workflow_subject(given)
