"""One backend while this process knows it: its settings, its health, and what it can run."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol

from comfynb.comfy import ComfyClient, Credentials, ServerInfo, SystemStats
from comfynb.comfy.choices import own_spelling
from comfynb.comfy.object_info import ObjectInfo
from comfynb.engine.courier import Courier, Outcome, Traffic
from comfynb.engine.outputs import OutputFolder
from comfynb.engine.scheduling.depth import Depth
from comfynb.engine.scheduling.guard import Guard
from comfynb.engine.tasks import Flight, Requirements
from comfynb.engine.views import BackendView
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    NotComfyUI,
)
from comfynb.models import BackendConfig, BackendStatus, utcnow
from comfynb.store import Journal

__all__ = ["Clerk", "LiveBackend", "Office"]

MEBIBYTE: Final = 1024 * 1024
IDLE_CHECK: Final = 5.0
"""Seconds between two looks at a healthy backend."""
FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 10.0


class Office(Protocol):
    """What a backend tells about itself."""

    def changed(self, backend: "LiveBackend") -> None:
        """Its health or load is another one: somebody may look, and waiting tasks may go to it."""

    def save_object_info(self, backend_id: str, object_info: dict[str, Any]) -> None:
        """Its node classes changed."""

    def report(self, error: BaseException) -> None:
        """An error that nobody waits for."""


class Clerk(Protocol):
    """What a backend tells about our prompts there."""

    def freed(self, flight: Flight, seconds: float | None) -> None:
        """A prompt of ours has left the backend, after ``seconds`` if it ended well there."""

    def began(self, flight: Flight, at: datetime) -> None:
        """A prompt of ours is written down and about to be sent there."""

    def refused(self, flight: Flight) -> None:
        """The store did not take a prompt of ours: its node has ended, or its job is not ours."""

    def ran(self, flight: Flight) -> None:
        """The server runs a prompt of ours now."""

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to a prompt that people may want to know later."""

    async def settle(self, backend: "LiveBackend", flight: Flight, outcome: Outcome) -> None:
        """A prompt of ours ended there, one way or another."""


