"""Axes of a sweep: lists that are combined with one another, and lists that go hand in hand."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.engine.sweeps.ranges import parse_range
from comfynb.engine.sweeps.samplers import Choice, Sampler
from comfynb.errors import InvalidValue, UsageError

__all__ = ["Group", "length", "make_groups", "make_samples", "values_of"]

_MOST_UNSIZED = 1_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that change together: one axis, or several of a zip; ``rows`` in step with
    ``names``. A row is made when it is asked for, so that a long axis costs nothing."""

    names: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def size(self) -> int:
        """How many rows there are, however many."""
        return length(self.columns[0])

    def row(self, place: int) -> dict[str, Any]:
        """The values at ``place``, by name."""
        return {name: column[place] for name, column in zip(self.names, self.columns, strict=True)}


def values_of(name: str, given: Any) -> Sequence[Any]:
    """The values of an axis: a list, a range, ``"1..16"``, NumPy's array, or a single value.

    Raises:
        InvalidValue: there is no value, or no end of them.
    """
    if isinstance(given, Choice):
        return given.values
    if isinstance(given, str):
        found = parse_range(given)
        return [given] if found is None else found
    if isinstance(given, Mapping | bytes):
        raise InvalidValue(f"The axis {name} takes a list of values, not {_kind(given)}.")
    if isinstance(given, Sequence):
        values: Sequence[Any] = given
    elif hasattr(given, "tolist"):  # NumPy's arrays, pandas' columns
        listed = given.tolist()
        values = listed if isinstance(listed, list) else [listed]
    elif isinstance(given, Iterable):
        values = list(itertools.islice(given, _MOST_UNSIZED + 1))
        if len(values) > _MOST_UNSIZED:
            raise InvalidValue(f"The axis {name} has no end: give it a list.")
    else:
        values = [given]
    if not length(values):
        raise InvalidValue(f"The axis {name} has no values.")
    return values


def length(values: Sequence[Any]) -> int:
    """How many values an axis has; ``len`` ends where the machine's integers do, ``total`` does
    not (a prompt may leave more texts open than that)."""
    total = getattr(values, "total", None)
    return total if isinstance(total, int) else len(values)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def make_groups(
    grid: Mapping[str, Any] | None,
    zipped: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    samples: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Groups in the order in which they were given, the grid's first; the first varies slowest.

    Raises:
        UsageError: a parameter in two places, or not a dict where one is needed.
        InvalidValue: lists of one zip that differ in length, an empty axis.
    """
    groups = []
    for name, given in _mapping("grid", grid).items():
        groups.append(Group((name,), (values_of(name, given),)))
    several: Sequence[Mapping[str, Any]]
    several = [zipped] if isinstance(zipped, Mapping) else list(zipped or ())
    for one in several:
        groups += _zip_group(_mapping("zip", one))
    taken: set[str] = set()
    for name in itertools.chain(*(group.names for group in groups), _mapping("sample", samples)):
        if name in taken:
            raise UsageError(f"{name} is swept twice: name it in one of grid, zip and sample.")
        taken.add(name)
    return groups


def _mapping(where: str, given: object) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f'{where} takes a dict of lists, such as {{"cfg": [3, 5, 7]}}, not {_kind(given)}.'
        )
    for name in given:
        if not isinstance(name, str):
            raise UsageError(f"{where} takes parameters by name, not {name!r:.60}.")
    return given


def _zip_group(given: Mapping[str, Any]) -> list[Group]:
    if not given:
        return []
    columns = {name: values_of(name, values) for name, values in given.items()}
    lengths = {name: length(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InvalidValue(f"Lists that are zipped must be equally long: {told}.")
    return [Group(tuple(columns), tuple(columns.values()))]


def make_samples(samples: Mapping[str, Any] | None) -> dict[str, Sampler]:
    """What is drawn for each point; a list is drawn from as ``choice`` does.

    Raises:
        InvalidValue: something that nothing can be drawn from.
    """
    found: dict[str, Sampler] = {}
    for name, given in _mapping("sample", samples).items():
        if isinstance(given, Sampler):
            found[name] = given
        elif isinstance(given, str) and parse_range(given) is None:
            raise InvalidValue(
                f"{name} is drawn from uniform(...), loguniform(...), integers(...), choice([...]) "
                f"or a list, not from {given!r:.60}."
            )
        else:
            found[name] = Choice(tuple(values_of(name, given)))
    return found
