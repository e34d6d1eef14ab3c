"""What is under way in one kernel: the jobs, the tasks that wait, and the prompts that are out."""

from collections.abc import Iterator
from dataclasses import replace

from comfynb.engine.backend import LiveBackend
from comfynb.engine.live import LiveJob
from comfynb.engine.scheduler import Scheduler
from comfynb.engine.scheduling.durations import Kind
from comfynb.engine.tasks import Flight, NodeTask

__all__ = ["Desk"]


class Desk:
    """Shared by the parts of one engine; changed on the loop's thread only."""

    def __init__(self) -> None:
        self.backends: dict[str, LiveBackend] = {}
        self.scheduler = Scheduler(self._kind_of)
        self.active: dict[str, LiveJob] = {}
        """Jobs that this kernel runs, by id."""
        self.waiting: dict[str, NodeTask] = {}
        """Tasks in the scheduler or backing off, by node execution id."""
        self.held: dict[str, NodeTask] = {}
        """Tasks of paused jobs, by node execution id."""
        self.flying: dict[str, tuple[LiveBackend, Flight]] = {}
        """Prompts that are out, by node execution id."""

    def __repr__(self) -> str:
        return f"Desk({len(self.waiting)} wait, {len(self.held)} held, {len(self.flying)} out)"

    @property
    def busy(self) -> bool:
        """Whether prompts are out."""
        return bool(self.flying)

    def _kind_of(self, node_class: str) -> Kind | None:
        """What a node class hands on, as whichever backend knows it says."""
        for backend in self.backends.values():
            described = (backend.object_info or {}).get(node_class)
            if isinstance(described, dict) and isinstance(described.get("output"), list):
                return Kind(each for each in described["output"] if isinstance(each, str))
        return None

    def has(self, execution_id: str) -> bool:
        """Whether a node execution waits or is out already."""
        return any(execution_id in each for each in (self.waiting, self.held, self.flying))

    def wait(self, task: NodeTask, *, first: bool = False) -> None:
        """Let a task wait for a backend; for its job to go on, if that is paused."""
        if task.live.paused:
            self.held[task.execution.id] = task
        else:
            self.waiting[task.execution.id] = task
            self.scheduler.add(task, first=first)

    def take(self, execution_id: str) -> NodeTask | None:
        """Take a task back that waits or is held."""
        task = self.waiting.pop(execution_id, None)
        if task is not None:
            self.scheduler.remove(task)
        return task or self.held.pop(execution_id, None)

    def waiting_of(self, live: LiveJob) -> list[NodeTask]:
        """The tasks of a job that wait for a backend."""
        return [task for task in self.waiting.values() if task.live is live]

    def hold(self, live: LiveJob) -> None:
        """Keep all that waits of a job until it is released."""
        for task in self.waiting_of(live):
            self.take(task.execution.id)
            self.held[task.execution.id] = task

    def release(self, live: LiveJob) -> None:
        """Let what was held of a job wait for a backend again."""
        for task in [task for task in self.held.values() if task.live is live]:
            del self.held[task.execution.id]
            self.wait(task)

    def redirect(self, task: NodeTask, backend_id: str | None) -> None:
        """Let a waiting task go to another backend: a certain one, or any."""
        self.scheduler.remove(task)
        task.requirements = replace(task.requirements, affinity=backend_id)
        self.scheduler.add(task, first=True)

    def around(self, backend_id: str | None = None) -> Iterator[LiveBackend]:
        """The backends other than ``backend_id``."""
        return (each for each in self.backends.values() if each.id != backend_id)
