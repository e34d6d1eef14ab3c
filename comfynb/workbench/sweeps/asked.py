"""What ``wb.sweep`` was called with, before anything is looked up."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from comfynb.engine.sweeps import Group, Sampler, Where, make_groups, make_samples
from comfynb.errors import InvalidValue
from comfynb.models import FallbackStrategy
from comfynb.workbench.sweeps.subjects import Sweepable

__all__ = ["Asked", "Zip", "checked_seed"]

_TOLD: Final = 100
"""Values of an axis that are written down for people."""

Zip = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Asked:
    """What ``wb.sweep`` was called with."""

    workflows: Sequence[Sweepable]
    """What is swept: workflows, graphs."""
    grid: Mapping[str, Any] | None = None
    zip: Zip | None = None
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

    @cached_property
    def groups(self) -> Sequence[Group]:
        """The axes of ``grid`` and ``zip``. Made once: what was given may be an iterator."""
        return make_groups(self.grid, self.zip, self.sample)

    @cached_property
    def samples(self) -> Mapping[str, Sampler]:
        """What is drawn for each point."""
        return make_samples(self.sample)

    def to_json(self) -> dict[str, Any]:
        """In a form that people can read."""
        found: dict[str, Any] = {
            "workflows": [workflow.name for workflow in self.workflows],
            "axes": [
                {name: _told(column) for name, column in zip(g.names, g.columns, strict=True)}
                for g in self.groups
            ],
            "sample": {name: str(one) for name, one in self.samples.items()},
            "values": {name: _plain(value) for name, value in self.values.items()},
        }
        if self.n is not None:
            found["n"] = self.n
        if self.where is not None:
            found["where"] = self.where if isinstance(self.where, str) else "a function"
        return found


def _told(column: Sequence[Any]) -> list[Any]:
    listed = [_plain(value) for value in itertools.islice(column, _TOLD + 1)]
    return listed if len(listed) <= _TOLD else [*listed[:_TOLD], "…"]


def _plain(value: Any) -> Any:
    if isinstance(value, Sweepable):
        return value.name
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def checked_seed(seed: Any) -> int:
    """A sweep's seed, as a person gave it.

    Raises:
        InvalidValue: it is none.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidValue(f"seed is a whole number from 0, not {seed!r:.40}.")
    return seed
