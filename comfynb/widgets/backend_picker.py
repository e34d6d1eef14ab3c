"""Choosing backends: one, several, or none for "any that is free"; it follows the fleet."""

from collections.abc import Sequence

import ipywidgets
import traitlets

from comfynb.engine.views import BackendView, Watchable
from comfynb.widgets.backend_text import option, state
from comfynb.widgets.composite import Composite, close_tree, html
from comfynb.widgets.live import Live

__all__ = ["BackendPicker"]

ANY = "any backend that is free"


class BackendPicker(Composite):
    """Check boxes (``multiple``) or a drop-down list of backends.

    ``value`` is the list of chosen backend ids, in the order of the table; empty means any. It can
    be set and observed: ``picker.observe(function, "value")``. A chosen backend that is removed
    leaves the choice; one that goes offline stays chosen, and says so.
    """

    value = traitlets.List(traitlets.Unicode())

    def __init__(
        self,
        backends: Watchable[tuple[BackendView, ...]],
        *,
        multiple: bool = True,
        value: Sequence[str] = (),
    ) -> None:
        self._backends = backends
        self._multiple = multiple
        self._boxes: dict[str, ipywidgets.Checkbox] = {}
        self._setting = False
        self._choice: ipywidgets.Dropdown | None = None
        self._note = html("", "comfynb-note")
        self._rows = ipywidgets.VBox()
        self._rows.add_class("comfynb-picker")
        if not multiple:
            self._choice = ipywidgets.Dropdown(description="Backend", options=[(ANY, "")])
            self._choice.layout.width = "auto"
            self._choice.observe(self._chosen, "value")
        super().__init__([self._rows if self._choice is None else self._choice, self._note])
        self._show(backends.view)
        self.value = list(value)
        self._live: Live[tuple[BackendView, ...]] = Live(backends, self._show)

    @traitlets.validate("value")
    def _known(self, proposal: dict[str, list[str]]) -> list[str]:
        wanted = list(proposal["value"])
        if not self._multiple and len(wanted) > 1:
            raise traitlets.TraitError("this picker takes one backend, not several")
        known = [view.id for view in self._backends.view]
        strange = [one for one in wanted if one not in known]
        if strange:
            raise traitlets.TraitError(f"no backend has the id {strange[0]!r}")
        return [one for one in known if one in wanted]

    @traitlets.observe("value")
    def _changed(self, _: object) -> None:
        self._write()

    def _write(self) -> None:
        """Bring the boxes in line with ``value``."""
        self._setting = True
        try:
            for backend_id, box in self._boxes.items():
                box.value = backend_id in self.value
            if self._choice is not None:
                self._choice.value = self.value[0] if self.value else ""
        finally:
            self._setting = False
        self._tell()

    def _tell(self) -> None:
        chosen = [view for view in self._backends.view if view.id in self.value]
        away = [view for view in chosen if state(view) != "online"]
        if not self._backends.view:
            self._note.value = "no backends yet"
        elif not chosen:
            self._note.value = ANY if self._multiple else ""
        elif len(away) == len(chosen):
            self._note.value = '<span class="comfynb-warning">none of these is online now</span>'
        else:
            self._note.value = f"{len(chosen)} of {len(self._backends.view)}"

    def _show(self, views: tuple[BackendView, ...]) -> None:
        if self._choice is not None:
            options = [(ANY, ""), *((option(view), view.id) for view in views)]
            if tuple(options) != tuple(self._choice.options):
                self._setting = True
                try:
                    self._choice.options = options
                finally:
                    self._setting = False
        else:
            self._show_boxes(views)
        present = {view.id for view in views}
        self.value = [one for one in self.value if one in present]
        self._write()

    def _show_boxes(self, views: tuple[BackendView, ...]) -> None:
        gone = dict(self._boxes)
        boxes: dict[str, ipywidgets.Checkbox] = {}
        for view in views:
            box = gone.pop(view.id, None)
            if box is None:
                box = ipywidgets.Checkbox(indent=False, layout={"width": "auto"})
                box.observe(self._chosen, "value")
            box.description = option(view)
            boxes[view.id] = box
        self._boxes = boxes
        if tuple(boxes.values()) != self._rows.children:
            self._rows.children = tuple(boxes.values())
        for box in gone.values():
            box.unobserve_all()
            close_tree(box)

    def _chosen(self, _: object) -> None:
        if self._setting:
            return
        if self._choice is not None:
            self.value = [self._choice.value] if self._choice.value else []
        else:
            self.value = [one for one, box in self._boxes.items() if box.value]

    def plain(self) -> str:
        """The choice as text."""
        chosen = [option(view) for view in self._backends.view if view.id in self.value]
        return "\n".join(chosen) or ANY

    def close(self) -> None:
        """Stop watching and close the picker."""
        if hasattr(self, "_live"):
            self._live.stop()
        super().close()
