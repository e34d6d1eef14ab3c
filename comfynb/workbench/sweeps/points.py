"""A sweep's points while this process knows them: what became of each, counted as it changes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from comfynb.engine.live import LiveJob
from comfynb.engine.sweeps import PictureView, PointView
from comfynb.models import JobStatus, NodeExecution, OutputFile, SweepPointRecord
from comfynb.store.sweeps import JobRow, PictureRow, PointRow

__all__ = ["Point", "PointRecords", "Points", "pictures_of_files", "pictures_of_rows"]


@dataclass(slots=True)
class Point:
    """One point; changed through :class:`Points` only."""

    number: int
    place: int
    target: int
    values: Mapping[str, Any]
    job_id: str | None = None
    linked: bool = False
    status: JobStatus = JobStatus.PENDING
    error: str | None = None
    backend: str | None = None
    seconds: float | None = None
    score: float | None = None
    pictures: tuple[PictureView, ...] = ()

    @classmethod
    def of_row(cls, row: PointRow) -> "Point":
        """As the store has it."""
        return cls(
            row.number, row.place, row.target, row.values, row.job_id, row.linked, score=row.score
        )

    def record(self, sweep_id: str) -> SweepPointRecord:
        """As the store takes it, before it has a job."""
        return SweepPointRecord.build(
            sweep_id=sweep_id,
            index=self.number,
            place=self.place,
            target=self.target,
            values=self.values,
        )

    @property
    def view(self) -> PointView:
        """What people see of it."""
        return PointView(
            index=self.number,
            values=self.values,
            status=self.status,
            job_id=self.job_id,
            linked=self.linked,
            backend=self.backend,
            seconds=self.seconds,
            error=self.error,
            score=self.score,
            pictures=self.pictures,
        )


class PointRecords(Sequence[SweepPointRecord]):
    """Points as the store takes them, each made when it is asked for: in the store's thread."""

    def __init__(self, sweep_id: str, points: Sequence[Point]) -> None:
        self._sweep_id = sweep_id
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> SweepPointRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SweepPointRecord]: ...
    def __getitem__(self, index: int | slice) -> SweepPointRecord | list[SweepPointRecord]:
        if isinstance(index, slice):
            return [point.record(self._sweep_id) for point in self._points[index]]
        return self._points[index].record(self._sweep_id)


@dataclass(slots=True)
class _Share:
    completed: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass
