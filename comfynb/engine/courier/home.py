"""What a courier needs from the backend that it works for."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol

from comfynb.comfy.object_info import ObjectInfo
from comfynb.engine.courier.outcome import Outcome
from comfynb.engine.tasks import Flight
from comfynb.errors import BackendError

__all__ = ["Home"]


class Home(Protocol):
    """What a courier needs from the backend and the engine that it works for."""

    @property
    def id(self) -> str:
        """The backend's id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def online(self) -> bool:
        """Whether it answered when it was last asked."""

    @property
    def node_classes(self) -> ObjectInfo | None:
        """Its node classes, which make a refusal's sentences complete; None if not known."""

    @property
    def concurrency(self) -> int:
        """How many prompts the backend runs at once."""

    def trouble(self, error: BackendError | None = None) -> None:
        """A request failed: look at the backend's health now."""

    def queue_depth(self, remaining: int) -> None:
        """The websocket told how many prompts the backend has queued."""

    def timed(self, seconds: float) -> None:
        """A prompt ran for so long, as far as the websocket told."""

    def reacted(self, seconds: float) -> None:
        """It took so long to notice that a prompt had ended, and to bring the next one."""

    def ended(self, flight: Flight, seconds: float | None) -> None:
        """The backend is free again for another prompt; this one ran for ``seconds``, and well,
        or came to nothing (None)."""

    def began(self, flight: Flight, at: datetime) -> None:
        """The prompt is written down and about to be sent."""

    def refused(self, flight: Flight) -> None:
        """The store did not take the prompt: its node has ended, or the job is not ours."""

    def ran(self, flight: Flight) -> None:
        """The server runs the prompt now."""

    def note(self, flight: Flight, kind: str, message: str) -> None:
        """Something happened to it that people may want to know later."""

    def settle(self, flight: Flight, outcome: Outcome) -> Awaitable[None]:
        """Record the outcome; the flight is over when this returns."""

    def report(self, error: BaseException) -> None:
        """An error that nobody waits for."""
