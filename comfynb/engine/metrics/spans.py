"""Which nodes of a prompt ran, and when: what the websocket told, as rows."""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from comfynb.engine.tasks import Flight
from comfynb.store.metrics import NodeSpan

__all__ = ["model_of", "spans_of"]

_MODEL: Final = re.compile(
    r"[^\n]{1,400}\.(safetensors|sft|ckpt|pth?|bin|gguf|onnx)", re.IGNORECASE
)


def model_of(node: Mapping[str, Any]) -> str | None:
    """Return the first model file that a node's inputs name."""
    inputs = node.get("inputs")
    if not isinstance(inputs, Mapping):
        return None
    for value in inputs.values():
        if isinstance(value, str) and _MODEL.fullmatch(value):
            return value
    return None


def spans_of(flight: Flight, now: datetime) -> list[NodeSpan]:
    """Give the spans that a prompt's nodes ran for, oldest first; ``now`` is the time now."""
    here = time.monotonic()
    found = []
    for index, (node_id, began, ended) in enumerate(flight.timeline):
        node = flight.task.prompt.get(node_id)
        if not isinstance(node, Mapping):
            # One that a node expanded into: it has no place in the prompt.
            node = {}
        found.append(
            NodeSpan(
                prompt_id=flight.prompt_id,
                index=index,
                node_id=node_id,
                class_type=str(node.get("class_type") or "unknown"),
                title=flight.task.node_titles.get(node_id, node_id),
                model=model_of(node),
                started_at=now - timedelta(seconds=here - began),
                completed_at=now - timedelta(seconds=here - ended),
            )
        )
    return found
