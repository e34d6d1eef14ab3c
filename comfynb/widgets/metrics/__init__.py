"""What the machines did, on the page: lines, jobs as bars beneath them, and a map of the week."""

from comfynb.widgets.metrics.heatmap import MetricsHeatmap
from comfynb.widgets.metrics.plot import MetricsPlot

__all__ = ["MetricsHeatmap", "MetricsPlot"]
