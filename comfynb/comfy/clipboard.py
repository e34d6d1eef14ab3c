"""What ComfyUI's canvas puts on the clipboard, read as the workflow that it is a part of.

Copying nodes puts JSON, in base64, into an attribute of an HTML fragment; older front-ends kept it
in the browser's ``litegrapheditor_clipboard``. Both hold nodes and links, but not as files do.
"""

import base64
import binascii
import copy
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["as_file", "text_in_html"]

_METADATA = re.compile(r"""data-metadata\s*=\s*["']([A-Za-z0-9+/=\s]*)["']""")


def text_in_html(text: str) -> str | None:
    """The JSON text in the HTML that copying nodes gives; None where there is none."""
    found = _METADATA.search(text)
    if found is None:
        return None
    try:
        return base64.b64decode("".join(found[1].split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def as_file(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copied selection as a workflow file has it; any other workflow as it is.

    Links out of the selection are not part of it, so inputs that they fed are empty.
    """
    links = value.get("links")
    nodes = value.get("nodes")
    if not isinstance(nodes, list) or not isinstance(links, list):
        return dict(value)
    if links and all(isinstance(link, list) and len(link) == 5 for link in links):
        return _from_places(value, nodes, links)
    subgraphs = value.get("subgraphs")
    if isinstance(subgraphs, list) and "definitions" not in value:
        return _from_items(value, nodes, links, subgraphs)
    return dict(value)


def _from_places(
    value: Mapping[str, Any], nodes: list[Any], links: list[list[Any]]
) -> dict[str, Any]:
    """Older front-ends: nodes without ids of their own, links between places in their list."""
    copied = [copy.deepcopy(node) for node in nodes]
    for place, node in enumerate(copied):
        if isinstance(node, dict):
            node["id"] = place + 1
    rows: list[list[Any]] = []
    for origin, origin_slot, target, target_slot, _ in links:
        if not all(
            isinstance(end, int) and not isinstance(end, bool) and 0 <= end < len(copied)
            for end in (origin, target)
        ):
            continue
        row = [len(rows) + 1, origin + 1, origin_slot, target + 1, target_slot, "*"]
        rows.append(row)
        _attach(copied[target], target_slot, row[0])
    return {**value, "nodes": copied, "links": rows}


def _from_items(
    value: Mapping[str, Any], nodes: list[Any], links: list[Any], subgraphs: list[Any]
) -> dict[str, Any]:
    """Newer front-ends: links as mappings, subgraph definitions beside the nodes."""
    copied = [copy.deepcopy(node) for node in nodes]
    known = {str(node.get("id")): node for node in copied if isinstance(node, dict)}
    for link in links:
        if isinstance(link, Mapping):
            target = known.get(str(link.get("target_id")))
            _attach(target, link.get("target_slot"), link.get("id"))
    rest = {key: inner for key, inner in value.items() if key != "subgraphs"}
    return {**rest, "nodes": copied, "definitions": {"subgraphs": subgraphs}}


def _attach(node: object, slot: object, key: object) -> None:
    """Copying empties the inputs of the copies; write the links into them again."""
    inputs = node.get("inputs") if isinstance(node, dict) else None
    if isinstance(inputs, list) and isinstance(slot, int) and 0 <= slot < len(inputs):
        entry = inputs[slot]
        if isinstance(entry, dict) and entry.get("link") is None:
            entry["link"] = key
