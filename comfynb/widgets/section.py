"""A heading that opens and closes what is under it, built when somebody opens it."""

from collections.abc import Callable, Sequence

import ipywidgets

from comfynb.widgets.composite import close_tree
from comfynb.widgets.markup import one_line

__all__ = ["Section"]


class Section:
    """A heading with boxes under it; ``make(key)`` gives the box of each key at the first opening.

    Who made the boxes closes them.
    """

    def __init__(
        self,
        title: str,
        keys: Sequence[str],
        make: Callable[[str], ipywidgets.Widget],
        *,
        css_class: str = "comfynb-fields",
    ) -> None:
        self.keys = list(keys)
        self.title = title
        self._make = make
        self._button = ipywidgets.ToggleButton(
            description=f"{one_line(title, 80)} ({len(self.keys)})", icon="caret-right"
        )
        self._button.observe(lambda change: self._show(change["new"]), "value")
        self._css_class = css_class
        self._made: ipywidgets.Box | None = None
        self.widget = ipywidgets.VBox([self._button])
        self.widget.add_class("comfynb-section")

    @property
    def _grid(self) -> ipywidgets.Box:
        # Made when it is first opened: a form may have a hundred headings.
        if self._made is None:
            self._made = ipywidgets.Box()
            self._made.add_class(self._css_class)
        return self._made

    @property
    def is_open(self) -> bool:
        """Whether what is under it is on show."""
        return bool(self._button.value)

    def open(self) -> None:
        """Show what is under it."""
        self._button.value = True

    def refill(self) -> None:
        """Take the boxes anew, where they are on show."""
        if self.is_open:
            self._grid.children = tuple(map(self._make, self.keys))

    def empty(self) -> None:
        """Let go of the boxes: they are shown in another place for a while."""
        if self._made is not None:
            self._made.children = ()

    def _show(self, on: bool) -> None:
        self._button.icon = "caret-down" if on else "caret-right"
        if on:
            self._grid.children = tuple(map(self._make, self.keys))
        self.widget.children = (self._button, self._grid) if on else (self._button,)

    def close(self, *, keep_boxes: bool = False) -> None:
        """Close all of it, whether on show or not."""
        if self._made is not None:
            if keep_boxes:
                self._made.children = ()
            close_tree(self._made)
        close_tree(self.widget)
