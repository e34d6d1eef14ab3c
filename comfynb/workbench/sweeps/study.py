"""``wb.optimize``: points chosen by Optuna from the scores of those before them."""

import secrets
from collections.abc import Mapping
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
from comfynb.models import FallbackStrategy, SweepKind, SweepRecord, SweepStatus, new_id
from comfynb.workbench.sweeps.asked import Asked, checked_seed
from comfynb.workbench.sweeps.axes import Axes
from comfynb.workbench.sweeps.planning import plan_points
from comfynb.workbench.sweeps.run import SweepRun
from comfynb.workbench.sweeps.study_driver import Score, StudyDriver, load_optuna
from comfynb.workbench.sweeps.sweep import Sweep
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Score", "Study", "start_study"]

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
    optuna = load_optuna()
    if direction not in DIRECTIONS:
        raise InvalidValue(f'direction is "maximize" or "minimize", not {direction!r:.40}.')
    for what, number in (("n", n), ("parallel", parallel)):
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, int) or number < 1
        ):
            raise InvalidValue(f"{what} is a whole number from 1, not {number!r:.40}.")
    known = _known(workbench, name)
    drawn = secrets.randbits(31) if seed is None else checked_seed(seed)
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
    driver = StudyDriver(
        workbench, study, distributions=distributions, asked=asked, score=score, n=n
    )
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
