"""The nodes of a graph's job as live lines: a line that does not change is not sent again."""

from datetime import datetime

import ipywidgets

from comfynb.engine.views import JobView
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.job_nodes_text import is_graph, node_html, rest_html, shown_nodes

__all__ = ["NodeLines"]


class NodeLines(ipywidgets.VBox):  # type: ignore[misc]
    """A line for each node, each a widget of its own.

    So an error that somebody folded out stays open while other nodes go on, and a node's progress
    costs one line on the wire.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("comfynb-nodes")
        self._lines: dict[str, ipywidgets.HTML] = {}
        self._rest = html("", "comfynb-soft")
        self._shown: tuple[ipywidgets.Widget, ...] = ()

    def show(self, view: JobView, now: datetime) -> None:
        """Show the nodes as they are now."""
        if not is_graph(view):
            return
        gone = dict(self._lines)
        lines: dict[str, ipywidgets.HTML] = {}
        for node in shown_nodes(view.nodes):
            line = gone.pop(node.canvas_node_id, None) or html()
            line.value = node_html(node, now)
            lines[node.canvas_node_id] = line
        self._lines = lines
        self._rest.value = rest_html(view.nodes)
        children = (*lines.values(), *([self._rest] if self._rest.value else []))
        if children != self._shown:
            self._shown = children
            self.children = children
        for line in gone.values():
            close_tree(line)
