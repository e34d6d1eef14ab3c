"""A job while this process knows it: its record, its live progress, and who watches or waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from comfynb.engine.graph.network import Graph
from comfynb.engine.graph.overview import group_nodes
from comfynb.engine.views import ImageView, JobView, NodeView, QuestionView
from comfynb.engine.watching import End, Watchers
from comfynb.models import Job, JobStatus, NodeExecution, OutputFile

__all__ = ["Asker", "LiveJob", "NodeProgress"]

Asker: TypeAlias = Callable[[QuestionView], "str | Awaitable[str | None] | None"]
"""Chooses a backend for a node that waits for one: its id, or None to let the node fail."""


@dataclass(slots=True)
class NodeProgress:
    """What one running prompt has told about itself; never stored, only shown."""

    total: int = 0
    done: set[str] = field(default_factory=set)
    fractions: dict[str, float] = field(default_factory=dict)
    step: str | None = None
    preview: bytes | None = None
    preview_type: str = "image/jpeg"

    @property
    def percent(self) -> float:
        """0-100, counted in nodes of the prompt; a running node counts by its own fraction."""
        if not self.total:
            return 0.0
        partial = sum(value for node, value in self.fractions.items() if node not in self.done)
        return min(100.0, 100.0 * (len(self.done) + partial) / self.total)


class LiveJob:
    """One job. Changed on the loop's thread only; ``view`` may be read from any thread."""

    def __init__(
        self,
        job: Job,
        *,
        name: str,
        titles: Mapping[str, str],
        outputs: Iterable[OutputFile] = (),
    ) -> None:
        self.job = job
        self.name = name
        self.titles = dict(titles)
        self.outputs: list[OutputFile] = list(outputs)
        self.node_titles: dict[str, str] = {}
        """Titles of the nodes inside the workflow, by ComfyUI node id, for captions."""
        self.progress: dict[str, NodeProgress] = {}
        self.backend_names: dict[str, str] = {}
        self.queue_position: int | None = None
        self.note: str | None = None
        self.cancelling = False
        self.graph: Graph | None = None
        """The snapshot as a graph; None for a run of one workflow by itself."""
        self.lock = asyncio.Lock()
        """Held while the job moves on or is stopped, so that neither meets the other half done."""
        self.questions: dict[str, QuestionView] = {}
        """Nodes that wait for somebody to choose a backend, by canvas node id."""
        self.answers: dict[str, str] = {}
        """The backends that were chosen, by canvas node id."""
        self.attempts: dict[str, int] = {}
        """How often nodes were sent by earlier kernels or before a retry, by execution id."""
        self.forgiven: dict[str, int] = {}
        """How many of those do not count any more, since the nodes were tried again by hand."""
        self.asker: Asker | None = None
        """Who is asked in a script."""
        self.seconds: dict[str, float] = {}
        """How long prompts ran, as their servers said, by node execution id."""
        self.dirty = False
        self._touched: list[Callable[[], None]] = []
        self._watchers: Watchers[JobView] = Watchers()
        self._end = End(reached=job.status.is_terminal)

    def __repr__(self) -> str:
        return f"LiveJob(id={self.job.id!r}, name={self.name!r}, status={self.job.status.value!r})"

    # What it is -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._end.reached

    @property
    def paused(self) -> bool:
        """Whether nothing new of it is sent for now."""
        return self.job.status is JobStatus.PAUSED

    @property
    def moves(self) -> bool:
        """Whether what is ready is begun: it is neither paused, nor being cancelled, nor over."""
        return not (self.cancelling or self.paused or self.job.status.is_terminal)

    @property
    def question(self) -> QuestionView | None:
        """What it waits for somebody to answer, if anything."""
        return next(iter(self.questions.values()), None)

    def title_of(self, canvas_node_id: str) -> str:
        """What people call a node of its canvas."""
        return self.titles.get(canvas_node_id, canvas_node_id)

    @property
    def watched(self) -> bool:
        """Whether somebody looks at it."""
        return bool(self._watchers)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it."""
        return self._end.awaited > 0

    @property
    def view(self) -> JobView:
        """What a person sees of it now."""
        job = self.job
        nodes = self._node_views()
        running = [progress for progress in self.progress.values() if progress.preview]
        shown = running[-1] if running and not job.status.is_terminal else None
        if job.status is JobStatus.COMPLETED:
            percent = 100.0
        else:
            percent = sum(_share(node) for node in nodes) / len(nodes) if nodes else 0.0
        status = job.status
        if status is JobStatus.RUNNING and self.queue_position is not None:
            # Handed to a backend, which has others before it: to a person it waits.
            status = JobStatus.PENDING
        return JobView(
            id=job.id,
            name=self.name,
            status=status,
            progress=percent,
            step=next((node.step for node in nodes if node.step), None),
            backend=next((node.backend for node in nodes if node.backend), None),
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            error=self._error_text(),
            nodes=nodes,
            images=tuple(self._image_view(output) for output in self.outputs),
            preview=shown.preview if shown else None,
            preview_type=shown.preview_type if shown else "image/jpeg",
            values=dict(job.parameter_values),
            queue_position=None if job.status.is_terminal else self.queue_position,
            note=self.note,
            questions=tuple(self.questions.values()),
        )

    def _node_views(self) -> tuple[NodeView, ...]:
        executions = list(self.job.node_executions)
        if self.graph is None:
            return tuple(self._node_view(execution, self.outputs) for execution in executions)
        files: dict[str, list[OutputFile]] = {}
        for output in self.outputs:
            files.setdefault(output.prompt_id, []).append(output)
        views = [self._node_view(e, files.get(e.comfy_prompt_id or "", ())) for e in executions]
        return group_nodes(views)

    def _error_text(self) -> str | None:
        """The sentence, and after a line break the server's traceback, which rows fold away."""
        message = self.job.error_message
        for execution in self.job.node_executions:
            if message and execution.error_traceback and execution.error_message == message:
                return f"{message}\n{execution.error_traceback}"
        return message

    def _node_view(self, execution: NodeExecution, files: Iterable[OutputFile]) -> NodeView:
        progress = self.progress.get(execution.id)
        live = progress is not None and not execution.status.is_terminal
        return NodeView(
            canvas_node_id=execution.canvas_node_id,
            title=self.title_of(execution.canvas_node_id),
            status=execution.status,
            progress=progress.percent if live and progress else execution.progress,
            step=progress.step if live and progress else None,
            backend=self.backend_names.get(execution.backend_id or "", execution.backend_id),
            error=execution.error_message,
            traceback=execution.error_traceback,
            started_at=execution.started_at,
            completed_at=execution.completed_at,
            runs_done=int(execution.status.is_terminal),
            images=tuple(self._image_view(output) for output in files),
            preview=progress.preview if live and progress else None,
            preview_type=progress.preview_type if live and progress else "image/jpeg",
            input_data=execution.input_data,
            output_data=execution.output_data,
        )

    def _image_view(self, output: OutputFile) -> ImageView:
        return ImageView(
            filename=output.filename,
            path=Path(output.path) if output.path else None,
            media_type=output.media_type or "application/octet-stream",
            size=output.size,
            node_title=self.node_titles.get(output.node_id, output.node_id),
            width=output.width,
            height=output.height,
        )

    def replace(self, job: Job, outputs: Iterable[OutputFile]) -> None:
        """Take over what another process stored about it."""
        changed = job != self.job
        self.job = job
        self.outputs = list(outputs)
        self.dirty = self.dirty or changed

    # Watching and waiting -------------------------------------------------------------------

    def watch(self, callback: Callable[[JobView], None]) -> Callable[[], None]:
        """Call ``callback`` with a new view after changes; returns the way to stop."""
        return self._watchers.add(callback)

    def touch(self) -> None:
        """Note a change; the engine's ticker tells the watchers, at most ten times a second."""
        self.dirty = True
        for callback in self._touched:
            callback()

    def add_touch_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at once after every change: it must do next to nothing."""
        self._touched.append(callback)

    def tell(self, report: Callable[[BaseException], None]) -> None:
        """Tell every watcher now; an error in one goes to ``report`` and stops nobody else."""
        self.dirty = False
        if self._watchers:
            self._watchers.tell(self.view, report)

    def reopen(self) -> None:
        """It goes on although it had ended: whoever waits from now on waits for its next end."""
        self._end.reopen()
        self.cancelling = False
        self.note = None
        self.progress.clear()

    def finish(self) -> None:
        """Wake everybody who waits; the record must be final and stored by now."""
        self._end.reach()

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the job has ended, on whatever thread ended it."""
        self._end.add_callback(callback)

    async def wait(self) -> None:
        """Return when the job has ended; being cancelled here leaves the job alone."""
        await self._end.wait()

    def wait_blocking(self, timeout: float | None) -> None:
        """Block the calling thread until the job has ended; never on the loop's own thread."""
        self._end.wait_blocking(timeout)


def _share(node: NodeView) -> float:
    """How much of a node is behind it: one that was skipped holds nothing up."""
    return 100.0 if node.status is JobStatus.SKIPPED else node.progress
