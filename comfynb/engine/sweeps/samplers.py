"""What values are drawn from: ``uniform(0.2, 0.9)``, ``loguniform``, ``integers``, ``choice``.

A draw depends on the sweep's recorded seed, the parameter's name and the draw's number, and on
nothing else: the same seed makes the same points on every machine, whatever other axes there are.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from comfynb.errors import InvalidValue

__all__ = [
    "Choice",
    "Integers",
    "LogUniform",
    "Sampler",
    "Uniform",
    "choice",
    "draw",
    "integers",
    "loguniform",
    "shuffled",
    "uniform",
    "unit",
]

_DIGITS = 6
"""Significant digits of a drawn float: enough to tell points apart, few enough to read and to be
the same wherever the mathematics library rounds differently."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every number from ``low`` to ``high`` is as likely; with ``step``, multiples of it only."""

    low: float
    high: float
    step: float | None = None

    def at(self, place: float) -> float:
        """The value at ``place``, from 0 to 1."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            return _short(self.low + min(int(place * count), count - 1) * self.step)
        return min(max(_short(self.low + (self.high - self.low) * place), self.low), self.high)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """As likely between 0.001 and 0.01 as between 0.01 and 0.1."""

    low: float
    high: float

    def at(self, place: float) -> float:
        """The value at ``place``, from 0 to 1."""
        value = math.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * place)
        return min(max(_short(value), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Integers:
    """Every whole number from ``low`` to ``high``, both included, in steps of ``step``."""

    low: int
    high: int
    step: int = 1

    def at(self, place: float) -> int:
        """The value at ``place``, from 0 to 1."""
        count = (self.high - self.low) // self.step + 1
        return self.low + min(int(place * count), count - 1) * self.step


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these, each as likely."""

    values: tuple[Any, ...]

    def at(self, place: float) -> Any:
        """The value at ``place``, from 0 to 1."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]


Sampler: TypeAlias = Uniform | LogUniform | Integers | Choice


def uniform(low: float, high: float, step: float | None = None) -> Uniform:
    """Numbers between two bounds; ``uniform(0.2, 0.9, 0.05)`` draws multiples of a step.

    Raises:
        InvalidValue: the bounds are no numbers or stand the wrong way round.
    """
    _check_bounds("uniform", low, high)
    if step is not None and not step > 0:
        raise InvalidValue(f"uniform needs a step above 0, not {step!r}.")
    return Uniform(float(low), float(high), None if step is None else float(step))


def loguniform(low: float, high: float) -> LogUniform:
    """Numbers whose logarithm is uniform, for what counts in factors, such as a learning rate.

    Raises:
        InvalidValue: a bound is not above 0, or they stand the wrong way round.
    """
    _check_bounds("loguniform", low, high)
    if not low > 0:
        raise InvalidValue(f"loguniform needs bounds above 0, not {low!r}.")
    return LogUniform(float(low), float(high))


def integers(low: int, high: int, step: int = 1) -> Integers:
    """Whole numbers between two bounds, both included.

    Raises:
        InvalidValue: the bounds are no whole numbers or stand the wrong way round.
    """
    if any(isinstance(one, bool) or not isinstance(one, int) for one in (low, high, step)):
        raise InvalidValue("integers needs whole numbers: integers(20, 40).")
    _check_bounds("integers", low, high)
    if step < 1:
        raise InvalidValue(f"integers needs a step from 1, not {step}.")
    return Integers(low, high, step)


def choice(values: Sequence[Any]) -> Choice:
    """One of several values.

    Raises:
        InvalidValue: there is none.
    """
    taken = tuple(values)
    if not taken or isinstance(values, str):
        raise InvalidValue('choice needs a list of values: choice(["euler", "dpmpp_2m"]).')
    return Choice(taken)


def _check_bounds(name: str, low: object, high: object) -> None:
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not _finite(bound):
            raise InvalidValue(f"{name} needs two numbers as bounds, not {bound!r:.60}.")
    if not low <= high:  # type: ignore[operator]
        raise InvalidValue(f"{name}({low}, {high}): the first bound is above the second.")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def unit(seed: int, name: str, number: int) -> float:
    """A number from 0 (included) to 1 that seed, name and number decide."""
    text = f"{seed}\n{name}\n{number}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64


def draw(sampler: Sampler, seed: int, name: str, number: int) -> Any:
    """The ``number``-th value of parameter ``name`` under ``seed``."""
    return sampler.at(unit(seed, name, number))


def shuffled(count: int, seed: int, name: str) -> list[int]:
    """The numbers below ``count`` in an order that seed and name decide."""
    return sorted(range(count), key=lambda number: (unit(seed, name, number), number))
