"""How far a sync has come, told to whoever looks: at most ten times a second, and at its end."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from comfynb.models import SyncJob, SyncStatus, SyncType

__all__ = ["Progress", "Refusal", "SyncView", "refusals_of"]

FIRST_REFUSALS = 8
"""Refused entries that a view tells about; the job's row has more."""

_INTERVAL_S = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that was not taken."""

    part: str
    """Of the source, e.g. 'models'."""
    entry: str
    reason: str


def refusals_of(job: SyncJob, most: int | None = None) -> tuple[Refusal, ...]:
    """The refused entries that a job's row tells about, the first ones first."""
    entries = job.results.get("entries")
    told = entries if isinstance(entries, list) else []
    refused = (one for one in told if isinstance(one, dict) and one.get("outcome") == "refused")
    return tuple(
        Refusal(*(str(one.get(key) or "") for key in ("part", "entry", "reason")))
        for one in itertools.islice(refused, most)
    )


@dataclass(frozen=True, slots=True)
class SyncView:
    """A sync at one moment."""

    id: str
    type: SyncType
    source: str
    status: SyncStatus
    total: int | None
    """Entries of all of it, as far as that is known."""
    processed: int
    succeeded: int
    failed: int
    counts: tuple[tuple[str, int], ...]
    """How many entries are new, changed, same, merged, refused."""
    refusals: tuple[Refusal, ...] = ()
    """The first of those that were refused."""
    waiting: str | None = None
    """Why nothing happens right now: what a service asked for."""
    waiting_s: float = 0.0
    error: str | None = None

    @classmethod
    def of(cls, job: SyncJob, *, waiting: str | None = None, waiting_s: float = 0.0) -> "SyncView":
        """The view of a job's row."""
        error = job.results.get("error")
        return cls(
            id=job.id,
            type=job.type,
            source=str(job.results.get("source", "")),
            status=job.status,
            total=job.totalItems,
            processed=job.processedItems,
            succeeded=job.successItems,
            failed=job.failedItems,
            counts=tuple((job.results.get("counts") or {}).items()),
            refusals=refusals_of(job, FIRST_REFUSALS),
            waiting=waiting,
            waiting_s=waiting_s,
            error=error if isinstance(error, str) else None,
        )

    @property
    def fraction(self) -> float | None:
        """0 to 1; None where the total is not known."""
        if self.status is SyncStatus.COMPLETED:
            return 1.0
        return None if not self.total else min(1.0, self.processed / self.total)


class Progress:
    """Callbacks that are told the newest view; an error in one stops nobody else."""

    def __init__(self, view: SyncView) -> None:
        self.view = view
        self._callbacks: dict[int, Callable[[SyncView], None]] = {}
        self._tokens = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, callback: Callable[[SyncView], None]) -> Callable[[], None]:
        """Tell ``callback`` from now on, the present state first; returns the way to stop."""
        token = next(self._tokens)
        self._callbacks[token] = callback
        self._tell(callback)

        def stop() -> None:
            self._callbacks.pop(token, None)

        return stop

    def note(self, view: SyncView) -> None:
        """Keep the newest view; who looks is told within a tenth of a second. On the loop."""
        self.view = view
        if self._timer is None and self._callbacks:
            self._timer = asyncio.get_running_loop().call_later(_INTERVAL_S, self._due)

    def finish(self, view: SyncView) -> None:
        """Tell the last view at once."""
        if self._timer is not None:
            self._timer.cancel()
        self.view = view
        self._due()

    def _due(self) -> None:
        self._timer = None
        for callback in list(self._callbacks.values()):
            self._tell(callback)

    def _tell(self, callback: Callable[[SyncView], None]) -> None:
        try:
            callback(self.view)
        except Exception:  # noqa: BLE001 - a broken watcher must not stop what it watches
            _log.exception("a watcher of sync %s failed", self.view.id)
