"""What sweeps do inside a transaction: handed out together with their jobs, paused, taken over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from comfynb.models import (
    Job,
    PictureRating,
    SweepPointRecord,
    SweepRecord,
    SweepStatus,
    utcnow,
)
from comfynb.store.pending import Pending
from comfynb.store.schema import table_of
from comfynb.store.transaction import Transaction, View
from comfynb.store.transitions import Transitions

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = ["HandOut", "HandedOut", "PictureRow", "PointRow", "Steered", "SweepJournal"]


@dataclass(frozen=True, slots=True)
class HandOut:
    """A point that shall run now: its key, and the job that would run it."""

    index: int
    key: str
    job: Job


class HandedOut(NamedTuple):
    """What became of a point that was handed out: ``linked`` if another point's job is its own."""

    number: int
    job_id: str
    linked: bool


class PointRow(NamedTuple):
    """One point as the store has it."""

    number: int
    place: int
    target: int
    values: dict[str, Any]
    key: str | None
    job_id: str | None
    linked: bool
    score: float | None


class JobRow(NamedTuple):
    """What became of a job: its status, and where and how long its prompts ran."""

    id: str
    status: str
    error: str | None
    owner_id: str | None
    backend_id: str | None
    seconds: float | None


class PictureRow(NamedTuple):
    """One picture of a job, with its rating."""

    job_id: str
    prompt_id: str
    node_id: str
    kind: str
    number: int
    filename: str
    path: str | None
    media_type: str | None
    width: int | None
    height: int | None
    rating: float | None


class Steered(NamedTuple):
    """Whether a sweep's status was changed; if not, what it is and whose."""

    done: bool
    status: SweepStatus
    owner_id: str | None
    dropped: tuple[str, ...] = ()
    """Jobs that ended with it, since no server had anything of them."""


