"""Makes points and targets of what a person asked for; all is checked before it is stored."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.plan import DYNAMIC_SEED, RunPlan, make_jobs
from comfynb.engine.sweeps import (
    Choice,
    Group,
    Integers,
    LogUniform,
    Sampler,
    Space,
    Uniform,
    Where,
    condition,
    downstream,
    make_groups,
    make_samples,
    submission_order,
    unit,
)
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import FallbackStrategy, ParamType, SweepPointRecord
from comfynb.workbench.sweep_targets import BACKEND, WORKFLOW, Target
from comfynb.workbench.workflows import FILE_TYPES, Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Asked", "Axes", "Planned", "plan_points"]

_SPECIAL: Final = frozenset({BACKEND, WORKFLOW, DYNAMIC_SEED})
_SHAPES: Final = FILE_TYPES | {ParamType.STRING, ParamType.MULTILINE_STRING}
"""Parameters whose value may change what a job is besides its values: files, dynamic prompts."""
_MOST_CHECKS: Final = 200
"""Points that are checked as a whole against the backends before anything is stored."""
_MOST_AT_ONCE: Final = 100_000


@dataclass(frozen=True)
class Asked:
    """What ``wb.sweep`` was called with."""

    workflows: Sequence[Workflow]
    grid: Mapping[str, Any] | None = None
    zip: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    sample: Mapping[str, Any] | None = None
    n: int | None = None
    where: Where | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """The same for every point."""
    seed: int = 0
    backend: str | None = None
    fallback: FallbackStrategy = FallbackStrategy.NONE
    weight: float = 1.0
    group: str = ""
    """The sweep's id."""

    def to_json(self) -> dict[str, Any]:
        """In a form that people can read."""
        axes = make_groups(self.grid, self.zip, self.sample)
        found: dict[str, Any] = {
            "workflows": [workflow.name for workflow in self.workflows],
            "axes": [
                {name: _told(column) for name, column in zip(g.names, g.columns, strict=True)}
                for g in axes
            ],
            "sample": {name: str(one) for name, one in make_samples(self.sample).items()},
            "values": {name: _plain(value) for name, value in self.values.items()},
        }
        if self.n is not None:
            found["n"] = self.n
        if self.where is not None:
            found["where"] = self.where if isinstance(self.where, str) else "a function"
        return found


def _told(column: Sequence[Any]) -> list[Any]:
    most = 100
    listed = [_plain(value) for value in itertools.islice(column, most)]
    return listed if len(listed) < most else [*listed, "…"]


def _plain(value: Any) -> Any:
    if isinstance(value, Workflow):
        return value.name
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class Axes:
    """The names of axes: what people call them, and the parameters behind them."""

    def __init__(self, workbench: "Workbench", workflows: Sequence[Workflow]) -> None:
        self._workbench = workbench
        self.workflows = {workflow.name: workflow for workflow in workflows}
        if not workflows:
            raise UsageError("Which workflow shall be swept? wb.sweep(wf, grid=...)")
        if len(self.workflows) < len(workflows):
            raise UsageError("Workflows that are swept together need names that tell them apart.")
        self._first = workflows[0]

    def canonical(self, name: str) -> str:
        """An axis's own name: the first workflow's key of that parameter.

        Raises:
            NotFound: one of the workflows has no such parameter.
        """
        if name in _SPECIAL:
            return name
        key = self._key(self._first, name)
        for workflow in self.workflows.values():
            self._key(workflow, name)
        return key

    @staticmethod
    def _key(workflow: Workflow, name: str) -> str:
        keys = workflow.parameter_keys
        try:
            return keys.key_of(keys.find(name))
        except NotFound as error:
            raise NotFound(f"{workflow.name}: {error}") from None

    def names(self, workflow: Workflow, axes: Iterable[str]) -> dict[str, str]:
        """Which parameter of a workflow each axis sets."""
        return {name: self._key(workflow, name) for name in axes if name not in _SPECIAL}

    def check(self, name: str, value: Any) -> Any:
        """A value of an axis as it would be sent.

        Raises:
            InvalidValue: it is not allowed; one sentence names axis, value and what is allowed.
        """
        if name == BACKEND:
            return self._workbench.backends[str(getattr(value, "name", value))].name
        if name == WORKFLOW:
            return self._workflow(value)
        if name == DYNAMIC_SEED:
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidValue(f"{DYNAMIC_SEED} takes whole numbers, not {value!r:.40}.")
            return value
        found = []
        for workflow in self.workflows.values():
            try:
                found.append(next(iter(workflow.checked_values({name: value}).values())))
            except InvalidValue as error:
                where = f" of {workflow.name}" if len(self.workflows) > 1 else ""
                raise InvalidValue(f"Axis {name}{where}: {error}") from None
        return found[0]

    def _workflow(self, value: Any) -> str:
        name = value.name if isinstance(value, Workflow) else str(value)
        if isinstance(value, Workflow):
            known = self.workflows.setdefault(name, value)
            if known is not value and known.id != value.id:
                raise UsageError(f"Two workflows of this sweep are called {name!r}: rename one.")
        elif name not in self.workflows:
            self.workflows[name] = self._workbench.workflows[name]
        return name

    def check_sampler(self, name: str, sampler: Sampler) -> Sampler:
        """A sampler all of whose draws are allowed.

        Raises:
            InvalidValue: some would not be.
        """
        match sampler:
            case Choice(values=values):
                return Choice(tuple(self.check(name, value) for value in values))
            case Uniform() | LogUniform():
                kinds = {workflow.parameter_keys[self._key(workflow, name)].param_type
                         for workflow in self.workflows.values()}  # fmt: skip
                if ParamType.INT in kinds:
                    raise InvalidValue(
                        f"Axis {name} takes whole numbers: draw them from integers("
                        f"{int(sampler.low)}, {int(sampler.high)})."
                    )
                self.check(name, sampler.low)
                self.check(name, sampler.high)
            case Integers():
                self.check(name, sampler.low)
                self.check(name, sampler.high)
        return sampler

    def shapes(self) -> set[str]:
        """The parameters, by key of the first workflow, whose value may change what a job is."""
        found = set()
        for workflow in self.workflows.values():
            keys = workflow.parameter_keys
            found |= {key for key, one in keys.items() if one.param_type in _SHAPES}
        return found


