"""The panels over the canvas: the palette on the left, the inspector on the right."""

import ipywidgets

from comfynb.widgets.canvas.camera import Insets
from comfynb.widgets.canvas.screen import Screen
from comfynb.widgets.composite import close_tree

__all__ = ["Panels"]

LEFT, RIGHT = 236.0, 296.0
"""CSS pixels that they cover."""

NARROW = 760.0
"""In a window that is not wider, the inspector may lie on the graph."""


class Panels:
    """Two boxes on the stage of ``screen``, each there only while something is in it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._left = _box("comfynb-panel-left")
        self._right = _box("comfynb-panel-right")

    @property
    def left(self) -> bool:
        """Whether there is one on the left."""
        return bool(self._left.children)

    def show_left(self, widget: ipywidgets.Widget | None) -> None:
        """Put this one on the left; None takes it away. It is not closed."""
        self._left.children = () if widget is None else (widget,)
        self._arrange()

    def show_right(self, widget: ipywidgets.Widget | None) -> None:
        """Put this one on the right; None takes it away. It is not closed."""
        self._right.children = () if widget is None else (widget,)
        self._arrange()

    def _arrange(self) -> None:
        shown = [*self._screen.layers, self._screen.surface]
        shown += [one for one in (self._left, self._right) if one.children]
        if tuple(shown) != self._screen.stage.children:
            self._screen.stage.children = shown

    @property
    def insets(self) -> Insets:
        """What of the window is covered."""
        right = self._right.children and self._screen.size[0] > NARROW
        return Insets(left=LEFT if self.left else 0.0, right=RIGHT if right else 0.0)

    def close(self) -> None:
        """Close both, with what is in them."""
        for one in (self._left, self._right):
            close_tree(one)


def _box(name: str) -> ipywidgets.Box:
    box = ipywidgets.Box([])
    box.add_class("comfynb-panel")
    box.add_class(name)
    return box
