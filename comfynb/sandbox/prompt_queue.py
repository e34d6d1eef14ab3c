"""The queue of prompts and the history of those that ended, as ComfyUI keeps them in memory."""

import heapq
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

__all__ = ["PromptQueue", "QueueItem"]

QueueItem = tuple[float, str, dict[str, Any], dict[str, Any], list[str]]
"""Number (the smallest is next), prompt id, prompt, extra data, output nodes to execute."""


class PromptQueue:
    """Pending prompts in a heap, the running one, and what has ended.

    ``changed`` is called, with the lock held, after whatever makes a real server send ``status``.
    All methods may be called from any thread.
    """

    def __init__(self, changed: Callable[[], None], *, max_history: int) -> None:
        self._changed = changed
        self._max_history = max_history
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._heap: list[QueueItem] = []
        self._running: QueueItem | None = None
        self._history: dict[str, dict[str, Any]] = {}
        self._flags: dict[str, bool] = {}
        self._closed = False

    def put(self, item: QueueItem) -> None:
        """Queue a prompt.

        The heap compares whole items: equal numbers and equal ids compare the prompts, which
        raises TypeError, and the item stays in the heap all the same. So it is with ComfyUI.
        """
        with self._lock:
            heapq.heappush(self._heap, item)
            self._changed()
            self._work.notify()

    def take(self) -> QueueItem | None:
        """Wait for work: the next prompt, or ``None`` when only flags were set or on `close`."""
        with self._work:
            while not self._heap and not self._flags and not self._closed:
                self._work.wait()
            if self._closed or not self._heap:
                return None
            try:
                item = heapq.heappop(self._heap)
            except TypeError:
                # Twins (see `put`). ComfyUI's worker dies of this; the sandbox goes on.
                self._heap.sort(key=lambda queued: queued[:2])
                item = self._heap.pop(0)
            self._running = item
            self._changed()
            return item

    def done(self, item: QueueItem, result: dict[str, Any]) -> None:
        """Move the running prompt to the history with its ``outputs``, ``meta``, ``status``."""
        with self._lock:
            self._running = None
            if len(self._history) > self._max_history:
                del self._history[next(iter(self._history))]
            # An id that ran before keeps its old place, as in any dict.
            self._history[item[1]] = {"prompt": item, **result}
            self._changed()

    def running(self) -> list[QueueItem]:
        """Return the running prompt, if any, in a list."""
        return [self._running] if self._running is not None else []

    def pending(self) -> list[QueueItem]:
        """Return the pending prompts in the order of the heap, which is not sorted."""
        with self._lock:
            return list(self._heap)

    def remaining(self) -> int:
        """Return how many prompts are pending or running."""
        with self._lock:
            return len(self._heap) + (self._running is not None)

    def clear(self) -> None:
        """Drop all pending prompts."""
        with self._lock:
            self._heap = []
            self._changed()

    def delete(self, prompt_id: str) -> bool:
        """Drop the first pending prompt with this id; say whether there was one."""
        with self._lock:
            for index, item in enumerate(self._heap):
                if item[1] != prompt_id:
                    continue
                if len(self._heap) == 1:
                    self.clear()  # which tells the clients once more than needed, as ComfyUI does
                else:
                    del self._heap[index]
                    heapq.heapify(self._heap)
                self._changed()
                return True
            return False

    def while_running(self, prompt_id: str, action: Callable[[], None]) -> bool:
        """Do ``action`` if this prompt is running and cannot end meanwhile; say whether it did."""
        with self._lock:
            if self._running is None or self._running[1] != prompt_id:
                return False
            action()
            return True

    def history(
        self, prompt_id: str | None = None, *, max_items: int | None = None, offset: int = -1
    ) -> dict[str, dict[str, Any]]:
        """Return one entry (or none), or a stretch of the history, oldest first.

        A negative ``offset`` with ``max_items`` means the last ``max_items``.
        """
        with self._lock:
            if prompt_id is not None:
                entry = self._history.get(prompt_id)
                return {} if entry is None else {prompt_id: entry}
            start = offset
            if offset < 0 and max_items is not None:
                start = len(self._history) - max_items
            # a limit below 1 still lets the first entry through
            stop = None if max_items is None else max(start, 0) + max(max_items, 1)
            return dict(islice(self._history.items(), max(start, 0), stop))

    def clear_history(self) -> None:
        """Forget all ended prompts."""
        with self._lock:
            self._history = {}

    def delete_history(self, prompt_id: str) -> None:
        """Forget one ended prompt, if it is there."""
        with self._lock:
            self._history.pop(prompt_id, None)

    def set_flag(self, name: str) -> None:
        """Ask the worker for something between two prompts (``unload_models``, ``free_memory``)."""
        with self._work:
            self._flags[name] = True
            self._work.notify()

    def take_flags(self) -> dict[str, bool]:
        """Return the flags and reset them."""
        with self._lock:
            flags, self._flags = self._flags, {}
            return flags

    def close(self) -> None:
        """Let `take` return ``None`` for ever."""
        with self._work:
            self._closed = True
            self._work.notify_all()
