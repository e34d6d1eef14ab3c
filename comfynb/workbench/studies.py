"""``wb.optimize``: points chosen by Optuna from the scores of those before them."""

import asyncio
import importlib
import inspect
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.sweeps import (
    Choice,
    Integers,
    LogUniform,
    PointView,
    Sampler,
    Uniform,
    make_samples,
    parse_range,
)
from comfynb.errors import InvalidValue, UsageError
from comfynb.models import FallbackStrategy, JobStatus, SweepKind, SweepRecord, SweepStatus, new_id
from comfynb.workbench.jobs import JobHandle
from comfynb.workbench.sweep_plan import Asked, Axes, plan_points
from comfynb.workbench.sweep_run import SweepRun
from comfynb.workbench.sweeps import Sweep
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Score", "Study", "start_study"]

Score = Callable[[JobHandle], float | Awaitable[float]]

BY_HAND: Final = 8
"""Points that wait for a person's rating at once."""
DIRECTIONS: Final = ("maximize", "minimize")


class Study(Sweep):
    """A sweep whose points depend on the scores of earlier ones; ``study.best`` is the best yet."""

    def __init__(self, workbench: "Workbench", run: SweepRun, *, maximize: bool) -> None:
        super().__init__(workbench, run)
        self._maximize = maximize
        self.optuna: Any = None
        """Optuna's own study, for its samplers, importances and plots."""

    @property
    def scored(self) -> list[PointView]:
        """The points that have a score."""
        return [point for point in self if point.score is not None]

    @property
    def best(self) -> PointView | None:
        """The point with the best score; None before the first has one."""
        sign = 1 if self._maximize else -1
        return max(self.scored, key=lambda point: sign * (point.score or 0.0), default=None)

    def __repr__(self) -> str:
        text = super().__repr__()[len("<Sweep ") : -1]
        best = self.best
        if best is not None:
            text += f"; best {best.score:.6g} at point {best.index}"
        return f"<Study {text}>"


def start_study(
    workbench: "Workbench",
    workflow: Workflow,
    space: Mapping[str, Any],
    score: Score | None = None,
    *,
    n: int = 100,
    direction: str = "maximize",
    values: Mapping[str, Any] | None = None,
    parallel: int | None = None,
    sampler: Any = None,
    seed: int | None = None,
    name: str | None = None,
    again: bool = False,
    backend: str | None = None,
    fallback: str | FallbackStrategy = FallbackStrategy.NONE,
    weight: float = 1.0,
) -> Study:
    """See :meth:`Workbench.optimize`."""
    optuna = _optuna()
    if direction not in DIRECTIONS:
        raise InvalidValue(f'direction is "maximize" or "minimize", not {direction!r:.40}.')
    for what, number in (("n", n), ("parallel", parallel)):
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, int) or number < 1
        ):
            raise InvalidValue(f"{what} is a whole number from 1, not {number!r:.40}.")
    known = _known(workbench, name)
    drawn = secrets.randbits(31) if seed is None else seed
    asked = Asked(
        [workflow],
        values=values or {},
        seed=known.record.seed if known is not None else drawn,
        backend=backend,
        fallback=FallbackStrategy(fallback),
        weight=weight,
        group=known.id if known is not None else new_id(),
    )
    axes = Axes(workbench, [workflow])
    samplers = {
        axes.canonical(one): axes.check_sampler(axes.canonical(one), found)
        for one, found in _space(space).items()
    }
    distributions = {one: _distribution(optuna, found) for one, found in samplers.items()}
    study = optuna.create_study(
        direction=direction,
        sampler=sampler or optuna.samplers.TPESampler(seed=asked.seed, constant_liar=True),
    )
    driver = _Driver(workbench, study, distributions=distributions, asked=asked, score=score, n=n)
    driver.parallel = parallel or (BY_HAND if score is None else driver.seats)
    if known is None:
        first = [driver.ask() for _ in range(min(n, driver.parallel))]
        planned = plan_points(workbench, asked, points=[trial.params for trial in first])
        spec = asked.to_json() | {
            "space": {one: str(found) for one, found in samplers.items()},
            "n": n,
            "direction": direction,
        }
        record = SweepRecord(
            id=asked.group,
            name=name or workbench.sweeps.free_name([workflow]),
            kind=SweepKind.STUDY,
            axes=list(samplers),
            seed=asked.seed,
            again=again,
            spec=spec,
            targets=[target.to_json() for target in planned.targets],
            owner_id=workbench.store.owner_id,
        )
        run = workbench.sweeps.begin(record, planned, keep_open=True)
        driver.pending = {number: trial.number for number, trial in enumerate(first)}
    else:
        run = known
        driver.remember(run)
        if run.status.is_terminal and len(run.points) < n:
            run.keep_open = True
            run.steer(SweepStatus.RUNNING, reopen=True)
    driver.run = run
    made = Study(workbench, run, maximize=direction == "maximize")
    made.optuna = study
    workbench.host.ask(driver.start)
    return made


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise UsageError("wb.optimize needs Optuna: pip install 'comfynb[optuna]'.") from None
    # It announces each study on the console otherwise.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _known(workbench: "Workbench", name: str | None) -> SweepRun | None:
    """A study of that name, to go on with."""
    record = None if name is None else workbench.sweeps.find(name)
    if record is None or record.kind is not SweepKind.STUDY:
        return None
    run = workbench.sweeps.attach(record)
    if not run.mine and not run.finished:
        raise UsageError(f"Another kernel runs the study {name!r:.80}: it cannot go on here.")
    return run


def _space(space: Mapping[str, Any]) -> dict[str, Sampler]:
    if not isinstance(space, Mapping) or not space:
        raise UsageError('space takes a dict: {"cfg": uniform(1, 12), "steps": "10..40"}.')
    found: dict[str, Any] = {}
    for name, given in space.items():
        values = parse_range(given) if isinstance(given, str) else None
        if values is None or len(values) < 2:
            found[name] = given
            continue
        low, high, step = min(values), max(values), abs(values[1] - values[0])
        if all(isinstance(value, int) for value in values):
            found[name] = Integers(int(low), int(high), int(step))
        else:
            found[name] = Uniform(float(low), float(high), float(step))
    return make_samples(found)


def _distribution(optuna: Any, sampler: Sampler) -> Any:
    kinds = optuna.distributions
    match sampler:
        case Uniform(low=low, high=high, step=step):
            return kinds.FloatDistribution(low, high, step=step)
        case LogUniform(low=low, high=high):
            return kinds.FloatDistribution(low, high, log=True)
        case Integers(low=low, high=high, step=step):
            return kinds.IntDistribution(low, high, step=step)
        case Choice(values=values):
            return kinds.CategoricalDistribution(values)


class _Driver:
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
        optuna = _optuna()
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
        changed = await run.journal.extend(record, planned.points)
        if changed is None:
            raise UsageError(f"Another kernel has taken over the study {run.record.name}.")
        run.targets = list(planned.targets)
        for point, trial in zip(planned.points, trials, strict=True):
            self.pending[point.index] = trial.number
        run.extend(planned.points, changed)

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
                self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)
            else:
                self._study.tell(trial, value)
        self._scoring.discard(number)
        self.run.touch()
        self._wake.set()
