"""What flows along connections: lists of items, each a file, a value, or a list of items.

An item is JSON, so that a node execution's ``input_data`` and ``output_data`` hold it as it is::

    {"file": {"filename": ..., "subfolder": ..., "type": ..., "prompt_id": ..., "backend_id": ...,
              "path": ..., "media_type": ..., "size": ..., "sha256": ..., "width": ...,
              "height": ...},
     "values": {...},                  what the prompt that made it reported besides files
     "from": {...}}                    the node, workflow and seed that made it
    {"value": any JSON, "values": {...}}
    {"list": [item, ...]}
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from comfynb.engine.graph.workflow import WorkflowOutput, WorkflowPorts
from comfynb.engine.outputs import media_type_of
from comfynb.models import OutputFile

__all__ = [
    "Item",
    "described",
    "file_item",
    "files_in",
    "list_item",
    "opened",
    "plain",
    "split",
    "value_item",
    "workflow_output",
]

Item: TypeAlias = dict[str, Any]


def value_item(value: Any) -> Item:
    """An item that is a value."""
    return {"value": value}


def file_item(path: Path | str) -> Item:
    """An item that is a file on this machine."""
    name = Path(path).name
    return {"file": {"filename": name, "path": str(path), "media_type": media_type_of(name)}}


def list_item(items: Iterable[Item]) -> Item:
    """One item that holds others."""
    return {"list": list(items)}


def opened(items: Iterable[Item]) -> list[Item]:
    """The items with lists replaced by what is in them, at every depth, in order."""
    result: list[Item] = []
    waiting = list(items)[::-1]
    while waiting:
        item = waiting.pop()
        if "list" in item:
            waiting.extend(reversed(item["list"]))
        else:
            result.append(item)
    return result


def split(items: Sequence[Item]) -> list[Item]:
    """What is distributed: the items, or if it is one list, what is in that."""
    if len(items) != 1:
        return list(items)
    only = items[0]
    if "list" in only:
        return list(only["list"])
    if isinstance(only.get("value"), list):
        return [{**only, "value": value} for value in only["value"]]
    return [only]


def files_in(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The file references among the items, lists opened."""
    return [item["file"] for item in opened(items) if "file" in item]


def plain(item: Item) -> Any:
    """An item as an expression or a parameter sees it: the value, a file's facts, or a list."""
    if "list" in item:
        return [plain(each) for each in item["list"]]
    if "file" in item:
        file = item["file"]
        facts = ("filename", "width", "height", "size", "media_type", "backend_id", "path")
        return {**item.get("values", {}), **{key: file.get(key) for key in facts}}
    return item.get("value")


def described(items: Sequence[Item]) -> dict[str, Any]:
    """``output`` of an expression: facts of the first item by name, and all of them in ``items``.

    ``count`` is how many items there are, ``files`` their file names, ``value`` the first item's
    value; what a workflow's nodes reported besides files is there under its own name.
    """
    first = items[0] if items else {}
    seen = plain(first) if first else None
    named: dict[str, Any] = dict(first.get("values", {}))
    if isinstance(seen, dict):
        named |= seen
    return {
        **named,
        "count": len(items),
        "items": [plain(item) for item in items],
        "files": [file["filename"] for file in files_in(items)],
        "value": first.get("value"),
    }


def workflow_output(
    ports: WorkflowPorts,
    outputs: Mapping[str, Any],
    files: Iterable[OutputFile],
    backend_id: str,
    *,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The output data of a prompt: what each port gives, and the server's words as they came.

    ``origin`` is noted beside each item: the node's title, the workflow's name, the seed.
    """
    values = _reported(outputs)
    by_node: dict[str, list[Item]] = {}
    for file in files:
        item: Item = {"file": _reference(file, backend_id), "from": dict(origin or {})}
        if values:
            item["values"] = values
        by_node.setdefault(file.node_id, []).append(item)
    return {
        "ports": {
            port.name: by_node.get(port.node_id) or _values_of(port, outputs, values)
            for port in ports.outputs
        },
        "outputs": dict(outputs),
    }


def _reference(file: OutputFile, backend_id: str) -> dict[str, Any]:
    return {
        "prompt_id": file.prompt_id,
        "filename": file.filename,
        "subfolder": file.subfolder,
        "type": file.type,
        "backend_id": backend_id,
        "path": file.path,
        "media_type": file.media_type,
        "size": file.size,
        "sha256": file.sha256,
        "width": file.width,
        "height": file.height,
    }


def _reported(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What nodes told besides files, by name; lists of one are that one."""
    found: dict[str, Any] = {}
    for told in outputs.values():
        for key, value in _plain_values(told).items():
            found.setdefault(key, value)
    return found


def _plain_values(told: Any) -> dict[str, Any]:
    if not isinstance(told, Mapping):
        return {}
    found = {}
    for key, value in told.items():
        if key == "animated" or _holds_files(value):
            continue
        found[str(key)] = value[0] if isinstance(value, list) and len(value) == 1 else value
    return found


def _holds_files(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, Mapping) and "filename" in each for each in value
    )


def _values_of(
    port: WorkflowOutput, outputs: Mapping[str, Any], values: Mapping[str, Any]
) -> list[Item]:
    """An output node that left no file gives what it told: a text, say."""
    told = outputs.get(port.node_id)
    named = _plain_values(told)
    if not isinstance(told, Mapping) or not named:
        return []
    if len(named) > 1:
        return [{"value": named, "values": dict(values)}]
    value = told[next(iter(named))]
    every = value if isinstance(value, list) else [value]
    return [{"value": each, "values": dict(values)} for each in every]
