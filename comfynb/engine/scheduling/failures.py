"""What happens after a prompt failed, by the class of its error; the policy, and nothing else."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from comfynb.models import PromptStatus

__all__ = ["MAX_ATTEMPTS", "RETRY", "Step", "Verdict", "judge"]

MAX_ATTEMPTS: Final = 3
"""How often a node is sent when the server keeps losing its prompt."""
RETRY: Final = 1.0
"""Seconds before a lost prompt is sent again; doubled every time."""


class Step(StrEnum):
    """What is done about it."""

    END = "end"
    """The node ends as its prompt did."""
    AGAIN = "again"
    """Another backend, or this one, tries again after ``delay``."""
    MORE_MEMORY = "more memory"
    """The server's memory is freed, and a backend with more VRAM tries."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a prompt ended, and whether that speaks against its backend."""

    step: Step
    delay: float = 0.0
    """Seconds to wait before the next try."""
    counts: bool = True
    """Whether this was one of the node's attempts."""
    against: bool = False
    """Whether the backend is to blame: it is set aside when that happens again and again."""


def judge(
    state: PromptStatus,
    error_class: str | None,
    *,
    attempts: int,
    not_sent: bool = False,
    larger: bool = False,
    fine_elsewhere: bool = False,
) -> Verdict:
    """Decide about a prompt that ended.

    ``attempts`` counts this one. ``larger`` says whether a backend with more VRAM could run it,
    ``fine_elsewhere`` whether prompts of the same workflow version have worked on other backends.
    """
    if state is PromptStatus.LOST:
        recalled = error_class == "recalled"
        if not_sent:
            # It never left, or was taken back before it began: nothing was tried.
            return Verdict(Step.AGAIN, counts=False, against=False)
        if attempts >= MAX_ATTEMPTS:
            return Verdict(Step.END, against=True)
        # Who waited for a server that stayed away has waited enough: others go on at once.
        delay = 0.0 if error_class == "away" else RETRY * 2 ** (attempts - 1)
        return Verdict(Step.AGAIN, delay=delay, against=not recalled)
    if state is not PromptStatus.FAILED:
        return Verdict(Step.END)
    if error_class == "refused":
        # The same prompt would be refused again, by this server and by others like it.
        return Verdict(Step.END)
    if error_class == "out of memory":
        if larger and attempts < MAX_ATTEMPTS:
            return Verdict(Step.MORE_MEMORY)
        return Verdict(Step.END)
    # A node raised something. Mostly the prompt is to blame, and would fail anywhere; where others
    # run this workflow well, it may be the machine.
    return Verdict(Step.END, against=fine_elsewhere or error_class == "server")
