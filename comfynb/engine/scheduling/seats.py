"""A backend as the scheduler sees it."""

from typing import Protocol

from comfynb.engine.tasks import Requirements

__all__ = ["Seat"]


class Seat(Protocol):
    """A backend as the scheduler sees it."""

    @property
    def id(self) -> str:
        """The backend's id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def load(self) -> float:
        """Prompts outstanding for each one it may run at once; the least loaded goes first."""

    @property
    def free(self) -> int:
        """How many more prompts it may be given now."""

    @property
    def concurrency(self) -> int:
        """How many prompts it runs at once."""

    @property
    def foreign(self) -> int:
        """How many prompts of other people it has."""

    def refusal(self, requirements: Requirements) -> str | None:
        """Why it cannot run such a task, as the end of a sentence; None when it can."""
