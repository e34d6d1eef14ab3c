"""Hands waiting tasks to backends, and says what becomes of those that nobody can run."""

from collections.abc import Callable, Iterable, Mapping

from comfynb.engine.asking import Asking
from comfynb.engine.backend import LiveBackend
from comfynb.engine.desk import Desk
from comfynb.engine.host import LoopHost
from comfynb.engine.slices import Slice
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.models import FallbackStrategy

__all__ = ["HandingOut"]


class HandingOut:
    """Asks the scheduler whenever something has changed, once for many changes."""

    def __init__(
        self,
        desk: Desk,
        host: LoopHost,
        asking: Asking,
        *,
        give_up: Callable[[NodeTask, str], None],
    ) -> None:
        self._desk = desk
        self._host = host
        self._asking = asking
        self._give_up = give_up
        self._changed: dict[str, LiveBackend] = {}
        """Backends that may take tasks since they were last asked."""
        self._ask_all = False
        self._judge_later = False
        self._pumping = False

    @property
    def _backends(self) -> Mapping[str, LiveBackend]:
        return self._desk.backends

    def pump(self, backend: LiveBackend | None = None) -> None:
        """Hand out waiting tasks soon, to ``backend`` or to all; many calls cost one round."""
        if backend is None:
            self._ask_all = True
        else:
            self._changed[backend.id] = backend
        if not self._pumping and self._desk.waiting:
            self._pumping = True
            self._host.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        everybody, self._ask_all = self._ask_all, False
        judge, self._judge_later = everybody or self._judge_later, False
        changed, self._changed = self._changed, {}
        seats = [
            backend
            for backend in (self._backends if everybody else changed).values()
            if backend.id in self._backends  # it may have been removed meanwhile
        ]
        work: Slice | None = None
        for task, seat in self._desk.scheduler.assign(seats):
            self._give(task, self._backends[seat.id])
            # Timed from the first that was handed out: whatever it takes to find it, one is.
            work = work or Slice()
            if work.over and self._desk.waiting:
                self._go_on(seats, judge=judge)
                return
        self._recall()
        if self._desk.waiting and judge:
            # Whether a task can be run at all changes only with what there is to run it.
            self._judge_stranded()

    def _go_on(self, seats: Iterable[LiveBackend], *, judge: bool) -> None:
        """The rest in the next turn of the loop, to whoever has room by then."""
        passed = self._desk.scheduler.passed
        self._changed.update({each.id: each for each in seats if each.id not in passed})
        # Who asked all also wants to know what nobody can run.
        self._judge_later = judge
        self._pumping = True
        self._host.loop.call_soon(self._pump)

    def _give(self, task: NodeTask, backend: LiveBackend) -> None:
        del self._desk.waiting[task.execution.id]
        self._asking.withdraw(task)
        task.live.note = None
        task.execution.backend_id = backend.id
        task.live.backend_names[backend.id] = backend.name
        task.live.touch()
        self._desk.flying[task.execution.id] = (backend, backend.courier.send(task))

    def again(self) -> None:
        """Give backends another chance that had nothing to do, or were set aside, a moment ago."""
        reconsidered = self._desk.scheduler.reconsider()
        for backend in self._backends.values():
            if backend.guard.aside or backend.id in reconsidered:
                self.pump(backend)
        self._recall()

    def _recall(self) -> None:
        """Take prompts back that have not begun and would be done sooner elsewhere."""
        for task in list(self._desk.scheduler.recall()):
            backend, flight = self._desk.flying.get(task.execution.id, (None, None))
            if backend is not None and flight is not None:
                why = f"Taken back from {backend.name} before it began: it is done sooner so."
                backend.courier.recall(flight, why)

    def _judge_stranded(self) -> None:
        if any(backend.view.online is None for backend in self._backends.values()):
            return
        for task, why, elsewhere in self._desk.scheduler.stranded(self._backends.values()):
            requirements = task.requirements
            if task.execution.id not in self._desk.waiting:
                continue
            if elsewhere:
                self._desk.redirect(task, None)
                self.pump()
            elif requirements.affinity and requirements.fallback is FallbackStrategy.ASK_USER:
                self._asking.ask(task, why)
            elif self._hopeless(requirements):
                self._give_up(task, f"No backend can run it: {why}.")
            else:
                task.live.note = f"waiting for a backend ({why})"
                task.live.touch()

    def _hopeless(self, requirements: Requirements) -> bool:
        """Whether waiting would not help: nobody who might come back could run it either."""
        if requirements.affinity is not None and requirements.fallback is FallbackStrategy.NONE:
            return True
        candidates = [
            backend
            for backend in self._backends.values()
            if requirements.affinity in {None, backend.id}
        ]
        return all(
            (backend.online and backend.object_info is not None) or not backend.config.enabled
            for backend in candidates
        )
