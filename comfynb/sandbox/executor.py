"""Executing one prompt: the nodes in order, the cache, and every message a client gets of it."""

import functools
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from comfynb.sandbox.caching import CacheEntry, OutputCache, node_keys
from comfynb.sandbox.catalogue import Catalogue, is_link
from comfynb.sandbox.faults import Faults
from comfynb.sandbox.node import Blocked, Context, Interrupted, Node, OutOfMemoryError, Result
from comfynb.sandbox.ordering import ExecutionOrder
from comfynb.sandbox.progress import Progress
from comfynb.sandbox.prompt_queue import QueueItem
from comfynb.sandbox.settings import Settings
from comfynb.sandbox.sockets import Sockets, encode_preview, encode_text
from comfynb.sandbox.stats import Stats
from comfynb.sandbox.validation import type_name
from comfynb.sandbox.versions import server_version

__all__ = ["Executor", "show_value"]

_OOM_ADVICE = (
    "This error means you ran out of memory on your GPU.\n\n"
    "TIPS: If the workflow worked before you might have accidentally set the batch_size to a "
    "large number."
)


class _Gone(Exception):
    """The server was restarted while a prompt ran; nobody is to hear of that prompt again."""


@dataclass
class _Run:
    """What belongs to the execution of one prompt."""

    prompt_id: str
    prompt: dict[str, dict[str, Any]]
    extra_data: dict[str, Any]
    client_id: str | None
    progress: Progress
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    success: bool = True


