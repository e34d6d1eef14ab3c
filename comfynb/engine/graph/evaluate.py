"""What nodes do that need no backend, and how items become a workflow's runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from comfynb.engine.graph.expressions import compile_expression
from comfynb.engine.graph.items import (
    Item,
    described,
    file_item,
    list_item,
    opened,
    split,
    value_item,
)
from comfynb.engine.graph.ports import output_count
from comfynb.engine.graph.workflow import WorkflowInput, WorkflowPorts
from comfynb.errors import InvalidValue
from comfynb.models import CanvasNode, NodeType

__all__ = ["broadcast", "evaluate", "input_items", "workflow_runs"]

MOST_RUNS = 10_000
"""A node runs for at most so many items."""


def evaluate(
    node: CanvasNode, arrived: Sequence[list[Item]], context: Mapping[str, Any]
) -> dict[str, Any]:
    """The output data of a CONDITION, FANOUT, MERGE or INPUT.

    ``arrived`` has a list of items for each live connection, in the order of the ports;
    ``context`` is what an expression sees besides ``output``.

    Raises:
        ComfynbError: the node fails; the message says why, without the node's title.
    """
    match node.node_type:
        case NodeType.CONDITION:
            return _condition(node, arrived[0], context)
        case NodeType.FANOUT:
            return {"ports": _fanout(node, arrived[0])}
        case NodeType.MERGE:
            return {"ports": {"output": _merge(node, arrived)}}
        case NodeType.INPUT:
            return {"ports": {"output": input_items(node.config)}}
        case _:
            raise TypeError(f"a {node.node_type.value} node is not evaluated here")


def _condition(node: CanvasNode, items: list[Item], context: Mapping[str, Any]) -> dict[str, Any]:
    expression = compile_expression(node.config["expression"])
    result = bool(expression.evaluate({"output": described(items), **context}))
    return {"ports": {"true" if result else "false": items}, "result": result}


def _fanout(node: CanvasNode, items: list[Item]) -> dict[str, list[Item]]:
    count = output_count(node)
    if node.config.get("mode", "broadcast") == "broadcast":
        return {f"output_{number}": items for number in range(1, count + 1)}
    # Neighbours stay together, so that a MERGE that concatenates restores the order.
    parts = split(items)
    size, larger = divmod(len(parts), count)
    ports: dict[str, list[Item]] = {}
    begin = 0
    for number in range(count):
        end = begin + size + (number < larger)
        ports[f"output_{number + 1}"] = parts[begin:end]
        begin = end
    return ports


def _merge(node: CanvasNode, arrived: Sequence[list[Item]]) -> list[Item]:
    mode = node.config.get("mode", "concatenate")
    if mode == "concatenate":
        return [item for items in arrived for item in items]
    if mode == "collect":
        return [list_item(item for items in arrived for item in items)]
    named = {f"connection {number}": items for number, items in enumerate(arrived, 1)}
    rows = broadcast(named)
    return [list_item(row.values()) for row in rows]


def input_items(config: Mapping[str, Any]) -> list[Item]:
    """What an INPUT gives."""
    if config.get("files"):
        return [file_item(path) for path in config["files"]]
    if config.get("values"):
        return [value_item(value) for value in config["values"]]
    return [value_item(config["value"])] if config.get("value") is not None else []


def broadcast(columns: Mapping[str, Sequence[Item]]) -> list[dict[str, Item]]:
    """One row for each place of lists of equal length; a list of one item goes with every row.

    Raises:
        InvalidValue: two lists of more than one item have different lengths.
    """
    lengths = {name: len(items) for name, items in columns.items()}
    several = {name: length for name, length in lengths.items() if length != 1}
    if len(set(several.values())) > 1:
        parts = ", ".join(f"{length} at {name}" for name, length in several.items())
        raise InvalidValue(
            f"the lists that arrive have different lengths ({parts}); they must be equal, "
            "or have one item."
        )
    count = next(iter(several.values()), 1)
    return [
        {name: items[0 if len(items) == 1 else place] for name, items in columns.items()}
        for place in range(count)
    ]


def workflow_runs(node: CanvasNode, data: Mapping[str, Sequence[Item]]) -> list[dict[str, Any]]:
    """The input data of each run of a WORKFLOW: one for each item that arrives at a port.

    Raises:
        InvalidValue: lists of different lengths, or an item of the wrong kind for its port.
    """
    ports = WorkflowPorts.from_json(node.config.get("ports") or {})
    columns: dict[str, list[Item]] = {}
    for name, items in data.items():
        port = ports.input(name)
        if port is None:
            raise InvalidValue(f"it has no input {name!r:.80}.")
        # A loader takes one file at a time and a parameter one value, so lists are opened.
        columns[name] = [_fitting(port, item) for item in opened(items)]
    rows = broadcast(columns)
    if len(rows) > MOST_RUNS:
        raise InvalidValue(f"{len(rows)} items arrived; it runs for at most {MOST_RUNS}.")
    return [
        {"ports": {name: [item] for name, item in row.items()}, "run": number, "runs": len(rows)}
        for number, row in enumerate(rows, 1)
    ]


def _fitting(port: WorkflowInput, item: Item) -> Item:
    if ("file" in item) is not port.takes_files:
        wanted, got = ("a file", "a value") if port.takes_files else ("a value", "a file")
        raise InvalidValue(f'"{port.label}" takes {wanted}, but {got} arrived.')
    if port.takes_files:
        return item
    return {**item, "value": _as(port, item.get("value"))}


def _as(port: WorkflowInput, value: Any) -> Any:
    """A value as the parameter's type; text is never read as a number, nor cut to be one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match port.param:
        case "int" if number and float(value).is_integer():
            return int(value)
        case "float" if number:
            return value
        case "bool" if isinstance(value, bool):
            return value
        case "string" | "multiline_string" if number or isinstance(value, str):
            return str(value)
        case "choice" if isinstance(value, str | int | float | bool):
            return value
        case _:
            raise InvalidValue(
                f'"{port.label}" takes a value of type {port.param}, not {value!r:.60}.'
            )
