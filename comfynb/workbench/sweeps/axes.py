"""The axes of a sweep: what people call them, the parameters behind them, and what these allow."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from comfynb.engine.plan import DYNAMIC_SEED
from comfynb.engine.sweeps import Choice, Integers, LogUniform, Sampler, Uniform
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import ParamType
from comfynb.workbench.sweeps.subject import Subject
from comfynb.workbench.sweeps.subjects import Sweepable, subject_of
from comfynb.workbench.sweeps.targets import BACKEND, WORKFLOW

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Axes"]

_SPECIAL: Final = frozenset({BACKEND, WORKFLOW, DYNAMIC_SEED})

Check = Callable[[Any], Any]


class Axes:
    """The names of axes, and a check of their values; made anew for each sweep, and looks each name
    up once: a sweep has far more values than names."""

    def __init__(self, workbench: "Workbench", swept: Sequence[Sweepable]) -> None:
        if not swept:
            raise UsageError("Which workflow shall be swept? wb.sweep(wf, grid=...)")
        self._workbench = workbench
        self.subjects = {one.name: subject_of(workbench, one) for one in swept}
        if len(self.subjects) < len(swept):
            raise UsageError("Workflows that are swept together need names that tell them apart.")
        self._first = next(iter(self.subjects.values()))
        self._keys: dict[tuple[str, str], str] = {}
        self._checks: dict[str, Check] = {}

    def __repr__(self) -> str:
        return f"Axes of {', '.join(self.subjects)}"

    def canonical(self, name: str) -> str:
        """An axis's own name: the first workflow's key of that parameter.

        Raises:
            NotFound: one of the workflows has no such parameter.
        """
        if name in _SPECIAL:
            return name
        for subject in self.subjects.values():
            self._key(subject, name)
        return self._key(self._first, name)

    def _key(self, subject: Subject, name: str) -> str:
        known = self._keys.get((subject.name, name))
        if known is None:
            try:
                known = self._keys[subject.name, name] = subject.key(name)
            except NotFound as error:
                raise NotFound(f"{subject.name}: {error}") from None
        return known

    def names(self, subject: Subject, axes: Iterable[str]) -> dict[str, str]:
        """Which parameter of a workflow each axis sets."""
        return {name: self._key(subject, name) for name in axes if name not in _SPECIAL}

    # Values -----------------------------------------------------------------------------------

    def check(self, name: str, value: Any) -> Any:
        """A value of an axis as it would be sent.

        Raises:
            InvalidValue: it is not allowed; one sentence names axis, value and what is allowed.
        """
        check = self._checks.get(name)
        if check is None:
            check = self._checks[name] = self._check_of(name)
        return check(value)

    def check_all(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """All values of an axis as they would be sent.

        Raises:
            InvalidValue: as :meth:`check`.
        """
        if isinstance(values, range) and name not in _SPECIAL and self._kinds(name) == _WHOLE:
            # What whole numbers may be is all that lies between two of them.
            for value in (values[0], values[-1]):
                self.check(name, value)
            return values
        return [self.check(name, value) for value in values]

    def _kinds(self, name: str) -> set[ParamType | None]:
        return {s.param_type(self._key(s, name)) for s in self.subjects.values()}

    def _check_of(self, name: str) -> Check:
        if name == BACKEND:
            return lambda value: self._workbench.backends[str(getattr(value, "name", value))].name
        if name == WORKFLOW:
            return self._subject
        if name == DYNAMIC_SEED:
            return _whole_number
        several = len(self.subjects) > 1
        checks = [
            (subject.checker(self._key(subject, name)), f" of {subject.name}" if several else "")
            for subject in self.subjects.values()
        ]

        def check(value: Any) -> Any:
            found = []
            for one, where in checks:
                try:
                    found.append(one(value))
                except InvalidValue as error:
                    raise InvalidValue(f"Axis {name}{where}: {error}") from None
            return found[0]

        return check

    def _subject(self, value: Any) -> str:
        name = value.name if isinstance(value, Sweepable) else str(value)
        known = self.subjects.get(name)
        if known is None:
            if not isinstance(value, Sweepable):
                graphs = self._workbench.graphs
                value = graphs[name] if name in graphs else self._workbench.workflows[name]
            self.subjects[name] = subject_of(self._workbench, value)
            self._checks.clear()  # it may allow less
        elif isinstance(value, Sweepable) and known.id != value.id:
            raise UsageError(f"Two workflows of this sweep are called {name!r}: rename one.")
        return name

    def check_sampler(self, name: str, sampler: Sampler) -> Sampler:
        """A sampler all of whose draws are allowed.

        Raises:
            InvalidValue: some would not be.
        """
        match sampler:
            case Choice(values=values):
                return Choice(tuple(self.check_all(name, values)))
            case Uniform() | LogUniform():
                if ParamType.INT in self._kinds(name):
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

    def shapes(self, names: Iterable[str]) -> set[str]:
        """Those of these axes whose value may change what a job is besides its values."""
        listed = list(names)
        found = set()
        for subject in self.subjects.values():
            theirs = subject.shapes()
            found |= {name for name, key in self.names(subject, listed).items() if key in theirs}
        return found


_WHOLE: Final = {ParamType.INT}


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"{DYNAMIC_SEED} takes whole numbers, not {value!r:.40}.")
    return value
