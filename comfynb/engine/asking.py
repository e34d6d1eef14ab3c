"""Which backend takes over when the preferred one cannot: asks, waits, and remembers the answer."""

import asyncio
import inspect
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, Protocol

from comfynb.engine.crashpoints import crash_point
from comfynb.engine.desk import Desk
from comfynb.engine.live import Asker, LiveJob
from comfynb.engine.tasks import NodeTask
from comfynb.engine.views import CandidateView, QuestionView
from comfynb.errors import UsageError
from comfynb.models import JobEvent
from comfynb.store import Journal

__all__ = ["ANSWERED", "Asking"]

ANSWERED = "answered"
"""The kind of a JobEvent that keeps an answer, so that nobody is asked twice."""


class Office(Protocol):
    """What asking needs from the engine."""

    def give_up(self, task: NodeTask, message: str) -> None:
        """End a waiting task's node as failed."""

    def pump(self) -> None:
        """Hand out waiting tasks soon."""

    def spawn(self, coroutine: Awaitable[Any], name: str) -> object:
        """Run something in the background; its errors are reported."""


class Asking:
    """Questions of jobs about nodes whose fallback is ASK_USER."""

    def __init__(self, desk: Desk, journal: Journal, office: Office) -> None:
        self._desk = desk
        self._journal = journal
        self._office = office
        self.interactive = False
        """Whether somebody sees questions and can click; in a script nobody does."""
        self.asker: Asker | None = None
        """Who is asked where a job has nobody of its own."""

    def ask(self, task: NodeTask, why: str) -> None:
        """``task`` waits for a backend that cannot run it now: ask once for each canvas node."""
        live, node_id = task.live, task.execution.canvas_node_id
        candidates = self._candidates(task)
        known = live.questions.get(node_id)
        if known is not None:
            if known.candidates != candidates or known.reason != why:
                live.questions[node_id] = replace(known, candidates=candidates, reason=why)
                live.touch()
            return
        asker = live.asker or self.asker
        title = live.title_of(node_id)
        preferred = self._name(task.requirements.affinity or "")
        if asker is None and not self.interactive:
            self._office.give_up(
                task,
                f"{title} wants {preferred}, which cannot run it ({why}), and there is nobody to "
                'ask for another: pass on_ask, or set its fallback_strategy to "auto".',
            )
            return
        question = QuestionView(
            live.id, task.execution.id, node_id, title, preferred, why, candidates
        )
        live.questions[node_id] = question
        live.note = f"{title} waits for you to choose a backend"
        live.touch()
        if asker is not None:
            self._office.spawn(self._call(asker, live, question), f"ask {title}")

    def withdraw(self, task: NodeTask) -> None:
        """The task found a backend: nothing is asked any more."""
        task.live.questions.pop(task.execution.canvas_node_id, None)

    def _candidates(self, task: NodeTask) -> tuple[CandidateView, ...]:
        found = [
            CandidateView(each.id, each.name, each.refusal(task.requirements))
            for each in self._desk.around(task.requirements.affinity)
        ]
        return tuple(sorted(found, key=lambda each: each.problem is not None))

    def _name(self, backend_id: str) -> str:
        backend = self._desk.backends.get(backend_id)
        return backend.name if backend is not None else "a backend that was removed"

    async def _call(self, asker: Asker, live: LiveJob, question: QuestionView) -> None:
        why = "nobody chose a backend for it"
        try:
            # Somebody's function may block: it is called where that holds nothing up.
            given = await asyncio.to_thread(asker, question)
            answer = await given if inspect.isawaitable(given) else given
            if answer is not None and answer not in self._desk.backends:
                answer, why = None, f"on_ask gave {answer!r:.80}, which is no backend's id"
        except Exception as error:  # noqa: BLE001 - somebody else's function; its error is told
            answer, why = None, f"on_ask failed: {type(error).__name__}: {error}"
        if question.canvas_node_id in live.questions:
            await self.decide(live, question.canvas_node_id, answer, why)

    async def answer(self, live: LiveJob, execution_id: str, backend_id: str | None) -> None:
        """Choose a backend for all runs of the node that ``execution_id`` is one of.

        Raises:
            UsageError: nothing is asked about it, or there is no such backend.
        """
        node_id = next(
            (e.canvas_node_id for e in live.job.node_executions if e.id == execution_id), ""
        )
        if node_id not in live.questions:
            raise UsageError(f"{live.name} asks nothing about {execution_id!r:.80} (any more).")
        if backend_id is not None and backend_id not in self._desk.backends:
            raise UsageError(f"There is no backend {backend_id!r:.80}.")
        await self.decide(live, node_id, backend_id, "you chose no backend for it")

    async def decide(self, live: LiveJob, node_id: str, backend_id: str | None, why: str) -> None:
        """Take an answer: kept first, so that a kernel killed now does not ask again."""
        question = live.questions.pop(node_id)
        live.note = None
        live.touch()
        if backend_id is not None:
            event = JobEvent(
                job_id=live.id,
                node_execution_id=question.execution_id,
                kind=ANSWERED,
                message=f"{question.node_title} goes to {self._name(backend_id)}.",
                data={"canvas_node_id": node_id, "backend_id": backend_id},
            )
            await self._journal.record_events([event])
            crash_point("answer stored")
            live.answers[node_id] = backend_id
        for task in self._desk.waiting_of(live):
            if task.execution.canvas_node_id != node_id:
                continue
            if backend_id is None:
                message = f"{question.node_title} did not run: {question.reason}, and {why}."
                self._office.give_up(task, message)
            else:
                self._desk.redirect(task, backend_id)
        self._office.pump()
