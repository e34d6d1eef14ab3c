"""All that a server loses when it restarts: queue, history, cache, counters, and the worker."""

import logging
import shutil
import threading
from typing import Any

from comfynb.sandbox.catalogue import Catalogue
from comfynb.sandbox.executor import Executor
from comfynb.sandbox.faults import Faults
from comfynb.sandbox.node import Context
from comfynb.sandbox.prompt_queue import PromptQueue
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.sockets import Sockets
from comfynb.sandbox.stats import Stats

__all__ = ["Machine"]

_log = logging.getLogger(__name__)


class Machine:
    """One life of the simulated server, from start to (simulated) crash.

    Making one empties the temp folder and starts the worker thread.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        sockets: Sockets,
        faults: Faults,
        stats: Stats,
    ) -> None:
        self._sockets = sockets
        self._interrupt = threading.Event()
        self._gone = threading.Event()
        self.queue = PromptQueue(self._queue_changed, max_history=settings.max_history)
        self.number = 0
        """The number that the next prompt gets."""
        shutil.rmtree(settings.folder("temp"), ignore_errors=True)
        for kind in ("input", "output", "temp", "user", "models"):
            settings.folder(kind).mkdir(parents=True, exist_ok=True)
        self._executor = Executor(
            settings, catalogue, sockets, faults, stats, interrupt=self._interrupt, gone=self._gone
        )
        self._worker = threading.Thread(target=self._work, name="prompt-worker", daemon=True)
        self._worker.start()

    def context(self) -> Context:
        """Return what node classes are given when they are asked about inputs."""
        return self._executor.context()

    def info(self) -> dict[str, Any]:
        """Return what ``status`` messages and ``GET /prompt`` say."""
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def running(self) -> dict[str, Any] | None:
        """Return the running prompt's id and the progress of its nodes."""
        return self._executor.running()

    def interrupt(self) -> None:
        """Interrupt whatever runs; without effect when nothing does."""
        self._interrupt.set()

    def cancel(self, prompt_id: str) -> bool:
        """Take a pending prompt out or interrupt the running one; say whether it did either."""
        return self.queue.while_running(prompt_id, self.interrupt) or self.queue.delete(prompt_id)

    def end(self) -> None:
        """Crash: nothing is sent any more, and the worker ends as soon as its node lets it."""
        self._gone.set()
        self._interrupt.set()
        self.queue.close()

    def join(self, timeout: float) -> bool:
        """Wait for the worker after `end`; say whether it has ended."""
        self._worker.join(timeout)
        return not self._worker.is_alive()

    def _queue_changed(self) -> None:
        if not self._gone.is_set():
            self._sockets.publish("status", {"status": self.info()})

    def _work(self) -> None:
        while not self._gone.is_set():
            item = self.queue.take()
            if item is not None:
                try:
                    result = self._executor.execute(item)
                except Exception:  # noqa: BLE001 - it is logged, and the prompt fails
                    # Such a prompt kills ComfyUI's worker for good; here it fails alone.
                    _log.exception("the prompt %s broke the executor", item[1])
                    status = {"status_str": "error", "completed": False, "messages": []}
                    result = {"outputs": {}, "meta": {}, "status": status}
                if result is None:
                    return
                self.queue.done(item, result)
                client_id = self._sockets.client_id
                if client_id is not None:
                    done = {"node": None, "prompt_id": item[1]}
                    self._sockets.publish("executing", done, client_id)
            if self.queue.take_flags().get("free_memory"):
                self._executor.reset()
