"""Graphs in code and on their canvas: ``wb.graphs``, its graphs, and their nodes."""

from comfynb.workbench.graphs.graph import Graph, Problems
from comfynb.workbench.graphs.graphs import Graphs
from comfynb.workbench.graphs.nodes import GraphNode, Port

__all__ = ["Graph", "GraphNode", "Graphs", "Port", "Problems"]
