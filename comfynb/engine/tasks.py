"""Units of work: one canvas node's execution waiting for a backend, and a prompt in flight."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfynb.engine.graph.workflow import WorkflowPorts
from comfynb.engine.live import LiveJob, NodeProgress
from comfynb.models import FallbackStrategy, NodeExecution, PromptStatus

__all__ = ["FileSource", "Flight", "NodeTask", "Requirements"]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a backend must have to run a task; equal ones are looked up once for all tasks."""

    node_classes: frozenset[str]
    choices: frozenset[tuple[str, str, str]]
    """(node class, input, value) of every model name and other choice from a list."""
    capabilities: frozenset[str]
    affinity: str | None
    """Id of the preferred backend, if any."""
    fallback: FallbackStrategy
    vram_above: int = 0
    """MiB of VRAM that were too little for it; a backend must have more."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that a loader shall read, and where it lies: here, and perhaps on a backend too."""

    path: Path | None
    """The copy on this machine."""
    sha256: str | None = None
    backend_id: str | None = None
    """The backend that made it."""
    annotated: str | None = None
    """What a loader there calls it, "sub/name.png [output]", if its class reads such names."""


@dataclass(slots=True)
class NodeTask:
    """One node execution that wants to run: everything needed to send its prompt."""

    live: LiveJob
    execution: NodeExecution
    prompt: dict[str, Any]
    """The API prompt, with the parameter values applied."""
    prompt_sha256: str
    node_titles: Mapping[str, str]
    requirements: Requirements
    files: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    """Files on this machine by (node id, input name): uploaded before the prompt is sent."""
    sources: Mapping[tuple[str, str], FileSource] = field(default_factory=dict)
    """Files that other nodes of the graph made, by (node id, input name)."""
    ports: WorkflowPorts | None = None
    """What the node's outputs are called in its graph; None for a run by itself."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What is noted beside each output: the node's title, the workflow's name, the seed."""
    workflow: dict[str, Any] | None = None
    """The UI workflow, embedded in the pictures as ComfyUI does."""
    version: str = ""
    """Id of the workflow version: what was learned about one of its prompts holds for all."""
    group: str | None = None
    """The sweep that it belongs to: ordered and shared fairly with other sweeps. None for a run
    by itself, which goes first."""
    weight: float = 1.0
    """Its group's share of the backends, compared to other groups."""
    attempts: int = 0
    forgiven: int = 0
    """Attempts before somebody asked for another try."""
    not_before: float = 0.0
    """Monotonic seconds: a task that was lost waits a little before it is sent again."""

    @property
    def extra_data(self) -> dict[str, Any]:
        """What goes beside the prompt in the request."""
        return {"extra_pnginfo": {"workflow": self.workflow}} if self.workflow else {}


@dataclass(slots=True)
class Flight:
    """A prompt of ours that a backend has, or may have, and that has not been settled."""

    task: NodeTask
    prompt_id: str
    attempt: int
    state: PromptStatus = PromptStatus.SENDING
    noted: PromptStatus | None = None
    """The state that the store has of it, once it was stored on the way."""
    progress: NodeProgress = field(default_factory=NodeProgress)
    sent_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)
    """When anything was last learned about it, over HTTP or the websocket."""
    started_at: float | None = None
    unknown: int = 0
    """How many looks in a row the server did not know it."""
    hinted: bool = False
    """The websocket said that it ended; HTTP has yet to confirm it."""
    cancel: bool = False
    recalled: bool = False
    """It is being taken out of the server's queue, to be done sooner elsewhere."""
    spans: dict[str, float] = field(default_factory=dict)
    """Seconds of its nodes, as the websocket told them."""
    timeline: list[tuple[str, float, float]] = field(default_factory=list)
    """Nodes that ran, from when to when (monotonic seconds), oldest first."""
    at: tuple[str, float] | None = None
    """The node that runs, and since when (monotonic seconds)."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def moved_on(self, node_id: str | None) -> None:
        """Another node runs now, or none any more."""
        now = time.monotonic()
        if self.at is not None:
            before, since = self.at
            self.spans[before] = self.spans.get(before, 0.0) + now - since
            self.timeline.append((before, since, now))
        self.at = (node_id, now) if node_id is not None else None
