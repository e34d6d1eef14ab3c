"""What a graph's job does inside a transaction: nodes move on together, or go back to the start."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from comfynb.models import JobEvent, JobStatus, NodeExecution, utcnow
from comfynb.store.pending import Pending
from comfynb.store.schema import json_text, table_of
from comfynb.store.transaction import Transaction
from comfynb.store.transitions import OPEN, NodeEnd, end_nodes
from comfynb.store.worker import Op

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = ["Advance", "Feed", "GraphJournal", "NodeStep", "Reopen"]

# How far a node has come is worth knowing, but nobody waits for it to be stored.
_PATIENCE_S = 1.0


class Feed(NamedTuple):
    """What an execution gets; None leaves what is stored."""

    id: str
    input_data: dict[str, Any] | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """What happens next in one job, all of it or nothing.

    ``feeds`` is what executions get that are there, ``new`` more executions of nodes that run once
    for each of several items, ``ends`` nodes that need no backend.
    """

    job_id: str
    owner_id: str
    feeds: Sequence[Feed] = ()
    ends: Sequence[NodeEnd] = ()
    new: Sequence[NodeExecution] = ()


@dataclass(frozen=True, slots=True)
class Reopen:
    """A job that had ended goes on: these executions are as they were before they ran."""

    job_id: str
    owner_id: str
    execution_ids: Collection[str]


class NodeStep(NamedTuple):
    """How far a running node execution has come."""

    id: str
    progress: float
    step: str | None


class GraphJournal:
    """The store's record of graph jobs, beside :class:`~comfynb.store.Journal`."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    def advance(self, advance: Advance) -> Pending[bool]:
        """Move a job on; False, and nothing written, if it has ended or is not its owner's."""
        ids = {feed.id for feed in advance.feeds} | {end.id for end in advance.ends}
        keys = frozenset({advance.job_id, *ids, *(execution.id for execution in advance.new)})
        return self._write("advance", advance_jobs, advance, keys)

    def reopen(self, reopen: Reopen) -> Pending[bool]:
        """Let a job go on that had ended; False, and nothing written, if it has not."""
        keys = frozenset({reopen.job_id, *reopen.execution_ids})
        return self._write("reopen", reopen_jobs, reopen, keys, repeatable=False)

    def note_steps(self, steps: Sequence[NodeStep]) -> Pending[None]:
        """Keep how far running nodes have come; nobody waits for it, so it travels with others."""
        keys = frozenset(step.id for step in steps)
        return self._write("note_steps", step_nodes, list(steps), keys, patience=_PATIENCE_S)

    def _write(
        self,
        what: str,
        bulk: Callable[[Transaction, Sequence[Any]], Sequence[Any]],
        arg: Any,
        keys: frozenset[str],
        *,
        patience: float = 0.0,
        repeatable: bool = True,
    ) -> Pending[Any]:
        pending: Pending[Any] = Pending(what)
        self._store.submit(Op(pending, bulk, arg, keys, repeatable, patience))
        return pending


def advance_jobs(tx: Transaction, calls: Sequence[Advance]) -> Sequence[bool]:
    """Move jobs on; False, and nothing written, for one that has ended or is not its owner's."""
    looked = tx.run("advance_look", [[call.job_id for call in calls]])
    rows = {row[0]: list(row[1:]) for row in looked}
    answers = []
    for call in calls:
        row = rows.get(call.job_id)
        answers.append(row is not None and row[0] in OPEN and row[1] == call.owner_id)
        if row is not None and answers[-1]:
            row[2] = _advance(tx, call, row[2])
    return answers


def _advance(tx: Transaction, call: Advance, last: int) -> int:
    """Carry one call out; returns the last execution's position."""
    if call.feeds:
        data = [feed.input_data for feed in call.feeds]
        tx.run(
            "feed_nodes",
            [
                [feed.id for feed in call.feeds],
                [None if each is None else json_text(each) for each in data],
                [feed.started_at for feed in call.feeds],
            ],
        )
    end_nodes(tx, call.ends)
    if call.new:
        ids = [execution.id for execution in call.new]
        there = {row[0] for row in tx.run("there_nodes", [ids])}
        new = [execution for execution in call.new if execution.id not in there]
        places = range(last + 1, last + 1 + len(new))
        if new:
            tx.insert(table_of(NodeExecution), new, {"position": list(places)})
        last += len(new)
    tx.run("begin_jobs", [[call.job_id], [utcnow()]])
    return last


def reopen_jobs(tx: Transaction, calls: Sequence[Reopen]) -> Sequence[bool]:
    """Let jobs go on that had ended; False for one that has not."""
    looked = tx.run("advance_look", [[call.job_id for call in calls]])
    status = {row[0]: row[1] for row in looked}
    answers = []
    for call in calls:
        ended = call.job_id in status and status[call.job_id] not in OPEN
        answers.append(ended)
        if not ended:
            continue
        status[call.job_id] = JobStatus.RUNNING.value
        tx.run("reopen_jobs", [[call.job_id], call.owner_id])
        tx.run("reopen_nodes", [list(call.execution_ids)])
        event = JobEvent(
            job_id=call.job_id,
            kind="retry",
            message=f"{len(call.execution_ids)} nodes run again.",
            data={"executions": sorted(call.execution_ids)},
        )
        tx.insert(table_of(JobEvent), [event])
    return answers


def step_nodes(tx: Transaction, calls: Sequence[Sequence[NodeStep]]) -> Sequence[None]:
    """Note how far executions have come."""
    steps = {step.id: step for some in calls for step in some}
    if steps:
        every = list(steps.values())
        tx.run(
            "step_nodes",
            [[s.id for s in every], [s.progress for s in every], [s.step for s in every]],
        )
    return [None] * len(calls)
