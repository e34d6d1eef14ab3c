"""Stores how far prompts have come that take longer than a moment.

What a kernel that is killed before this does not find in the store, it finds on the server.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from comfynb.engine.desk import Desk
from comfynb.models import PromptStatus
from comfynb.store import Journal
from comfynb.store.graphs import GraphJournal, NodeStep

__all__ = ["NOTE", "Noting"]

NOTE: Final = 0.5
"""Seconds between two times that the states of prompts are stored."""
STEP: Final = 2.0
"""Seconds between two times that progress is stored: each is a row written anew."""


class Noting:
    """Called by the engine's ticker."""

    def __init__(
        self,
        desk: Desk,
        journal: Journal,
        graphs: GraphJournal,
        spawn: Callable[[Awaitable[Any], str], object],
    ) -> None:
        self._desk = desk
        self._journal = journal
        self._graphs = graphs
        self._spawn = spawn
        self._noted = 0.0
        self._stepped = 0.0

    def note(self, now: float) -> None:
        """Store what changed, if enough time has passed; ``now`` in monotonic seconds."""
        if now - self._noted <= NOTE:
            return
        self._noted = now
        self._note_states(now)
        if now - self._stepped > STEP:
            self._stepped = now
            self._note_steps(now)

    def _note_states(self, now: float) -> None:
        sent, started = [], []
        for _, flight in self._desk.flying.values():
            if flight.noted is not flight.state and now - flight.sent_at > NOTE:
                flight.noted = flight.state
                if flight.state is PromptStatus.QUEUED:
                    sent.append(flight.prompt_id)
                elif flight.state is PromptStatus.RUNNING:
                    started.append(flight.prompt_id)
        if sent:
            self._spawn(_wait_for(self._journal.prompts_sent(sent)), "note what is queued")
        if started:
            self._spawn(_wait_for(self._journal.prompts_started(started)), "note what runs")

    def _note_steps(self, now: float) -> None:
        steps = []
        for _, flight in self._desk.flying.values():
            runs = flight.state is PromptStatus.RUNNING and not flight.hinted
            if not runs or now - flight.sent_at <= STEP:
                continue
            execution, progress = flight.task.execution, flight.progress
            percent = round(progress.percent, 1)
            if (percent, progress.step) == (execution.progress, execution.current_step):
                continue
            execution.progress = percent
            execution.current_step = progress.step
            steps.append(NodeStep(execution.id, percent, progress.step))
        if steps:
            self._spawn(_wait_for(self._graphs.note_steps(steps)), "note progress")


async def _wait_for(pending: Awaitable[Any]) -> None:
    await pending
