"""Where nodes belong: a graph's arrangement on the canvas's grid, for the editor and for code."""

from collections.abc import Collection, Mapping

from comfynb.widgets.canvas.layered import Link, arrange
from comfynb.widgets.canvas.topology import WIDTH, Topology

__all__ = ["SNAP", "arranged"]

SNAP = 20.0
"""The grid's distance, in CSS pixels at a zoom of 1."""


def arranged(
    of: Topology, chosen: Collection[str], heights: Mapping[str, float] | None = None
) -> dict[str, tuple[float, float]]:
    """Places on the grid for the ``chosen`` nodes, the first one's part beginning at (0, 0).

    ``heights`` are those of nodes that are higher than they look in the graph: with pictures
    beneath them.
    """
    inside, more = set(chosen), heights or {}
    links = [
        Link(of.ids[start], of.ids[end], float(ends[1]), float(ends[3]))
        for start, end, ends in zip(of.edge_from, of.edge_to, of.edge_ends, strict=True)
        if of.ids[start] in inside and of.ids[end] in inside
    ]
    sizes = {
        key: max(float(height), more.get(key, 0.0))
        for key, height in zip(of.ids, of.heights, strict=True)
        if key in inside
    }
    return arrange(sizes, links, width=WIDTH, snap=SNAP)