@dataclass(frozen=True)
class Planned:
    """Points ready to be stored, and what they run."""

    axes: list[str]
    targets: list[Target]
    points: list[SweepPointRecord]


def plan_points(
    workbench: "Workbench",
    asked: Asked,
    *,
    known: Sequence[Target] = (),
    first: int = 0,
    points: Iterable[Mapping[str, Any]] | None = None,
) -> Planned:
    """Expand and check what was asked for; ``known`` targets are used again, numbers go on from
    ``first``. ``points`` are taken in the place of axes where something else chose them.

    The workflows' contents are stored by then, and nothing else.

    Raises:
        UsageError: nothing to vary, a parameter named twice, no backend.
        NotFound: there is no such parameter, backend or workflow.
        InvalidValue: a value that is not allowed, or no point is left.
    """
    if not len(workbench.backends):
        raise UsageError('There is no backend yet: wb.backends.add("http://gpu1:8188").')
    axes = Axes(workbench, asked.workflows)
    if points is None:
        space = _space(axes, asked)
        found = list(space)
        names = space.names
    else:
        found = [{axes.canonical(n): v for n, v in point.items()} for point in points]
        found = [{n: axes.check(n, v) for n, v in point.items()} for point in found]
        names = list(dict.fromkeys(itertools.chain(*found)))
    if not found:
        raise InvalidValue("The condition leaves no point: nothing would be run.")
    fixed = {}
    for name, value in asked.values.items():
        key = axes.canonical(name)
        if key in names:
            raise UsageError(f"{name} is swept and has a value for all points: name it once.")
        fixed[key] = axes.check(key, value)
    for point in found:
        point.update(fixed)
    return _Planner(workbench, axes, asked, known).plan(found, names, first)


def _space(axes: Axes, asked: Asked) -> Space:
    groups: list[Group] = []
    if len(asked.workflows) > 1:
        groups.append(Group((WORKFLOW,), ([axes.check(WORKFLOW, w) for w in asked.workflows],)))
    for group in make_groups(asked.grid, asked.zip, asked.sample):
        called = tuple(axes.canonical(name) for name in group.names)
        columns = tuple(_Checked(axes, n, c) for n, c in zip(called, group.columns, strict=True))
        groups.append(Group(called, columns))
    samples = {axes.canonical(n): one for n, one in make_samples(asked.sample).items()}
    names = [*itertools.chain(*(group.names for group in groups)), *samples]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is swept twice, under different names.")
    space = Space(groups, samples, asked.n, asked.seed)
    space.check()
    for group in groups:
        for column in group.columns:
            if isinstance(column, _Checked):
                column.check_all()
    samples = {name: axes.check_sampler(name, one) for name, one in samples.items()}
    fixed = {axes.canonical(name): value for name, value in asked.values.items()}
    where = condition(asked.where, [*names, *fixed])
    if where is not None and fixed:
        test = where

        def with_fixed(point: Mapping[str, Any]) -> bool:
            return test({**fixed, **point})

        where = with_fixed
    return replace(space, samples=samples, where=where)


class _Checked(Sequence[Any]):
    """A column whose values are checked when they are first taken."""

    def __init__(self, axes: Axes, name: str, values: Sequence[Any]) -> None:
        self._axes = axes
        self._name = name
        self._values = values
        self._known: dict[int, Any] = {}
        total = getattr(values, "total", None)
        self.total: int = total if isinstance(total, int) else len(values)

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, place: Any) -> Any:
        if place not in self._known:
            self._known[place] = self._axes.check(self._name, self._values[place])
        return self._known[place]

    def check_all(self) -> None:
        """Check them now, unless there are far more than any sweep has points."""
        if self.total <= _MOST_AT_ONCE:
            for place in range(self.total):
                self[place]


