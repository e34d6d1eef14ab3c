"""Makes points and targets of what a person asked for; all is checked before it is stored."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.plan import DYNAMIC_SEED
from comfynb.engine.sweeps import (
    MOST_POINTS,
    Choice,
    Group,
    Space,
    condition,
    length,
    submission_order,
    unit,
)
from comfynb.errors import InvalidValue, UsageError
from comfynb.workbench.sweeps.asked import Asked
from comfynb.workbench.sweeps.axes import Axes
from comfynb.workbench.sweeps.graph_targets import AnyTarget
from comfynb.workbench.sweeps.points import Point
from comfynb.workbench.sweeps.subject import Binding, Made, Subject
from comfynb.workbench.sweeps.targets import BACKEND, WORKFLOW

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Planned", "plan_points"]

_MOST_CHECKS: Final = 200
"""Points that are checked as a whole against the backends before anything is stored."""
_MOST_FIRSTS: Final = 20
"""Where there are no more kinds of points than so many, one of each is checked as a whole."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Planned:
    """Points ready to be stored, and what they run."""

    axes: list[str]
    targets: list[AnyTarget]
    points: list[Point]
    in_turn: list[Point]
    """The same in the order in which they are handed out."""


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
    if fixed:
        for point in found:
            point.update(fixed)
    return _Planner(workbench, axes, asked, known).plan(found, names, first)


def _space(axes: Axes, asked: Asked) -> Space:
    asked_groups = list(asked.groups)
    if len(asked.workflows) > 1:
        asked_groups.insert(0, Group((WORKFLOW,), (asked.workflows,)))
    _know_workflows(axes, asked_groups, asked)
    called = [tuple(axes.canonical(name) for name in group.names) for group in asked_groups]
    samples = {axes.canonical(name): one for name, one in asked.samples.items()}
    names = [*itertools.chain(*called), *samples]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is swept twice, under different names.")
    # Before any value is looked at: there may be far too many.
    Space(asked_groups, samples, asked.n, asked.seed).check()
    groups = [
        Group(own, tuple(_checked(axes, n, c) for n, c in zip(own, group.columns, strict=True)))
        for own, group in zip(called, asked_groups, strict=True)
    ]
    samples = {name: axes.check_sampler(name, one) for name, one in samples.items()}
    fixed = {axes.canonical(name): value for name, value in asked.values.items()}
    where = condition(asked.where, [*names, *fixed])
    if where is not None and fixed:
        test = where

        def with_fixed(point: Mapping[str, Any]) -> bool:
            return test({**fixed, **point})

        where = with_fixed
    return Space(groups, samples, asked.n, asked.seed, where)


def _know_workflows(axes: Axes, groups: Sequence[Group], asked: Asked) -> None:
    """Let all workflows be known before any value is checked: each must allow it."""
    for group in groups:
        for name, column in zip(group.names, group.columns, strict=True):
            if name == WORKFLOW:
                axes.check_all(name, column)
    sampled = asked.samples.get(WORKFLOW)
    if isinstance(sampled, Choice):
        axes.check_all(WORKFLOW, sampled.values)


def _checked(axes: Axes, name: str, values: Sequence[Any]) -> Sequence[Any]:
    """A column with its values as they would be sent."""
    if length(values) <= MOST_POINTS:
        return axes.check_all(name, values)
    return _Drawn(axes, name, values)


class _Drawn(Sequence[Any]):
    """A column longer than any sweep: values are checked when they are first drawn from it."""

    def __init__(self, axes: Axes, name: str, values: Sequence[Any]) -> None:
        self._axes = axes
        self._name = name
        self._values = values
        self._known: dict[int, Any] = {}
        self.total = length(values)

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, place: Any) -> Any:
        if place not in self._known:
            self._known[place] = self._axes.check(self._name, self._values[place])
        return self._known[place]


class _Planner:
    """Finds out which points share a frozen snapshot, freezes those, and puts points in order."""

    def __init__(
        self, workbench: "Workbench", axes: Axes, asked: Asked, known: Sequence[AnyTarget]
    ) -> None:
        self._workbench = workbench
        self._axes = axes
        self._asked = asked
        self._targets = list(known)

    def plan(self, points: list[Values], names: list[str], first: int) -> Planned:
        kinds = self._kinds(points)
        for one in self._to_check(points, kinds):
            subject, backend_id = self._where(one)
            subject.refuse(self._named(subject, one), backend_id)
        target_of = self._target_each(points, kinds)
        order = submission_order(points, self._weights(points))
        made = [
            Point(first + number, 0, target, values)
            for number, (target, values) in enumerate(zip(target_of, points, strict=True))
        ]
        for place, number in enumerate(order):
            made[number].place = first + place
        return Planned(names, self._targets, made, [made[number] for number in order])

    def _where(self, point: Mapping[str, Any]) -> tuple[Subject, str | None]:
        subjects = self._axes.subjects
        name = point.get(WORKFLOW)
        subject = subjects[name] if name is not None else next(iter(subjects.values()))
        backend = point.get(BACKEND, self._asked.backend)
        return subject, None if backend is None else self._workbench.backends[backend].id

    def _named(self, subject: Subject, point: Mapping[str, Any]) -> Values:
        names = self._axes.names(subject, point)
        named = {key: point[name] for name, key in names.items()}
        if DYNAMIC_SEED in point:
            named[DYNAMIC_SEED] = point[DYNAMIC_SEED]
        return named

    def _kinds(self, points: Sequence[Values]) -> list[list[int]]:
        """Which points share a frozen snapshot, as far as their values tell."""
        shapes = dict.fromkeys(map(tuple, points))
        names = dict.fromkeys(itertools.chain(*shapes))
        deciding = {WORKFLOW, BACKEND} | self._axes.shapes(names)
        matter = [name for name in names if name in deciding]
        if not matter and len(shapes) == 1:
            return [list(range(len(points)))]
        kinds: dict[tuple[Any, ...], list[int]] = {}
        for number, point in enumerate(points):
            kind = (tuple(point), *[point.get(name) for name in matter])
            kinds.setdefault(kind, []).append(number)
        return list(kinds.values())

    def _to_check(
        self, points: Sequence[Values], kinds: Sequence[Sequence[int]]
    ) -> Iterator[Values]:
        """Points that together show every text of every axis once, as far as that is feasible."""
        first = {0}
        if len(kinds) <= _MOST_FIRSTS:
            first.update(numbers[0] for numbers in kinds)
        names = dict.fromkeys(itertools.chain(*dict.fromkeys(map(tuple, points))))
        texts = [name for name in names if any(isinstance(p.get(name), str) for p in points)]
        candidates: Iterable[int] = range(len(points)) if texts else sorted(first)
        seen: set[tuple[Any, ...]] = set()
        checked = 0
        for number in candidates:
            point = points[number]
            where = point.get(WORKFLOW), point.get(BACKEND)
            shown = [
                (*where, name, value) for name in texts if isinstance(value := point.get(name), str)
            ]
            if number not in first and seen.issuperset(shown):
                continue
            seen.update(shown)
            yield point
            checked += 1
            if checked == _MOST_CHECKS:
                return

    def _target_each(self, points: Sequence[Values], kinds: Sequence[list[int]]) -> list[int]:
        """The number of each point's target; open prompts get a seed."""
        by_run: dict[tuple[Subject, str | None], list[list[int]]] = {}
        for numbers in kinds:
            by_run.setdefault(self._where(points[numbers[0]]), []).append(numbers)
        target_of = [0] * len(points)
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
        points: Sequence[Values],
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

    def _weights(self, points: Sequence[Values]) -> dict[str, int]:
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
