"""Whole graphs as what a sweep runs: each point is a job of the graph with values of its own."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfynb.engine.graph import title_of
from comfynb.engine.plan import DYNAMIC_SEED
from comfynb.models import CanvasLayout, CanvasNode, Job, NodeExecution, NodeType, new_id
from comfynb.workbench.sweeps.targets import Target

__all__ = ["FILES", "VALUE", "AnyTarget", "GraphTarget", "target_of"]

FILES: Final = "files"
VALUE: Final = "value"
_GIVEN: Final = frozenset({FILES, VALUE, "values"})
"""What an INPUT node's configuration may hold of what it gives."""


@dataclass(frozen=True, slots=True)
class GraphTarget:
    """The frozen snapshot of a graph, and which node's value each axis sets."""

    snapshot: CanvasLayout
    name: str
    project_id: str
    places: Mapping[str, tuple[str, str]]
    """The axis's name to (canvas node id, parameter's key); an INPUT's key is value or files."""
    shown: Mapping[str, Any]
    """All that was set by hand, for people."""

    def to_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {
            "snapshot": self.snapshot.model_dump(mode="json"),
            "graph": {"name": self.name, "id": self.project_id},
            "places": {name: list(place) for name, place in self.places.items()},
            "shown": dict(self.shown),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GraphTarget":
        """What :meth:`to_json` gave."""
        return cls(
            CanvasLayout.model_validate(data["snapshot"]),
            data["graph"]["name"],
            data["graph"]["id"],
            {name: (node_id, key) for name, (node_id, key) in data["places"].items()},
            dict(data["shown"]),
        )

    @property
    def titles(self) -> dict[str, str]:
        """What people call each node, by id."""
        return {node.id: title_of(node) for node in self.snapshot.nodes}

    @property
    def workflows(self) -> Iterator[CanvasNode]:
        """The nodes that run a workflow."""
        return (node for node in self.snapshot.nodes if node.node_type is NodeType.WORKFLOW)

    @property
    def version_ids(self) -> list[str]:
        """The versions of the workflows in it."""
        return list(dict.fromkeys(str(n.config["workflow_version"]) for n in self.workflows))

    def nodes(self, point: Mapping[str, Any]) -> list[CanvasNode]:
        """The snapshot's nodes with a point's values in them."""
        given: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, (node_id, key) in self.places.items():
            if name in point:
                given[node_id][key] = point[name]
        found = []
        for node in self.snapshot.nodes:
            values = given.get(node.id, {})
            if node.node_type is NodeType.INPUT:
                config = _fed(node.config, values) if values else None
            else:
                config = _valued(node.config, values, point.get(DYNAMIC_SEED))
            found.append(node if config is None else node.model_copy(update={"config": config}))
        return found

    def job(self, point: Mapping[str, Any]) -> Job:
        """A new job for a point."""
        job_id = new_id()
        nodes = self.nodes(point)
        # All this was checked when the graph was frozen.
        return Job.build(
            id=job_id,
            project_id=self.project_id,
            canvas_snapshot=self.snapshot.model_copy(update={"nodes": nodes}),
            parameter_values={**self.shown, **{n: point[n] for n in self.places if n in point}},
            node_executions=[
                NodeExecution.build(id=new_id(), job_id=job_id, canvas_node_id=node.id)
                for node in nodes
            ],
        )


def _fed(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    (kind, value), *_ = given.items()
    kept = {key: one for key, one in config.items() if key not in _GIVEN}
    if kind == FILES:
        return {**kept, FILES: value if isinstance(value, list) else [value]}
    return {**kept, "values" if isinstance(value, list) else VALUE: value}


def _valued(
    config: Mapping[str, Any], given: Mapping[str, Any], seed: object
) -> dict[str, Any] | None:
    drawn = {DYNAMIC_SEED: seed} if seed is not None and config.get("dynamic") else {}
    if not given and not drawn:
        return None
    return {
        **config,
        "values": {**config["values"], **given, **drawn},
        "parameters": {**config["parameters"], **given},
    }


AnyTarget = Target | GraphTarget


def target_of(data: Mapping[str, Any]) -> AnyTarget:
    """What the store has as JSON."""
    return GraphTarget.from_json(data) if "graph" in data else Target.from_json(data)
