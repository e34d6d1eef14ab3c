"""Which waiting tasks no backend can run now, and why."""

from collections.abc import Iterable

from comfynb.engine.scheduling.entries import Entry
from comfynb.engine.scheduling.ledger import Ledger
from comfynb.engine.scheduling.seats import Seat
from comfynb.engine.tasks import NodeTask
from comfynb.models import FallbackStrategy

__all__ = ["stranded"]


def stranded(
    ledger: Ledger, waiting: Iterable[Entry], kinds: Iterable[int], seats: list[Seat]
) -> list[tuple[NodeTask, str, bool]]:
    """Tasks that no backend can run now: (task, why, whether another than the wanted one could).

    ``kinds`` are the kinds of those that wait: they are few where the tasks are many.
    """
    verdicts = {kind: _verdict(ledger, kind, seats) for kind in set(kinds)}
    if not any(verdicts.values()):
        return []
    return [
        (entry.task, *verdict)
        for entry in waiting
        if (verdict := verdicts.get(entry.kind)) is not None
    ]


def _verdict(ledger: Ledger, kind: int, seats: list[Seat]) -> tuple[str, bool] | None:
    requirements = ledger.requirements[kind]
    if any(ledger.may(seat, kind) for seat in seats):
        return None
    reasons = [
        f"{seat.name}: {reason}"
        for seat in seats
        if requirements.affinity in {None, seat.id}
        and (reason := seat.refusal(requirements)) is not None
    ]
    elsewhere = (
        requirements.affinity is not None
        and requirements.fallback is FallbackStrategy.AUTO_SELECT
        and any(seat.refusal(requirements) is None for seat in seats)
    )
    return "; ".join(reasons) or "there is no backend", elsewhere
