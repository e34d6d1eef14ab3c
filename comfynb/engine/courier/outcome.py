"""How a prompt ended, as its server's history or our own dealings with the server say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from comfynb.comfy import HistoryEntry
from comfynb.models import OutputFile, PromptStatus

__all__ = ["CANCELLED", "Outcome", "duration_of", "failed", "lost", "outcome_of", "recalled"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a prompt ended."""

    state: PromptStatus
    files: tuple[OutputFile, ...] = ()
    output_data: dict[str, object] = field(default_factory=dict)
    error_class: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    cached_nodes: int = 0
    ran_for: timedelta | None = None
    """How long the server says that it ran."""
    not_sent: bool = False
    """Lost before the server had it: trying again costs nothing."""


CANCELLED: Final = Outcome(PromptStatus.CANCELLED)


def failed(error_class: str, message: str) -> Outcome:
    """It ended with an error that another try would meet again."""
    return Outcome(PromptStatus.FAILED, error_class=error_class, error_message=message)


def lost(message: str, *, error_class: str = "lost", not_sent: bool = False) -> Outcome:
    """The server does not know it (any more), or nobody waits for it there."""
    return Outcome(
        PromptStatus.LOST, error_class=error_class, error_message=message, not_sent=not_sent
    )


def recalled(why: str) -> Outcome:
    """It was taken back before it began, to be done elsewhere or later."""
    return lost(why, error_class="recalled", not_sent=True)


def duration_of(entry: HistoryEntry) -> timedelta | None:
    """How long a prompt ran, as its server's own clock says; None where it does not say."""
    if entry.started_at is None or entry.ended_at is None:
        return None
    return max(timedelta(0), entry.ended_at - entry.started_at)


def outcome_of(
    entry: HistoryEntry,
    files: tuple[OutputFile, ...],
    *,
    titles: Mapping[str, str],
    interrupted: str | None,
    problem: str | None,
) -> Outcome:
    """What became of a prompt that the history has.

    ``titles`` names its nodes; ``interrupted`` is said if somebody stopped it on the server, and
    ``problem``, the end of a sentence, if its output did not come home.
    """
    state = PromptStatus.FAILED
    error_class: str | None = None
    message: str | None = None
    traceback: str | None = None
    if entry.status == "interrupted":
        state = PromptStatus.CANCELLED
        error_class, message = "interrupted", interrupted
    elif (failure := entry.error) is not None:
        title = titles.get(failure.node_id, failure.node_type or "?")
        out_of_memory = failure.is_out_of_memory
        error_class = "out of memory" if out_of_memory else failure.exception_type or "error"
        message = f"{title}: {failure.message or 'failed without a message'}"
        traceback = "\n".join(failure.traceback) or None
    elif problem is not None:
        error_class = "output missing"
        message = f"The prompt ended well but its output {problem}"
    else:
        state = PromptStatus.COMPLETED
    return Outcome(
        state,
        files,
        dict(entry.outputs),
        error_class,
        message,
        traceback,
        cached_nodes=len(entry.cached_nodes),
        ran_for=duration_of(entry),
    )
