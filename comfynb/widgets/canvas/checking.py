"""What is wrong with the graph: the last check's sentences, beneath the canvas and by node."""

from collections.abc import Callable, Sequence

from comfynb.models import CanvasLayout
from comfynb.widgets.canvas.contract import Check, Problem
from comfynb.widgets.composite import html
from comfynb.widgets.markup import user

__all__ = ["Checking"]


class Checking:
    """``check`` is asked by ``run``; None finds nothing wrong, ever."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self.found: tuple[Problem, ...] = ()
        self.marked: frozenset[str] = frozenset()
        """Ids of the nodes and connections with something wrong."""
        self.line = html("", "comfynb-canvas-problems")

    def run(self, layout: Callable[[], CanvasLayout]) -> None:
        """Ask about a graph, and say the first thing that is wrong."""
        if self._check is None:
            return
        self.found = tuple(self._check(layout()))
        self.marked = frozenset(
            one
            for problem in self.found
            for one in (problem.node_id, getattr(problem, "connection_id", None))
            if one is not None
        )
        self.line.value = _words(self.found)

    def about(self, node_id: str) -> list[str]:
        """What is wrong with one node."""
        return [one.message for one in self.found if one.node_id == node_id]


def _words(found: Sequence[Problem]) -> str:
    if not found:
        return ""
    more = len(found) - 1
    rest = f' <span class="comfynb-soft">and {more} more</span>' if more else ""
    return f'<span class="comfynb-warning">{user(found[0].message, 200)}</span>{rest}'
