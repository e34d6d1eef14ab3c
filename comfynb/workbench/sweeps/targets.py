"""What the points of a sweep run, frozen: job snapshots, and which parameter each value goes to.

A target is kept in the store as JSON, so that another kernel makes the same jobs of the points that
were not handed out yet, whatever became of the workflow meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.engine.plan import DYNAMIC_SEED, job_of
from comfynb.models import CanvasLayout, Job

__all__ = ["BACKEND", "WORKFLOW", "Target"]

BACKEND = "backend"
WORKFLOW = "workflow"
"""Axes that are no parameters: where a point runs, and what."""


@dataclass(frozen=True, slots=True)
class Target:
    """One frozen snapshot with one WORKFLOW node, and the axes' names for its parameters."""

    snapshot: CanvasLayout
    names: Mapping[str, str]
    """The axis's name to the parameter's key."""

    def to_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {"snapshot": self.snapshot.model_dump(mode="json"), "names": dict(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Target":
        """What :meth:`to_json` gave."""
        return cls(CanvasLayout.model_validate(data["snapshot"]), dict(data["names"]))

    @property
    def config(self) -> Mapping[str, Any]:
        """The WORKFLOW node's configuration."""
        return self.snapshot.nodes[0].config

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.config["name"])

    @property
    def titles(self) -> dict[str, str]:
        """What people call its node, by id."""
        return {self.snapshot.nodes[0].id: self.name}

    @property
    def version_ids(self) -> list[str]:
        """The workflow's version."""
        return [str(self.config["workflow_version"])]

    @property
    def backend_id(self) -> str | None:
        """The backend that it is bound to, if any."""
        return self.snapshot.nodes[0].backend_affinity

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A point's values by parameter key, as a job keeps them."""
        values = {key: point[name] for name, key in self.names.items() if name in point}
        if DYNAMIC_SEED in point:
            values[DYNAMIC_SEED] = point[DYNAMIC_SEED]
        return values

    def job(self, point: Mapping[str, Any]) -> Job:
        """A new job for a point."""
        return job_of(self.snapshot, self.values(point))