class _Planner:
    def __init__(
        self, workbench: "Workbench", axes: Axes, asked: Asked, known: Sequence[Target]
    ) -> None:
        self._workbench = workbench
        self._axes = axes
        self._asked = asked
        self._targets = list(known)
        self._shapes = axes.shapes()

    def plan(self, points: list[dict[str, Any]], names: list[str], first: int) -> Planned:
        kinds: dict[tuple[Any, ...], list[int]] = {}
        for number, point in enumerate(points):
            kinds.setdefault(self._kind(point), []).append(number)
        for one in self._to_check(points, kinds.values()):
            workflow, backend_id = self._where(one)
            workflow.refuse(self._named(workflow, one), backend_id=backend_id)
        target_of = self._target_each(points, kinds)
        order = submission_order(points, self._weights(points))
        places = {number: place for place, number in enumerate(order)}
        records = [
            SweepPointRecord.build(
                sweep_id=self._asked.group,
                index=first + number,
                place=first + places[number],
                target=target_of[number],
                values=point,
                key=None,
                job_id=None,
                linked=False,
                score=None,
            )
            for number, point in enumerate(points)
        ]
        return Planned(names, self._targets, records)

    def _where(self, point: Mapping[str, Any]) -> tuple[Workflow, str | None]:
        workflows = self._axes.workflows
        name = point.get(WORKFLOW)
        workflow = workflows[name] if name is not None else next(iter(workflows.values()))
        backend = point.get(BACKEND, self._asked.backend)
        return workflow, None if backend is None else self._workbench.backends[backend].id

    def _named(self, workflow: Workflow, point: Mapping[str, Any]) -> dict[str, Any]:
        names = self._axes.names(workflow, point)
        named = {key: point[name] for name, key in names.items()}
        if DYNAMIC_SEED in point:
            named[DYNAMIC_SEED] = point[DYNAMIC_SEED]
        return named

    def _kind(self, point: Mapping[str, Any]) -> tuple[Any, ...]:
        """What points that share a frozen snapshot have in common."""
        return (
            point.get(WORKFLOW),
            point.get(BACKEND),
            tuple(point),
            tuple(value for name, value in point.items() if name in self._shapes),
        )

    def _to_check(
        self, points: Sequence[Mapping[str, Any]], kinds: Iterable[Sequence[int]]
    ) -> Iterator[Mapping[str, Any]]:
        """Points that together show every value of every axis once, as far as that is feasible."""
        seen: set[tuple[Any, ...]] = set()
        checked = 0
        firsts = {numbers[0] for numbers in kinds}
        for number, point in enumerate(points):
            shown = {
                (point.get(WORKFLOW), point.get(BACKEND), name, str(value))
                for name, value in point.items()
                if isinstance(value, str)
            }
            if number and shown <= seen and not (number in firsts and len(firsts) <= 20):
                continue
            seen |= shown
            yield point
            checked += 1
            if checked == _MOST_CHECKS:
                return

    def _target_each(
        self, points: list[dict[str, Any]], kinds: Mapping[tuple[Any, ...], list[int]]
    ) -> dict[int, int]:
        by_run: dict[tuple[Workflow, str | None], list[list[int]]] = {}
        for numbers in kinds.values():
            by_run.setdefault(self._where(points[numbers[0]]), []).append(numbers)
        target_of: dict[int, int] = {}
        for (workflow, backend_id), several in by_run.items():
            firsts = [points[numbers[0]] for numbers in several]
            plans = workflow.plans(
                [self._named(workflow, point) for point in firsts],
                backend_id=backend_id,
                fallback=self._asked.fallback,
                refuse=False,
            )
            mine = [self._of_sweep(plan) for plan in plans]
            snapshots = [job.canvas_snapshot for job in make_jobs(mine)]
            places: dict[int, int] = {}
            for plan, snapshot, first, numbers in zip(
                mine, snapshots, firsts, several, strict=True
            ):
                if id(snapshot) not in places:
                    places[id(snapshot)] = len(self._targets)
                    names = self._axes.names(workflow, first)
                    self._targets.append(Target(snapshot, names))
                for number in numbers:
                    target_of[number] = places[id(snapshot)]
                    if plan.dynamic_seed is not None and DYNAMIC_SEED not in points[number]:
                        points[number][DYNAMIC_SEED] = self._dynamic_seed(number)
        return target_of

    def _of_sweep(self, plan: RunPlan) -> RunPlan:
        return replace(plan, group=self._asked.group, weight=self._asked.weight)

    def _dynamic_seed(self, number: int) -> int:
        """Each point's open prompts are resolved by a seed that the sweep's own decides."""
        return int(unit(self._asked.seed, "\0dynamic", number) * 2**50)

    def _weights(self, points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many nodes depend on each axis, in the workflow that has most."""
        weights: dict[str, int] = {}
        if any(WORKFLOW in point for point in points):
            weights[WORKFLOW] = 1_000_000
        for workflow in self._axes.workflows.values():
            names = self._axes.names(workflow, points[0])
            keys = workflow.parameter_keys
            nodes = {name: keys[key].node_id for name, key in names.items()}
            reach = downstream(workflow.api_json, nodes.values())
            for name, node_id in nodes.items():
                weights[name] = max(weights.get(name, 0), 1 + reach[node_id])
        return weights
