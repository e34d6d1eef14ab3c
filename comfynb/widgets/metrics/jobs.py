"""Jobs as bars on a time axis: one lane for each backend, stacked where they overlap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from comfynb.models import JobStatus
from comfynb.widgets.metrics.views import JobSpan

__all__ = ["MOST_BARS", "MOST_LEVELS", "Bar", "Lane", "lanes"]

MOST_BARS = 1000
"""Bars that are drawn; where there are more, neighbours too close to tell apart are joined."""
MOST_LEVELS = 6
"""Bars on top of one another in one lane; further ones share the last level."""
CLOCKS = 0.25
"""Seconds by which one job may seem to begin before the other has ended."""
WIDTH = 1200
"""Pixels that a time axis may have: what is narrower than one of them is joined first."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: usually one attempt of one job, or several that follow too closely to be told
    apart. ``level`` counts from 0 within its lane."""

    lane: str
    level: int
    status: JobStatus
    start: float
    end: float
    spans: tuple[JobSpan, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """A backend's bars, and how many levels they take (at least one)."""

    backend: str
    levels: int
    bars: tuple[Bar, ...]


def lanes(
    backends: Iterable[str], spans: Iterable[JobSpan], start: float, end: float
) -> list[Lane]:
    """The lanes of ``backends``, with the bars of ``spans`` cut to the window; what still runs
    reaches to its end."""
    by_lane: dict[str, list[JobSpan]] = {name: [] for name in backends}
    for span in spans:
        if span.start < end and (span.end is None or span.end > start):
            by_lane.setdefault(span.backend, []).append(span)
    total = sum(len(found) for found in by_lane.values())
    grain = (end - start) / WIDTH
    made = []
    for name, found in by_lane.items():
        bars, levels = _stacked(name, found, start, end)
        if total > MOST_BARS:
            share = max(MOST_BARS * len(found) // total, MOST_LEVELS)
            bars = _few(bars, grain, share)
        made.append(Lane(name, levels, tuple(bars)))
    return made


def _stacked(
    lane: str, spans: Sequence[JobSpan], start: float, end: float
) -> tuple[list[Bar], int]:
    """Each span on the lowest level that is free when it begins.

    One that begins a moment before the other has ended follows it: their times come from the clocks
    and messages of another machine. The other one's bar is cut there.
    """
    slack = max(CLOCKS, (end - start) / 500)
    free_from: list[float] = []
    newest: list[int] = []
    bars: list[Bar] = []
    for span in sorted(spans, key=lambda one: (one.start, one.id)):
        last = end if span.end is None else span.end
        level = next((n for n, at in enumerate(free_from) if at <= span.start), len(free_from))
        drawn = min(level, MOST_LEVELS - 1)
        if level == len(free_from):
            free_from.append(0.0)
            newest.append(-1)
        elif level == drawn:
            before = bars[newest[level]]
            bars[newest[level]] = replace(before, end=min(before.end, max(span.start, start)))
        # Of a short one at most a fifth may be missing.
        free_from[level] = last - min(slack, (last - span.start) / 5)
        newest[level] = len(bars)
        begun, ended = max(span.start, start), min(last, end)
        bars.append(Bar(lane, drawn, span.status, begun, ended, (span,)))
    return bars, min(max(len(free_from), 1), MOST_LEVELS)


def _few(bars: Sequence[Bar], grain: float, most: int) -> list[Bar]:
    """At most ``most`` bars: neighbours of one level and status are joined, ever more widely."""
    chains = [[bar] for bar in bars]
    kinds = len({(bar.level, bar.status) for bar in bars})
    while len(chains) > max(most, kinds):
        chains = _joined(chains, grain)
        grain *= 2
    return [_one(chain) for chain in chains]


def _joined(chains: Sequence[list[Bar]], grain: float) -> list[list[Bar]]:
    made: list[list[Bar]] = []
    growing: dict[tuple[int, JobStatus], tuple[list[Bar], float]] = {}
    for chain in chains:
        key = (chain[0].level, chain[0].status)
        end = max(bar.end for bar in chain)
        before = growing.get(key)
        if before is not None and chain[0].start - before[1] <= grain:
            before[0].extend(chain)
            growing[key] = (before[0], max(before[1], end))
        else:
            made.append(list(chain))
            growing[key] = (made[-1], end)
    return made


def _one(chain: Sequence[Bar]) -> Bar:
    first = chain[0]
    return Bar(
        first.lane,
        first.level,
        first.status,
        first.start,
        max(bar.end for bar in chain),
        tuple(span for bar in chain for span in bar.spans),
    )
