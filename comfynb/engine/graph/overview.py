"""One view for each canvas node, however often it runs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from comfynb.engine.views import NodeView
from comfynb.models import JobStatus

__all__ = ["group_nodes"]

_FIRST = (
    JobStatus.RUNNING,
    JobStatus.PENDING,
    JobStatus.FAILED,
    JobStatus.LOST,
    JobStatus.CANCELLED,
    JobStatus.SKIPPED,
    JobStatus.COMPLETED,
)
"""A node of which some runs do this is said to do this; the first that fits."""


def group_nodes(views: Iterable[NodeView]) -> tuple[NodeView, ...]:
    """Put the runs of each canvas node together, in the order in which the nodes come."""
    groups: dict[str, list[NodeView]] = {}
    for view in views:
        groups.setdefault(view.canvas_node_id, []).append(view)
    return tuple(runs[0] if len(runs) == 1 else _together(runs) for runs in groups.values())


def _together(runs: Sequence[NodeView]) -> NodeView:
    statuses = {run.status for run in runs}
    ended = sum(run.status.is_terminal for run in runs)
    status = next(each for each in _FIRST if each in statuses)
    if status is JobStatus.PENDING and ended:
        status = JobStatus.RUNNING  # some of it is done, the rest waits for its turn
    shown = next((run for run in runs if run.status is JobStatus.RUNNING), runs[0])
    failed = next((run for run in runs if run.error), None)
    backends = dict.fromkeys(run.backend for run in runs if run.backend)
    preview = next((run for run in reversed(runs) if run.preview), None)
    return replace(
        shown,
        status=status,
        progress=sum(100.0 if r.status.is_terminal else r.progress for r in runs) / len(runs),
        backend=", ".join(backends) or None,
        error=failed.error if failed else None,
        traceback=failed.traceback if failed else None,
        started_at=_earliest(run.started_at for run in runs),
        completed_at=_latest(runs) if ended == len(runs) else None,
        runs=len(runs),
        runs_done=ended,
        images=tuple(image for run in runs for image in run.images),
        preview=preview.preview if preview else None,
        preview_type=preview.preview_type if preview else shown.preview_type,
    )


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _latest(runs: Sequence[NodeView]) -> datetime | None:
    return max((run.completed_at for run in runs if run.completed_at is not None), default=None)
