"""The buttons over the canvas."""

from collections.abc import Callable
from functools import partial

import ipywidgets

from comfynb.widgets.canvas.hand import Dirty, Hand
from comfynb.widgets.composite import html, icon_button
from comfynb.widgets.markup import one_line

__all__ = ["Bar"]

Act = Callable[[Callable[[], object]], None]


class Bar(ipywidgets.HBox):  # type: ignore[misc]
    """Commands of ``hand`` as buttons.

    ``act(do)`` does one and brings everything into step, ``say(text)`` tells a sentence,
    ``palette(on)`` opens and closes the palette, ``show_map(on)`` the minimap, ``run`` starts the
    graph (None: there is no such button).
    """

    def __init__(
        self,
        hand: Hand,
        act: Act,
        *,
        say: Callable[[str], None],
        palette: Callable[[bool], None],
        show_map: Callable[[bool], None],
        run: Callable[[], None] | None,
    ) -> None:
        self._hand, self._act, self._say, self._show_map = hand, act, say, show_map
        self._starting = False
        self.adding = icon_button("plus", "Add a node (N)", toggle=True)
        self.adding.observe(lambda event: palette(event["new"]), "value")
        self.undo = self._button("undo", "Undo", hand.undo)
        self.redo = self._button("repeat", "Redo", hand.redo)
        self._for_chosen = [
            self._button("trash", "Delete (Del)", hand.delete),
            self._button("clone", "Duplicate (Ctrl+D)", hand.duplicate),
            self._button("copy", "Copy (Ctrl+C)", hand.copy),
        ]
        paste = self._button("paste", "Paste (Ctrl+V)", partial(hand.paste, at_pointer=False))
        arrange = self._button("sitemap", "Arrange (L)", hand.auto_layout)
        selecting = self._toggle("object-group", "Select by dragging", self._set_selecting)
        snap = self._toggle("th", "Snap to the grid", self._set_snap, on=True)
        small = self._toggle("map-o", "Minimap", self._set_map, on=True)
        self._zoom = html("100 %", "comfynb-canvas-zoom")
        zooms = [
            self._button("search-minus", "Zoom out (-)", lambda: hand.zoom(0.8)),
            self._zoom,
            self._button("search-plus", "Zoom in (+)", lambda: hand.zoom(1.25)),
            self._button("expand", "Fit (F)", hand.fit),
        ]
        self.run = ipywidgets.Button(description="Run", icon="play", tooltip="Run this graph")
        self.run.add_class("comfynb-canvas-text")
        self.run.add_class("comfynb-canvas-run")
        if run is not None:
            self.run.on_click(lambda _: run())
        groups = (
            [self.undo, self.redo],
            [*self._for_chosen, paste],
            [arrange],
            [selecting, snap, small],
            zooms,
        )
        parts = [one for group in groups for one in (html("", "comfynb-canvas-gap"), *group)]
        super().__init__(
            [
                self.adding,
                *parts,
                html("", "comfynb-canvas-grow"),
                *([self.run] if run is not None else []),
            ]
        )
        self.add_class("comfynb-canvas-bar")

    def _button(self, icon: str, name: str, do: Callable[[], object]) -> ipywidgets.Widget:
        made = icon_button(icon, name)
        made.on_click(lambda _: self._act(do))
        return made

    def _toggle(
        self, icon: str, name: str, do: Callable[[bool], None], *, on: bool = False
    ) -> ipywidgets.Widget:
        made = icon_button(icon, name, toggle=True)
        made.value = on
        made.observe(lambda event: self._act(lambda: do(event["new"])), "value")
        return made

    def _set_selecting(self, on: bool) -> None:
        self._hand.selecting = on
        self._say("Dragging on the canvas selects." if on else "Dragging on the canvas pans.")

    def _set_snap(self, on: bool) -> None:
        self._hand.scene.snap = on

    def _set_map(self, on: bool) -> None:
        self._show_map(on)
        self._hand.dirty |= Dirty.JOB

    def follow(self) -> None:
        """Show what can be done now."""
        scene = self._hand.scene
        history, chosen = scene.history, bool(scene.selected or scene.selected_edges)
        for button, name, label in (
            (self.undo, "Undo", history.undo_label),
            (self.redo, "Redo", history.redo_label),
        ):
            button.disabled = label is None
            button.tooltip = f"{name}: {one_line(label, 80)}" if label else name
        for button in self._for_chosen:
            button.disabled = not chosen
        self.run.disabled = self._starting or not scene.document.nodes

    def set_starting(self, on: bool) -> None:
        """Nobody starts the graph while it is being started."""
        self._starting = on
        self.run.disabled = on or not self._hand.scene.document.nodes

    def show_zoom(self) -> None:
        """Say how near the camera is."""
        self._zoom.value = f"{self._hand.camera.zoom * 100:.0f} %"
