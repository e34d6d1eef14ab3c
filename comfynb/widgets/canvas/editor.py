"""The editor of a graph in a notebook: canvas, toolbar, palette, inspector, and a running job."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from pydantic import ValidationError

from comfynb.engine.views import BackendView, JobView
from comfynb.errors import ComfynbError
from comfynb.models import CanvasLayout, Viewport
from comfynb.widgets.canvas.adding import Adding
from comfynb.widgets.canvas.bar import Bar
from comfynb.widgets.canvas.camera import Camera, Insets
from comfynb.widgets.canvas.checking import Checking
from comfynb.widgets.canvas.colours import palette as colours_of
from comfynb.widgets.canvas.contract import (
    Check,
    Compatible,
    Inspector,
    PaletteItem,
    Ports,
    Problem,
    Title,
)
from comfynb.widgets.canvas.draw_job import Minimap
from comfynb.widgets.canvas.hand import Callbacks, Dirty, Hand, Mode, PaletteWish
from comfynb.widgets.canvas.inspecting import Inspecting
from comfynb.widgets.canvas.later import Later
from comfynb.widgets.canvas.painter import Painter
from comfynb.widgets.canvas.panels import Panels
from comfynb.widgets.canvas.pictures import Pictures
from comfynb.widgets.canvas.pointing import Pointing
from comfynb.widgets.canvas.primitives import Primitive
from comfynb.widgets.canvas.scene import Scene
from comfynb.widgets.canvas.screen import Screen
from comfynb.widgets.canvas.summaries import in_words
from comfynb.widgets.canvas.watched import Watched
from comfynb.widgets.composite import Composite, html
from comfynb.widgets.live import call
from comfynb.widgets.markup import esc, one_line, user

__all__ = ["CanvasEditor"]

CHECK_AFTER = 0.25
"""Seconds that a graph must have been left alone before it is checked."""

SAVE_VIEW_AFTER = 1.0
"""Seconds after the last pan or zoom until ``on_change`` hears of it."""

_LOG = logging.getLogger(__name__)


class CanvasEditor(Composite):
    """See the package's docstring for the arguments and what they are asked.

    Handlers never end it: what a callback raises is said beneath the canvas, and logged.
    """

    def __init__(
        self,
        layout: CanvasLayout,
        *,
        ports: Ports,
        title: Title,
        palette: Sequence[PaletteItem],
        compatible: Compatible,
        check: Check | None = None,
        inspector: Inspector | None = None,
        backends: Callable[[], Sequence[BackendView]] | None = None,
        on_change: Callable[[CanvasLayout], object] | None = None,
        on_run: Callable[[CanvasLayout], object] | None = None,
        name: str = "graph",
        height: int = 560,
    ) -> None:
        self._name = name
        self._on_change, self._on_run = on_change, on_run
        self._fit_first = layout.viewport == Viewport()
        self._said = html("", "comfynb-canvas-say", "comfynb-soft")
        self._checking = Checking(check)
        self.scene = Scene(layout, ports=ports, title=title, compatible=compatible)
        tell = Callbacks(
            say=self._say,
            palette=self._wish,
            minimap=self._minimap,
            insets=self._insets,
            heights=self._heights,
        )
        self.hand = Hand(self.scene, Camera.of(layout.viewport), tell)
        self._pointing = Pointing(self.hand)
        self._pictures = Pictures(lambda: self._screen.request(Dirty.JOB))
        self._watched = Watched(self._pictures)
        backends = backends or tuple
        self._painter = Painter(self.hand, self._watched, self._checking, backends)
        self._screen = Screen(
            label=f"Graph {one_line(name, 80)}. N adds a node, brackets go through the nodes.",
            height=height,
            paint=self._paint,
            stamps=self._pictures.stamps,
            pointer=self._pointer,
            heard=self._heard,
            resized=self._resized,
            failed=self._failed,
        )
        self.hand.size = self._screen.size
        self._document = self.scene.document
        self._camera = self.hand.camera
        self._later = Later(self._screen.guarded)
        self._panels = Panels(self._screen)
        self._adding = Adding(
            self.hand,
            self._panels,
            self._screen.surface,
            palette,
            act=self._act,
            say=self._say,
            toggled=self._palette_toggled,
        )
        self._inspecting = Inspecting(
            self.hand,
            self._panels,
            inspector=inspector,
            backends=backends,
            checking=self._checking,
            watched=self._watched,
            guarded=self._screen.guarded,
            changed=self._changed,
        )
        self._bar = Bar(
            self.hand,
            self._act,
            say=self._say,
            palette=lambda on: self._adding.show(on=on),
            show_map=self._show_map,
            run=self._run_clicked if on_run is not None else None,
        )
        foot = ipywidgets.HBox([self._said, self._checking.line])
        foot.add_class("comfynb-canvas-foot")
        self._runs = ipywidgets.VBox([])
        self._runs.add_class("comfynb-canvas-jobs")
        super().__init__([self._bar, self._screen.stage, foot, self._runs])
        self.add_class("comfynb-canvas")
        if not self.scene.document.nodes:
            self._adding.show(on=True)
        self._run_check()
        self._after()

    # What embedders use

    @property
    def canvas_layout(self) -> CanvasLayout:
        """The graph as it is now, with what is seen of it; shares nothing with the editor."""
        return self.scene.layout(self.hand.camera.viewport)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the last check found."""
        return self._checking.found

    def set_layout(self, layout: CanvasLayout) -> None:
        """Show another graph: code changed it. It is one edit; ``on_change`` is not called."""
        was_empty = not self.scene.document.nodes
        if self.scene.set_layout(layout):
            self._document = self.scene.document
            self.hand.edited()
            if was_empty:
                self.hand.fit()
            self._run_check()
            self._after()

    def set_palette(self, items: Sequence[PaletteItem]) -> None:
        """Offer these items to add."""
        self._adding.set_items(items)

    def refresh(self) -> None:
        """Ask for ports, titles and problems anew, and draw."""
        self.scene.forget()
        self._run_check()
        self._screen.refresh()
        self._after()

    def select(self, *node_ids: str) -> None:
        """Select these nodes and no others."""
        self.scene.select(node_ids)
        self._changed(Dirty.ALL)

    def fit(self) -> None:
        """Show the whole graph."""
        self._act(self.hand.fit)

    def auto_layout(self) -> None:
        """Arrange the selected nodes if there are several, else all; one edit."""
        self._act(self.hand.auto_layout)

    def undo(self) -> None:
        """Take the last edit back."""
        self._act(self.hand.undo)

    def redo(self) -> None:
        """Do the edit again that was taken back last."""
        self._act(self.hand.redo)

    def show_job(self, view: JobView | None) -> None:
        """Show how a job stands on its nodes; None shows the plain graph again."""
        self._watched.show(view)
        self._inspecting.show_state()
        self._screen.request(Dirty.JOB)

    def thumbnail(self, node_id: str, data: bytes) -> None:
        """Show an encoded picture beneath a node."""
        self._pictures.show(node_id, data)

    def to_svg(self, *, dark: bool | None = None) -> str:
        """The whole graph as an SVG file, with the job that is shown.

        ``dark``: None takes the theme that the page has.
        """
        look = self._screen.surface.dark if dark is None else dark
        return self._painter.svg(self.plain(), colours_of(dark=look))

    # What the parts ask and tell, which are made one after the other

    def _wish(self, wish: PaletteWish) -> None:
        self._adding.wish(wish)

    def _minimap(self) -> Minimap | None:
        return self._painter.minimap()

    def _heights(self) -> dict[str, float]:
        return self._painter.heights()

    def _insets(self) -> Insets:
        return self._panels.insets

    def _paint(self, dirty: Dirty) -> dict[Dirty, list[Primitive]]:
        return self._painter.paint(dirty)

    def _palette_toggled(self, on: bool) -> None:
        self._bar.adding.value = on

    def _show_map(self, on: bool) -> None:
        self._painter.map_on = on

    # Events

    def _act(self, do: Callable[[], object]) -> None:
        """Something was asked for: do it, and show what came of it."""
        self._screen.guarded(do)
        self._after()

    def _changed(self, dirty: Dirty) -> None:
        self.hand.dirty |= dirty
        self._after()

    def _pointer(self, event: Mapping[str, Any]) -> None:
        try:
            self._pointing.mouse(event)
        finally:
            self._after()

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message.get("event"):
            case "ready":
                self._pictures.send_all()
            case "key":
                self._act(lambda: self._pointing.key(message))
            case "drop":
                place = float(message.get("x", 0)), float(message.get("y", 0))
                self._adding.dropped(str(message.get("key", "")), *place)
            case _:
                pass

    def _resized(self) -> None:
        self.hand.size = self._screen.size
        if self._fit_first and self._screen.surface.width > 0:
            self._fit_first = False
            self.hand.fit()
            self._camera = self.hand.camera  # nobody moved it: nothing to save
            self._bar.show_zoom()

    def _failed(self, error: BaseException) -> None:
        """An error in a handler: one sentence for the person, the traceback for the log."""
        if isinstance(error, ComfynbError):
            self._say(str(error), bad=True)
            return
        if isinstance(error, ValidationError):
            self._say(str(error.errors()[0]["msg"]), bad=True)
            return
        self._say(f"{type(error).__name__}: {error}", bad=True)
        _LOG.error("in the canvas of %s", self._name, exc_info=error)

    def _say(self, text: str, *, bad: bool = False) -> None:
        kind = ' class="comfynb-problem"' if bad else ""
        self._said.value = f'<span role="status"{kind}>{user(text, 400)}</span>'

    def _after(self) -> None:
        """Bring everything into step with scene and camera: layers, buttons, panel, callbacks."""
        hand, scene = self.hand, self.scene
        if scene.document is not self._document:
            self._document = scene.document
            self._later.put_off("check", CHECK_AFTER, self._checked)
            self._tell_change()
        if hand.mode is Mode.IDLE:
            self._inspecting.follow()
            self._bar.follow()
        dirty, hand.dirty = hand.dirty, Dirty.NONE
        if hand.camera != self._camera:
            self._camera = hand.camera
            self._bar.show_zoom()
            self._later.put_off("view", SAVE_VIEW_AFTER, self._tell_change)
        if self._screen.surface.cursor != hand.cursor:
            self._screen.surface.cursor = hand.cursor
        self._screen.request(dirty)

    def _tell_change(self) -> None:
        self._later.cancel("view")
        if self._on_change is not None:
            on_change = self._on_change
            self._screen.guarded(lambda: on_change(self.canvas_layout))

    def _checked(self) -> None:
        self._run_check()
        self._screen.request(Dirty.SCENE)

    def _run_check(self) -> None:
        self._checking.run(self.scene.layout)
        self._inspecting.show_problems()

    # Running

    def _run_clicked(self) -> None:
        self._screen.guarded(self._start)

    def _start(self) -> None:
        assert self._on_run is not None
        on_run = self._on_run
        self._run_check()
        self._bar.set_starting(True)
        call(lambda: on_run(self.canvas_layout), self._started, self._not_started)

    def _started(self, result: object) -> None:
        self._bar.set_starting(False)
        if isinstance(result, ipywidgets.Widget):
            self._runs.children = (result, *self._runs.children[:2])

    def _not_started(self, why: str) -> None:
        self._bar.set_starting(False)
        self._say(why, bad=True)

    # The static form

    def plain(self) -> str:
        """The graph in words: its nodes by kind, its connections, the job if one is shown."""
        text = in_words(self._name, self.scene.document)
        job = self._watched.job
        if job is not None:
            text += f"; {one_line(job.name, 80)} {job.status.value}"
        return text

    def body(self) -> str:
        """What stays in a saved notebook: the graph as an SVG, in the colours of the page."""
        words = self.plain()
        return f'<div class="comfynb-soft">{esc(words)}</div>{self._painter.svg(words)}'

    def close(self) -> None:
        """Close everything in the editor."""
        if getattr(self, "comm", None) is not None:
            self._later.close()
            self._inspecting.close()
            self._pictures.close()
            self._screen.close()
            self._adding.close()
            self._panels.close()
        super().close()
