"""Makes points and targets of what a person asked for; all is checked before it is stored."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.plan import DYNAMIC_SEED
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
    make_groups,
    make_samples,
    submission_order,
    unit,
)
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import FallbackStrategy, ParamType, SweepPointRecord
from comfynb.workbench.sweep_graphs import AnyTarget
from comfynb.workbench.sweep_subjects import Binding, Made, Subject, Sweepable, subject_of
from comfynb.workbench.sweep_targets import BACKEND, WORKFLOW

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Asked", "Axes", "Planned", "plan_points"]

_SPECIAL: Final = frozenset({BACKEND, WORKFLOW, DYNAMIC_SEED})
_MOST_CHECKS: Final = 200
"""Points that are checked as a whole against the backends before anything is stored."""
_MOST_AT_ONCE: Final = 100_000


@dataclass(frozen=True)
class Asked:
    """What ``wb.sweep`` was called with."""

    workflows: Sequence[Sweepable]
    """What is swept: workflows, graphs."""
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
    if isinstance(value, Sweepable):
        return value.name
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class Axes:
    """The names of axes: what people call them, and the parameters behind them."""

    def __init__(self, workbench: "Workbench", swept: Sequence[Sweepable]) -> None:
        self._workbench = workbench
        self.subjects = {one.name: subject_of(workbench, one) for one in swept}
        if not swept:
            raise UsageError("Which workflow shall be swept? wb.sweep(wf, grid=...)")
        if len(self.subjects) < len(swept):
            raise UsageError("Workflows that are swept together need names that tell them apart.")
        self._first = next(iter(self.subjects.values()))

    def canonical(self, name: str) -> str:
        """An axis's own name: the first workflow's key of that parameter.

        Raises:
            NotFound: one of the workflows has no such parameter.
        """
        if name in _SPECIAL:
            return name
        key = self._key(self._first, name)
        for subject in self.subjects.values():
            self._key(subject, name)
        return key

    @staticmethod
    def _key(subject: Subject, name: str) -> str:
        try:
            return subject.key(name)
        except NotFound as error:
            raise NotFound(f"{subject.name}: {error}") from None

    def names(self, subject: Subject, axes: Iterable[str]) -> dict[str, str]:
        """Which parameter of a workflow each axis sets."""
        return {name: self._key(subject, name) for name in axes if name not in _SPECIAL}

    def check(self, name: str, value: Any) -> Any:
        """A value of an axis as it would be sent.

        Raises:
            InvalidValue: it is not allowed; one sentence names axis, value and what is allowed.
        """
        if name == BACKEND:
            return self._workbench.backends[str(getattr(value, "name", value))].name
        if name == WORKFLOW:
            return self._subject(value)
        if name == DYNAMIC_SEED:
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidValue(f"{DYNAMIC_SEED} takes whole numbers, not {value!r:.40}.")
            return value
        found = []
        for subject in self.subjects.values():
            try:
                found.append(subject.checked(self._key(subject, name), value))
            except InvalidValue as error:
                where = f" of {subject.name}" if len(self.subjects) > 1 else ""
                raise InvalidValue(f"Axis {name}{where}: {error}") from None
        return found[0]

    def _subject(self, value: Any) -> str:
        if isinstance(value, Sweepable):
            known = self.subjects.setdefault(value.name, subject_of(self._workbench, value))
            if known.id != value.id:
                raise UsageError(
                    f"Two workflows of this sweep are called {value.name!r}: rename one."
                )
            return value.name
        name = str(value)
        if name not in self.subjects:
            workbench = self._workbench
            graphs = workbench.graphs
            found = graphs[name] if name in graphs else workbench.workflows[name]
            self.subjects[name] = subject_of(workbench, found)
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
                kinds = {s.param_type(self._key(s, name)) for s in self.subjects.values()}
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
        return set().union(*(subject.shapes() for subject in self.subjects.values()))


@dataclass(frozen=True)
class Planned:
    """Points ready to be stored, and what they run."""

    axes: list[str]
    targets: list[AnyTarget]
    points: list[SweepPointRecord]


def plan_points(
    workbench: "Workbench",
    asked: Asked,
    *,
    known: Sequence[AnyTarget] = (),
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
        self, workbench: "Workbench", axes: Axes, asked: Asked, known: Sequence[AnyTarget]
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
            subject, backend_id = self._where(one)
            subject.refuse(self._named(subject, one), backend_id)
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

    def _where(self, point: Mapping[str, Any]) -> tuple[Subject, str | None]:
        subjects = self._axes.subjects
        name = point.get(WORKFLOW)
        subject = subjects[name] if name is not None else next(iter(subjects.values()))
        backend = point.get(BACKEND, self._asked.backend)
        return subject, None if backend is None else self._workbench.backends[backend].id

    def _named(self, subject: Subject, point: Mapping[str, Any]) -> dict[str, Any]:
        names = self._axes.names(subject, point)
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
        by_run: dict[tuple[Subject, str | None], list[list[int]]] = {}
        for numbers in kinds.values():
            by_run.setdefault(self._where(points[numbers[0]]), []).append(numbers)
        target_of: dict[int, int] = {}
        for (subject, backend_id), several in by_run.items():
            places: dict[object, int] = {}
            for made, numbers in self._made(subject, backend_id, points, several):
                if made.alike not in places:
                    places[made.alike] = len(self._targets)
                    self._targets.append(made.target)
                for number in numbers:
                    target_of[number] = places[made.alike]
                    if made.dynamic and DYNAMIC_SEED not in points[number]:
                        points[number][DYNAMIC_SEED] = self._dynamic_seed(number)
        return target_of

    def _made(
        self,
        subject: Subject,
        backend_id: str | None,
        points: Sequence[Mapping[str, Any]],
        several: Sequence[list[int]],
    ) -> Iterator[tuple[Made, list[int]]]:
        """A target for each kind of points, and which those are."""
        asked = self._asked
        binding = Binding(backend_id, asked.fallback, asked.group, asked.weight)
        # Points of one kind have the same axes; those of different kinds need not.
        by_axes: dict[tuple[str, ...], list[list[int]]] = {}
        for numbers in several:
            by_axes.setdefault(tuple(points[numbers[0]]), []).append(numbers)
        for axes, alike in by_axes.items():
            named = [self._named(subject, points[numbers[0]]) for numbers in alike]
            yield from zip(
                subject.targets(named, binding, self._axes.names(subject, axes)),
                alike,
                strict=True,
            )

    def _dynamic_seed(self, number: int) -> int:
        """Each point's open prompts are resolved by a seed that the sweep's own decides."""
        return int(unit(self._asked.seed, "\0dynamic", number) * 2**50)

    def _weights(self, points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many nodes depend on each axis, in the workflow that has most."""
        weights: dict[str, int] = {}
        if any(WORKFLOW in point for point in points):
            weights[WORKFLOW] = 1_000_000
        for subject in self._axes.subjects.values():
            names = self._axes.names(subject, points[0])
            for key, weight in subject.weights(names.values()).items():
                for name in (one for one, its in names.items() if its == key):
                    weights[name] = max(weights.get(name, 0), weight)
        return weights
