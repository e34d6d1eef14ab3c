"""A fleet on paper: plays the scheduler against servers with known speeds, without any of them.

Time is simulated, so that hours of a fleet take milliseconds. The servers behave as ComfyUI does
with its classic cache: prompts run one after the other, and what the last one computed is not
computed again. Used by the tests and by ``benchmarks/fleet.py --cost``; also a way to see what a
planned sweep would take on machines that one does not have yet.
"""

import functools
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfynb.engine.live import LiveJob
from comfynb.engine.scheduler import Scheduler
from comfynb.engine.scheduling.depth import Depth
from comfynb.engine.scheduling.shapes import Reader
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.models import CanvasLayout, FallbackStrategy, Job, NodeExecution

__all__ = ["Fleet", "Machine", "Report", "point"]

TICK: Final = 0.1
"""Seconds between two times that backends which had nothing to do are asked again."""
_LIVE: Final = LiveJob(
    Job(id="simulated", project_id="simulated", canvas_snapshot=CanvasLayout()),
    name="simulated",
    titles={},
)
_ANYWHERE: Final = Requirements(
    frozenset(), frozenset(), frozenset(), None, FallbackStrategy.AUTO_SELECT
)


def point(
    prompt: dict[str, Any],
    *,
    group: str | None = "sweep",
    version: str = "version",
    weight: float = 1.0,
    requirements: Requirements = _ANYWHERE,
) -> NodeTask:
    """A task that nothing but its prompt distinguishes."""
    return NodeTask(
        live=_LIVE,
        execution=NodeExecution.build(id="simulated", job_id="", canvas_node_id=""),
        prompt=prompt,
        prompt_sha256="",
        node_titles={},
        requirements=requirements,
        version=version,
        group=group,
        weight=weight,
    )


