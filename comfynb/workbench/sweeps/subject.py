"""What a sweep asks of the things that it runs, whatever they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from comfynb.models import FallbackStrategy, ParamType
from comfynb.workbench.sweeps.graph_targets import AnyTarget
from comfynb.workbench.values import FILE_TYPES

__all__ = ["SHAPES", "Binding", "Made", "Subject"]

SHAPES: Final = FILE_TYPES | {ParamType.STRING, ParamType.MULTILINE_STRING}
"""Parameters whose value may change what a job is besides its values: files, dynamic prompts."""


@dataclass(frozen=True)
class Binding:
    """Where points run, and as part of what."""

    backend_id: str | None
    fallback: FallbackStrategy
    group: str
    weight: float


@dataclass(frozen=True)
class Made:
    """A target; ``alike`` is the same for those that need not be kept twice."""

    alike: object
    target: AnyTarget
    dynamic: bool
    """Whether it has prompts that are left open, which a seed decides."""


class Subject(Protocol):
    """What a sweep runs."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def id(self) -> str:
        """Its id."""

    def key(self, name: str) -> str:
        """The own name of what an axis sets; NotFound if there is no such thing."""

    def checker(self, key: str) -> Callable[[Any], Any]:
        """What gives a value as it would be sent; it raises InvalidValue if that is not allowed."""

    def param_type(self, key: str) -> ParamType | None:
        """What kind of parameter it is; None where anything may be given."""

    def shapes(self) -> set[str]:
        """The keys whose values may change what a job is besides its values."""

    def weights(self, keys: Iterable[str]) -> dict[str, int]:
        """How many nodes depend on each of these."""

    def refuse(self, values: Mapping[str, Any], backend_id: str | None) -> None:
        """Raise why nobody could run it with these values."""

    def targets(
        self, points: Sequence[Mapping[str, Any]], binding: Binding, names: Mapping[str, str]
    ) -> list[Made]:
        """What runs each of these points; ``names`` are the axes' for its keys."""
