"""Takes prompts to one backend and brings their outcome back.

HTTP is the authority. The websocket only tells sooner: whatever it says is a hint to look, and
whatever it fails to say is found by looking once a second. So a deaf or dropped socket delays
nothing for more than two seconds, and an event that was never sent loses nothing.

A prompt is *settled* exactly once: completed, failed, cancelled, or lost. Lost means that the
server no longer knows it (it was restarted, say); lost is never done.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from comfynb.comfy import (
    CancelResult,
    ComfyClient,
    EventStream,
    FileRef,
    HistoryEntry,
    events,
)
from comfynb.comfy.choices import respell
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.feeding import set_inputs
from comfynb.engine.outputs import OutputFolder, media_type_of
from comfynb.engine.tasks import Flight, NodeTask
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    PromptRefused,
    ServerError,
)
from comfynb.models import OutputFile, PromptRecord, PromptStatus, new_id, utcnow
from comfynb.store import Journal

__all__ = ["Courier", "Home", "Outcome"]

PEEK: Final = 1.0
"""Seconds between two looks at the prompts that should end next."""
SURVEY: Final = 5.0
"""Seconds between two looks at the whole queue; it is heavy, so only while something is out."""
SECOND_LOOK: Final = 0.3
"""Seconds before a prompt that the server did not know is looked up again."""
CANCEL_PATIENCE: Final = 15.0
"""Seconds that a server gets to stop a running node before we stop waiting for it."""
FEW: Final = 4
GATHER: Final = 0.05
"""Seconds that hints are gathered while more than a few prompts are out."""
FIRST: Final = 16
MOST: Final = 128
"""Intents that are written down together: a few where the server has nothing to do, else many."""
PARALLEL: Final = 8
"""Requests of one kind at a time to one backend."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a prompt ended."""

    state: PromptStatus
    files: tuple[OutputFile, ...] = ()
    output_data: dict[str, object] = field(default_factory=dict)
    error_class: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    cached_nodes: int = 0
    ran_for: timedelta | None = None
    """How long the server says that it ran."""
    not_sent: bool = False
    """Lost before the server had it: trying again costs nothing."""


