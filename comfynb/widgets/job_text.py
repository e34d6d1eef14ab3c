"""A job in HTML and in one line of text: what rows, tables and reprs have in common."""

from datetime import datetime

from comfynb.engine.views import JobView
from comfynb.models import JobStatus
from comfynb.widgets.markup import elapsed, esc, one_line, sentence, user
from comfynb.widgets.theme import chip, look

__all__ = ["bar", "doing", "error_html", "head_html", "line", "when"]


def bar(progress: float, css_class: str, label: str) -> str:
    """A progress bar; ``progress`` is 0-100."""
    width = min(max(progress, 0.0), 100.0)
    return (
        f'<div class="comfynb-bar {css_class}" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{width:.0f}" aria-label="{esc(one_line(label, 80))}">'
        f'<i style="width:{width:.1f}%"></i></div>'
    )


def doing(view: JobView) -> str:
    """What it does right now, in words; empty once it is done."""
    if view.status.is_terminal:
        return view.note or ""
    if view.status is JobStatus.PENDING and view.queue_position is not None:
        ahead = view.queue_position
        place = "next in the queue" if ahead <= 0 else f"{ahead} ahead in the queue"
        return f"{view.note} ({place})" if view.note else place
    return view.step or view.note or ""


def when(moment: datetime, now: datetime) -> str:
    """A time of day in the kernel's own zone, with the date if it is not today's."""
    local, today = moment.astimezone(), now.astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%d %b %H:%M")


def _times(view: JobView, now: datetime) -> str:
    if view.started_at is None and not view.status.is_terminal:
        waited = elapsed(view.created_at, None, now)
        return f"waiting {waited}"
    return elapsed(view.started_at or view.created_at, view.completed_at, now)


def head_html(view: JobView, now: datetime) -> str:
    """Status, name, backend, time, and while it is not done the bar with the current step."""
    parts = [
        chip(view.status),
        (
            f'<span class="comfynb-name comfynb-cut" title="{esc(one_line(view.name, 300))}">'
            f"{user(view.name, 120)}</span>"
        ),
    ]
    if view.backend:
        parts.append(f'<span class="comfynb-soft">on {user(view.backend, 60)}</span>')
    if view.status is JobStatus.COMPLETED and view.images:
        parts.append(f'<span class="comfynb-soft">{_count(len(view.images))}</span>')
    told = doing(view)
    waits = view.status is JobStatus.PENDING
    if told and (waits or view.status.is_terminal):
        parts.append(f'<span class="comfynb-soft">{user(told, 160)}</span>')
    parts.append('<span class="comfynb-grow"></span>')
    parts.append(f'<span class="comfynb-soft comfynb-num">{esc(_times(view, now))}</span>')
    out = f'<div class="comfynb-headline">{"".join(parts)}</div>'
    if not waits and not view.status.is_terminal:
        percent = min(max(view.progress, 0), 100)
        shown = bar(percent, look(view.status).css_class, view.name)
        words = f"{user(told, 120)} · " if told else ""
        out += (
            f'<div class="comfynb-progress">{shown}'
            f'<span class="comfynb-num comfynb-cut">{words}{percent:.0f} %</span></div>'
        )
    return out


def _count(images: int) -> str:
    return "1 picture" if images == 1 else f"{images} pictures"


def error_html(error: str | None) -> str:
    """The error's sentence; a traceback behind it folds out."""
    if not error:
        return ""
    first, rest = sentence(error)
    details = (
        f"<details><summary>Details</summary><pre>{esc(rest[:20_000])}</pre></details>"
        if rest
        else ""
    )
    return f'<div class="comfynb-error" role="alert">{user(first, 1000)}{details}</div>'


def line(view: JobView, now: datetime) -> str:
    """The job in one line of text."""
    parts = [f"{look(view.status).sign} {one_line(view.name, 80)}: {view.status.value}"]
    if view.backend:
        parts.append(f"on {one_line(view.backend, 60)}")
    if not view.status.is_terminal:
        parts.append(f"{min(max(view.progress, 0), 100):.0f} %")
    told = doing(view)
    if told:
        parts.append(f"({one_line(told, 120)})")
    if view.images:
        parts.append(_count(len(view.images)))
    parts.append(_times(view, now))
    text = " ".join(part for part in parts if part)
    return f"{text}\n  {one_line(sentence(view.error)[0], 300)}" if view.error else text
