"""What tests may ask the sandbox afterwards: how often it did what."""

import threading
from collections import Counter
from typing import Any

__all__ = ["Stats"]

_MAX_PROMPTS = 20_000


class Stats:
    """Counters that survive simulated restarts; every method is safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompts: dict[str, dict[str, Any]] = {}
        self._requests: Counter[str] = Counter()
        self._model_loads: Counter[str] = Counter()
        self._nodes: Counter[str] = Counter()
        self._uploads: list[str] = []
        self._counts: Counter[str] = Counter()

    def request(self, method: str, path: str) -> None:
        """Count a request as it came in, answered or not."""
        with self._lock:
            self._requests[f"{method} {path}"] += 1

    def accepted(self, prompt_id: str) -> None:
        """Count a prompt that was queued."""
        with self._lock:
            self._prompt(prompt_id)["accepted"] += 1

    def started(self, prompt_id: str) -> None:
        """Count the start of a prompt's execution."""
        with self._lock:
            self._prompt(prompt_id)["executions"] += 1

    def ended(self, prompt_id: str, status: str) -> None:
        """Note how a prompt's last execution ended: success, error, interrupted, lost."""
        with self._lock:
            self._prompt(prompt_id)["status"] = status

    def executed(self, prompt_id: str, node_id: str, node_class: str) -> None:
        """Count one execution of a node (not when it came from the cache)."""
        with self._lock:
            nodes = self._prompt(prompt_id)["nodes"]
            nodes[node_id] = nodes.get(node_id, 0) + 1
            self._nodes[node_class] += 1

    def model_loaded(self, name: str) -> None:
        """Count one load of a model."""
        with self._lock:
            self._model_loads[name] += 1

    def uploaded(self, name: str) -> None:
        """Note an upload under the name it got, with its subfolder."""
        with self._lock:
            self._uploads.append(name)

    def count(self, what: str) -> None:
        """Count anything else: websockets opened, restarts."""
        with self._lock:
            self._counts[what] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        with self._lock:
            return {
                "prompts": {
                    prompt_id: {**entry, "nodes": dict(entry["nodes"])}
                    for prompt_id, entry in self._prompts.items()
                },
                "requests": dict(self._requests),
                "posts": self._requests["POST /prompt"],
                "uploads": list(self._uploads),
                "model_loads": dict(self._model_loads),
                "node_executions": dict(self._nodes),
                "websockets_opened": self._counts["websocket"],
                "restarts": self._counts["restart"],
            }

    def reset(self) -> None:
        """Set everything back to nothing."""
        with self._lock:
            self._prompts.clear()
            self._requests.clear()
            self._model_loads.clear()
            self._nodes.clear()
            self._uploads.clear()
            self._counts.clear()

    def _prompt(self, prompt_id: str) -> dict[str, Any]:
        entry = self._prompts.get(prompt_id)
        if entry is None:
            if len(self._prompts) >= _MAX_PROMPTS:
                del self._prompts[next(iter(self._prompts))]
            entry = {"accepted": 0, "executions": 0, "status": None, "nodes": {}}
            self._prompts[prompt_id] = entry
        return entry
