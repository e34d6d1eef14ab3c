"""The way out: an intent is written down, then posted; one of unknown fate is looked up first."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from comfynb.comfy.choices import respell
from comfynb.engine.courier.board import Board
from comfynb.engine.courier.bringing import Bringer
from comfynb.engine.courier.lanes import ALONE, Lane
from comfynb.engine.courier.outcome import CANCELLED, failed, lost, recalled
from comfynb.engine.courier.uploads import Uploads
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.feeding import set_inputs
from comfynb.engine.slices import Slice
from comfynb.engine.tasks import Flight
from comfynb.errors import (
    BackendError,
    BackendUnreachable,
    PromptRefused,
    ServerError,
    StoreError,
)
from comfynb.models import PromptRecord, PromptStatus, utcnow
from comfynb.store import Journal
from comfynb.store.pending import settled

__all__ = ["Sender"]

FIRST: Final = 16
MOST: Final = 128
"""Intents that are written down together: a few where the server has nothing to do, else many."""
PAUSE: Final = 1.0
"""Seconds before a server or a store that failed is asked again."""


class Sender:
    """Posts prompts to one server, each once."""

    def __init__(
        self,
        board: Board,
        journal: Journal,
        bringer: Bringer,
        uploads: Uploads,
        lane: Lane,
        *,
        recall: Callable[[Flight, str], None],
    ) -> None:
        self._board = board
        self._home = board.home
        self._journal = journal
        self._bringer = bringer
        self._uploads = uploads
        self._lane = lane
        self._recall = recall
        self._outbox: asyncio.Queue[Flight] = asyncio.Queue()
        self._begun: asyncio.Queue[Flight] = asyncio.Queue()
        """Written down, to be posted."""
        self._unsure: list[Flight] = []
        """Being posted when the connection was given up (another address, say)."""
        self._store_failed = False

    def put(self, flight: Flight) -> None:
        """Send a prompt as soon as possible."""
        self._outbox.put_nowait(flight)

    def find(self, flight: Flight) -> None:
        """Look a prompt of unknown fate up, and send it only if the server does not have it."""
        self._board.background.spawn(self._find_or_send(flight), "find")

    async def run(self) -> None:
        """Send until cancelled."""
        unsure, self._unsure = self._unsure, []
        for flight in unsure:
            self.find(flight)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._begin_loop())
            for _ in range(ALONE):
                group.create_task(self._post_loop())

    # Writing down -----------------------------------------------------------------------------

    async def _begin_loop(self) -> None:
        while True:
            batch = [await self._outbox.get()]
            # An idle server gets something to do before many intents are written down.
            most = FIRST if len(self._board.flights) <= self._outbox.qsize() + 1 else MOST
            while not self._outbox.empty() and len(batch) < most:
                batch.append(self._outbox.get_nowait())
            try:
                trouble = await self._begin(batch)
            except asyncio.CancelledError:
                for flight in batch:  # written down twice is written down once
                    self.put(flight)
                raise
            if trouble is not None:
                if not self._store_failed:
                    self._home.report(trouble)
                await asyncio.sleep(PAUSE)
            self._store_failed = trouble is not None

    async def _begin(self, batch: list[Flight]) -> StoreError | None:
        """Write intents down; those that the store cannot take now are put back."""
        # The intent is on disk before the first byte leaves: a kernel killed after this looks the
        # prompt up, one killed before it has sent nothing.
        records, writes = [], []
        work = Slice()
        for flight in batch:
            await work.rest()
            records.append(self._record(flight))
            writes.append(self._journal.begin_prompt(records[-1], patient=True))
        self._journal.hurry()
        answers = await settled(writes)
        trouble: StoreError | None = None
        for flight, record, answer in zip(batch, records, answers, strict=True):
            if isinstance(answer, StoreError):  # a full disk, or a program that keeps the file
                trouble = answer
                self.put(flight)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer:
                self._home.began(flight, record.created_at)
                self._begun.put_nowait(flight)
                crash_point("prompt begun")
            else:
                # The job is not ours any more, or this node has already ended.
                self._board.drop(flight)
        return trouble

    def _record(self, flight: Flight) -> PromptRecord:
        # Our own ids and hashes: there is nothing to validate.
        return PromptRecord.build(
            prompt_id=flight.prompt_id,
            job_id=flight.task.live.id,
            node_execution_id=flight.task.execution.id,
            backend_id=self._home.id,
            attempt=flight.attempt,
            state=PromptStatus.SENDING,
            client_id=self._board.client.client_id,
            prompt_sha256=flight.task.prompt_sha256,
            created_at=utcnow(),
            workflow_version=flight.task.version or None,
            node_count=len(flight.task.prompt),
        )

    # Posting ----------------------------------------------------------------------------------

    async def _post_loop(self) -> None:
        work = Slice()
        while True:
            flight = await self._begun.get()
            try:
                async with self._lane:
                    await work.rest()
                    await self._post(flight)
            except asyncio.CancelledError:
                self._unsure.append(flight)  # the server may have it
                raise

    async def _post(self, flight: Flight) -> None:
        if flight.cancel:
            await self._board.settle(flight, CANCELLED)
        elif flight.task.live.paused:
            await self._board.settle(flight, recalled(f"{flight.task.live.name} is paused."))
        elif not await self._sent(flight):
            self.find(flight)

    async def _sent(self, flight: Flight, *, again: bool = False) -> bool:
        """Send one prompt; False if its fate is open: then it is looked up, never just repeated."""
        try:
            await self._submit(flight)
        except PromptRefused as error:
            await self._board.settle(flight, failed("refused", str(error)))
        except BackendUnreachable as error:
            self._home.trouble(error)
            if error.sent or again:
                return False
            await self._board.settle(flight, lost(str(error), not_sent=True))
        except ServerError as error:
            if error.status >= 500:
                # A proxy's 502 or 504 says nothing about what became of the request behind it.
                self._home.trouble()
                return False
            await self._board.settle(flight, failed("server", str(error)))
        except BackendError as error:
            self._home.trouble()
            await self._board.settle(flight, failed("server", str(error)))
        else:
            self._accepted(flight)
        return True

    def _accepted(self, flight: Flight) -> None:
        crash_point("prompt posted")
        flight.heard_at = time.monotonic()
        if flight.state is PromptStatus.SENDING:
            self._home.reacted(self._bringer.noticing + flight.heard_at - flight.sent_at)
            flight.state = PromptStatus.QUEUED
            live = flight.task.live
            live.queue_position = len(self._board.flights) - 1
            live.touch()
            if live.paused:  # while it was being posted
                self._recall(flight, f"Taken back from {self._home.name}: {live.name} is paused.")

    async def _find_or_send(self, flight: Flight) -> None:
        """Look a prompt of unknown fate up; send it, under the same id, only if it is not there."""
        unknown = 0
        while not flight.settled.is_set() and flight.state is PromptStatus.SENDING:
            await self._board.online.wait()
            try:
                found = await self._board.client.find(flight.prompt_id)
            except BackendError:
                self._home.trouble()
                await asyncio.sleep(PAUSE)
                continue
            if flight.state is not PromptStatus.SENDING or flight.settled.is_set():
                return
            if found.kind != "unknown":
                self._accepted(flight)
                if found.entry is not None:
                    self._bringer.bring(flight, found.entry)
                return
            unknown += 1
            if unknown > 3:
                message = f"{self._home.name} took the request three times and kept no prompt."
                await self._board.settle(flight, failed("server", message))
                return
            self._home.note(
                flight,
                "sent again",
                f"{self._home.name} did not have the prompt; it is sent again.",
            )
            if not await self._sent(flight, again=True):
                await asyncio.sleep(PAUSE)

    # What is posted ---------------------------------------------------------------------------

    async def _submit(self, flight: Flight) -> None:
        task = flight.task
        chained = {
            place: source.annotated
            for place, source in task.sources.items()
            if source.annotated and source.backend_id == self._home.id
        }
        try:
            await self._submit_with(flight, chained)
        except PromptRefused as error:
            gone = {node_id for node_id, _ in chained} & error.node_errors.keys()
            if not gone:
                raise
            # Somebody cleaned the folder up, or it was the temp folder and the server restarted.
            self._home.note(
                flight,
                "uploaded",
                f"{self._home.name} no longer has what it had made for "
                f"{task.live.title_of(task.execution.canvas_node_id)}; it is uploaded.",
            )
            await self._submit_with(flight, {})

    async def _submit_with(self, flight: Flight, chained: Mapping[tuple[str, str], str]) -> None:
        """Send a prompt; ``chained`` are the inputs whose files the server has made itself."""
        task = flight.task
        names: dict[tuple[str, str], str] = dict(chained)
        for place, path in task.files.items():
            names[place] = await self._uploads.send(path)
        for place, source in task.sources.items():
            if place not in names:
                names[place] = await self._uploads.send(source.path, source.sha256)
        classes = self._home.node_classes
        # A path that the form shows with a slash has a backslash on a server that runs on Windows.
        prompt = respell(task.prompt, classes) if classes is not None else task.prompt
        await self._board.client.submit(
            set_inputs(prompt, names),
            prompt_id=flight.prompt_id,
            extra_data=task.extra_data,
            preview_method="auto",
            object_info=classes,
        )
