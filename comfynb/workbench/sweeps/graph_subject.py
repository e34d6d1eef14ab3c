"""Graphs as what a sweep runs."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.engine.plan import DYNAMIC_SEED
from comfynb.engine.sweeps import downstream
from comfynb.errors import InvalidValue, NotFound
from comfynb.models import CanvasNode, NodeType, ParamType
from comfynb.workbench.graphs.graph import Graph
from comfynb.workbench.graphs.starting import freeze
from comfynb.workbench.sweeps.graph_targets import FILES, VALUE, GraphTarget
from comfynb.workbench.sweeps.subject import SHAPES, Binding, Made, Subject
from comfynb.workbench.sweeps.workflow_subject import checker_of
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["graph_subject"]


def graph_subject(workbench: "Workbench", graph: Graph) -> Subject:
    """What a sweep asks of a graph: axes are parameters of its nodes, and its INPUTs."""
    return _GraphSubject(workbench, graph)


@dataclass(eq=False)
class _GraphSubject:
    workbench: "Workbench"
    graph: Graph
    files: set[str] = field(default_factory=set)
    """INPUTs that were given files."""

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def id(self) -> str:
        return self.graph.id

    def _workflow(self, node: CanvasNode) -> Workflow:
        return self.workbench.graphs.workflow(node.workflow_id)

    def _nodes(self, kind: NodeType) -> Iterator[tuple[str, CanvasNode]]:
        for title, handle in self.graph.nodes.items():
            node = self.graph.record_of(handle.id)
            if node.node_type is kind:
                yield title, node

    def _place(self, name: str) -> tuple[str, CanvasNode, str]:
        """The node's title, the node, and its parameter's key (none for an INPUT)."""
        for title, node in self._nodes(NodeType.INPUT):
            if name in {title, node.id}:
                return title, node, ""
        trouble: NotFound | None = None
        for title, node in self._nodes(NodeType.WORKFLOW):
            for stem in (title, node.id):
                if not name.startswith(f"{stem}."):
                    continue
                keys = self._workflow(node).parameter_keys
                try:
                    return title, node, keys.key_of(keys.find(name[len(stem) + 1 :]))
                except NotFound as error:
                    trouble = trouble or NotFound(f"{title}: {error}")
        if trouble is not None:
            raise trouble
        inputs = ", ".join(title for title, _ in self._nodes(NodeType.INPUT)) or "none"
        nodes = ", ".join(f"{title}.…" for title, _ in self._nodes(NodeType.WORKFLOW)) or "none"
        raise NotFound(
            f"There is no {name!r:.80}; inputs are: {inputs}; parameters are named by their node, "
            f'"node.steps": {nodes}.'
        )

    def key(self, name: str) -> str:
        title, _, key = self._place(name)
        return f"{title}.{key}" if key else title

    def checker(self, key: str) -> Callable[[Any], Any]:
        _, node, parameter = self._place(key)
        if parameter:
            return checker_of(self._workflow(node), parameter)
        return partial(self._given, key)

    def _given(self, key: str, value: Any) -> Any:
        """What an INPUT would give."""
        several = list(value) if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, Path) for one in several):
            self.files.add(key)
            several = [str(self._kept(key, one)) for one in several]
        elif key in self.files:
            raise InvalidValue(f"{key} is given files and other things: give it Paths only.")
        elif not all(isinstance(one, str | int | float | bool) for one in several):
            raise InvalidValue(f"{key} takes texts, numbers and Paths, not {value!r:.60}.")
        return several if isinstance(value, list | tuple) else several[0]

    def _kept(self, key: str, path: object) -> Path:
        if not isinstance(path, Path):
            raise InvalidValue(f"{key} is given files and other things: give it Paths only.")
        if not path.expanduser().is_file():
            raise InvalidValue(f"{key}: there is no file {str(path)!r:.200}.")
        return self.workbench.inputs.keep(path.expanduser())

    def param_type(self, key: str) -> ParamType | None:
        _, node, parameter = self._place(key)
        return self._workflow(node).parameter_keys[parameter].param_type if parameter else None

    def shapes(self) -> set[str]:
        return {
            f"{title}.{key}"
            for title, node in self._nodes(NodeType.WORKFLOW)
            for key, one in self._workflow(node).parameter_keys.items()
            if one.param_type in SHAPES
        }

    def weights(self, keys: Iterable[str]) -> dict[str, int]:
        sizes = {
            node.id: len(self._workflow(node).api_json)
            for _, node in self._nodes(NodeType.WORKFLOW)
        }
        found = {}
        for key in keys:
            _, node, parameter = self._place(key)
            inside = 1
            if parameter:
                one = self._workflow(node).parameter_keys[parameter]
                reach = downstream(self._workflow(node).api_json, [one.node_id])
                inside += reach[one.node_id]
            found[key] = inside + sum(sizes.get(other, 0) for other in self._behind(node.id))
        return found

    def _behind(self, node_id: str) -> set[str]:
        connections = self.graph.layout.connections
        seen: set[str] = set()
        waiting = [node_id]
        while waiting:
            here = waiting.pop()
            new = {c.target_node_id for c in connections if c.source_node_id == here} - seen
            seen |= new
            waiting += new
        return seen

    def refuse(self, values: Mapping[str, Any], backend_id: str | None) -> None:
        """Freezing it says what is wrong with it; what reaches its nodes nobody knows before."""

    def targets(
        self, points: Sequence[Mapping[str, Any]], binding: Binding, names: Mapping[str, str]
    ) -> list[Made]:
        return [self._target(point, binding, names) for point in points]

    def _target(self, point: Mapping[str, Any], binding: Binding, names: Mapping[str, str]) -> Made:
        places, given = {}, {}
        for name, key in names.items():
            _, node, parameter = self._place(key)
            files = key in self.files
            places[name] = (node.id, parameter or (FILES if files else VALUE))
            value = point[key]
            if files:
                value = [Path(one) for one in value] if isinstance(value, list) else Path(value)
            given[key] = value
        frozen = freeze(
            self.workbench,
            self.graph,
            given,
            backend_id=binding.backend_id,
            fallback=binding.fallback,
        )
        snapshot = frozen.job.canvas_snapshot
        set_by_axes: dict[str, set[str]] = {}
        for node_id, key in places.values():
            set_by_axes.setdefault(node_id, set()).add(key)
        for node in snapshot.nodes:
            if node.node_type is NodeType.WORKFLOW:
                node.config = _without(node.config, set_by_axes.get(node.id, set())) | {
                    "group": binding.group,
                    "weight": binding.weight,
                }
        keys = set(given)
        shown = {n: v for n, v in frozen.job.parameter_values.items() if n not in keys}
        target = GraphTarget(snapshot, self.graph.name, self.graph.id, places, shown)
        dynamic = any(node.config.get("dynamic") for node in target.workflows)
        told = target.to_json()
        for node in told["snapshot"]["nodes"]:
            if node["id"] in set_by_axes and node["node_type"] == NodeType.INPUT.value:
                node["config"] = {}  # each point gives its own
        return Made(json.dumps(told, sort_keys=True, default=str), target, dynamic)


def _without(config: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """A frozen configuration without what each point says itself."""
    gone = keys | {DYNAMIC_SEED}
    return {
        **config,
        "values": {key: value for key, value in config["values"].items() if key not in gone},
        "parameters": {k: v for k, v in config["parameters"].items() if k not in gone},
    }
