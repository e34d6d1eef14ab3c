"""Moves graph jobs on: asks the reducer what is next, stores it, and then does it.

What is ready is stored before it is dispatched, in one transaction with all that ended on the way,
so a kernel that is killed anywhere finds the job between two steps: it asks the reducer again.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Protocol

from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.config import DEFAULT_PATTERN
from comfynb.engine.graph.delivery import Delivery, DeliveryItem, deliver, resolve_folder
from comfynb.engine.graph.flow import Decision, Ended, Facts, is_ready, step
from comfynb.engine.graph.items import opened, plain
from comfynb.engine.live import LiveJob
from comfynb.errors import ComfynbError, UsageError
from comfynb.models import CanvasNode, JobStatus, NodeExecution, NodeType, new_id, utcnow
from comfynb.store.graphs import Advance, Feed, GraphJournal
from comfynb.store.transitions import NodeEnd

__all__ = ["GraphRunner", "Office"]

SKIPPED = JobStatus.SKIPPED


class Office(Protocol):
    """What the runner needs from the engine."""

    def dispatch(self, live: LiveJob, execution: NodeExecution) -> None:
        """Let a WORKFLOW's execution wait for a backend, unless it waits or runs already."""

    def finish_if_over(self, live: LiveJob) -> Awaitable[None]:
        """End the job if all its nodes have ended."""

    def backend_name(self, backend_id: str) -> str:
        """What people call a backend."""

    def spawn(self, coroutine: Awaitable[Any], name: str) -> object:
        """Run something in the background; its errors are reported."""

    def report(self, error: BaseException) -> None:
        """An error that nobody waits for."""


