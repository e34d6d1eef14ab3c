"""Which ports of a tall node are rows of their own, and which stand behind its "+n" row.

A workflow with forty exposed parameters would be a node of forty rows, of which two are connected.
So a side with many ports shows those that matter: what is connected, what must be, what takes or
gives files, and the next free one. The others are a click away, and come out by themselves when
they are connected.
"""

from collections.abc import Collection, Sequence

from comfynb.engine.views import PortView
from comfynb.models import DataType

__all__ = ["TALL", "rows_of"]

TALL = 8
"""Ports of a side that are shown in any case."""

LEAST = 2
"""Ports that are worth a row which says that they are not shown."""

_PLAIN = frozenset({DataType.ANY, DataType.TRIGGER})


def rows_of(side: Sequence[PortView], used: Collection[str]) -> list[int | None]:
    """For each port of a side its row, from 0; None if it is not shown.

    ``used`` are the names of those that are connected.
    """
    everything = list[int | None](range(len(side)))
    if len(side) <= TALL:
        return everything
    shown = [one.required or one.name in used for one in side]
    files = [one.data_type not in _PLAIN for one in side]
    if sum(files) <= TALL:
        shown = [one or other for one, other in zip(shown, files, strict=True)]
    free = [place for place, one in enumerate(shown) if not one]
    if free:
        shown[free[0]] = True
    if len(free) - 1 < LEAST:
        return everything
    rows: list[int | None] = []
    number = 0
    for one in shown:
        rows.append(number if one else None)
        number += one
    return rows