class Home(Protocol):
    """What a courier needs from the backend and the engine that it works for."""

    @property
    def id(self) -> str:
        """The backend's id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def online(self) -> bool:
        """Whether it answered when it was last asked."""

    @property
    def object_info(self) -> dict[str, Any] | None:
        """Its node classes, which make a refusal's sentences complete; None if not known."""

    @property
    def concurrency(self) -> int:
        """How many prompts the backend runs at once."""

    def trouble(self, error: BackendError | None = None) -> None:
        """A request failed: look at the backend's health now."""

    def queue_depth(self, remaining: int) -> None:
        """The websocket told how many prompts the backend has queued."""

    def timed(self, seconds: float) -> None:
        """A prompt ran for so long, as far as the websocket told."""

    def reacted(self, seconds: float) -> None:
        """It took so long to notice that a prompt had ended, and to bring the next one."""

    def ended(self, flight: Flight, seconds: float | None) -> None:
        """The backend is free again for another prompt; this one ran for ``seconds``, and well,
        or came to nothing (None)."""

    def began(self, flight: Flight, at: datetime) -> None:
        """The prompt is written down and about to be sent."""

    def ran(self, flight: Flight) -> None:
        """The server runs the prompt now."""

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to it that people may want to know later."""

    def settle(self, flight: Flight, outcome: Outcome) -> Awaitable[None]:
        """Record the outcome; the flight is over when this returns."""

    def report(self, error: BaseException) -> None:
        """An error that nobody waits for."""


class Courier:
    """All prompts of ours that one backend has."""

    def __init__(
        self, client: ComfyClient, home: Home, journal: Journal, folder: OutputFolder
    ) -> None:
        self._client = client
        self._home = home
        self._journal = journal
        self._folder = folder
        self._flights: dict[str, Flight] = {}
        self._bringing: dict[str, Flight] = {}
        self._outbox: asyncio.Queue[Flight] = asyncio.Queue()
        self._begun: asyncio.Queue[Flight] = asyncio.Queue()
        """Written down, to be posted."""
        self._unsure: list[Flight] = []
        """Being posted when the connection was given up (another address, say)."""
        self._hinted: set[str] = set()
        self._hint = asyncio.Event()
        self._wake = asyncio.Event()
        self._survey_due = True
        self._surveyed = 0.0
        self._online = asyncio.Event()
        self._heard = time.monotonic()
        self._told = 0.0
        """When the websocket last said something about a prompt of ours: then it is not deaf."""
        self._noticing = 0.0
        """Seconds from when we heard that a prompt had ended until we had its outcome, lately."""
        self._orphans: set[str] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self._downloads = asyncio.Semaphore(PARALLEL)
        self._uploaded: dict[Path, asyncio.Task[FileRef]] = {}
        self._stream: EventStream | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def __repr__(self) -> str:
        return f"Courier({self._home.name!r}, {len(self._flights)} prompts out)"

    @property
    def flights(self) -> Iterable[Flight]:
        """Prompts of ours that are not settled, oldest first."""
        return itertools.chain(list(self._bringing.values()), list(self._flights.values()))

    @property
    def running_text(self) -> str | None:
        """What runs now, for people: "portrait 45 %"."""
        for flight in self._flights.values():
            if flight.state is PromptStatus.RUNNING:
                return f"{flight.task.live.name} {flight.progress.percent:.0f} %"
        return None

    # From the engine --------------------------------------------------------------------------

    def send(self, task: NodeTask) -> Flight:
        """Take a task: from now on it counts as outstanding here."""
        task.attempts += 1
        flight = Flight(task, new_id(), task.attempts)
        self._take(flight)
        self._outbox.put_nowait(flight)
        return flight

    def adopt(self, task: NodeTask, record: PromptRecord) -> Flight:
        """Go on with a prompt that an earlier kernel sent, or was about to send."""
        task.attempts = record.attempt
        flight = Flight(task, record.prompt_id, record.attempt, state=record.state)
        self._take(flight)
        if record.state is PromptStatus.SENDING:
            self._spawn(self._find_or_send(flight))
        self.reconcile()
        return flight

    def _take(self, flight: Flight) -> None:
        flight.progress.total = len(flight.task.prompt)
        flight.task.live.progress[flight.task.execution.id] = flight.progress
        self._flights[flight.prompt_id] = flight
        self._wake.set()

    def reconcile(self) -> None:
        """Look at the whole queue as soon as possible: something may have changed unseen."""
        self._survey_due = True
        self._wake.set()

    def use(self, client: ComfyClient) -> None:
        """Talk through another client from now on (another address, other credentials)."""
        self._client = client
        self._uploaded.clear()
        self._online.clear()

    def online_changed(self) -> None:
        """The backend went online or offline."""
        if self._home.online and not self._online.is_set():
            # After an outage it may be another machine: upload again what is needed.
            self._uploaded.clear()
            self._online.set()
            if self._stream is not None and not self._stream.is_connected:
                self._client.reopen_events()  # HTTP works again: no need to wait any longer
            self.reconcile()
        elif not self._home.online:
            self._online.clear()

    def cancel(self, flight: Flight) -> None:
        """Stop exactly this prompt; it is settled when the server has let go of it."""
        if not flight.cancel:
            flight.cancel = True
            self._spawn(self._cancel(flight))

    def recall(self, flight: Flight, why: str) -> None:
        """Take a prompt out of the server's queue if it has not begun; else nothing happens.

        It is settled as lost before it was sent: it goes elsewhere, and that costs no attempt.
        """
        if flight.state is PromptStatus.QUEUED and not (flight.cancel or flight.recalled):
            flight.recalled = True
            self._spawn(self._recall(flight, why))

    def give_up(self, flight: Flight, why: str) -> None:
        """Settle ``flight`` as lost although the backend may still have it."""
        self._orphans.add(flight.prompt_id)
        self._spawn(
            self._settle(flight, Outcome(PromptStatus.LOST, error_class="away", error_message=why))
        )

    async def run(self) -> None:
        """Work until cancelled."""
        unsure, self._unsure = self._unsure, []
        for flight in unsure:
            self._spawn(self._find_or_send(flight))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._begin_loop())
            for _ in range(PARALLEL):
                group.create_task(self._post_loop())
            group.create_task(self._listen_loop())
            group.create_task(self._collect_loop())
            group.create_task(self._look_loop())

    async def close(self) -> None:
        """Stop whatever still runs; prompts stay where they are, for the next kernel to adopt."""
        helpers = [*self._helpers, *self._uploaded.values()]
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._helpers.add(task)
        task.add_done_callback(self._helper_done)

    def _helper_done(self, task: "asyncio.Task[None]") -> None:
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._home.report(error)

    # Sending ----------------------------------------------------------------------------------

    async def _begin_loop(self) -> None:
        while True:
            batch = [await self._outbox.get()]
            # An idle server gets something to do before many intents are written down.
            most = FIRST if len(self._flights) <= self._outbox.qsize() + 1 else MOST
            while not self._outbox.empty() and len(batch) < most:
                batch.append(self._outbox.get_nowait())
            # The intent is on disk before the first byte leaves: a kernel killed after this line
            # looks the prompt up, one killed before it has sent nothing.
            records = [self._record(flight) for flight in batch]
            try:
                begun = await asyncio.gather(*map(self._journal.begin_prompt, records))
            except asyncio.CancelledError:
                for flight in batch:  # written down twice is written down once
                    self._outbox.put_nowait(flight)
                raise
            for flight, record, ours in zip(batch, records, begun, strict=True):
                if ours:
                    self._home.began(flight, record.created_at)
                    self._begun.put_nowait(flight)
                    crash_point("prompt begun")
                else:
                    # The job is not ours any more, or this node has already ended.
                    self._drop(flight)

    async def _post_loop(self) -> None:
        while True:
            flight = await self._begun.get()
            try:
                await self._post(flight)
            except asyncio.CancelledError:
                self._unsure.append(flight)  # the server may have it
                raise

    def _record(self, flight: Flight) -> PromptRecord:
        # Our own ids and hashes: there is nothing to validate.
        return PromptRecord.build(
            prompt_id=flight.prompt_id,
            job_id=flight.task.live.id,
            node_execution_id=flight.task.execution.id,
            backend_id=self._home.id,
            attempt=flight.attempt,
            state=PromptStatus.SENDING,
            client_id=self._client.client_id,
            prompt_sha256=flight.task.prompt_sha256,
            created_at=utcnow(),
            workflow_version=flight.task.version or None,
            node_count=len(flight.task.prompt),
        )

    async def _post(self, flight: Flight) -> None:
        if flight.cancel:
            await self._settle(flight, _CANCELLED)
        elif flight.task.live.paused:
            await self._settle(flight, _recalled(f"{flight.task.live.name} is paused."))
        elif not await self._sent(flight):
            self._spawn(self._find_or_send(flight))

    async def _sent(self, flight: Flight, *, again: bool = False) -> bool:
        """Send one prompt; False if its fate is open: then it is looked up, never just repeated."""
        try:
            await self._submit(flight)
        except PromptRefused as error:
            await self._settle(flight, _failed("refused", str(error)))
        except BackendUnreachable as error:
            self._home.trouble(error)
            if error.sent or again:
                return False
            await self._settle(flight, _lost(str(error), not_sent=True))
        except ServerError as error:
            if error.status >= 500:
                # A proxy's 502 or 504 says nothing about what became of the request behind it.
                self._home.trouble()
                return False
            await self._settle(flight, _failed("server", str(error)))
        except BackendError as error:
            self._home.trouble()
            await self._settle(flight, _failed("server", str(error)))
        else:
            self._accepted(flight)
        return True

    def _accepted(self, flight: Flight) -> None:
        crash_point("prompt posted")
        flight.heard_at = time.monotonic()
        if flight.state is PromptStatus.SENDING:
            self._home.reacted(self._noticing + flight.heard_at - flight.sent_at)
            flight.state = PromptStatus.QUEUED
            live = flight.task.live
            live.queue_position = len(self._flights) - 1
            live.touch()
            if live.paused:  # while it was being posted
                self.recall(flight, f"Taken back from {self._home.name}: {live.name} is paused.")

    async def _find_or_send(self, flight: Flight) -> None:
        """Look a prompt of unknown fate up; send it, under the same id, only if it is not there."""
        errors = 0
        while not flight.settled.is_set() and flight.state is PromptStatus.SENDING:
            await self._online.wait()
            try:
                found = await self._client.find(flight.prompt_id)
            except BackendError:
                self._home.trouble()
                await asyncio.sleep(PEEK)
                continue
            if flight.state is not PromptStatus.SENDING or flight.settled.is_set():
                return
            if found.kind != "unknown":
                self._accepted(flight)
                if found.entry is not None:
                    self._bring(flight, found.entry)
                return
            errors += 1
            if errors > 3:
                message = f"{self._home.name} took the request three times and kept no prompt."
                await self._settle(flight, _failed("server", message))
                return
            self._home.note(
                flight,
                "sent again",
                f"{self._home.name} did not have the prompt; it is sent again.",
            )
            if not await self._sent(flight, again=True):
                await asyncio.sleep(PEEK)

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
            names[place] = await self._upload(path)
        for place, source in task.sources.items():
            if place not in names:
                names[place] = await self._upload(source.path, source.sha256)
        # A path that the form shows with a slash has a backslash on a server that runs on Windows.
        prompt = respell(task.prompt, self._home.object_info or {})
        await self._client.submit(
            set_inputs(prompt, names),
            prompt_id=flight.prompt_id,
            extra_data=task.extra_data,
            preview_method="auto",
            object_info=self._home.object_info,
        )

    async def _upload(self, path: Path | None, sha256: str | None = None) -> str:
        """Send a file once, however many want it; returns the name that a loader there knows."""
        if path is None:
            raise BackendError("A file that a prompt needs has no copy on this machine.")
        uploading = self._uploaded.get(path)
        if uploading is None:
            uploading = asyncio.get_running_loop().create_task(self._upload_now(path, sha256))
            self._uploaded[path] = uploading
        try:
            # Whoever stops waiting does not stop it for the others.
            ref = await asyncio.shield(uploading)
        except BaseException:
            if uploading.done() and self._uploaded.get(path) is uploading:
                del self._uploaded[path]  # the next one tries again
            raise
        return f"{ref.subfolder}/{ref.filename}" if ref.subfolder else ref.filename

    async def _upload_now(self, path: Path, sha256: str | None) -> FileRef:
        # A kept input's folder is named by its content, an output's name begins with its prompt.
        name = f"{(sha256 or path.parent.name)[:12]}-{path.name}"
        try:
            return await self._client.upload(path, filename=name, subfolder="comfynb")
        except OSError as error:
            why = error.strerror or str(error)
            raise BackendError(f"{path} cannot be sent to {self._home.name}: {why}.") from error

    # Listening --------------------------------------------------------------------------------

    async def _listen_loop(self) -> None:
        while True:
            self._stream = self._client.events()
            try:
                async for event in self._stream:
                    self._heard = time.monotonic()
                    self._on_event(event)
            except AuthenticationRequired as error:
                # HTTP will say so too; whoever gives other credentials makes a new client.
                self._home.trouble(error)
            await asyncio.sleep(SURVEY)

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.QueueStatus):
            self._home.queue_depth(event.remaining)
            return
        if isinstance(event, events.Connected | events.Disconnected):
            self.reconcile()
            return
        flight = self._flights.get(event.prompt_id or "")
        if flight is None:
            return
        flight.heard_at = self._told = self._heard
        flight.unknown = 0
        if flight.state in {PromptStatus.SENDING, PromptStatus.QUEUED}:
            self._runs(flight)
        progress = flight.progress
        titles = flight.task.node_titles
        match event:
            case events.ExecutionCached(nodes=nodes):
                progress.done.update(nodes)
            case events.NodeProgress(nodes=nodes):
                for node_id, node in nodes.items():
                    if node_id not in titles:  # one that a node expanded into
                        continue
                    if node.state == "finished":
                        progress.done.add(node_id)
                    elif node.max > 0:
                        progress.fractions[node_id] = min(1.0, node.value / node.max)
            case events.Progress(node=node_id, value=value, max=maximum) if node_id is not None:
                title = titles.get(node_id, node_id)
                progress.step = f"{title}: {value:g}/{maximum:g}"
                if maximum > 0:
                    progress.fractions[node_id] = min(1.0, value / maximum)
            case events.Executing(node=None):
                flight.moved_on(None)
                flight.hinted = True
                self._hinted.add(flight.prompt_id)
                self._hint.set()
            case events.Executing(node=str(node_id)):
                flight.moved_on(node_id)
                progress.step = titles.get(node_id, node_id)
            case (
                events.ExecutionSuccess() | events.ExecutionError() | events.ExecutionInterrupted()
            ):
                # The history is written after this message, so it is only noted here.
                flight.moved_on(None)
                flight.hinted = True
                if flight.started_at is not None:
                    self._home.timed(time.monotonic() - flight.started_at)
            case events.Preview(data=data, mime=mime):
                progress.preview = data
                progress.preview_type = mime
            case _:
                return
        flight.task.live.touch()

    def _runs(self, flight: Flight) -> None:
        if flight.state is not PromptStatus.RUNNING:
            flight.state = PromptStatus.RUNNING
            flight.started_at = time.monotonic()
            flight.task.live.queue_position = None
            self._home.ran(flight)
            crash_point("prompt runs")

    # Looking ----------------------------------------------------------------------------------

    async def _look_loop(self) -> None:
        while True:
            if not self._flights and not self._orphans:
                self._wake.clear()
                if not self._flights and not self._orphans:
                    await self._wake.wait()
            self._wake.clear()
            if not self._survey_due:
                try:
                    async with asyncio.timeout(PEEK):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            if not self._home.online:
                await self._online.wait()
            try:
                now = time.monotonic()
                if self._survey_due or now - self._surveyed > SURVEY:
                    await self._survey()
                elif now - self._told > PEEK:
                    await self._peek()
            except BackendError:
                self._home.trouble()
                self._survey_due = True
                await asyncio.sleep(PEEK)

    async def _peek(self) -> None:
        """Ask for the prompts that should end next; go on as long as they have ended."""
        at_once = self._home.concurrency + 1
        for flight in self._waiting():
            if at_once <= 0:
                return
            entry = await self._client.history(flight.prompt_id)
            if entry is None:
                at_once -= 1
                continue
            self._notice_deafness(flight)
            self._bring(flight, entry)

    def _notice_deafness(self, flight: Flight) -> None:
        now = time.monotonic()
        if not flight.hinted and now - self._heard > PEEK:
            # It ended and the socket said nothing: the server dropped us without closing.
            self._heard = now
            self._client.reopen_events()

    def _waiting(self) -> list[Flight]:
        states = {PromptStatus.QUEUED, PromptStatus.RUNNING}
        return [flight for flight in self._flights.values() if flight.state in states]

    async def _survey(self) -> None:
        """Compare all our prompts with the server's queue and history, in that order.

        A prompt moves from the queue to the history and never back, so one that is in neither,
        looked up in this order, twice, is gone.
        """
        self._survey_due = False
        self._surveyed = time.monotonic()
        waiting = self._waiting()
        queue = await self._client.queue()
        running = {item.prompt_id for item in queue.running}
        positions = {item.prompt_id: place for place, item in enumerate(queue.pending)}
        await self._cancel_orphans(running | positions.keys())
        doubtful = []
        for flight in waiting:
            if flight.prompt_id in running:
                self._runs(flight)
                flight.unknown = 0
            elif flight.prompt_id in positions:
                flight.unknown = 0
                flight.task.live.queue_position = positions[flight.prompt_id]
            else:
                doubtful.append(flight)
            flight.task.live.touch()
        for flight in doubtful:
            entry = await self._client.history(flight.prompt_id)
            if entry is not None:
                self._notice_deafness(flight)
                self._bring(flight, entry)
                continue
            flight.unknown += 1
            if flight.unknown < 2:
                self._spawn(self._look_again())
            elif flight.cancel:
                await self._settle(flight, _CANCELLED)
            else:
                message = f"{self._home.name} no longer knows the prompt; it was restarted, say."
                await self._settle(flight, _lost(message))

    async def _look_again(self) -> None:
        await asyncio.sleep(SECOND_LOOK)
        self.reconcile()

    async def _cancel_orphans(self, known: Collection[str]) -> None:
        for prompt_id in list(self._orphans):
            if prompt_id in known:
                await self._client.cancel(prompt_id)
            self._orphans.discard(prompt_id)

    # Bringing home ----------------------------------------------------------------------------

    async def _collect_loop(self) -> None:
        gather = GATHER
        while True:
            await self._hint.wait()
            if len(self._flights) > FEW:
                # One request for all that end within a moment; alone, nobody is kept waiting.
                await asyncio.sleep(gather)
            self._hint.clear()
            hinted = [prompt_id for prompt_id in self._hinted if prompt_id in self._flights]
            self._hinted.clear()
            if not hinted:
                continue
            began = time.monotonic()
            try:
                await self._collect(hinted)
            except BackendError:
                self._home.trouble()
                self.reconcile()
            # The slower server or machine are, the more is asked for at once.
            gather = min(PEEK / 4, max(GATHER, 4 * (time.monotonic() - began)))

    async def _collect(self, prompt_ids: list[str]) -> None:
        missing = prompt_ids
        if len(prompt_ids) > 1:
            # One request for all that ended while the last one was under way, and for those that
            # end while this one is: whatever of ours it brings is taken.
            recent = await self._client.recent_history(len(prompt_ids) + max(8, len(prompt_ids)))
            for prompt_id, found in recent.items():
                if (flight := self._flights.get(prompt_id)) is not None:
                    self._bring(flight, found)
            missing = [prompt_id for prompt_id in prompt_ids if prompt_id not in recent]
        for prompt_id in missing:
            entry = await self._client.history(prompt_id)
            flight = self._flights.get(prompt_id)
            if entry is None:
                self.reconcile()
            elif flight is not None:
                self._bring(flight, entry)

    def _bring(self, flight: Flight, entry: HistoryEntry) -> None:
        if self._flights.pop(flight.prompt_id, None) is None:
            return
        crash_point("entry found")
        if flight.hinted:
            self._noticing += 0.25 * (time.monotonic() - flight.heard_at - self._noticing)
        self._bringing[flight.prompt_id] = flight
        ran_for = _duration(entry)
        seconds = ran_for.total_seconds() if ran_for is not None else None
        self._home.ended(flight, seconds if entry.status == "completed" else None)
        self._spawn(self._fetch(flight, entry))

    async def _fetch(self, flight: Flight, entry: HistoryEntry) -> None:
        """Download what the prompt made, then settle it."""
        live = flight.task.live
        folder = self._folder.folder_for(live.name, live.job.created_at)
        places = self._folder.destinations(folder, flight.prompt_id, entry.output_files)
        problem: str | None = None
        files: list[OutputFile] = []
        try:
            if len(places) == 1:
                files = [await self._download(flight, *places[0])]
            else:
                files = await asyncio.gather(*(self._download(flight, *each) for each in places))
        except ServerError as error:
            problem = f"cannot be fetched: {error}"
        except OSError as error:
            # A full disk, say: the picture is still on the backend, and the job must not hang.
            problem = f"cannot be written to {folder}: {error.strerror or error}."
        await self._settle(flight, self._outcome(flight, entry, tuple(files), problem))

    def _outcome(
        self,
        flight: Flight,
        entry: HistoryEntry,
        files: tuple[OutputFile, ...],
        problem: str | None,
    ) -> Outcome:
        state = PromptStatus.FAILED
        error_class: str | None = None
        message: str | None = None
        traceback: str | None = None
        if entry.status == "interrupted":
            state = PromptStatus.CANCELLED
            error_class = "interrupted"
            message = None if flight.cancel else f"Somebody interrupted it on {self._home.name}."
        elif (failure := entry.error) is not None:
            title = flight.task.node_titles.get(failure.node_id, failure.node_type or "?")
            out_of_memory = failure.is_out_of_memory
            error_class = "out of memory" if out_of_memory else failure.exception_type or "error"
            message = f"{title}: {failure.message or 'failed without a message'}"
            traceback = "\n".join(failure.traceback) or None
        elif problem is not None:
            error_class = "output missing"
            message = f"The prompt ended well but its output {problem}"
        else:
            state = PromptStatus.COMPLETED
        return Outcome(
            state,
            files,
            dict(entry.outputs),
            error_class,
            message,
            traceback,
            cached_nodes=len(entry.cached_nodes),
            ran_for=_duration(entry),
        )

    async def _download(self, flight: Flight, file: FileRef, path: Path) -> OutputFile:
        while True:
            try:
                async with self._downloads:
                    got = await self._client.download(file, path)
                break
            except BackendUnreachable:
                self._home.trouble()
                await asyncio.sleep(SECOND_LOOK)
                await self._online.wait()
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

    async def _settle(self, flight: Flight, outcome: Outcome) -> None:
        if flight.settled.is_set():
            return
        flight.settled.set()
        if self._flights.pop(flight.prompt_id, None) is not None:
            self._home.ended(flight, None)
        self._bringing.pop(flight.prompt_id, None)
        await self._home.settle(flight, outcome)

    def _drop(self, flight: Flight) -> None:
        flight.settled.set()
        if self._flights.pop(flight.prompt_id, None) is not None:
            self._home.ended(flight, None)

    # Cancelling -------------------------------------------------------------------------------

    async def _recall(self, flight: Flight, why: str) -> None:
        try:
            taken = await self._client.withdraw(flight.prompt_id)
        except BackendError:
            # Whether it is still there shows when the backend is looked at.
            self._home.trouble()
            self.reconcile()
            return
        if taken:
            await self._settle(flight, _CANCELLED if flight.cancel else _recalled(why))

    async def _cancel(self, flight: Flight) -> None:
        async def stop() -> None:
            while not flight.settled.is_set():
                if flight.state is PromptStatus.SENDING or not self._home.online:
                    # Its fate is decided by the sender first; a server that is away is asked later.
                    await asyncio.sleep(0.05)
                    continue
                try:
                    result = await self._client.cancel(flight.prompt_id)
                except BackendError:
                    self._home.trouble()
                    await asyncio.sleep(PEEK)
                    continue
                if result is CancelResult.REMOVED:
                    # A pending prompt that was deleted leaves no event and no history behind.
                    await self._settle(flight, _CANCELLED)
                    return
                self.reconcile()
                try:
                    async with asyncio.timeout(PEEK):
                        await flight.settled.wait()
                except TimeoutError:
                    continue

        try:
            async with asyncio.timeout(CANCEL_PATIENCE):
                await stop()
        except TimeoutError:
            message = f"{self._home.name} has not stopped yet; nobody waits for it any more."
            self._orphans.add(flight.prompt_id)
            await self._settle(
                flight, Outcome(PromptStatus.CANCELLED, error_message=message, error_class="stuck")
            )


_CANCELLED: Final = Outcome(PromptStatus.CANCELLED)


def _duration(entry: HistoryEntry) -> timedelta | None:
    if entry.started_at is None or entry.ended_at is None:
        return None
    return max(timedelta(0), entry.ended_at - entry.started_at)


def _failed(error_class: str, message: str) -> Outcome:
    return Outcome(PromptStatus.FAILED, error_class=error_class, error_message=message)


def _recalled(why: str) -> Outcome:
    return Outcome(PromptStatus.LOST, error_class="recalled", error_message=why, not_sent=True)


def _lost(message: str, *, not_sent: bool = False) -> Outcome:
    return Outcome(PromptStatus.LOST, error_class="lost", error_message=message, not_sent=not_sent)
