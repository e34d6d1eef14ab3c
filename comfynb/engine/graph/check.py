"""Whether a graph can run: every fault is named before anything starts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from comfynb.engine.graph.config import config_problems
from comfynb.engine.graph.ports import NodePorts, compatible
from comfynb.engine.graph.titles import title_of
from comfynb.engine.graph.workflow import TRIGGER, WorkflowPorts
from comfynb.models import CanvasConnection, CanvasLayout, CanvasNode, DataType, NodeType

__all__ = ["GraphProblem", "check_connection", "check_graph"]


_PASSING = frozenset({NodeType.CONDITION, NodeType.FANOUT, NodeType.MERGE})


@dataclass(frozen=True, slots=True)
class GraphProblem:
    """One reason why a graph cannot run: one sentence, and the node or connection it is about."""

    node_id: str | None
    connection_id: str | None
    message: str

    def __str__(self) -> str:
        return self.message


def check_graph(layout: CanvasLayout, workflows: Mapping[str, WorkflowPorts]) -> list[GraphProblem]:
    """Everything that keeps a graph from running; empty if nothing does.

    ``workflows`` has the ports of the known workflows by workflow id. The problems come in the
    order of nodes, then of connections, then of what is about the whole.
    """
    return list(_Check(layout, workflows).problems())


def check_connection(
    layout: CanvasLayout, workflows: Mapping[str, WorkflowPorts], connection: CanvasConnection
) -> GraphProblem | None:
    """Why ``connection`` cannot be added to ``layout``; None if it can (used while dragging)."""
    grown = layout.model_copy(update={"connections": [*layout.connections, connection]})
    check = _Check(grown, workflows)
    found = [*check.connection(connection), *check.crowded(), *check.cycle()]
    relevant = {None, connection.id}
    return next((problem for problem in found if problem.connection_id in relevant), None)


class _Check:
    def __init__(self, layout: CanvasLayout, workflows: Mapping[str, WorkflowPorts]) -> None:
        self._layout = layout
        self._workflows = workflows
        self._nodes = {node.id: node for node in layout.nodes}
        names = Counter(title_of(node) for node in layout.nodes)
        # Two nodes of one name are told apart as a person would: by their place in the list.
        seen: Counter[str] = Counter()
        self._titles: dict[str, str] = {}
        for node in layout.nodes:
            title = title_of(node)
            seen[title] += 1
            self._titles[node.id] = title if names[title] == 1 else f"{title} ({seen[title]})"
        self._ports = {
            node.id: NodePorts(node, workflows.get(node.workflow_id or "")) for node in layout.nodes
        }
        self._into: dict[str, list[CanvasConnection]] = {}
        for connection in layout.connections:
            self._into.setdefault(connection.target_node_id, []).append(connection)
        self._before: dict[str, set[str]] = {node_id: set() for node_id in self._nodes}
        for connection in layout.connections:
            if {connection.source_node_id, connection.target_node_id} <= self._nodes.keys():
                self._before[connection.target_node_id].add(connection.source_node_id)
        self._passed: dict[str, DataType] = {}
        self._pass_on()

    def problems(self) -> Iterator[GraphProblem]:
        if not self._layout.nodes:
            yield GraphProblem(None, None, "The graph is empty: add a node to it.")
        for node in self._layout.nodes:
            yield from self._node(node)
        for connection in self._layout.connections:
            yield from self.connection(connection)
        yield from self.crowded()
        yield from self.cycle()

    def _is_unknown(self, node: CanvasNode) -> bool:
        missing = node.node_type is NodeType.WORKFLOW and node.workflow_id not in self._workflows
        return missing and "ports" not in node.config

    def _node(self, node: CanvasNode) -> Iterator[GraphProblem]:
        title = self._titles[node.id]
        if self._is_unknown(node):
            message = f"{title} has no workflow: choose one."
            if node.workflow_id:
                message = (
                    f"{title} runs the workflow {node.workflow_id!r:.80}, which is not known: "
                    "choose another one."
                )
            yield GraphProblem(node.id, None, message)
            return
        for message in config_problems(node):
            yield GraphProblem(node.id, None, f"{title} {message}")
        connected = {
            found.name
            for connection in self._into.get(node.id, ())
            if connection.source_node_id in self._nodes
            and (found := self._ports[node.id].input(connection.target_port))
        }
        for port in self._ports[node.id].view.inputs:
            if port.required and port.name not in connected:
                yield GraphProblem(
                    node.id, None, f'{title}: nothing is connected to its input "{port.label}".'
                )

    def connection(self, connection: CanvasConnection) -> Iterator[GraphProblem]:
        """What is wrong with one connection by itself."""
        ends = []
        for node_id in (connection.source_node_id, connection.target_node_id):
            if node_id not in self._nodes:
                yield GraphProblem(
                    None,
                    connection.id,
                    f"A connection leads to a node that is not there ({node_id!r:.80}): delete it.",
                )
                return
            ends.append(self._nodes[node_id])
        source, target = ends
        if any(self._is_unknown(end) for end in ends):
            return  # the workflow itself is unknown: that is said once, of the node
        out = self._ports[source.id].output(connection.source_port)
        into = self._ports[target.id].input(connection.target_port)
        for node, port, name, what in (
            (source, out, connection.source_port, "output"),
            (target, into, connection.target_port, "input"),
        ):
            if port is None:
                yield self._unknown_port(node, name, what, connection)
        if out is None or into is None:
            return
        flowing = self._type(source.id, out.name)
        if not compatible(flowing, into.data_type):
            yield GraphProblem(
                target.id,
                connection.id,
                f"{self._titles[source.id]} gives {_words(flowing)}, but "
                f'"{into.label}" of {self._titles[target.id]} takes {_words(into.data_type)}.',
            )

    def _unknown_port(
        self, node: CanvasNode, name: str, what: str, connection: CanvasConnection
    ) -> GraphProblem:
        ports = self._ports[node.id].view
        known = [port.name for port in (ports.outputs if what == "output" else ports.inputs)]
        there = f"it has {', '.join(known)}" if known else "it has none"
        return GraphProblem(
            node.id,
            connection.id,
            f"{self._titles[node.id]} has no {what} {name!r:.80}: {there}.",
        )

    def _type(self, node_id: str, port: str) -> DataType:
        """What leaves a port; nodes that only pass on give what they get."""
        if node_id in self._passed:
            return self._passed[node_id]
        found = self._ports[node_id].output(port)
        return found.data_type if found is not None else DataType.ANY

    def _pass_on(self) -> None:
        """Find what the nodes give that only pass on; in a circle nothing is known of them."""
        try:
            order = list(TopologicalSorter(self._before).static_order())
        except CycleError:
            return
        for node_id in order:
            if self._nodes[node_id].node_type in _PASSING:
                types = {
                    self._type(c.source_node_id, c.source_port)
                    for c in self._into.get(node_id, ())
                    if c.target_port != TRIGGER and c.source_node_id in self._nodes
                }
                self._passed[node_id] = types.pop() if len(types) == 1 else DataType.ANY

    def crowded(self) -> Iterator[GraphProblem]:
        """Inputs that take one connection and have several."""
        taken: dict[tuple[str, str], CanvasConnection] = {}
        for connection in self._layout.connections:
            target = self._nodes.get(connection.target_node_id)
            if target is None:
                continue
            port = self._ports[target.id].input(connection.target_port)
            if port is None or port.many:
                continue
            if (target.id, port.name) in taken:
                yield GraphProblem(
                    target.id,
                    connection.id,
                    f'"{port.label}" of {self._titles[target.id]} takes one connection and has '
                    "several: put a Merge before it.",
                )
            taken[target.id, port.name] = connection

    def cycle(self) -> Iterator[GraphProblem]:
        """A node that would wait for itself."""
        try:
            TopologicalSorter(self._before).prepare()
        except CycleError as error:
            circle: Sequence[str] = error.args[1]
            way = " → ".join(self._titles[node_id] for node_id in circle)
            yield GraphProblem(
                circle[0], None, f"The graph goes in a circle: {way}; remove one connection of it."
            )


def _words(data_type: DataType) -> str:
    return {
        DataType.TRIGGER: "order only",
        DataType.IMAGE: "images",
        DataType.VIDEO: "videos",
        DataType.LATENT: "latents",
        DataType.ANY: "anything",
    }[data_type]
