"""A backend in HTML and in text: what the live table, the picker and reprs have in common."""

from comfynb.engine.views import BackendView
from comfynb.widgets.job_text import bar
from comfynb.widgets.markup import address_link, clip, esc, mebibytes, one_line, sentence, user
from comfynb.widgets.tables import Cell, StaticTable
from comfynb.widgets.theme import online_chip

__all__ = ["HEAD", "backends_table", "line_html", "option", "state"]

HEAD = ("Backend", "State", "GPU", "VRAM", "Queue", "Running", "Tags")


def state(view: BackendView) -> str:
    """One word: online, offline, asking or disabled."""
    if not view.enabled:
        return "disabled"
    if view.online is None:
        return "asking"
    return "online" if view.online else "offline"


def _vram(view: BackendView) -> str:
    if not view.vram_total:
        return ""
    if view.vram_used is None:
        return mebibytes(view.vram_total)
    return f"{mebibytes(view.vram_used, view.vram_total)} / {mebibytes(view.vram_total)}"


def line_html(view: BackendView) -> str:
    """One line of the live table."""
    name = esc(one_line(view.name, 300))
    first = (
        f'<div class="comfynb-cut" title="{name}"><b>{user(view.name, 80)}</b></div>'
        f'<div class="comfynb-cut comfynb-note">{address_link(view.url)}</div>'
    )
    shown = online_chip(view.online, view.enabled)
    vram = f'<span class="comfynb-num">{esc(_vram(view))}</span>'
    if view.vram_total and view.vram_used is not None:
        vram += bar(100 * view.vram_used / view.vram_total, "", f"VRAM of {view.name}")
    wrong = ""
    if view.error and view.enabled:
        told = f'<span class="comfynb-problem">{user(sentence(view.error)[0], 400)}</span>'
        wrong = f'<div class="comfynb-cell comfynb-whole">{told}</div>'
    if view.alerts:
        badges = " ".join(_badge(alert) for alert in view.alerts)
        wrong += f'<div class="comfynb-cell comfynb-whole" role="status">{badges}</div>'
    tags = "".join(f'<span class="comfynb-tag">{user(tag, 40)}</span>' for tag in view.tags[:8])
    cells = (
        first,
        shown,
        f'<span title="{esc(one_line(view.gpu or "", 200))}">{user(view.gpu or "", 60)}</span>',
        vram,
        f'<span class="comfynb-num">{view.queue_depth}</span>',
        f'<span class="comfynb-cut">{user(view.running or "", 120)}</span>',
        tags,
    )
    body = "".join(f'<div class="comfynb-cell">{cell}</div>' for cell in cells)
    return f'<div class="comfynb-line comfynb-backends-line">{body}{wrong}</div>'


def _badge(alert: str) -> str:
    """What is wrong with the machine, as a small label; its sign says so without the colour."""
    return (
        '<span class="comfynb-chip comfynb-failed comfynb-alert">'
        f'<span class="comfynb-sign" aria-hidden="true">!</span>{user(alert, 160)}</span>'
    )


def _doing(view: BackendView) -> str:
    """The last but one column: what is wrong, or what it runs."""
    if view.error and view.enabled:
        told = [sentence(view.error)[0], *view.alerts]
    else:
        told = [*view.alerts, *([view.running] if view.running else [])]
    return "; ".join(one_line(part, 200) for part in told)


def option(view: BackendView) -> str:
    """The backend in one short line, for lists to choose from."""
    parts = [clip(view.name, 60), state(view)]
    if view.gpu:
        parts.append(clip(view.gpu, 40))
    if view.queue_depth:
        parts.append(f"{view.queue_depth} in its queue")
    return one_line(" · ".join(parts), 160)


def backends_table(views: tuple[BackendView, ...]) -> StaticTable:
    """The backends as a static table."""
    rows = [
        (
            view.name,
            view.url,
            Cell(state(view), online_chip(view.online, view.enabled)),
            view.gpu or "",
            _vram(view),
            view.queue_depth,
            _doing(view),
            ", ".join(view.tags),
        )
        for view in views
    ]
    columns = ["Backend", "Address", "State", "GPU", "VRAM", "Queue", "Running", "Tags"]
    return StaticTable(columns, rows, empty="no backends yet")
