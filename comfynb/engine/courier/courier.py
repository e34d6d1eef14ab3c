"""Takes prompts to one backend and brings their outcome back.

HTTP is the authority. The websocket only tells sooner: whatever it says is a hint to look, and
whatever it fails to say is found by looking once a second. So a deaf or dropped socket delays
nothing for more than two seconds, and an event that was never sent loses nothing.

A prompt is *settled* exactly once: completed, failed, cancelled, or lost. Lost means that the
server no longer knows it (it was restarted, say); lost is never done.
"""

import asyncio
import itertools
from collections.abc import Iterable

from comfynb.comfy import ComfyClient
from comfynb.engine.courier.board import Board
from comfynb.engine.courier.bringing import Bringer
from comfynb.engine.courier.home import Home
from comfynb.engine.courier.lanes import Lane, Traffic
from comfynb.engine.courier.listening import Listener
from comfynb.engine.courier.looking import Looker
from comfynb.engine.courier.outcome import lost
from comfynb.engine.courier.sending import Sender
from comfynb.engine.courier.stopping import Stopper
from comfynb.engine.courier.uploads import Uploads
from comfynb.engine.outputs import OutputFolder
from comfynb.engine.tasks import Flight, NodeTask
from comfynb.models import PromptRecord, PromptStatus, new_id
from comfynb.store import Journal

__all__ = ["Courier"]


class Courier:
    """All prompts of ours that one backend has."""

    def __init__(
        self,
        client: ComfyClient,
        home: Home,
        journal: Journal,
        folder: OutputFolder,
        traffic: Traffic,
    ) -> None:
        self._board = board = Board(client, home)
        self._uploads = Uploads(board)
        self._bringer = Bringer(board, folder, Lane(traffic.downloads))
        self._listener = Listener(board, self._bringer)
        self._looker = Looker(board, self._bringer, self._listener)
        self._stopper = Stopper(board)
        self._sender = Sender(
            board,
            journal,
            self._bringer,
            self._uploads,
            Lane(traffic.posts),
            recall=self.recall,
        )

    def __len__(self) -> int:
        """How many prompts the backend has, or is about to have."""
        return len(self._board.flights)

    def __repr__(self) -> str:
        return f"Courier({self._board.home.name!r}, {len(self)} prompts out)"

    @property
    def busy(self) -> bool:
        """Whether anything is out or on its way home."""
        return bool(self._board.flights or self._board.bringing)

    @property
    def flights(self) -> Iterable[Flight]:
        """Prompts of ours that are not settled, oldest first."""
        board = self._board
        return itertools.chain(list(board.bringing.values()), list(board.flights.values()))

    @property
    def running_text(self) -> str | None:
        """What runs now, for people: "portrait 45 %"."""
        for flight in self._board.flights.values():
            if flight.state is PromptStatus.RUNNING:
                return f"{flight.task.live.name} {flight.progress.percent:.0f} %"
        return None

    def send(self, task: NodeTask) -> Flight:
        """Take a task: from now on it counts as outstanding here."""
        task.attempts += 1
        flight = Flight(task, new_id(), task.attempts)
        self._board.take(flight)
        self._sender.put(flight)
        return flight

    def adopt(self, task: NodeTask, record: PromptRecord) -> Flight:
        """Go on with a prompt that an earlier kernel sent, or was about to send."""
        task.attempts = record.attempt
        flight = Flight(task, record.prompt_id, record.attempt, state=record.state)
        self._board.take(flight)
        if record.state is PromptStatus.SENDING:
            self._sender.find(flight)
        self._board.reconcile()
        return flight

    def cancel(self, flight: Flight) -> None:
        """Stop exactly this prompt; it is settled when the server has let go of it."""
        self._stopper.cancel(flight)

    def recall(self, flight: Flight, why: str) -> None:
        """Take a prompt out of the server's queue if it has not begun; else nothing happens.

        It is settled as lost before it was sent: it goes elsewhere, and that costs no attempt.
        """
        self._stopper.recall(flight, why)

    def give_up(self, flight: Flight, why: str) -> None:
        """Settle ``flight`` as lost although the backend may still have it."""
        self._board.orphans.add(flight.prompt_id)
        outcome = lost(why, error_class="away")
        self._board.background.spawn(self._board.settle(flight, outcome), "give up")

    def use(self, client: ComfyClient) -> None:
        """Talk through another client from now on (another address, other credentials)."""
        self._board.client = client
        self._uploads.forget()
        self._board.online.clear()

    def online_changed(self) -> None:
        """The backend went online or offline."""
        board = self._board
        if not board.home.online:
            board.online.clear()
        elif not board.online.is_set():
            # After an outage it may be another machine: upload again what is needed.
            self._uploads.forget()
            board.online.set()
            self._listener.hurry()
            board.reconcile()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._sender, self._listener, self._bringer, self._looker):
                group.create_task(part.run())

    async def close(self) -> None:
        """Stop whatever still runs; prompts stay where they are, for the next kernel to adopt."""
        await asyncio.gather(self._board.background.close(), self._uploads.close())