class Points:
    """All points of a sweep, in order, with what is counted over them."""

    every: list[Point] = field(default_factory=list)
    counts: Counter[JobStatus] = field(default_factory=Counter)
    linked: int = 0
    shares: dict[str, _Share] = field(default_factory=dict)
    _views: list[PointView] = field(default_factory=list)
    _stale: set[int] = field(default_factory=set)
    _of_job: dict[str, list[Point]] = field(default_factory=dict)

    @classmethod
    def of(cls, points: Iterable[Point]) -> "Points":
        """These points, from number 0."""
        made = cls()
        made.add(points)
        return made

    @classmethod
    def stored(
        cls,
        rows: Iterable[PointRow],
        jobs: Iterable[JobRow],
        pictures: Iterable[PictureRow],
        names: Mapping[str, str],
        *,
        cancelled: bool,
    ) -> "Points":
        """All of a sweep as the store has it. In a thread: there may be very many.

        ``cancelled`` are those of a cancelled sweep that have no job.
        """
        made = cls.of(map(Point.of_row, rows))
        made.end_rows(jobs, pictures, names)
        if cancelled:
            for point in made.every:
                if point.job_id is None:
                    made.set_status(point, JobStatus.CANCELLED)
        made.views  # noqa: B018 - brings them up to date
        return made

    def __len__(self) -> int:
        return len(self.every)

    def add(self, points: Iterable[Point]) -> None:
        """More points, their numbers following those that are there."""
        for point in points:
            self.every.append(point)
            self._views.append(point.view)
            self.counts[point.status] += 1
            if point.job_id is not None:
                self.take_job(point, point.job_id, linked=point.linked, again=True)

    @property
    def views(self) -> tuple[PointView, ...]:
        """All of them as people see them; those that did not change are the same objects."""
        while self._stale:
            number = self._stale.pop()
            self._views[number] = self.every[number].view
        return tuple(self._views)

    def waiting(self) -> list[Point]:
        """Those that have no job and are not over, in turn."""
        left = [one for one in self.every if one.job_id is None and not one.status.is_terminal]
        return sorted(left, key=lambda one: one.place)

    def of_job(self, job_id: str) -> Sequence[Point]:
        """The points that share a job."""
        return self._of_job.get(job_id, ())

    @property
    def jobs(self) -> list[str]:
        """The jobs of all points."""
        return list(self._of_job)

    def take_job(self, point: Point, job_id: str, *, linked: bool, again: bool = False) -> None:
        """A point has a job from now on."""
        if not again:
            self.drop_job(point)
        point.job_id, point.linked = job_id, linked
        self._of_job.setdefault(job_id, []).append(point)
        self.linked += linked
        self._stale.add(point.number)

    def drop_job(self, point: Point) -> None:
        """A point has no job any more, as it was at the beginning."""
        if point.job_id is not None:
            self._of_job[point.job_id].remove(point)
            if not self._of_job[point.job_id]:
                del self._of_job[point.job_id]
            self.linked -= point.linked
        self._uncount(point)
        point.job_id, point.linked, point.error, point.score = None, False, None, None
        point.backend, point.seconds, point.pictures = None, None, ()
        self.set_status(point, JobStatus.PENDING)

    def set_status(self, point: Point, status: JobStatus) -> None:
        """Only what goes on; an end has more to it."""
        if point.status is not status:
            self.counts[point.status] -= 1
            self.counts[status] += 1
            point.status = status
            self._stale.add(point.number)

    def _uncount(self, point: Point) -> None:
        if point.backend is None or point.linked or not point.status.is_terminal:
            return
        share = self.shares[point.backend]
        if point.status is JobStatus.COMPLETED:
            share.completed -= 1
            share.seconds -= point.seconds or 0.0
        else:
            share.failed -= 1

    def end(
        self,
        job_id: str,
        status: JobStatus,
        *,
        error: str | None,
        backend: str | None,
        seconds: float | None,
        pictures: Sequence[PictureView],
    ) -> None:
        """A job is over, and so are its points."""
        for point in self.of_job(job_id):
            if point.status.is_terminal:
                continue
            point.error, point.backend, point.seconds = error, backend, seconds
            point.pictures = tuple(pictures)
            self.set_status(point, status)
            self._stale.add(point.number)
            if backend is not None and not point.linked:
                share = self.shares.setdefault(backend, _Share())
                if status is JobStatus.COMPLETED:
                    share.completed += 1
                    share.seconds += seconds or 0.0
                else:
                    share.failed += 1

    def end_live(self, live: LiveJob) -> None:
        """As :meth:`end`, for a job that this kernel ran."""
        used = [e.backend_id for e in live.job.node_executions if e.backend_id]
        self.end(
            live.id,
            live.job.status,
            error=live.job.error_message,
            backend=live.backend_names.get(used[-1], used[-1]) if used else None,
            seconds=sum(live.seconds.values()) if live.seconds else None,
            pictures=pictures_of_files(live.outputs, live.job.node_executions),
        )

    def end_rows(
        self, rows: Iterable[JobRow], pictures: Iterable[PictureRow], names: Mapping[str, str]
    ) -> None:
        """As :meth:`end`, for jobs of another kernel or another time; those that go on are left
        out. ``names`` are the backends', by id."""
        shown = pictures_of_rows(pictures)
        for row in rows:
            status = JobStatus(row.status)
            if status.is_terminal:
                backend = row.backend_id
                self.end(
                    row.id,
                    status,
                    error=row.error,
                    backend=None if backend is None else names.get(backend, backend),
                    seconds=row.seconds,
                    pictures=shown.get(row.id, ()),
                )

    def set_score(self, number: int, score: float | None) -> None:
        """What a point scored."""
        self.every[number].score = score
        self._stale.add(number)

    def rate(self, key: tuple[str, str, str, int], rating: float | None) -> None:
        """What a person thinks of a picture, wherever it is shown."""
        for point in self.every:
            if any(picture.key == key for picture in point.pictures):
                point.pictures = tuple(
                    replace(picture, rating=rating) if picture.key == key else picture
                    for picture in point.pictures
                )
                self._stale.add(point.number)


def pictures_of_files(
    files: Iterable[OutputFile], executions: Iterable[NodeExecution]
) -> list[PictureView]:
    """The pictures among a job's files: those that were saved before those that were only
    previewed, what the last prompt made first."""
    began = {one.comfy_prompt_id: one.started_at for one in executions if one.started_at}

    def rank(file: OutputFile) -> tuple[bool, float]:
        at = began.get(file.prompt_id)
        return file.type == "temp", 0.0 if at is None else -at.timestamp()

    return [
        PictureView(
            key=(file.prompt_id, file.node_id, file.kind, file.index),
            filename=file.filename,
            path=Path(file.path) if file.path else None,
            media_type=file.media_type or "",
            width=file.width,
            height=file.height,
        )
        for file in sorted(files, key=rank)
        if (file.media_type or "").startswith("image/")
    ]


def pictures_of_rows(rows: Iterable[PictureRow]) -> dict[str, list[PictureView]]:
    """The pictures of stored jobs, by job."""
    found: dict[str, list[PictureView]] = {}
    for row in rows:
        if (row.media_type or "").startswith("image/"):
            picture = PictureView(
                key=(row.prompt_id, row.node_id, row.kind, row.number),
                filename=row.filename,
                path=Path(row.path) if row.path else None,
                media_type=row.media_type or "",
                width=row.width,
                height=row.height,
                rating=row.rating,
            )
            found.setdefault(row.job_id, []).append(picture)
    return found
