"""Sweeps: many points of workflows and graphs, ``wb.sweep``, ``wb.sweeps`` and ``wb.optimize``."""

from comfynb.workbench.sweeps.study import Score, Study, start_study
from comfynb.workbench.sweeps.subjects import Sweepable
from comfynb.workbench.sweeps.sweep import Sweep
from comfynb.workbench.sweeps.sweeps import Sweeps

__all__ = ["Score", "Study", "Sweep", "Sweepable", "Sweeps", "start_study"]
