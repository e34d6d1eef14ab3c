"""A sweep in words and in static HTML: what it varies, how far it is, what each backend does."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from comfynb.engine.sweeps.views import BackendShare, PointView, SweepView
from comfynb.models import JobStatus, SweepStatus
from comfynb.widgets.markup import duration, esc, number, one_line, user
from comfynb.widgets.tables import Cell, StaticTable
from comfynb.widgets.theme import chip, look, styled

__all__ = [
    "cost",
    "count_words",
    "head_html",
    "pace_words",
    "point_label",
    "shares_table",
    "short_value",
    "sweep_line",
    "sweep_styled",
    "sweeps_table",
    "total_bar",
]

_ORDER = (
    JobStatus.COMPLETED,
    JobStatus.RUNNING,
    JobStatus.PENDING,
    JobStatus.PAUSED,
    JobStatus.FAILED,
    JobStatus.LOST,
    JobStatus.CANCELLED,
    JobStatus.SKIPPED,
)


def short_value(value: object, limit: int = 40) -> str:
    """A value as it stands in a caption: a kept file by its name, numbers without noise."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    text = one_line(value, 400)
    if "/" in text and text.startswith("/"):
        text = text.rsplit("/", 1)[-1]
    return one_line(text, limit)


def point_label(point: PointView, axes: Iterable[str], limit: int = 40) -> str:
    """A point's values on one line: "cfg 5, seed 3"."""
    told = [f"{one_line(axis, 60)} {short_value(point.values[axis], limit)}" for axis in axes
            if axis in point.values]  # fmt: skip
    return ", ".join(told) or f"point {point.index}"


def count_words(view: SweepView) -> str:
    """How many points are how: "12 completed, 2 running, 34 pending"."""
    told = [
        f"{view.counts[status]} {look(status).word}" for status in _ORDER if view.counts.get(status)
    ]
    if view.linked:
        told.append(f"{view.linked} of them computed before")
    return ", ".join(told)


def pace_words(view: SweepView) -> str:
    """How fast it goes, and how long the rest will take; empty where nobody can know."""
    told = []
    if view.per_minute is not None:
        rate = view.per_minute
        told.append(f"{rate:.0f} points a minute" if rate >= 10 else f"{rate:.1f} points a minute")
    if view.seconds_left is not None and view.status is SweepStatus.RUNNING:
        told.append(f"{duration(view.seconds_left)} left")
    return ", ".join(told)


def cost(share: BackendShare) -> str:
    """What a point costs on a backend, in seconds; empty before one is completed."""
    seconds = share.seconds_per_point
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def sweep_line(view: SweepView) -> str:
    """The whole on one line, for consoles."""
    parts = [
        f"{one_line(view.name, 80)}: {view.status.value}",
        f"{len(view.points)} points of {one_line(', '.join(view.axes), 200) or 'no axes'}",
        count_words(view),
        pace_words(view) if view.status is SweepStatus.RUNNING else "",
    ]
    return "; ".join(part for part in parts if part)


def status_chip(status: SweepStatus) -> str:
    """HTML of the small label that shows how a sweep is."""
    return chip(JobStatus(status.value))


def head_html(view: SweepView) -> str:
    """Name, status, counts and pace as HTML."""
    pace = pace_words(view) if view.status is SweepStatus.RUNNING else ""
    note = f'<div class="comfynb-problem">{user(view.note, 400)}</div>' if view.note else ""
    return (
        f'<div class="comfynb-headline">{status_chip(view.status)}'
        f'<span class="comfynb-name">{user(view.name, 120)}</span>'
        f'<span class="comfynb-num">{view.ended} of {len(view.points)} points</span>'
        f'<span class="comfynb-soft comfynb-num">{esc(pace)}</span></div>'
        f'<div class="comfynb-soft">{esc(count_words(view))}</div>{note}'
    )


def total_bar(view: SweepView) -> str:
    """How much of it is how, as one bar; the words stand beside it."""
    total = max(len(view.points), 1)
    parts = "".join(
        f'<i class="{look(status).css_class}" title="{view.counts[status]} {look(status).word}"'
        f' style="width:{100 * view.counts[status] / total:.3f}%"></i>'
        for status in _ORDER
        if view.counts.get(status)
    )
    label = esc(f"{view.ended} of {len(view.points)} points have ended: {count_words(view)}")
    return f'<div class="comfynb-sweep-total" role="img" aria-label="{label}">{parts}</div>'


def shares_table(shares: Sequence[BackendShare]) -> StaticTable:
    """What each backend did, and what a point costs there."""
    return StaticTable(
        ["Backend", "Completed", "Running", "Failed", "Seconds a point"],
        [
            (
                share.name,
                share.completed,
                share.running,
                share.failed,
                Cell(cost(share), esc(cost(share))),
            )
            for share in shares
        ],
        empty="no backend has begun yet",
        limit=200,
    )


@cache
def _css() -> str:
    return (resources.files("comfynb.widgets") / "static" / "sweep.css").read_text("utf-8")


def sweep_styled(body: str) -> str:
    """``body`` with the style sheets: static HTML that needs nothing else."""
    return f"<style>{_css()}</style>{styled(body)}"


def sweeps_table(rows: Iterable[Sequence[Any]]) -> StaticTable:
    """Name, kind, status, points, completed, failed, created: one row for each sweep."""
    return StaticTable(
        ["Name", "Kind", "Status", "Points", "Completed", "Failed", "Created (UTC)"],
        [
            (
                name,
                kind,
                Cell(status, status_chip(SweepStatus(status))),
                points,
                completed,
                failed,
                f"{created:%Y-%m-%d %H:%M}" if isinstance(created, datetime) else created,
            )
            for name, kind, status, points, completed, failed, created in rows
        ],
        empty='no sweeps yet: wb.sweep(wf, grid={"seed": "1..16"})',
    )


def values_table(values: Mapping[str, Any]) -> StaticTable:
    """A point's values, one below the other."""
    return StaticTable(["Parameter", "Value"], list(values.items()), limit=100)