class SweepJournal:
    """The store's record of sweeps, beside :class:`~comfynb.store.Journal`."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._jobs = Transitions(store)

    # Writing ----------------------------------------------------------------------------------

    def create(self, record: SweepRecord, points: Sequence[SweepPointRecord]) -> Pending[None]:
        """Store a sweep with all its points, in one transaction."""

        def write(tx: Transaction) -> None:
            tx.insert(table_of(SweepRecord), [record])
            tx.insert(table_of(SweepPointRecord), points)

        return self._store.transact(write)

    def extend(
        self, record: SweepRecord, points: Sequence[SweepPointRecord]
    ) -> Pending[SweepRecord | None]:
        """Add points to a sweep of this owner, which goes on if it had ended.

        The sweep's new record; None, and nothing written, if another owner has it.
        """
        owner = self._store.owner_id

        def write(tx: Transaction) -> SweepRecord | None:
            known = tx.get(SweepRecord, record.id)
            if known is None or not self._may(tx, known.owner_id, owner):
                return None
            status = SweepStatus.RUNNING if known.status.is_terminal else known.status
            changed = known.model_copy(
                update={
                    "targets": record.targets,
                    "axes": record.axes,
                    "spec": record.spec,
                    "status": status,
                    "owner_id": owner,
                    "updated_at": utcnow(),
                    "completed_at": None,
                }
            )
            tx.upsert(table_of(SweepRecord), [changed])
            tx.insert(table_of(SweepPointRecord), points)
            return changed

        return self._store.transact(write)

    def hand_out(
        self, sweep_id: str, points: Sequence[HandOut], *, again: bool
    ) -> Pending[list[HandedOut] | None]:
        """Store the jobs of these points, and which point has which: all of it or nothing.

        A point whose key was computed before gets that job instead (unless ``again``); two points
        with one key share one job. None, and nothing written, if the sweep is not this owner's or
        does not run. Points that have a job already keep it, and are not among the answers.
        """
        owner = self._store.owner_id

        def write(tx: Transaction) -> list[HandedOut] | None:
            rows = tx.run("sweep_look", [sweep_id])
            if not rows or tuple(rows[0]) != (SweepStatus.RUNNING.value, owner):
                return None
            given = {
                row[0] for row in tx.run("sweep_open_points", [sweep_id, [p.index for p in points]])
            }
            left = [point for point in points if point.index not in given]
            same = {} if again else self._same(tx, sweep_id, left)
            new: list[Job] = []
            answers = []
            for point in left:
                linked = point.key in same
                if not linked:
                    new.append(point.job)
                    if not again:
                        same[point.key] = point.job.id
                job_id = same[point.key] if linked else point.job.id
                answers.append(HandedOut(point.index, job_id, linked))
            if new:
                self._jobs.create_jobs(tx, [(new, owner)])
            if answers:
                tx.run(
                    "sweep_hand_out",
                    [
                        sweep_id,
                        [answer.number for answer in answers],
                        [point.key for point in left],
                        [answer.job_id for answer in answers],
                        [answer.linked for answer in answers],
                    ],
                )
            return answers

        return self._store.transact(write)

    @staticmethod
    def _same(tx: Transaction, sweep_id: str, points: Sequence[HandOut]) -> dict[str, str]:
        keys = sorted({point.key for point in points})
        return dict(tx.run("sweep_same_points", [keys, sweep_id]))

    def steer(
        self,
        sweep_id: str,
        status: SweepStatus,
        *,
        unless: Collection[SweepStatus] = (),
        retry: Collection[str] = (),
    ) -> Pending[Steered]:
        """Give a sweep another status, together with its jobs that have not ended.

        Nothing is changed if its owner is another one that lives, or it has one of the statuses
        ``unless``. ``retry`` are statuses of jobs whose points shall run again.
        """
        owner = self._store.owner_id

        def write(tx: Transaction) -> Steered:
            rows = tx.run("sweep_look", [sweep_id])
            if not rows:
                return Steered(False, SweepStatus.CANCELLED, None)
            now_is, holder = SweepStatus(rows[0][0]), rows[0][1]
            if now_is in unless or not self._may(tx, holder, owner):
                return Steered(False, now_is, holder)
            now = utcnow()
            ended = now if status.is_terminal else None
            tx.run("sweep_set_status", [sweep_id, status.value, owner, now, ended])
            if status is SweepStatus.PAUSED:
                tx.run("sweep_pause_jobs", [sweep_id, owner])
            elif status is SweepStatus.RUNNING:
                tx.run("sweep_resume_jobs", [sweep_id])
            dropped: tuple[str, ...] = ()
            if status is SweepStatus.CANCELLED:
                rows = tx.run("sweep_drop_jobs", [sweep_id, owner, now])
                dropped = tuple(row[0] for row in rows)
                tx.run("sweep_drop_nodes", [list(dropped), now])
            if retry:
                tx.run("sweep_take_back", [sweep_id, sorted(retry)])
            return Steered(True, status, owner, dropped)

        return self._store.transact(write)

    def _may(self, tx: Transaction, holder: str | None, owner: str) -> bool:
        return holder in {None, owner} or not self._store.is_alive(tx, holder or "")

    def adopt(self) -> Pending[list[SweepRecord]]:
        """Make every sweep that has not ended, and whose owner is dead, this owner's."""
        owner = self._store.owner_id

        def write(tx: Transaction) -> list[SweepRecord]:
            rows = tx.run("sweep_adopt_look")
            ids = [id_ for id_, holder in rows if holder != owner and self._may(tx, holder, owner)]
            if not ids:
                return []
            tx.run("sweep_own", [ids, owner])
            return tx.find(SweepRecord, where={"id": ids}, order_by="created_at")

        return self._store.transact(write)

    def set_scores(self, sweep_id: str, scores: Sequence[tuple[int, float]]) -> Pending[None]:
        """Store what points scored: (index, score) each."""

        def write(tx: Transaction) -> None:
            indexes = [index for index, _ in scores]
            tx.run("sweep_scores", [sweep_id, indexes, [score for _, score in scores]])

        return self._store.transact(write)

    def rate(self, rating: PictureRating) -> Pending[None]:
        """Store what a person thinks of a picture, in the place of what they thought before."""
        return self._store.put(rating)

    def unrate(self, key: tuple[str, str, str, int]) -> Pending[int]:
        """Forget what a person thought of a picture."""
        return self._store.delete(PictureRating, *key)

    # Reading ----------------------------------------------------------------------------------

    def every(self) -> Pending[list[SweepRecord]]:
        """All sweeps, the newest first."""
        return self._store.find(SweepRecord, order_by="-created_at")

    def load(self, name_or_id: str) -> Pending[SweepRecord | None]:
        """A sweep by name (the newest of that name) or id."""

        def look(view: View) -> SweepRecord | None:
            found = view.get(SweepRecord, name_or_id)
            if found is not None:
                return found
            named = view.find(
                SweepRecord, where={"name": name_or_id}, order_by="-created_at", limit=1
            )
            return named[0] if named else None

        return self._store.read(look, "load sweep")

    def points_of(self, sweep_id: str) -> Pending[list[PointRow]]:
        """All points of a sweep, in their order."""
        values = table_of(SweepPointRecord).column("values")

        def look(view: View) -> list[PointRow]:
            return [
                PointRow._make([*row[:3], values.from_db(row[3]), *row[4:]])
                for row in view.run("sweep_points_of", [sweep_id])
            ]

        return self._store.read(look, "points of a sweep")

    def jobs_of(self, job_ids: Collection[str]) -> Pending[list[JobRow]]:
        """What became of these jobs, in any order."""
        ids = sorted(set(job_ids))

        def look(view: View) -> list[JobRow]:
            return [JobRow._make(row) for row in view.run("sweep_jobs_of", [ids])]

        return self._store.read(look, "jobs of a sweep")

    def left_over(self) -> Pending[list[str]]:
        """This owner's jobs that go on although their sweep was cancelled."""
        owner = self._store.owner_id
        return self._store.read(
            lambda view: [row[0] for row in view.run("sweep_left_over", [owner])], "left over"
        )

    def pictures_of(self, job_ids: Collection[str]) -> Pending[list[PictureRow]]:
        """The pictures of these jobs, in order."""
        ids = sorted(set(job_ids))

        def look(view: View) -> list[PictureRow]:
            return [PictureRow._make(row) for row in view.run("sweep_pictures_of", [ids])]

        return self._store.read(look, "pictures of a sweep")
