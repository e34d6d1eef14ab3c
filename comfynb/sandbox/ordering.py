"""The order in which the nodes of a prompt are executed."""

from collections.abc import Callable, Mapping
from typing import Any

from comfynb.sandbox.catalogue import is_link

__all__ = ["ExecutionOrder"]


class ExecutionOrder:
    """The nodes still to be executed and what each of them waits for.

    Starts from the output nodes; what is cached upstream is not visited. Among the nodes that are
    ready, output nodes come first, then nodes that feed an output node directly, then those that
    feed it over one more node, then whoever was found first: pictures appear early.
    """

    def __init__(
        self,
        prompt: Mapping[str, Mapping[str, Any]],
        outputs: list[str],
        *,
        is_output: Callable[[str], bool],
        is_cached: Callable[[str], bool],
    ) -> None:
        self._prompt = prompt
        self._is_output = is_output
        self._is_cached = is_cached
        self._waiting: dict[str, set[str]] = {}
        self._feeds: dict[str, dict[str, None]] = {}
        for output in outputs:
            self._add(output)

    def _add(self, node_id: str) -> None:
        stack = [node_id]
        links: list[tuple[str, str]] = []
        while stack:
            current = stack.pop()
            if current in self._waiting:
                continue
            self._waiting[current] = set()
            self._feeds[current] = {}
            for value in self._prompt[current]["inputs"].values():
                if not is_link(value):
                    continue
                source = value[0]
                if not self._is_cached(source):
                    stack.append(source)
                links.append((source, current))
        for source, target in links:
            if source in self._waiting:
                self._waiting[target].add(source)
                self._feeds[source][target] = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self) -> str:
        """Return the node to execute now; it stays in the order until `done`."""
        ready = [node_id for node_id, sources in self._waiting.items() if not sources]
        # Validation has refused cycles, so something is always ready.
        for wanted in (self._is_output, self._feeds_output, self._feeds_feeder):
            for node_id in ready:
                if wanted(node_id):
                    return node_id
        return ready[0]

    def done(self, node_id: str) -> None:
        """Take a node out and release what waited for it."""
        del self._waiting[node_id]
        for target in self._feeds.pop(node_id):
            self._waiting[target].discard(node_id)

    def _feeds_output(self, node_id: str) -> bool:
        return any(self._is_output(target) for target in self._feeds[node_id])

    def _feeds_feeder(self, node_id: str) -> bool:
        return any(self._feeds_output(target) for target in self._feeds[node_id])
