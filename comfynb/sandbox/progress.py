"""How far the nodes of the running prompt are, as ``progress_state`` tells it."""

from typing import Any

__all__ = ["Progress"]


class Progress:
    """The state of every node that has started; nodes that still wait are absent."""

    def __init__(self, prompt_id: str) -> None:
        self._prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        """Mark a node as running."""
        self._set(node_id, value=0.0, maximum=1.0, state="running")

    def update(self, node_id: str, value: float, maximum: float) -> None:
        """Set how far a running node is."""
        self._set(node_id, value=value, maximum=maximum, state="running")

    def finish(self, node_id: str) -> None:
        """Mark a node as finished, also one that came from the cache and never started."""
        maximum = self._nodes[node_id]["max"] if node_id in self._nodes else 1
        self._set(node_id, value=maximum, maximum=maximum, state="finished")

    def message(self) -> dict[str, Any]:
        """Return the data of a ``progress_state`` message, one that later changes leave alone."""
        # entries are replaced, never changed, so a shallow copy stays as it is
        return {"prompt_id": self._prompt_id, "nodes": dict(self._nodes)}

    def value(self, node_id: str) -> float:
        """Return the last value of a node, 0 when it has not started."""
        node = self._nodes.get(node_id)
        return float(node["value"]) if node else 0.0

    def _set(self, node_id: str, *, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
