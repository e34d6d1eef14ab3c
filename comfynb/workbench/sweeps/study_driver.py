"""Drives a study: asks Optuna for points, waits for them, has them scored, tells the scores."""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfynb.errors import UsageError
from comfynb.models import JobStatus, SweepStatus
from comfynb.workbench.jobs import JobHandle
from comfynb.workbench.sweeps.asked import Asked
from comfynb.workbench.sweeps.planning import plan_points
from comfynb.workbench.sweeps.points import PointRecords
from comfynb.workbench.sweeps.run import SweepRun

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Score", "StudyDriver", "load_optuna"]

Score = Callable[[JobHandle], float | Awaitable[float]]


def load_optuna() -> Any:
    """The module, quiet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise UsageError("wb.optimize needs Optuna: pip install 'comfynb[optuna]'.") from None
    # It announces each study on the console otherwise.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class StudyDriver:
    """Asks for points, waits for them, has them scored, and tells what they scored."""

    def __init__(
        self,
        workbench: "Workbench",
        study: Any,
        *,
        distributions: Mapping[str, Any],
        asked: Asked,
        score: Score | None,
        n: int,
    ) -> None:
        self._workbench = workbench
        self._study = study
        self._distributions = dict(distributions)
        self._asked = asked
        self._score = score
        self._n = n
        self._wake = asyncio.Event()
        self._scoring: set[int] = set()
        self.parallel = 1
        self.pending: dict[int, int] = {}
        """Point number to trial number, for points that have not been told of."""
        self.run: SweepRun

    @property
    def seats(self) -> int:
        """As many points as keep every backend busy: what it runs at once, and one to follow."""
        backends = self._workbench.engine.backends.values()
        return max(2, sum(1 + b.config.max_concurrent_jobs for b in backends if b.config.enabled))

    def ask(self) -> Any:
        """The next trial."""
        return self._study.ask(fixed_distributions=self._distributions)

    def remember(self, run: SweepRun) -> None:
        """Tell the study of points that an earlier kernel ran."""
        optuna = load_optuna()
        for view in run.points.views:
            params = {name: view.values[name] for name in self._distributions}
            if view.score is not None:
                self._study.add_trial(
                    optuna.trial.create_trial(
                        params=params, distributions=self._distributions, value=view.score
                    )
                )
            elif not view.status.is_terminal or view.status is JobStatus.COMPLETED:
                self._study.enqueue_trial(params)
                self.pending[view.index] = self.ask().number

    def start(self) -> None:
        """Drive the study from now on."""
        run = self.run
        if len(run.points) >= self._n and not self.pending:
            return
        run.keep_open = True
        run.on_change = self._wake.set
        run.go_on()
        self._workbench.engine.spawn(self._drive(), f"study {run.record.name}")

    async def _drive(self) -> None:
        run = self.run
        try:
            while not run.status.is_terminal or self.pending:
                self._wake.clear()
                self._look()
                if run.status is SweepStatus.CANCELLED:
                    break
                room = min(self.parallel - len(self.pending), self._n - len(run.points))
                if run.status is SweepStatus.RUNNING and room > 0:
                    await self._add([self.ask() for _ in range(room)])
                    continue
                if not self.pending and len(run.points) >= self._n:
                    break
                await self._wake.wait()
        finally:
            run.on_change = None
            run.keep_open = False
            run.go_on()

    async def _add(self, trials: Sequence[Any]) -> None:
        run = self.run
        # Checked and expanded like any point; the workflow may ask a backend, and waits then.
        planned = await asyncio.to_thread(
            plan_points,
            self._workbench,
            replace(self._asked, grid=None),
            known=run.targets,
            first=len(run.points),
            points=[trial.params for trial in trials],
        )
        record = run.record.model_copy(
            update={"targets": [target.to_json() for target in planned.targets]}
        )
        changed = await run.journal.extend(record, PointRecords(run.id, planned.points))
        if changed is None:
            raise UsageError(f"Another kernel has taken over the study {run.record.name}.")
        for point, trial in zip(planned.points, trials, strict=True):
            self.pending[point.number] = trial.number
        run.extend(planned, changed)

    def _look(self) -> None:
        views = self.run.points.views
        for number, trial in list(self.pending.items()):
            view = views[number]
            if not view.status.is_terminal or number in self._scoring:
                continue
            if view.status is not JobStatus.COMPLETED:
                self._tell(number, trial, None)
            elif self._score is not None:
                self._scoring.add(number)
                self._workbench.engine.spawn(self._rate(number, trial), f"score point {number}")
            elif view.rating is not None:
                self._scoring.add(number)
                self._workbench.engine.spawn(self._keep(number, trial, view.rating), "keep score")

    async def _rate(self, number: int, trial: int) -> None:
        view = self.run.points.views[number]
        score = self._score
        assert score is not None
        assert view.job_id is not None
        try:
            job = await asyncio.to_thread(self._workbench.load_job, view.job_id)
            if inspect.iscoroutinefunction(score):
                given = await score(job)
            else:
                given = await asyncio.to_thread(score, job)
                if inspect.isawaitable(given):
                    given = await given
            value = float(given)
        except Exception as error:  # noqa: BLE001 - the function is a person's own: they are told
            self.run.note = f"The score of point {number} failed: {type(error).__name__}: {error}"
            self._workbench.engine.report(error)
            self._tell(number, trial, None)
            return
        await self._keep(number, trial, value)

    async def _keep(self, number: int, trial: int, value: float) -> None:
        if value != value:  # noqa: PLR0124 - not a number is no score
            self._tell(number, trial, None)
            return
        await self.run.journal.set_scores(self.run.id, [(number, value)])
        self.run.scored(number, value)
        self._tell(number, trial, value)

    def _tell(self, number: int, trial: int, value: float | None) -> None:
        if self.pending.pop(number, None) is not None:
            if value is None:
                self._study.tell(trial, state=load_optuna().trial.TrialState.FAIL)
            else:
                self._study.tell(trial, value)
        self._scoring.discard(number)
        self.run.touch()
        self._wake.set()
