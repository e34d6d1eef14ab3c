"""Workflows as what a sweep runs."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from comfynb.comfy.values import check_value
from comfynb.engine.plan import make_jobs
from comfynb.engine.sweeps import downstream
from comfynb.models import ParamType
from comfynb.workbench.sweeps.subject import SHAPES, Binding, Made, Subject
from comfynb.workbench.sweeps.targets import Target
from comfynb.workbench.values import FILE_TYPES
from comfynb.workbench.workflows import Workflow

__all__ = ["checker_of", "workflow_subject"]


def checker_of(workflow: Workflow, key: str) -> Callable[[Any], Any]:
    """What checks values of a parameter, found once for all of them; see ``Subject.checker``."""
    parameter = workflow.parameter_keys[key]
    if parameter.param_type in FILE_TYPES:
        return lambda value: workflow.checked_values({key: value})[key]
    return partial(check_value, parameter)


def workflow_subject(workflow: Workflow) -> Subject:
    """What a sweep asks of a workflow."""
    return _WorkflowSubject(workflow)


@dataclass(eq=False)
class _WorkflowSubject:
    workflow: Workflow

    @property
    def name(self) -> str:
        return self.workflow.name

    @property
    def id(self) -> str:
        return self.workflow.id

    def key(self, name: str) -> str:
        keys = self.workflow.parameter_keys
        return keys.key_of(keys.find(name))

    def checker(self, key: str) -> Callable[[Any], Any]:
        return checker_of(self.workflow, key)

    def param_type(self, key: str) -> ParamType | None:
        return self.workflow.parameter_keys[key].param_type

    def shapes(self) -> set[str]:
        keys = self.workflow.parameter_keys
        return {key for key, one in keys.items() if one.param_type in SHAPES}

    def weights(self, keys: Iterable[str]) -> dict[str, int]:
        known = self.workflow.parameter_keys
        nodes = {key: known[key].node_id for key in keys}
        reach = downstream(self.workflow.api_json, nodes.values())
        return {key: 1 + reach[node_id] for key, node_id in nodes.items()}

    def refuse(self, values: Mapping[str, Any], backend_id: str | None) -> None:
        self.workflow.refuse(values, backend_id=backend_id)

    def targets(
        self, points: Sequence[Mapping[str, Any]], binding: Binding, names: Mapping[str, str]
    ) -> list[Made]:
        plans = [
            dataclasses.replace(plan, group=binding.group, weight=binding.weight)
            for plan in self.workflow.plans(
                points, backend_id=binding.backend_id, fallback=binding.fallback, refuse=False
            )
        ]
        snapshots = [job.canvas_snapshot for job in make_jobs(plans)]
        return [
            Made(id(snapshot), Target(snapshot, names), plan.dynamic_seed is not None)
            for plan, snapshot in zip(plans, snapshots, strict=True)
        ]