class Executor:
    """Executes prompts, one at a time, in the caller's thread.

    ``interrupt`` is the flag that interrupts the running prompt; ``gone`` says that the simulated
    server has been restarted meanwhile and nothing more may be sent.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        sockets: Sockets,
        faults: Faults,
        stats: Stats,
        *,
        interrupt: threading.Event,
        gone: threading.Event,
    ) -> None:
        self._settings = settings
        self._version = server_version(settings.version)
        self._catalogue = catalogue
        self._sockets = sockets
        self._faults = faults
        self._stats = stats
        self._interrupt = interrupt
        self._gone = gone
        self._folders = settings.folders
        self._cache = OutputCache(settings.cache)
        self._memory: dict[str, Any] = {}
        self._instances: dict[tuple[str, str], dict[str, Any]] = {}
        self._run: _Run | None = None

    def reset(self) -> None:
        """Forget the cache and the node objects (``/free`` with ``free_memory``)."""
        self._cache.clear()
        self._instances.clear()

    def context(self, **about: Any) -> Context:
        """Return a context for validation and the like, or with ``about`` for one node."""
        return Context(
            folders=self._folders,
            version=self._settings.version,
            memory=self._memory,
            interrupt=self._interrupt,
            **about,
        )

    def running(self) -> dict[str, Any] | None:
        """Return the data of the running prompt's last ``progress_state``."""
        run = self._run
        return None if run is None else run.progress.message()

    def execute(self, item: QueueItem) -> dict[str, Any] | None:
        """Execute a queued prompt and return its ``outputs``, ``meta`` and ``status``.

        ``None`` when the server was restarted meanwhile.
        """
        _, prompt_id, prompt, extra_data, outputs = item
        run = _Run(
            prompt_id=prompt_id,
            prompt=prompt,
            extra_data=extra_data,
            client_id=extra_data.get("client_id"),
            progress=Progress(prompt_id),
        )
        self._run = run
        self._interrupt.clear()
        self._sockets.client_id = run.client_id
        self._stats.started(prompt_id)
        try:
            self._execute(run, outputs)
        except _Gone:
            self._stats.ended(prompt_id, "lost")
            return None
        finally:
            self._sockets.last_node = None
            self._run = None
        return {
            "outputs": run.outputs,
            "meta": run.meta,
            "status": {
                "status_str": "success" if run.success else "error",
                "completed": run.success,
                "messages": run.messages,
            },
        }

    def _execute(self, run: _Run, outputs: list[str]) -> None:
        self._note(run, "execution_start", {"prompt_id": run.prompt_id})
        self._cache.begin(
            node_keys(
                run.prompt,
                self._catalogue.__getitem__,
                functools.partial(self._fingerprint, run),
            )
        )
        alive = {(node_id, node["class_type"]) for node_id, node in run.prompt.items()}
        for key in [key for key in self._instances if key not in alive]:
            del self._instances[key]
        cached = [node_id for node_id in run.prompt if self._cache.get(node_id) is not None]
        self._note(run, "execution_cached", {"nodes": cached, "prompt_id": run.prompt_id})
        order = ExecutionOrder(
            run.prompt,
            outputs,
            is_output=lambda node_id: (
                self._catalogue[run.prompt[node_id]["class_type"]].OUTPUT_NODE
            ),
            is_cached=lambda node_id: self._cache.get(node_id) is not None,
        )
        while order:
            node_id = order.next()
            if not self._execute_node(run, node_id):
                run.success = False
                return
            order.done(node_id)
        self._note(run, "execution_success", {"prompt_id": run.prompt_id})
        self._stats.ended(run.prompt_id, "success")

    def _execute_node(self, run: _Run, node_id: str) -> bool:
        """Execute a node or take it from the cache; say whether the prompt goes on."""
        entry = self._cache.get(node_id)
        if entry is not None:
            if run.client_id is not None:
                self._send_executed(run, node_id, entry.ui)
            if entry.ui is not None:
                run.outputs[node_id], run.meta[node_id] = entry.ui, entry.meta
            run.progress.finish(node_id)
            self._send_progress(run)
            return True
        values: dict[str, Any] | None = None
        try:
            run.progress.start(node_id)
            self._send_progress(run)
            values = self._values(run, node_id)
            if run.client_id is not None:
                self._sockets.last_node = node_id
                self._send(run, "executing", {**_shown_node(node_id), "prompt_id": run.prompt_id})
            result = self._call(run, node_id, values)
            ui, meta = None, None
            if result.ui:
                ui = {kind: list(items) for kind, items in result.ui.items()}
                meta = _meta(node_id)
                if run.client_id is not None:
                    self._send_executed(run, node_id, ui)
                run.outputs[node_id], run.meta[node_id] = ui, meta
            self._cache.put(node_id, CacheEntry(result.outputs, ui, meta))
        except _Gone:
            raise
        except Interrupted:
            self._raise_if_gone()
            self._interrupt.clear()
            self._note(
                run,
                "execution_interrupted",
                self._failure(run, node_id),
                broadcast=True,
            )
            self._stats.ended(run.prompt_id, "interrupted")
            return False
        except Exception as problem:  # noqa: BLE001 - whatever a node raises, the clients are told
            self._raise_if_gone()
            self._note(run, "execution_error", self._error(run, node_id, problem, values))
            self._stats.ended(run.prompt_id, "error")
            return False
        run.progress.finish(node_id)
        self._send_progress(run)
        run.executed.append(node_id)
        return True

    def _call(self, run: _Run, node_id: str, values: dict[str, Any]) -> Result:
        name = run.prompt[node_id]["class_type"]
        node = self._catalogue[name]
        slowness = self._faults.slowness()
        ctx = self.context(
            node_id=node_id,
            prompt_id=run.prompt_id,
            prompt=run.prompt,
            extra_pnginfo=run.extra_data.get("extra_pnginfo"),
            preview_method=self._preview_method(run),
            speed=self._settings.speed / slowness,
            instance=self._instances.setdefault((node_id, name), {}),
            on_progress=functools.partial(self._on_progress, run, node_id),
            on_model_load=self._stats.model_loaded,
            on_text=functools.partial(self._on_text, run, node_id),
        )
        ctx.check_interrupt()
        stuck = self._faults.strike("stuck", node_class=name)
        if stuck is not None:
            stuck.wait(self._gone)
            self._raise_if_gone()
        if self._faults.strike("oom", node_class=name):
            raise OutOfMemoryError("Allocation on device (sandbox)")
        blocked = next((v for v in values.values() if isinstance(v, Blocked)), None)
        if blocked is not None:
            return self._block(run, node_id, blocked)
        self._stats.executed(run.prompt_id, node_id, name)
        started = time.monotonic()
        result = node().execute(ctx, **values)
        if slowness > 1 and not ctx.slept:
            ctx.sleep((time.monotonic() - started) * (slowness - 1) * ctx.speed)
        self._raise_if_gone()
        return result

    def _block(self, run: _Run, node_id: str, blocked: Blocked) -> Result:
        if blocked.message is not None:
            failure = self._failure(run, node_id) | {
                "exception_message": f"Execution Blocked: {blocked.message}",
                "exception_type": "ExecutionBlocked",
                "traceback": [],
                "current_inputs": [],
                "current_outputs": [],
            }
            self._publish("execution_error", failure, run.client_id)
        return Result(outputs=(Blocked(),) * len(self._class(run, node_id).OUTPUTS))

    def _values(self, run: _Run, node_id: str) -> dict[str, Any]:
        """Return the inputs that the node is called with."""
        node = run.prompt[node_id]
        accepted = self._catalogue.accepts(node["class_type"], self.context())
        values = {}
        for key, value in node["inputs"].items():
            if is_link(value):
                source = self._cache.get(value[0])
                assert source is not None, "the order lets no node start before its sources"
                values[key] = source.outputs[int(value[1])]
            elif key in accepted:
                values[key] = value
        return values

    def _fingerprint(self, run: _Run, node_id: str) -> object:
        node = run.prompt[node_id]
        if not self._catalogue.has_fingerprint(node["class_type"]):
            return None
        accepted = self._catalogue.accepts(node["class_type"], self.context())
        shown = {
            key: None if is_link(value) else value
            for key, value in node.get("inputs", {}).items()
            if key in accepted
        }
        try:
            return self._catalogue[node["class_type"]].fingerprint(
                self.context(node_id=node_id), **shown
            )
        except Exception:  # noqa: BLE001 - as in ComfyUI: a class that cannot tell is never cached
            return float("nan")

    def _class(self, run: _Run, node_id: str) -> type[Node]:
        return self._catalogue[run.prompt[node_id]["class_type"]]

    def _preview_method(self, run: _Run) -> str:
        asked = run.extra_data.get("preview_method") if self._version.preview_per_prompt else None
        if asked in {None, "default"}:
            return self._settings.preview_method
        return str(asked)

    # what clients are told

    def _raise_if_gone(self) -> None:
        if self._gone.is_set():
            raise _Gone

    def _publish(self, event: str, data: Any, client_id: str | None) -> None:
        self._raise_if_gone()
        self._sockets.publish(event, data, client_id)

    def _send(self, run: _Run, event: str, data: Any) -> None:
        self._publish(event, data, run.client_id)

    def _send_progress(self, run: _Run) -> None:
        self._publish("progress_state", run.progress.message(), run.client_id)

    def _send_executed(self, run: _Run, node_id: str, ui: dict[str, Any] | None) -> None:
        message = {**_shown_node(node_id), "output": ui, "prompt_id": run.prompt_id}
        self._send(run, "executed", message)

    def _note(
        self, run: _Run, event: str, data: dict[str, Any], *, broadcast: bool = False
    ) -> None:
        """Send a message that also becomes part of the history."""
        data = {**data, "timestamp": int(time.time() * 1000)}
        run.messages.append((event, data))
        if run.client_id is not None or broadcast:
            self._send(run, event, data)
        else:
            self._raise_if_gone()

    def _on_progress(  # noqa: PLR0917 - partially applied, then called by `Context`
        self, run: _Run, node_id: str, value: float, maximum: float, preview: Any, kind: str
    ) -> None:
        run.progress.update(node_id, value, maximum)
        self._send_progress(run)
        with_metadata = self._sockets.supports(run.client_id, "supports_preview_metadata")
        if preview is not None and with_metadata:
            metadata = {
                "node_id": node_id,
                "prompt_id": run.prompt_id,
                "display_node_id": node_id,
                "parent_node_id": None,
                "real_node_id": node_id,
            }
            self._send_preview(run, preview, kind, metadata)
        message = {"value": value, "max": maximum, "prompt_id": run.prompt_id, "node": node_id}
        self._send(run, "progress", message)
        if preview is not None and not with_metadata:
            self._send_preview(run, preview, kind, None)

    def _send_preview(
        self, run: _Run, preview: Image.Image, kind: str, metadata: dict[str, Any] | None
    ) -> None:
        self._send(run, "preview", encode_preview(preview, kind, metadata))

    def _on_text(self, run: _Run, node_id: str, text: str) -> None:
        self._send(run, "text", encode_text(node_id, text))

    def _failure(self, run: _Run, node_id: str) -> dict[str, Any]:
        return {
            "prompt_id": run.prompt_id,
            "node_id": node_id,
            "node_type": run.prompt[node_id]["class_type"],
            "executed": list(run.executed),
        }

    def _error(
        self, run: _Run, node_id: str, problem: Exception, values: dict[str, Any] | None
    ) -> dict[str, Any]:
        advice = _OOM_ADVICE if isinstance(problem, OutOfMemoryError) else ""
        return self._failure(run, node_id) | {
            "exception_message": f"{problem}\n{advice}",
            "exception_type": type_name(type(problem)),
            "traceback": traceback.format_tb(sys.exc_info()[2]),
            "current_inputs": {k: [show_value(v)] for k, v in (values or {}).items()},
            "current_outputs": list(run.prompt),
        }


def show_value(value: Any) -> Any:
    """Return a node's input as an error report shows it: arrays the way torch prints tensors."""
    if value is None or isinstance(value, int | float | str):
        return value
    if not isinstance(value, np.ndarray):
        return str(value)
    whole = bool(np.all(value == np.round(value)))
    text = np.array2string(
        value,
        separator=", ",
        prefix="tensor(",
        threshold=1000,
        edgeitems=3,
        max_line_width=80,
        formatter={"float_kind": (lambda x: f"{x:.0f}.") if whole else (lambda x: f"{x:.4f}")},
    )
    return f"tensor({text})"


def _shown_node(node_id: str) -> dict[str, str]:
    return {"node": node_id, "display_node": node_id}


def _meta(node_id: str) -> dict[str, str | None]:
    return {
        "node_id": node_id,
        "display_node": node_id,
        "parent_node": None,
        "real_node_id": node_id,
    }