class LiveBackend:
    """One ComfyUI server: asked for its health for as long as it is known."""

    def __init__(
        self,
        config: BackendConfig,
        credentials: Credentials | None,
        *,
        office: Office,
        clerk: Clerk,
        journal: Journal,
        folder: OutputFolder,
        traffic: Traffic,
        client_id: str | None = None,
        object_info: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.credentials = credentials
        self.info: ServerInfo | None = None
        self.status = BackendStatus(backend_id=config.id, online=False, last_seen=config.created_at)
        self.seen = False
        self.error: str | None = None
        self._clock = clock
        self.offline_since: float | None = clock()
        self.object_info = object_info
        self.client = ComfyClient(
            config.base_url, name=config.name, auth=credentials, client_id=client_id
        )
        self.courier = Courier(self.client, self, journal, folder, traffic)
        self._office = office
        self._clerk = clerk
        self._look_now = asyncio.Event()
        self._checked = asyncio.Event()
        self._reconnect = asyncio.Event()
        self._object_info_fresh = False
        self._asking_object_info = asyncio.Lock()
        self._depth = Depth()
        self._judged: dict[Requirements, str | None] = {}
        self._parsed: tuple[dict[str, Any] | None, ObjectInfo | None] = (None, None)
        self.guard = Guard()
        """Whether it is set aside because it keeps failing."""
        self.refused_connections = False
        """Nobody listened at its address when it was last asked: the process is gone."""
        self.alerts: tuple[str, ...] = ()
        """What is wrong with the machine, in a few words each."""
        self.witness: Callable[[Flight], None] | None = None
        """Is shown each prompt that leaves, for the record of its nodes."""

    def __repr__(self) -> str:
        return f"LiveBackend({self.config.name!r}, {self.config.base_url!r})"

    # As the scheduler sees it -----------------------------------------------------------------

    @property
    def id(self) -> str:
        """The backend's id."""
        return self.config.id

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.config.name

    @property
    def online(self) -> bool:
        """Whether it answered when it was last asked."""
        return self.status.online

    @property
    def load(self) -> float:
        """Prompts of ours outstanding for each one it may run at once."""
        return len(self.courier) / self.config.max_concurrent_jobs

    @property
    def free(self) -> int:
        """How many more prompts it may be given now."""
        if not (self.config.enabled and self.online):
            return 0
        room = self._depth.room(
            self.config.max_concurrent_jobs, len(self.courier), shared=self.foreign > 0
        )
        return self.guard.room(room, len(self.courier)) if self.guard.aside else room

    @property
    def foreign(self) -> int:
        """How many prompts of other people it has, as far as is known."""
        return max(0, self.status.queue_depth - len(self.courier))

    @property
    def typical(self) -> float | None:
        """Seconds that prompts took there lately; None if none did."""
        return self._depth.typical

    @property
    def standing(self) -> tuple[object, ...]:
        """Everything that decides which tasks it may run; another one, and all are judged anew."""
        config = self.config
        return (
            config.enabled,
            self.online,
            self._checked.is_set(),
            tuple(config.capabilities),
            config.max_concurrent_jobs,
            id(self.object_info),
            self.status.gpu_memory_total,
        )

    @property
    def prefetch(self) -> int:
        """How many prompts may wait behind the running ones, from how long they took lately."""
        return self._depth.prefetch

    def refusal(self, requirements: Requirements) -> str | None:
        """Why it cannot run such a task, as the end of a sentence; None when it can."""
        if not self.config.enabled:
            return "it is disabled"
        if not self.online:
            return f"it is offline ({self.error})" if self.error else "it is offline"
        lacking = requirements.capabilities - set(self.config.capabilities)
        if lacking:
            return f"it lacks the capabilities {', '.join(sorted(lacking))}"
        if self.object_info is None:
            return "its node classes are not known yet"
        if requirements.vram_above and self.status.gpu_memory_total <= requirements.vram_above:
            return f"it has no more than {requirements.vram_above} MB of VRAM, which is too little"
        if requirements not in self._judged:
            # Twenty thousand points of a sweep ask the same question.
            self._judged[requirements] = self._lacks(requirements)
        return self._judged[requirements]

    def _lacks(self, requirements: Requirements) -> str | None:
        known = self.node_classes
        assert known is not None
        missing = requirements.node_classes - known.keys()
        if missing:
            return f"it has no node class {', '.join(sorted(missing))}"
        for node_class, name, value in sorted(requirements.choices):
            node = known.node(node_class)
            spec = node.inputs.get(name) if node is not None else None
            if spec is None or spec.choices is None:
                continue
            if own_spelling(value, spec.choices) is None:
                return f"it has no {value!r} for {node_class}.{name}"
        return None

    # As its courier sees it -------------------------------------------------------------------

    @property
    def node_classes(self) -> ObjectInfo | None:
        """``object_info`` with all that was parsed of it; None if it is not known."""
        if self.object_info is None:
            return None
        raw, parsed = self._parsed
        if parsed is None or raw is not self.object_info:
            parsed = ObjectInfo(self.object_info)
            self._parsed = (self.object_info, parsed)
        return parsed

    @property
    def concurrency(self) -> int:
        """How many prompts it runs at once."""
        return self.config.max_concurrent_jobs

    def trouble(self, error: BackendError | None = None) -> None:
        """A request failed: look at its health now.

        Where nobody took the connection it counts as offline at once: otherwise the same prompt
        would be handed to it again and again until the look is over.
        """
        if isinstance(error, BackendUnreachable) and not error.sent and self.online:
            self._went_offline(error)
            self.courier.online_changed()
            self._office.changed(self)
        self._look_now.set()

    def queue_depth(self, remaining: int) -> None:
        """The websocket told how many prompts it has queued."""
        if self.status.queue_depth != remaining:
            self.status.queue_depth = remaining
            self._office.changed(self)

    def timed(self, seconds: float) -> None:
        """A prompt ran for so long, as the websocket told it: good enough until one is home."""
        if self._depth.typical is None:
            self._depth.took(seconds)
            self._office.changed(self)

    def reacted(self, seconds: float) -> None:
        """It took so long to notice that a prompt had ended, and to bring the next one."""
        self._depth.reacted(seconds)

    def ended(self, flight: Flight, seconds: float | None) -> None:
        """It is free for another prompt; this one ran for ``seconds``, and well, or None."""
        if seconds is not None:
            self._depth.took(seconds)
        if self.witness is not None:
            self.witness(flight)
        self._clerk.freed(flight, seconds)
        self._office.changed(self)

    async def settle(self, flight: Flight, outcome: Outcome) -> None:
        """A prompt of ours ended here."""
        await self._clerk.settle(self, flight, outcome)

    def began(self, flight: Flight, at: datetime) -> None:
        """A prompt of ours is written down and about to be sent here."""
        self._clerk.began(flight, at)

    def refused(self, flight: Flight) -> None:
        """The store did not take a prompt of ours."""
        self._clerk.refused(flight)

    def ran(self, flight: Flight) -> None:
        """The server runs a prompt of ours now."""
        self._clerk.ran(flight)

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to a prompt that people may want to know later."""
        self._clerk.note(flight, kind, message)

    def report(self, error: BaseException) -> None:
        """An error that nobody waits for."""
        self._office.report(error)

    # Its health -------------------------------------------------------------------------------

    async def checked(self) -> None:
        """Return when it has been asked at least once."""
        await self._checked.wait()

    async def tend(self) -> None:
        """Keep an eye on it and carry its prompts until cancelled."""
        while True:
            if self._reconnect.is_set():
                self._reconnect.clear()
                self._renew_client()
            async with self.client, asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.courier.run()),
                    group.create_task(self._keep_checking()),
                ]
                await self._reconnect.wait()
                for task in tasks:
                    task.cancel()

    def reconnect(self, config: BackendConfig, credentials: Credentials | None) -> None:
        """Go on under another address or with other credentials; prompts that are out stay so."""
        self.config = config
        self.credentials = credentials
        self._wait_for_probe()
        self._reconnect.set()

    def _renew_client(self) -> None:
        """Only once nobody uses the old client any more: the new one is opened right after this."""
        self.client = ComfyClient(
            self.config.base_url,
            name=self.config.name,
            auth=self.credentials,
            client_id=self.client.client_id,
        )
        self.courier.use(self.client)
        self._wait_for_probe()  # the old address may have answered meanwhile

    def _wait_for_probe(self) -> None:
        self.status.online = False
        self.offline_since = self._clock()

    async def _keep_checking(self) -> None:
        retry = FIRST_RETRY
        while True:
            self._look_now.clear()
            if await self.check():
                retry = FIRST_RETRY
                pause = IDLE_CHECK
            else:
                pause = retry * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not cryptography
                retry = min(LAST_RETRY, retry * 2)
            try:
                async with asyncio.timeout(pause):
                    await self._look_now.wait()
            except TimeoutError:
                continue

    async def check(self) -> bool:
        """Ask for its health once; returns whether it is online."""
        try:
            if self.info is None or not self.online:
                self._came_online(await self.client.probe())
            else:
                self._tell_memory(await self.client.system_stats())
            self.status.queue_depth = await self.client.queue_remaining()
            if not self._object_info_fresh:
                await self._refresh_object_info()
        except BackendError as error:
            self._went_offline(error)
        self._checked.set()
        self.courier.online_changed()
        self._office.changed(self)
        return self.online

    def _came_online(self, info: ServerInfo) -> None:
        if self.seen:
            # After an outage the server may be another one: with other nodes, or none of our
            # prompts.
            self._object_info_fresh = False
        self.info = info
        self.seen = True
        self.error = None
        self.offline_since = None
        self.status.online = True
        self.status.last_seen = utcnow()
        self._tell_memory(info)

    def _went_offline(self, error: BackendError) -> None:
        if self.online or self.offline_since is None:
            self.offline_since = self._clock()
        self.error = str(error)
        self.refused_connections = isinstance(error, BackendUnreachable) and error.refused
        self.seen = self.seen or isinstance(error, NotComfyUI | AuthenticationRequired)
        self.status.online = False

    def _tell_memory(self, stats: ServerInfo | SystemStats) -> None:
        status = self.status
        status.last_seen = utcnow()
        status.ram_total = stats.ram_total // MEBIBYTE
        status.ram_used = max(0, stats.ram_total - stats.ram_free) // MEBIBYTE
        device = max(stats.devices, key=lambda each: each.vram_total, default=None)
        if device is not None:
            status.gpu_name = device.name or "Unknown"
            status.gpu_memory_total = device.vram_total // MEBIBYTE
            status.gpu_memory_used = max(0, device.vram_total - device.vram_free) // MEBIBYTE

    async def _refresh_object_info(self) -> None:
        # Seconds long on a loaded server: two looks at the same time ask once.
        async with self._asking_object_info:
            if not self._object_info_fresh:
                self.take_object_info(await self.client.object_info())

    async def learn_object_info(self) -> dict[str, Any]:
        """Its node classes, asked for on a connection of its own if they are not known yet."""
        async with self._asking_object_info:
            if self.object_info is None:
                client = ComfyClient(
                    self.config.base_url, name=self.config.name, auth=self.credentials
                )
                async with client:
                    self.take_object_info(await client.object_info())
            assert self.object_info is not None
            return self.object_info

    def take_object_info(self, fetched: dict[str, Any]) -> None:
        """Its node classes as it has just told them, whoever asked."""
        self._object_info_fresh = True
        if fetched != self.object_info:
            self.object_info = fetched
            self._judged.clear()
            self._office.save_object_info(self.id, fetched)

    def forget_object_info(self) -> None:
        """Ask again for the node classes at the next look (a node pack was installed, say)."""
        self._object_info_fresh = False
        self.trouble()

    @property
    def view(self) -> BackendView:
        """What a person sees of it now."""
        status = self.status
        return BackendView(
            id=self.id,
            name=self.name,
            url=self.config.base_url,
            enabled=self.config.enabled,
            online=status.online if self._checked.is_set() else None,
            version=self.info.version if self.info else None,
            gpu=status.gpu_name if status.gpu_name != "Unknown" else None,
            vram_total=status.gpu_memory_total or None,
            vram_used=status.gpu_memory_used if status.gpu_memory_total else None,
            queue_depth=status.queue_depth,
            running=self.courier.running_text,
            tags=tuple(self.config.tags),
            capabilities=tuple(self.config.capabilities),
            last_seen=status.last_seen if self.seen else None,
            error=self.error,
            note=self.guard.note,
            alerts=self.alerts,
        )