class GraphRunner:
    """Runs on the engine's loop; a single run is a graph of one node that is ready at once."""

    def __init__(
        self, office: Office, journal: GraphJournal, owner_id: str, *, base: Path, ledger: Path
    ) -> None:
        self._office = office
        self._journal = journal
        self._owner_id = owner_id
        self._base = base
        self._ledger = ledger
        self._moving: set[str] = set()
        self._again: set[str] = set()
        self._delivering: set[str] = set()

    def __repr__(self) -> str:
        return f"GraphRunner({len(self._moving)} jobs move, {len(self._delivering)} deliveries)"

    def start(self, live: LiveJob) -> None:
        """Begin a job, or go on with one where an earlier kernel or a pause left it."""
        if live.graph is None:
            for execution in live.job.node_executions:
                if not execution.status.is_terminal:
                    self._office.dispatch(live, execution)
            return
        for execution in live.job.node_executions:
            if execution.status is JobStatus.PENDING and is_ready(execution):
                self._begin(live, execution)
        self.advance(live)

    def advance(self, live: LiveJob) -> None:
        """See what is next in a graph's job soon; calls while it is at it are not lost."""
        if live.graph is None:
            return
        self._again.add(live.id)
        if live.id not in self._moving:
            self._moving.add(live.id)
            self._office.spawn(self._move(live), f"advance {live.id}")

    def is_delivering(self, execution_id: str) -> bool:
        """Whether an OUTPUT's files are being copied right now."""
        return execution_id in self._delivering

    async def _move(self, live: LiveJob) -> None:
        try:
            while live.id in self._again:
                self._again.discard(live.id)
                async with live.lock:
                    if live.moves:
                        await self._step(live)
            await self._office.finish_if_over(live)
        finally:
            self._moving.discard(live.id)

    async def _step(self, live: LiveJob) -> None:
        if live.graph is None:
            return
        job = live.job
        facts = Facts(
            {
                "id": job.id,
                "name": live.name,
                "project_id": job.project_id,
                "created_at": job.created_at.isoformat(),
            }
        )
        decision = step(live.graph, job.node_executions, facts)
        if decision and await self._store(live, decision):
            crash_point("node ready stored")
            for ready in decision.ready:
                for execution in job.node_executions:
                    if execution.canvas_node_id == ready.node_id:
                        self._begin(live, execution)

    async def _store(self, live: LiveJob, decision: Decision) -> bool:
        """Write a decision down, then take it over here; False if the job is not ours any more."""
        job = live.job
        now = utcnow()
        first: dict[str, NodeExecution] = {}
        for execution in job.node_executions:
            first.setdefault(execution.canvas_node_id, execution)
        feeds = [
            Feed(first[e.node_id].id, e.input_data, now if e.status is not SKIPPED else None)
            for e in decision.ended
        ]
        new: list[NodeExecution] = []
        for ready in decision.ready:
            feeds.append(Feed(first[ready.node_id].id, ready.runs[0]))
            new += [
                NodeExecution.build(
                    id=new_id(), job_id=job.id, canvas_node_id=ready.node_id, input_data=data
                )
                for data in ready.runs[1:]
            ]
        ends = [_end_of(first[ended.node_id], ended, now) for ended in decision.ended]
        crash_point("decision made")
        taken = await self._journal.advance(
            Advance(job.id, self._owner_id, feeds=feeds, ends=ends, new=new)
        )
        if not taken:
            return False
        if job.status is JobStatus.PENDING:
            job.status = JobStatus.RUNNING
            job.started_at = job.started_at or now
        for ended in decision.ended:
            execution = first[ended.node_id]
            execution.input_data = ended.input_data
            execution.status = ended.status
            execution.started_at = now if ended.status is not SKIPPED else None
            execution.output_data = ended.output_data
            execution.error_message = ended.message
            execution.completed_at = now
            if ended.status is JobStatus.COMPLETED:
                execution.progress = 100.0
        for ready in decision.ready:
            first[ready.node_id].input_data = ready.runs[0]
        job.node_executions.extend(new)
        live.touch()
        return True

    def _begin(self, live: LiveJob, execution: NodeExecution) -> None:
        if not live.moves or live.graph is None:
            return
        node = live.graph.nodes[execution.canvas_node_id]
        if node.node_type is NodeType.WORKFLOW:
            self._office.dispatch(live, execution)
        elif execution.id not in self._delivering:
            self._delivering.add(execution.id)
            self._office.spawn(self._deliver(live, node, execution), f"deliver {execution.id}")

    # OUTPUT -----------------------------------------------------------------------------------

    async def _deliver(self, live: LiveJob, node: CanvasNode, execution: NodeExecution) -> None:
        """Copy what reached an OUTPUT into its folder; what was copied before a crash is found."""
        execution.status = JobStatus.RUNNING
        execution.started_at = execution.started_at or utcnow()
        live.touch()
        items = opened(execution.input_data["ports"].get("input", []))
        status, message = JobStatus.COMPLETED, None
        output: dict[str, Any] | None = None
        try:
            delivered = await asyncio.to_thread(self._copy, live, node, items)
        except Exception as error:  # noqa: BLE001 - whatever it was, the job must end
            status, message = JobStatus.FAILED, f"{live.title_of(node.id)}: {error}"
            if not isinstance(error, ComfynbError):
                self._office.report(error)
        else:
            crash_point("files delivered")
            output = {
                "ports": {},
                "files": delivered,
                "values": [plain(item) for item in items if "file" not in item],
            }
        now = utcnow()
        end = NodeEnd(execution.id, status, now, output, message, None)
        began = Feed(execution.id, None, execution.started_at)
        await self._journal.advance(Advance(live.id, self._owner_id, feeds=[began], ends=[end]))
        execution.status = status
        execution.output_data = output
        execution.error_message = message
        execution.completed_at = now
        execution.progress = 100.0 if output is not None else execution.progress
        self._delivering.discard(execution.id)
        live.touch()
        if live.moves:
            self.advance(live)
        else:
            await self._office.finish_if_over(live)

    def _copy(
        self, live: LiveJob, node: CanvasNode, items: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        files = [self._item(item) for item in items if "file" in item]
        done = deliver(
            Delivery(
                job_id=live.id,
                node_id=node.id,
                node=live.title_of(node.id),
                folder=resolve_folder(node.config.get("output_folder", ""), self._base),
                pattern=node.config.get("naming_pattern", DEFAULT_PATTERN),
                items=files,
                at=live.job.created_at,
                ledger=self._ledger,
                graph=live.name,
            )
        )
        return [each.to_json() for each in done]

    def _item(self, item: dict[str, Any]) -> DeliveryItem:
        file = item["file"]
        if not file.get("path"):
            raise UsageError(f"{file.get('filename')} has no copy on this machine.")
        values = {
            **{key: value for key, value in item.get("values", {}).items() if _is_short(value)},
            **{key: value for key, value in item.get("from", {}).items() if key != "node"},
            **{key: file.get(key) for key in ("width", "height")},
            "backend": self._office.backend_name(file.get("backend_id") or ""),
        }
        return DeliveryItem(Path(file["path"]), file.get("filename") or "", values)


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _end_of(execution: NodeExecution, ended: Ended, now: Any) -> NodeEnd:
    return NodeEnd(execution.id, ended.status, now, ended.output_data, ended.message, None)
