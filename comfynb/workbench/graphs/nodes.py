"""A graph's nodes and ports as a person writes them: ``src >> up.image``, ``cond.true >> big``."""

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfynb.engine.graph import WorkflowPorts, find_input, find_output, ports_of, title_of
from comfynb.engine.views import PortsView, PortView
from comfynb.errors import NotFound, UsageError
from comfynb.models import CanvasNode, DataType, FallbackStrategy, NodeType
from comfynb.widgets.markup import one_line

if TYPE_CHECKING:
    from comfynb.workbench.graphs.graph import Graph

__all__ = ["GraphNode", "Port"]

_ALIASES = {"out": "output"}
"""Short words for ports: ``up.out`` is a node's only output."""


class Port:
    """One port of a node: ``port >> other`` connects it."""

    def __init__(self, node: "GraphNode", name: str) -> None:
        self.node = node
        self.name = name

    def __rshift__(self, target: "GraphNode | Port") -> "GraphNode":
        """Connect to an input, or to the only input that a node has; returns that node."""
        return self.node.graph.connect(self, target)

    def __repr__(self) -> str:
        return f"<Port {self.node.title}.{self.name}>"


class GraphNode:
    """One node of a graph; its ports are its attributes, or ``node["name of a port"]``.

    The beginning of a port's name will do where only one begins so: ``up.save_image`` for
    ``save_image_9``.

    It is a handle: the graph holds what it says, and a canvas may change that at any time.
    """

    def __init__(self, graph: "Graph", node_id: str) -> None:
        self.graph = graph
        self.id = node_id

    # What it is -------------------------------------------------------------------------------

    @property
    def node(self) -> CanvasNode:
        """A copy of its record, the seed's CanvasNode."""
        return self._node.model_copy(deep=True)

    @property
    def _node(self) -> CanvasNode:
        return self.graph.record_of(self.id)

    @property
    def title(self) -> str:
        """What people call it."""
        return title_of(self._node)

    @property
    def node_type(self) -> NodeType:
        """workflow, condition, fanout, merge, input or output."""
        return self._node.node_type

    @property
    def config(self) -> dict[str, Any]:
        """A copy of what belongs to its type; :meth:`set` changes it."""
        return dict(self.node.config)

    @property
    def ports(self) -> PortsView:
        """Its inputs and outputs, with their types."""
        return ports_of(self._node, self._workflow)

    @property
    def backend(self) -> str | None:
        """The name of the backend that it prefers."""
        return self.graph.backend_name(self._node.backend_affinity)

    @property
    def fallback(self) -> FallbackStrategy:
        """What happens if that backend cannot run it: none, auto or ask_user."""
        return self._node.fallback_strategy

    @property
    def _workflow(self) -> WorkflowPorts | None:
        return self.graph.workflow_ports_of(self._node)

    # Changing it ------------------------------------------------------------------------------

    def set(
        self, values: Mapping[str, Any] | None = None, /, *, title: str | None = None, **more: Any
    ) -> "GraphNode":
        """Change what it says: a workflow's parameter values, else its config; None removes one.

        ``backend`` and ``fallback`` say where a workflow runs.

        Raises:
            NotFound: the workflow has no such parameter, or there is no such backend.
            InvalidValue: a value that the workflow's constraints refuse.
        """
        self.graph.change_node(self.id, {**(values or {}), **more}, title=title)
        return self

    def delete(self) -> None:
        """Take it and its connections out of the graph."""
        self.graph.delete(self)

    # Ports ------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Port:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._port(name, AttributeError)

    def __getitem__(self, name: str | int) -> Port:
        """A port by its name, or a FANOUT's or MERGE's by its number, from 0."""
        if isinstance(name, int):
            kind = "input" if self.node_type is NodeType.MERGE else "output"
            name = f"{kind}_{name + 1}"
        return self._port(name, NotFound)

    def _port(self, name: str, missing: type[Exception]) -> Port:
        wanted = _ALIASES.get(name, name)
        for each in (wanted, name):
            if self._input(each) is not None or self._output(each) is not None:
                return Port(self, each)
        if name == "out":
            return Port(self, self.only_output().name)
        known = [port.name for port in (*self.ports.inputs, *self.ports.outputs)]
        alike = [each for each in known if each.startswith(f"{wanted}_")]
        if len(alike) == 1:
            return Port(self, alike[0])
        near = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise missing(f"{self.title} has no port {name!r}{hint}; {self._ports_in_words()}.")

    def _input(self, name: str) -> PortView | None:
        return find_input(self._node, self._workflow, name)

    def _output(self, name: str) -> PortView | None:
        return find_output(self._node, self._workflow, name)

    def as_output(self, port: Port | None) -> PortView:
        """The output that is meant: the one named, else the only one that gives data.

        Raises:
            UsageError: it has none of that name, or several to choose from.
        """
        if port is None:
            return self.only_output()
        found = self._output(port.name)
        if found is None:
            names = _listed([each.name for each in self.ports.outputs])
            raise UsageError(f"{self.title} has no output {port.name!r}, its outputs are: {names}.")
        return found

    def only_output(self) -> PortView:
        """The only output that gives data.

        Raises:
            UsageError: it has none, or several.
        """
        giving = [port for port in self.ports.outputs if port.data_type is not DataType.TRIGGER]
        if len(giving) == 1:
            return giving[0]
        if not giving:
            raise UsageError(f"{self.title} gives no data: {self._ports_in_words()}.")
        ways = " or ".join(f"{self._handle}.{port.name}" for port in giving)
        raise UsageError(f"{self.title} has several outputs: say which, {ways}.")

    def as_input(self, port: Port | None) -> PortView:
        """The input that is meant: the one named, else the only one that waits for data.

        Raises:
            UsageError: it has none of that name, or several to choose from.
        """
        if port is not None:
            found = self._input(port.name)
            if found is None:
                names = _listed([each.name for each in self.ports.inputs])
                raise UsageError(
                    f"{self.title} has no input {port.name!r}, its inputs are: {names}."
                )
            return found
        only = self._input("input")
        if only is not None:
            return only
        taken = self.graph.connected_inputs(self.id)
        free = [each for each in self.ports.inputs if each.data_type is not DataType.TRIGGER]
        wanting = [each for each in free if each.required] or free
        open_ones = [each for each in wanting if each.name not in taken]
        if self.node_type is NodeType.MERGE and open_ones:
            return open_ones[0]
        if len(open_ones) == 1:
            return open_ones[0]
        if not free:
            raise UsageError(f"{self.title} takes no data: {self._ports_in_words()}.")
        ways = " or ".join(f"{self._handle}.{each.name}" for each in (open_ones or free)[:8])
        raise UsageError(f"{self.title} has several inputs: say which, {ways}.")

    @property
    def _handle(self) -> str:
        title = self.title
        return title if title.isidentifier() else f"graph[{title!r}]"

    def _ports_in_words(self) -> str:
        inputs = _listed([port.name for port in self.ports.inputs])
        outputs = _listed([port.name for port in self.ports.outputs])
        return f"inputs: {inputs}; outputs: {outputs}"

    def __rshift__(self, target: "GraphNode | Port") -> "GraphNode":
        """Connect its only output to an input, or to a node's only one; returns that node."""
        return self.graph.connect(self, target)

    def __dir__(self) -> list[str]:
        ports = (port.name for port in (*self.ports.inputs, *self.ports.outputs))
        return [*super().__dir__(), *(name for name in ports if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        return [port.name for port in (*self.ports.inputs, *self.ports.outputs)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphNode) and other.graph is self.graph and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        if not self.graph.has_node(self.id):
            return "<GraphNode that was deleted>"
        where = f" on {self.backend}" if self.backend else ""
        text = f"{self.node_type.value} {self.title}{where}; {self._ports_in_words()}"
        return f"<{one_line(text, 1000)}>"


def _listed(names: list[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) if names else "none"
