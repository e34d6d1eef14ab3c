"""The typed ports of canvas nodes: what can be connected to what."""

from typing import Final

from comfynb.engine.graph.workflow import TRIGGER, WorkflowPorts
from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasNode, DataType, NodeType

__all__ = [
    "DONE",
    "MOST_PORTS",
    "NodePorts",
    "compatible",
    "find_input",
    "find_output",
    "output_count",
    "ports_of",
]

DONE: Final = "done"
"""The output port of a WORKFLOW that carries order only."""
MOST_PORTS: Final = 64
"""A FANOUT or MERGE has at most so many numbered ports."""


_WAITS = PortView(TRIGGER, "after", DataType.TRIGGER, many=True)


def ports_of(node: CanvasNode, workflow: WorkflowPorts | None = None) -> PortsView:
    """The ports of a canvas node, in the order in which they are drawn.

    ``workflow`` is what :func:`workflow_ports` says of the node's workflow; in a job's snapshot
    the node's own config holds it.
    """
    match node.node_type:
        case NodeType.WORKFLOW:
            return _workflow_node(node, workflow)
        case NodeType.CONDITION:
            return PortsView(
                (_data("input", "input"), _WAITS),
                (
                    PortView("true", _label(node, "true_label", "true"), DataType.ANY),
                    PortView("false", _label(node, "false_label", "false"), DataType.ANY),
                ),
            )
        case NodeType.FANOUT:
            outputs = (f"output_{number}" for number in range(1, output_count(node) + 1))
            return PortsView(
                (_data("input", "input"), _WAITS),
                tuple(PortView(name, name[7:], DataType.ANY) for name in outputs),
            )
        case NodeType.MERGE:
            return PortsView((*_merge_inputs(node), _WAITS), (_out("output"),))
        case NodeType.INPUT:
            label = _label(node, "name", "output")
            return PortsView((), (PortView("output", label, _declared(node)),))
        case NodeType.OUTPUT:
            return PortsView((_data("input", "input"), _WAITS), ())


def _workflow_node(node: CanvasNode, workflow: WorkflowPorts | None) -> PortsView:
    known = _known(node, workflow)
    if known is None:
        return PortsView((_WAITS,), (PortView(DONE, "done", DataType.TRIGGER),))
    given = node.config.get("values")
    values = given if isinstance(given, dict) else {}
    inputs = tuple(
        PortView(i.name, i.label, i.data_type, required=i.required and i.name not in values)
        for i in known.inputs
    )
    outputs = tuple(PortView(o.name, o.label, o.data_type) for o in known.outputs)
    return PortsView((*inputs, _WAITS), (*outputs, PortView(DONE, "done", DataType.TRIGGER)))


def _merge_inputs(node: CanvasNode) -> tuple[PortView, ...]:
    count = node.config.get("input_count")
    if count is None:
        return (PortView("input", "inputs", DataType.ANY, required=True, many=True),)
    return tuple(_data(f"input_{number}", str(number)) for number in range(1, _count(count, 2) + 1))


def output_count(node: CanvasNode) -> int:
    """How many outputs a FANOUT has; 2 where its config says nothing that can be used."""
    return _count(node.config.get("output_count"), 2)


def _count(value: object, default: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_PORTS:
        return value
    return default


def _declared(node: CanvasNode) -> DataType:
    try:
        return DataType(node.config.get("data_type", "any"))
    except ValueError:
        return DataType.ANY


def _label(node: CanvasNode, key: str, default: str) -> str:
    value = node.config.get(key)
    return value if isinstance(value, str) and value else default


def _data(name: str, label: str) -> PortView:
    return PortView(name, label, DataType.ANY, required=True)


def _out(name: str) -> PortView:
    return PortView(name, name, DataType.ANY)


def compatible(source: DataType, target: DataType) -> bool:
    """Whether an output of type ``source`` may be connected to an input of type ``target``.

    Order can be taken from any output, but an output that carries order only gives no data.
    """
    if target is DataType.TRIGGER:
        return True
    if source is DataType.TRIGGER:
        return False
    return source is target or DataType.ANY in {source, target}


class NodePorts:
    """The ports of one canvas node, worked out once and found by name.

    "input" also means a workflow's only file input, "output" its only output node.
    """

    __slots__ = ("_inputs", "_known", "_outputs", "view")

    def __init__(self, node: CanvasNode, workflow: WorkflowPorts | None = None) -> None:
        self._known = _known(node, workflow)
        self.view = ports_of(node, self._known)
        self._inputs = {port.name: port for port in self.view.inputs}
        self._outputs = {port.name: port for port in self.view.outputs}

    def input(self, name: str) -> PortView | None:
        """The input port that a connection means by ``name``, or None."""
        if name not in self._inputs and self._known is not None:
            meant = self._known.input(name)
            name = meant.name if meant is not None else name
        return self._inputs.get(name)

    def output(self, name: str) -> PortView | None:
        """The output port that a connection means by ``name``, or None."""
        if name not in self._outputs and self._known is not None:
            meant = self._known.output(name)
            name = meant.name if meant is not None else name
        return self._outputs.get(name)


def find_input(node: CanvasNode, workflow: WorkflowPorts | None, port: str) -> PortView | None:
    """The input port that a connection means by ``port``, or None."""
    return NodePorts(node, workflow).input(port)


def find_output(node: CanvasNode, workflow: WorkflowPorts | None, port: str) -> PortView | None:
    """The output port that a connection means by ``port``, or None."""
    return NodePorts(node, workflow).output(port)


def _known(node: CanvasNode, workflow: WorkflowPorts | None) -> WorkflowPorts | None:
    if node.node_type is not NodeType.WORKFLOW or workflow is not None:
        return workflow
    frozen = node.config.get("ports")
    return WorkflowPorts.from_json(frozen) if isinstance(frozen, dict) else None
