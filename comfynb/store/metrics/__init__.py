"""What the machines did, in the store: samples in, summed up, thrown away in time, and asked for.

The tables are explained in docs/analytics.md. Whoever collects from a backend owns its row of
``metrics_state``; nobody else writes, sums up or deletes samples of that backend.
"""

from comfynb.store.metrics.journal import MetricsJournal
from comfynb.store.metrics.rows import AVERAGED, FIELDS, NodeSpan, Reading, floor_time
from comfynb.store.metrics.upkeep import Keeping, Upkeep
from comfynb.store.metrics.windows import Window, series_sql, windows

__all__ = [
    "AVERAGED",
    "FIELDS",
    "Keeping",
    "MetricsJournal",
    "NodeSpan",
    "Reading",
    "Upkeep",
    "Window",
    "floor_time",
    "series_sql",
    "windows",
]
