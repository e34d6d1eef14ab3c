"""Sweeps on the page: the live grid, comparisons, plots and exports."""

from comfynb.widgets.sweeps.comparison import SweepComparison
from comfynb.widgets.sweeps.grid import SweepGrid
from comfynb.widgets.sweeps.plot import SweepPlot, points_frame
from comfynb.widgets.sweeps.text import sweep_line, sweeps_table

__all__ = [
    "SweepComparison",
    "SweepGrid",
    "SweepPlot",
    "points_frame",
    "sweep_line",
    "sweeps_table",
]
