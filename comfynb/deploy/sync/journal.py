"""A sync's row in the store: begun, counted up with each batch in one transaction, ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from comfynb.deploy.catalogue.entries import Outcome
from comfynb.deploy.sync.batch import Batch, SyncSource
from comfynb.errors import NotFound, UsageError
from comfynb.models import SyncJob, SyncStatus, utcnow
from comfynb.store import Pending, Store, Transaction, View

__all__ = ["SyncJournal", "TakenAwayError"]

MOST_NOTES = 500
"""Entries that a job's results tell about one by one, so many refused ones and so many others."""

_LOG_LINES = 200


class TakenAwayError(Exception):
    """The job is no longer this runner's: it was cancelled from elsewhere, say."""

    def __init__(self, job: SyncJob | None) -> None:
        super().__init__()
        self.job = job


class SyncJournal:
    """What syncs do inside a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, source: SyncSource, resume: str | None) -> Pending[SyncJob]:
        """Make the row of a new sync, or take one up again; raises UsageError, NotFound.

        There is one sync of a type at a time: one that a dead program left is given up for a new
        one, and can still be resumed.
        """
        owner, kind, name, settings = (
            self._store.owner_id,
            source.type,
            source.name,
            source.settings(),
        )

        def write(tx: Transaction) -> SyncJob:
            now = utcnow()
            for other in tx.find(SyncJob, where={"type": kind, "status": SyncStatus.RUNNING}):
                if other.id == resume and not self._alive(tx, other):
                    continue
                if self._alive(tx, other):
                    raise UsageError(
                        f"a sync of {kind.value} runs already ({other.results.get('source')}, "
                        f"{other.processedItems} of {other.totalItems or '?'} entries): wait for "
                        "it, or cancel it"
                    )
                tx.put(_ended(other, SyncStatus.FAILED, now, "its program ended; resume it"))
            if resume is None:
                job = SyncJob(type=kind, status=SyncStatus.RUNNING, startedAt=now)
                results: dict[str, Any] = {"source": name, "settings": settings}
            else:
                job = _resumable(tx, resume, name, settings)
                results = job.results
            results = {**results, "owner": owner}
            job = job.model_copy(
                update={
                    "status": SyncStatus.RUNNING,
                    "startedAt": job.startedAt or now,
                    "completedAt": None,
                    "results": results,
                }
            )
            tx.put(job)
            return job

        return self._store.transact(write)

    def _alive(self, view: View, job: SyncJob) -> bool:
        owner = job.results.get("owner")
        return isinstance(owner, str) and self._store.is_alive(view, owner)

    def commit(self, job_id: str, batch: Batch) -> Pending[SyncJob]:
        """Write a batch and count it, with the place to go on, in one transaction."""
        owner = self._store.owner_id

        def write(tx: Transaction) -> SyncJob:
            job = self._own(tx, job_id, owner)
            now = utcnow()
            outcomes = [*batch.done, *(batch.write(tx, now) if batch.write else ())]
            job = _counted(job, batch, outcomes)
            tx.put(job)
            return job

        return self._store.transact(write)

    def end(self, job_id: str, status: SyncStatus, error: str | None = None) -> Pending[SyncJob]:
        """Give a sync its end; a failed or cancelled one keeps the place to go on."""
        owner = self._store.owner_id

        def write(tx: Transaction) -> SyncJob:
            job = _ended(self._own(tx, job_id, owner), status, utcnow(), error)
            tx.put(job)
            return job

        return self._store.transact(write)

    @staticmethod
    def _own(tx: Transaction, job_id: str, owner: str) -> SyncJob:
        job = tx.get(SyncJob, job_id)
        if job is None or job.status is not SyncStatus.RUNNING or job.results.get("owner") != owner:
            raise TakenAwayError(job)
        return job

    def stop(self, job_id: str) -> Pending[SyncJob]:
        """Cancel a sync of whatever program: its next batch is not written any more."""

        def write(tx: Transaction) -> SyncJob:
            job = tx.get(SyncJob, job_id)
            if job is None:
                raise NotFound(f"there is no sync with the id {job_id!r:.80}")
            if job.status in {SyncStatus.PENDING, SyncStatus.RUNNING}:
                job = _ended(job, SyncStatus.CANCELLED, utcnow(), None)
                tx.put(job)
            return job

        return self._store.transact(write)

    def interrupted(self) -> Pending[list[SyncJob]]:
        """Syncs that still seem to run although their program has ended."""

        def look(view: View) -> list[SyncJob]:
            running = view.find(
                SyncJob, where={"status": SyncStatus.RUNNING}, order_by="-createdAt"
            )
            return [job for job in running if not self._alive(view, job)]

        return self._store.read(look, "interrupted syncs")


def _resumable(view: View, job_id: str, source: str, settings: Mapping[str, Any]) -> SyncJob:
    job = view.get(SyncJob, job_id)
    if job is None:
        raise NotFound(f"there is no sync with the id {job_id!r:.80}")
    if job.status is SyncStatus.COMPLETED:
        raise UsageError(f"sync {job_id} is complete: there is nothing to resume")
    if (job.results.get("source"), job.results.get("settings")) != (source, dict(settings)):
        raise UsageError(
            f"sync {job_id} was one of {job.results.get('source')}, with other settings: resume it "
            "with the same"
        )
    return job


def _counted(job: SyncJob, batch: Batch, outcomes: Sequence[tuple[str, Outcome]]) -> SyncJob:
    results = dict(job.results)
    if batch.again:
        results = {key: results[key] for key in ("source", "settings", "owner")}
    counts = dict(results.get("counts") or {})
    parts = {name: dict(some) for name, some in (results.get("parts") or {}).items()}
    notes = list(results.get("entries") or ())
    left_out = int(results.get("entries_left_out") or 0)
    room = {
        refusals: MOST_NOTES - sum((one["outcome"] == "refused") is refusals for one in notes)
        for refusals in (True, False)
    }
    log = [] if batch.again or not job.errorLog else job.errorLog.splitlines()
    entries = refused = 0
    for part, outcome in outcomes:
        if outcome.kind != "note":
            entries += 1
            counts[outcome.kind] = counts.get(outcome.kind, 0) + 1
            some = parts.setdefault(part, {})
            some[outcome.kind] = some.get(outcome.kind, 0) + 1
        if outcome.kind == "refused":
            refused += 1
            if len(log) < _LOG_LINES:
                log.append(f"{part}: {outcome.label}: {outcome.reason}")
        if outcome.reason is not None:
            if room[outcome.kind == "refused"] > 0:
                room[outcome.kind == "refused"] -= 1
                notes.append(
                    {
                        "part": part,
                        "entry": outcome.label,
                        "outcome": outcome.kind,
                        "reason": outcome.reason[:500],
                        "into": outcome.into,
                    }
                )
            else:
                left_out += 1
    results.update(
        cursor=batch.cursor, counts=counts, parts=parts, entries=notes, entries_left_out=left_out
    )
    processed = entries + (0 if batch.again else job.processedItems)
    failed = refused + (0 if batch.again else job.failedItems)
    total = batch.total if batch.total is not None else job.totalItems
    return job.model_copy(
        update={
            "processedItems": processed,
            "failedItems": failed,
            "successItems": processed - failed,
            "totalItems": None if total is None else max(total, processed),
            "results": results,
            "errorLog": "\n".join(log) or None,
        }
    )


def _ended(job: SyncJob, status: SyncStatus, now: datetime, error: str | None) -> SyncJob:
    results = dict(job.results)
    log = job.errorLog
    if status is SyncStatus.COMPLETED:
        results.pop("cursor", None)
    if error is not None:
        results["error"] = error
        log = f"{log}\n{error}" if log else error
    else:
        results.pop("error", None)
    total = job.processedItems if status is SyncStatus.COMPLETED else job.totalItems
    return job.model_copy(
        update={
            "status": status,
            "completedAt": now,
            "results": results,
            "errorLog": log,
            "totalItems": total,
        }
    )
