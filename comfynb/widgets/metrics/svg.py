"""A window of metrics as a drawing that needs neither kernel nor script: SVG with jobs beneath."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from comfynb.widgets.markup import clip, esc, one_line
from comfynb.widgets.metrics.figure import Figure, thin
from comfynb.widgets.metrics.jobs import lanes
from comfynb.widgets.metrics.look import STATUSES, LineLook, line_look
from comfynb.widgets.metrics.views import MetricsWindow, field_look
from comfynb.widgets.theme import look

__all__ = ["clock", "drawing"]

WIDTH = 860
LEFT, RIGHT = 96, 8
ROW, GAP, LEVEL = 58, 12, 12
POINTS = 240
"""Points of one line: a saved notebook stays small."""


def clock(seconds: float, span: float) -> str:
    """A time of the axis in UTC: with the date where the window is longer than a day."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%d %b %H:%M" if span > 86_400 else "%H:%M:%S")


def drawing(window: MetricsWindow, drawn: Figure, fields: Sequence[str]) -> str:
    """The SVG of ``drawn``, which is the figure of ``window``.

    Times are UTC, since nobody knows who will read it where.
    """
    span = window.end - window.start
    inner = WIDTH - LEFT - RIGHT

    def across(ms: float) -> float:
        share = (ms / 1000 - window.start) / span
        return LEFT + inner * min(max(share, 0.0), 1.0)

    parts: list[str] = []
    looks = {name: line_look(place) for place, name in enumerate(window.backends)}
    top = 20.0
    for name in fields:
        parts.append(_row(drawn, name, top, across, looks))
        top += ROW + GAP
    stacked = lanes(window.backends, window.jobs, window.start, window.end)
    colours = {kind.status: kind.colour for kind in STATUSES}
    for lane in stacked:
        lane_height = lane.levels * LEVEL
        parts.append(_label(lane.backend, top + lane_height / 2))
        for bar in lane.bars:
            left, right = across(bar.start * 1000), across(bar.end * 1000)
            names = ", ".join(dict.fromkeys(one_line(span.name, 60) for span in bar.spans[:3]))
            parts.append(
                f'<rect x="{left:.1f}" y="{top + bar.level * LEVEL + 1:.1f}" '
                f'width="{max(right - left, 1.2):.1f}" height="{LEVEL - 2}" rx="1.5" '
                f'fill="{colours.get(bar.status, STATUSES[-1].colour)}">'
                f"<title>{esc(names)}: {look(bar.status).word}</title></rect>"
            )
        top += lane_height + 3
    bottom = top + 4
    parts += [
        f'<text x="{LEFT + inner * share:.0f}" y="{bottom + 12:.0f}" text-anchor="{anchor}">'
        f"{clock(window.start + span * share, span)}{' UTC' if share == 1 else ''}</text>"
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    height = bottom + 20
    return (
        f'<svg class="comfynb-metrics-svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="Metrics and jobs over time" '
        f'fill="currentColor" font-size="11">{_legend(window)}{"".join(parts)}</svg>'
    )


def _legend(window: MetricsWindow) -> str:
    made, left = [], float(LEFT)
    for place, name in enumerate(window.backends[:8]):
        pen = line_look(place)
        shown = clip(one_line(name, 60), 22)
        made.append(
            f'<path d="M{left:.0f} 9h22" stroke="{pen.colour}" stroke-width="2" '
            f'stroke-dasharray="{pen.stroke}"/>'
            f'<text x="{left + 27:.0f}" y="13">{esc(shown)}</text>'
        )
        left += 45 + 6.4 * len(shown)
        if left > WIDTH - 120:
            break
    return "".join(made)


def _label(text: str, middle: float) -> str:
    return (
        f'<text x="{LEFT - 6}" y="{middle + 4:.1f}" text-anchor="end">'
        f"{esc(clip(one_line(text, 60), 16))}</text>"
    )


def _row(
    drawn: Figure,
    name: str,
    top: float,
    across: Callable[[float], float],
    looks: Mapping[str, LineLook],
) -> str:
    seen = field_look(name)
    thinned = [
        (backend, thin(points, POINTS))
        for (field, backend, _), points in zip(drawn.lines, drawn.points, strict=True)
        if field == name
    ]
    values = [y for _, (_, ys) in thinned for y in ys if not math.isnan(y)]
    high = seen.top or max(values, default=1.0) * 1.05 or 1.0
    base = top + ROW
    made = [
        (
            f'<path d="M{LEFT} {top:.0f}V{base:.0f}H{WIDTH - RIGHT}" fill="none" '
            'stroke="currentColor" stroke-opacity="0.35"/>'
        ),
        f'<text x="{LEFT - 6}" y="{top + ROW / 2:.0f}" text-anchor="end">{esc(seen.title)}</text>',
        (
            f'<text x="{LEFT - 6}" y="{top + ROW / 2 + 13:.0f}" text-anchor="end" '
            f'fill-opacity="0.7">{esc(seen.unit)}</text>'
        ),
        f'<text x="{LEFT + 4}" y="{top + 9:.0f}" fill-opacity="0.7">{high:.3g}</text>',
    ]
    for backend, (xs, ys) in thinned:
        pen_look = looks[backend]
        path, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isnan(y):
                pen = "M"
                continue
            path.append(f"{pen}{across(x):.1f} {base - ROW * min(max(y / high, 0), 1):.1f}")
            pen = "L"
        if path:
            made.append(
                f'<path d="{"".join(path)}" fill="none" stroke="{pen_look.colour}" '
                f'stroke-width="1.6" stroke-dasharray="{pen_look.stroke}" stroke-linejoin="round"/>'
            )
    return "".join(made)
