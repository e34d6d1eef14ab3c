"""The way home: what has ended is looked up in the history, fetched, and settled."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from comfynb.comfy import FileRef, HistoryEntry
from comfynb.engine.courier.board import Board
from comfynb.engine.courier.lanes import Lane
from comfynb.engine.courier.outcome import duration_of, outcome_of
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.outputs import OutputFolder, media_type_of
from comfynb.engine.slices import Slice
from comfynb.engine.tasks import Flight
from comfynb.errors import BackendError, BackendUnreachable
from comfynb.models import OutputFile, utcnow

__all__ = ["Bringer"]

FEW: Final = 4
GATHER: Final = 0.05
"""Seconds that hints are gathered while more than a few prompts are out."""
LONGEST: Final = 0.25
"""Seconds that they are gathered at most, where the server or this machine is slow."""
PAUSE: Final = 0.3
"""Seconds before a download that broke off is begun again."""


class Bringer:
    """Brings the outcome of one server's prompts home."""

    def __init__(self, board: Board, folder: OutputFolder, lane: Lane) -> None:
        self._board = board
        self._home = board.home
        self._folder = folder
        self._hinted: set[str] = set()
        self._hint = asyncio.Event()
        self._lane = lane
        self.noticing = 0.0
        """Seconds from when we heard that a prompt had ended until we had its outcome, lately."""

    def hint(self, prompt_id: str) -> None:
        """The websocket says that a prompt has ended: look soon."""
        self._hinted.add(prompt_id)
        self._hint.set()

    async def run(self) -> None:
        """Follow hints until cancelled."""
        gather = GATHER
        while True:
            await self._hint.wait()
            if len(self._board.flights) > FEW:
                # One request for all that end within a moment; alone, nobody is kept waiting.
                await asyncio.sleep(gather)
            self._hint.clear()
            hinted = [prompt_id for prompt_id in self._hinted if prompt_id in self._board.flights]
            self._hinted.clear()
            if not hinted:
                continue
            began = time.monotonic()
            try:
                await self._collect(hinted)
            except BackendError:
                self._home.trouble()
                self._board.reconcile()
            # The slower server or machine are, the more is asked for at once.
            gather = min(LONGEST, max(GATHER, 4 * (time.monotonic() - began)))

    async def _collect(self, prompt_ids: list[str]) -> None:
        client = self._board.client
        missing = prompt_ids
        if len(prompt_ids) > 1:
            # One request for all that ended while the last one was under way, and for those that
            # end while this one is: whatever of ours it brings is taken.
            flights = self._board.flights
            recent = await client.recent_history(2 * len(prompt_ids))
            work = Slice()
            for prompt_id in recent:
                if prompt_id in flights:
                    await work.rest()  # a hundred that end together would stop the loop
                if (flight := flights.get(prompt_id)) is not None:
                    self.bring(flight, recent[prompt_id])
            missing = [each for each in prompt_ids if each in flights and each not in recent]
        for prompt_id in missing:
            entry = await client.history(prompt_id)
            flight = self._board.flights.get(prompt_id)
            if entry is None:
                self._board.reconcile()
            elif flight is not None:
                self.bring(flight, entry)

    def bring(self, flight: Flight, entry: HistoryEntry) -> None:
        """The history has it: fetch what it made. The second time nothing happens."""
        if self._board.flights.pop(flight.prompt_id, None) is None:
            return
        crash_point("entry found")
        if flight.hinted:
            self.noticing += 0.25 * (time.monotonic() - flight.heard_at - self.noticing)
        self._board.bringing[flight.prompt_id] = flight
        ran_for = duration_of(entry)
        seconds = ran_for.total_seconds() if ran_for is not None else None
        self._home.ended(flight, seconds if entry.status == "completed" else None)
        self._board.background.spawn(self._fetch(flight, entry), "fetch")

    async def _fetch(self, flight: Flight, entry: HistoryEntry) -> None:
        """Download what the prompt made, then settle it."""
        live = flight.task.live
        folder = self._folder.folder_for(live.name, live.job.created_at)
        places = self._folder.destinations(folder, flight.prompt_id, entry.output_files)
        files, problem = await self._download_all(flight, places, folder)
        await Slice().rest()
        name = self._home.name
        outcome = outcome_of(
            entry,
            files,
            titles=flight.task.node_titles,
            interrupted=None if flight.cancel else f"Somebody interrupted it on {name}.",
            problem=problem,
        )
        await self._board.settle(flight, outcome)

    async def _download_all(
        self, flight: Flight, places: Sequence[tuple[FileRef, Path]], folder: Path
    ) -> tuple[tuple[OutputFile, ...], str | None]:
        """The files that came, and, as the end of a sentence, why one did not."""
        if len(places) == 1:
            got = [await self._attempt(flight, *places[0], folder)]
        else:
            got = await asyncio.gather(*(self._attempt(flight, *each, folder) for each in places))
        files = tuple(each for each in got if isinstance(each, OutputFile))
        return files, next((each for each in got if isinstance(each, str)), None)

    async def _attempt(
        self, flight: Flight, file: FileRef, path: Path, folder: Path
    ) -> OutputFile | str:
        try:
            return await self._download(flight, file, path)
        except BackendError as error:
            return f"cannot be fetched: {error}"
        except OSError as error:
            # A full disk, say: the picture is still on the backend, and the job must not hang.
            return f"cannot be written to {folder}: {error.strerror or error}."

    async def _download(self, flight: Flight, file: FileRef, path: Path) -> OutputFile:
        work = Slice()
        while True:
            try:
                async with self._lane:
                    await work.rest()
                    got = await self._board.client.download(file, path)
                break
            except BackendUnreachable:
                self._home.trouble()
                await asyncio.sleep(PAUSE)
                await self._board.online.wait()
                if flight.settled.is_set():  # meanwhile another backend did it
                    raise
        crash_point("file fetched")
        return OutputFile(
            prompt_id=flight.prompt_id,
            node_id=file.node_id,
            kind=file.kind,
            index=file.index,
            filename=file.filename,
            subfolder=file.subfolder,
            type=file.type,
            path=str(got.path),
            media_type=media_type_of(file.filename),
            size=got.size,
            sha256=got.sha256,
            created_at=utcnow(),
        )