@dataclass(eq=False)
class Machine:
    """One simulated server; ``speed`` 2 does in a second what takes others two."""

    id: str
    speed: float = 1.0
    concurrency: int = 1
    lacks: frozenset[str] = frozenset()
    """Node classes that it does not have."""
    dies_at: float | None = None
    foreign: int = 0
    queue: list[NodeTask] = field(default_factory=list)
    cache: frozenset[int] = frozenset()
    up: bool = True
    depth: Depth = field(default_factory=Depth)
    busy: float = 0.0
    """Seconds that it has worked."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.id

    @property
    def load(self) -> float:
        """As in LiveBackend."""
        return len(self.queue) / self.concurrency

    @property
    def free(self) -> int:
        """As in LiveBackend."""
        if not self.up:
            return 0
        return self.depth.room(self.concurrency, len(self.queue))

    def refusal(self, requirements: Requirements) -> str | None:
        """As in LiveBackend."""
        if not self.up:
            return "it is offline"
        missing = requirements.node_classes & self.lacks
        return f"it has no node class {', '.join(sorted(missing))}" if missing else None


@dataclass
class Report:
    """How it went."""

    makespan: float = 0.0
    """When the last task was done, in seconds."""
    done: list[tuple[float, NodeTask, str]] = field(default_factory=list)
    """(When, what, on which machine), in that order."""
    ran: Counter[str] = field(default_factory=Counter)
    """How often nodes of each class ran."""
    given: list[tuple[float, NodeTask, str]] = field(default_factory=list)
    recalled: int = 0
    idle: float = 0.0
    """Seconds that machines had nothing to do while tasks waited that they could have done."""
    left: int = 0
    """Tasks that were never done."""

    def waits(self, group: str | None) -> float:
        """When the last task of a group was done."""
        return max((at for at, task, _ in self.done if task.group == group), default=0.0)


class Fleet:
    """Machines, a scheduler, and a clock that jumps from event to event."""

    def __init__(
        self,
        machines: Sequence[Machine],
        seconds: Callable[[Mapping[str, Any]], float],
        *,
        noise: Callable[[], float] = lambda: 1.0,
        gap: float = 0.0,
        scheduler: Scheduler | None = None,
    ) -> None:
        """``seconds`` says what a node takes at speed 1; ``gap`` is lost between two prompts."""
        self.spent = 0.0
        """Seconds of processor time that the scheduler itself took."""
        self.now = 0.0
        self.machines = list(machines)
        self.scheduler = scheduler or Scheduler(clock=lambda: self.now)
        self.report = Report()
        self._seconds = seconds
        self._noise = noise
        self._gap = gap
        self._reader = Reader()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._running: dict[str, NodeTask] = {}
        self._by_id = {machine.id: machine for machine in self.machines}
        self._changed: dict[str, Machine] = dict(self._by_id)
        self._ticking = False
        for machine in self.machines:
            if machine.dies_at is not None:
                self._at(machine.dies_at, functools.partial(self._die, machine))

    def __repr__(self) -> str:
        return f"Fleet({len(self.machines)} machines at {self.now:.1f} s)"

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), what))

    def arrive(self, tasks: Iterable[NodeTask], at: float = 0.0) -> None:
        """Let tasks come at a certain time."""
        tasks = list(tasks)

        def come() -> None:
            began = time.process_time()
            for task in tasks:
                self.scheduler.add(task)
            self.spent += time.process_time() - began
            self._changed.update(self._by_id)

        self._at(at, come)

    def run(self) -> Report:
        """Play until nothing happens any more."""
        while self._events:
            when, _, what = heapq.heappop(self._events)
            if when > self.now and len(self.scheduler):
                self.report.idle += (when - self.now) * self._idle()
            self.now = when
            what()
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._pump()
        self.report.left = len(self.scheduler)
        return self.report

    def _idle(self) -> int:
        return sum(
            machine.up and not machine.queue and machine.id not in self.scheduler.declined
            for machine in self.machines
        )

    def _tick(self) -> None:
        self._ticking = False
        for machine_id in self.scheduler.reconsider():
            self._changed[machine_id] = self._by_id[machine_id]

    def _pump(self) -> None:
        changed, self._changed = self._changed, {}
        began = time.process_time()
        for task, seat in self.scheduler.assign(changed.values()):
            self.spent += time.process_time() - began
            machine = self._by_id[seat.id]
            machine.queue.append(task)
            self.report.given.append((self.now, task, machine.id))
            self._start(machine)
            began = time.process_time()
        recalled = list(self.scheduler.recall())
        self.spent += time.process_time() - began
        for task in recalled:
            machine = next(m for m in self.machines if task in m.queue)
            if self._running.get(machine.id) is not task:
                machine.queue.remove(task)
                self.report.recalled += 1
                self.scheduler.ended(task)
                self.scheduler.add(task, first=True)
                self._changed.update(self._by_id)
                self._at(self.now, lambda: None)
        if self.scheduler.declined and not self._ticking and len(self.scheduler):
            self._ticking = True
            self._at(self.now + TICK, self._tick)

    def _start(self, machine: Machine) -> None:
        if machine.id in self._running or not machine.queue or not machine.up:
            return
        task = machine.queue[0]
        self._running[machine.id] = task
        self.scheduler.runs(task)
        reading = self._reader.read(task)
        spans: dict[str, float] = {}
        for number, sig in enumerate(reading.sigs):
            if sig not in machine.cache:
                node_id = reading.shape.order[number]
                node = task.prompt[node_id]
                spans[node_id] = self._seconds(node) / machine.speed * self._noise()
                self.report.ran[str(node["class_type"])] += 1
        took = sum(spans.values())
        machine.cache = frozenset(reading.sigs)

        def end() -> None:
            if not machine.up:
                return
            machine.queue.pop(0)
            machine.depth.took(took)
            machine.busy += took
            del self._running[machine.id]
            self._changed[machine.id] = machine
            self.report.done.append((self.now, task, machine.id))
            self.report.makespan = self.now
            began = time.process_time()
            self.scheduler.ended(task, took, spans)
            self.spent += time.process_time() - began
            self._start(machine)

        self._at(self.now + took + self._gap, end)

    def _die(self, machine: Machine) -> None:
        machine.up = False
        self._running.pop(machine.id, None)
        self.scheduler.gone(machine.id)
        for task in machine.queue:
            self.scheduler.ended(task)
            self.scheduler.add(task, first=True)
        machine.queue.clear()
        self._changed.update(self._by_id)
