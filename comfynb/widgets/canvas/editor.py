"""The editor of a graph in a notebook: canvas, toolbar, palette, inspector, and a running job."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
from pydantic import ValidationError

from comfynb.engine.views import BackendView, JobView, NodeView
from comfynb.errors import ComfynbError
from comfynb.models import CanvasLayout, CanvasNode, NodeType
from comfynb.widgets.canvas.camera import Camera, Insets
from comfynb.widgets.canvas.colours import palette
from comfynb.widgets.canvas.contract import (
    Check,
    Compatible,
    Inspector,
    PaletteItem,
    Ports,
    Problem,
    Title,
)
from comfynb.widgets.canvas.draw import FULL, Looks, View, draw_scene
from comfynb.widgets.canvas.draw_hand import (
    draw_band,
    draw_dragged,
    draw_hover,
    draw_tip,
    draw_wire,
    moved,
)
from comfynb.widgets.canvas.draw_job import (
    PICTURE,
    Minimap,
    draw_job,
    draw_minimap,
    minimap,
    status_text,
)
from comfynb.widgets.canvas.geometry import WIDTH, Geometry, Rect
from comfynb.widgets.canvas.hand import Callbacks, Dirty, Hand, Keys, Mode, PaletteWish
from comfynb.widgets.canvas.inspector import NodePanel
from comfynb.widgets.canvas.pictures import Pictures
from comfynb.widgets.canvas.primitives import Primitive
from comfynb.widgets.canvas.scene import Scene
from comfynb.widgets.canvas.screen import Screen
from comfynb.widgets.canvas.summaries import in_words, summary
from comfynb.widgets.canvas.surface import Palette
from comfynb.widgets.canvas.svg import to_svg
from comfynb.widgets.composite import Composite, close_tree, html, icon_button
from comfynb.widgets.live import call, current_loop
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.thumbnails import data_uri

__all__ = ["CanvasEditor"]

CHECK_AFTER = 0.25
"""Seconds that a graph must have been left alone before it is checked."""

SAVE_VIEW_AFTER = 1.0
"""Seconds after the last pan or zoom until ``on_change`` hears of it."""

LATE = 2000.0
"""Milliseconds by which events may overtake one another."""

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
        self._check, self._inspector, self._backends = check, inspector, backends
        self._on_change, self._on_run = on_change, on_run
        self._items = {item.key: item for item in palette}
        self._problems: list[Problem] = []
        self._job: JobView | None = None
        self._states: dict[str, NodeView] = {}
        self._asking: frozenset[str] = frozenset()
        self._wish: PaletteWish | None = None
        self._told: tuple[object, object] = (None, None)
        self._inspected: tuple[str, CanvasNode] | None = None
        self._panel: NodePanel | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._fit_first = layout.viewport == type(layout.viewport)()
        self._map_on = True
        self._pressed_at = 0.0

        self.scene = Scene(layout, ports=ports, title=title, compatible=compatible)
        tell = Callbacks(
            say=self._say,
            palette=self._open_palette,
            minimap=self._minimap,
            insets=self._insets,
            heights=self._heights,
        )
        self.hand = Hand(self.scene, Camera.of(layout.viewport), tell)
        self._pictures = Pictures(lambda: self._screen.request(Dirty.JOB))
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
        self._make_panels(palette)
        super().__init__([self._bar, self._screen.stage, self._foot, self._runs])
        self.add_class("comfynb-canvas")
        if not self.scene.document.nodes:
            self._show_palette(on=True)
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
        return tuple(self._problems)

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
        self._items = {item.key: item for item in items}
        self._palette.show_items(items)

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
        if view is None or self._job is None or view.id != self._job.id:
            self._pictures.forget()
        self._job = view
        self._states = {} if view is None else {one.canvas_node_id: one for one in view.nodes}
        questions = () if view is None else view.questions
        self._asking = frozenset(one.canvas_node_id for one in questions)
        for node in self._states.values():
            self._show_picture(node)
        self._show_state()
        self._screen.request(Dirty.JOB)

    def _show_picture(self, node: NodeView) -> None:
        files = [image.path for image in node.images if image.path is not None]
        if files:
            self._pictures.show(node.canvas_node_id, files[-1])
        elif node.preview is not None:
            self._pictures.show(node.canvas_node_id, node.preview)

    def thumbnail(self, node_id: str, data: bytes) -> None:
        """Show an encoded picture beneath a node."""
        self._pictures.show(node_id, data)

    def to_svg(self, *, dark: bool | None = None) -> str:
        """The whole graph as an SVG file, with the job that is shown.

        ``dark``: None takes the theme that the page has.
        """
        look = self._screen.surface.dark if dark is None else dark
        return self._svg(colours=palette(dark=look))

    # Parts

    def _make_panels(self, items: Sequence[PaletteItem]) -> None:
        self._palette = Palette(items, self._palette_said)
        self._left = ipywidgets.Box([self._palette])
        self._left.add_class("comfynb-panel")
        self._left.add_class("comfynb-panel-left")
        self._right = ipywidgets.Box([])
        self._right.add_class("comfynb-panel")
        self._right.add_class("comfynb-panel-right")
        self._left_on = False
        self._said = html("", "comfynb-canvas-say", "comfynb-soft")
        self._wrong = html("", "comfynb-canvas-problems")
        self._foot = ipywidgets.HBox([self._said, self._wrong])
        self._foot.add_class("comfynb-canvas-foot")
        self._runs = ipywidgets.VBox([])
        self._runs.add_class("comfynb-canvas-jobs")
        self._bar = self._make_bar()

    def _make_bar(self) -> ipywidgets.HBox:
        hand = self.hand
        self._adding = icon_button("plus", "Add a node (N)", toggle=True)
        self._adding.observe(lambda event: self._show_palette(on=event["new"]), "value")
        self._undo = icon_button("undo", "Undo")
        self._redo = icon_button("repeat", "Redo")
        self._cut_off = {
            "Delete (Del)": ("trash", hand.delete),
            "Duplicate (Ctrl+D)": ("clone", hand.duplicate),
            "Copy (Ctrl+C)": ("copy", hand.copy),
        }
        self._for_chosen = [
            self._button(icon, name, do) for name, (icon, do) in self._cut_off.items()
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
        for one, do in ((self._undo, hand.undo), (self._redo, hand.redo)):
            one.on_click(lambda _, do=do: self._act(do))
        self._run = ipywidgets.Button(description="Run", icon="play", tooltip="Run this graph")
        self._run.add_class("comfynb-canvas-text")
        self._run.add_class("comfynb-canvas-run")
        self._run.on_click(lambda _: self._screen.guarded(self._run_clicked))
        grow = html("", "comfynb-canvas-grow")
        bar = ipywidgets.HBox(
            [
                self._adding,
                _gap(),
                self._undo,
                self._redo,
                _gap(),
                *self._for_chosen,
                paste,
                _gap(),
                arrange,
                _gap(),
                selecting,
                snap,
                small,
                _gap(),
                *zooms,
                grow,
                *([self._run] if self._on_run else []),
            ]
        )
        bar.add_class("comfynb-canvas-bar")
        return bar

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
        self.hand.selecting = on
        self._say("Dragging on the canvas selects." if on else "Dragging on the canvas pans.")

    def _set_snap(self, on: bool) -> None:
        self.scene.snap = on

    def _set_map(self, on: bool) -> None:
        self._map_on = on
        self.hand.dirty |= Dirty.JOB

    # Events

    def _act(self, do: Callable[[], object]) -> None:
        """Something was asked for: do it, and show what came of it."""
        self._screen.guarded(do)
        self._after()

    def _changed(self, dirty: Dirty) -> None:
        self.hand.dirty |= dirty
        self._after()

    def _is_late(self, when: float) -> bool:
        """Whether an event is older than a press or key that was heard already; ms of the page.

        Moves are held back by the throttle, presses are not: one from before a press may come after
        it, and would say that no button is down. Keys come by another way than the mouse, and may
        overtake a click. Another window of the same editor has a clock of its own.
        """
        return 0.0 < self._pressed_at - when < LATE

    def _pointer(self, event: Mapping[str, Any]) -> None:
        hand = self.hand
        x, y = float(event.get("relativeX", 0)), float(event.get("relativeY", 0))
        ctrl = bool(event.get("ctrlKey") or event.get("metaKey"))
        keys = Keys(bool(event.get("shiftKey")), ctrl, bool(event.get("altKey")))
        when = float(event.get("timeStamp") or 0.0)
        if event.get("event") != "mouseup" and self._is_late(when):
            return
        if event.get("event") in {"mousedown", "mouseup"}:
            self._pressed_at = when
        try:
            match event.get("event"):
                case "mousemove":
                    hand.move(x, y, int(event.get("buttons", 0)))
                case "mousedown":
                    hand.down(x, y, int(event.get("button", 0)), keys)
                case "mouseup":
                    hand.up(x, y)
                case "dblclick":
                    hand.double(x, y)
                case "wheel":
                    lines = event.get("deltaMode") == 1
                    hand.wheel(x, y, float(event.get("deltaY", 0)), lines=lines)
                case "mouseleave":
                    hand.leave()
                case _:
                    pass
        except Exception:
            hand.let_go()
            raise
        finally:
            self._after()

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message.get("event"):
            case "ready":
                self._pictures.send_all()
            case "key":
                self._pressed_at = float(message.get("time") or 0.0)
                keys = Keys(bool(message.get("shift")), bool(message.get("ctrl")))
                self._act(lambda: self.hand.key(str(message.get("key", "")), keys))
            case "drop":
                x, y = float(message.get("x", 0)), float(message.get("y", 0))
                at = self.hand.camera.to_canvas(x, y)
                self._act(lambda: self._add(str(message.get("key", "")), at))
            case _:
                pass

    def _resized(self) -> None:
        self.hand.size = self._screen.size
        if self._fit_first and self._screen.surface.width > 0:
            self._fit_first = False
            self.hand.fit()
            self._camera = self.hand.camera  # nobody moved it: nothing to save
            self._show_zoom()

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
            self._edited()
        if hand.mode is Mode.IDLE:
            self._show_inspector()
            self._show_buttons()
        dirty, hand.dirty = hand.dirty, Dirty.NONE
        if hand.camera != self._camera:
            self._camera = hand.camera
            self._show_zoom()
            self._later("view", SAVE_VIEW_AFTER, self._tell_change)
        if self._screen.surface.cursor != hand.cursor:
            self._screen.surface.cursor = hand.cursor
        self._screen.request(dirty)

    def _show_zoom(self) -> None:
        self._zoom.value = f"{self.hand.camera.zoom * 100:.0f} %"

    def _edited(self) -> None:
        self._later("check", CHECK_AFTER, self._checked)
        self._tell_change()

    def _tell_change(self) -> None:
        self._cancel("view")
        if self._on_change is not None:
            on_change = self._on_change
            self._screen.guarded(lambda: on_change(self.canvas_layout))

    def _later(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        """Do it when it has been quiet for so long; at once where there is no loop."""
        self._cancel(name)
        loop = current_loop()
        if loop is None:
            self._screen.guarded(work)
        else:
            self._timers[name] = loop.call_later(seconds, partial(self._screen.guarded, work))

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _checked(self) -> None:
        self._run_check()
        self._screen.request(Dirty.SCENE)

    def _run_check(self) -> None:
        if self._check is None:
            return
        self._problems = list(self._check(self.scene.layout()))
        number = len(self._problems)
        words = ""
        if number:
            first = user(self._problems[0].message, 200)
            more = f' <span class="comfynb-soft">and {number - 1} more</span>' if number > 1 else ""
            words = f'<span class="comfynb-warning">{first}</span>{more}'
        self._wrong.value = words
        if self._panel is not None and self._inspected is not None:
            self._panel.show_problems(self._about(self._inspected[0]))

    def _about(self, node_id: str) -> list[str]:
        return [one.message for one in self._problems if one.node_id == node_id]

    # Adding

    def _open_palette(self, wish: PaletteWish) -> None:
        self._wish = wish
        self._show_palette(on=True)
        if wish.start is not None:
            port = self.scene.port(wish.start)
            self._palette.note = f"To be connected with {one_line(port.label, 40)}."
        else:
            self._palette.note = ""
        self._palette.focus()

    def _show_palette(self, *, on: bool) -> None:
        self._left_on = on
        self._adding.value = on
        if not on:
            self._wish = None
            self._palette.note = ""
        self._show_panels()
        if on:
            self._palette.focus()

    def _show_panels(self) -> None:
        shown = [*self._screen.layers, self._screen.surface]
        shown += [self._left] if self._left_on else []
        shown += [self._right] if self._panel is not None else []
        if tuple(shown) != self._screen.stage.children:
            self._screen.stage.children = shown

    def _palette_said(self, message: Mapping[str, Any]) -> None:
        if message.get("event") == "close":
            self._show_palette(on=False)
            self._screen.surface.focus()
        elif message.get("event") == "pick":
            self._act(lambda: self._picked(str(message.get("key", ""))))

    def _picked(self, key: str) -> None:
        wish, self._wish = self._wish, None
        self._palette.note = ""
        item = self._items.get(key)
        if item is None:
            return
        if wish is not None and wish.start is not None:
            self.scene.add_connected(item, *wish.place, wish.start)
            self._say(f"Added and connected: {item.title}")
            self.hand.edited()
            self._screen.surface.focus()
        else:
            self._add(key, wish.place if wish is not None else self._free_place())
        self._keep_in_view()

    def _add(self, key: str, at: tuple[float, float]) -> None:
        item = self._items.get(key)
        if item is not None:
            self.scene.add(item, *at)
            self._say(f"Added: {item.title}")
            self.hand.edited()
            self._screen.surface.focus()

    def _free_place(self) -> tuple[float, float]:
        """Right of what is selected, else in the middle of what is seen; not on another node."""
        geometry = self.scene.geometry
        chosen = geometry.bounds(self.scene.selected) if self.scene.selected else None
        if chosen is not None:
            x, y = chosen.x + chosen.width + 80.0, chosen.y
        else:
            cover, size = self._insets(), self.hand.size
            middle = (cover.left + size[0] - cover.right) / 2, size[1] / 2
            x, y = self.hand.camera.to_canvas(*middle)
            x, y = x - WIDTH / 2, y - 60.0
        while geometry.nodes_in(Rect(x, y, WIDTH, 120.0)).any():
            y += 40.0
        return x, y

    def _keep_in_view(self) -> None:
        rect = self.scene.geometry.bounds(self.scene.selected)
        cover, (width, height) = self._insets(), self.hand.size
        if rect is None:
            return
        left, top = self.hand.camera.to_screen(rect.x, rect.y)
        right, bottom = self.hand.camera.to_screen(rect.x + rect.width, rect.y + rect.height)
        inside = left >= cover.left and top >= 0 and right <= width - cover.right
        if not (inside and bottom <= height):
            self.hand.fit()

    # The inspector

    def _show_inspector(self) -> None:
        chosen = next(iter(self.scene.selected)) if len(self.scene.selected) == 1 else None
        if chosen is None:
            self._close_inspector()
            return
        node = self.scene.document.nodes[chosen]
        if self._inspected is not None and self._inspected[0] == chosen:
            old = self._inspected[1]
            same = old.model_copy(update={"position": node.position}) == node
            self._inspected = chosen, node
            if same:
                return
        self._close_inspector()
        self._inspected = chosen, node
        self._screen.guarded(lambda: self._open_inspector(node))

    def _open_inspector(self, node: CanvasNode) -> None:
        update = partial(self._configure, node.id)
        given = node.model_copy(deep=True)
        form = self._inspector(given, update) if self._inspector is not None else None
        self._panel = NodePanel(
            given,
            self.scene.title(node.id),
            update=update,
            change=partial(self._set_fields, node.id),
            backends=self._backends() if self._backends is not None else (),
            form=form,
        )
        self._panel.show_problems(self._about(node.id))
        self._panel.show_state(self._states.get(node.id))
        self._right.children = [self._panel]
        self._show_panels()
        self._uncover(node.id)

    def _uncover(self, node_id: str) -> None:
        """Move the canvas aside if the panel lies on the node that it is about."""
        rect = self.scene.geometry.node_rect(node_id)
        right, top = self.hand.camera.to_screen(rect.x + rect.width, rect.y)
        over = right + 16.0 - (self.hand.size[0] - self._insets().right)
        if self._insets().right and over > 0 and top < self.hand.size[1]:
            self.hand.look_at(self.hand.camera.panned(-over, 0.0))

    def _close_inspector(self) -> None:
        self._inspected = None
        if self._panel is not None:
            panel, self._panel = self._panel, None
            self._right.children = []
            self._show_panels()
            panel.close()

    def _configure(self, node_id: str, values: Mapping[str, Any]) -> None:
        """What the inspector's form says: the panel stays as it is, as it knows best."""
        self._from_panel(node_id, lambda: self.scene.configure(node_id, values))

    def _set_fields(self, node_id: str, changes: Mapping[str, Any]) -> None:
        self._from_panel(node_id, lambda: self.scene.change(node_id, changes))

    def _from_panel(self, node_id: str, edit: Callable[[], None]) -> None:
        if node_id not in self.scene.document.nodes:
            return
        self._screen.guarded(edit)
        if self._inspected is not None and self._inspected[0] == node_id:
            self._inspected = node_id, self.scene.document.nodes[node_id]
        self._changed(Dirty.SCENE)

    def _show_state(self) -> None:
        if self._panel is not None and self._inspected is not None:
            self._panel.show_state(self._states.get(self._inspected[0]))

    def _show_buttons(self) -> None:
        history, chosen = self.scene.history, bool(self.scene.selected or self.scene.selected_edges)
        for button, name, label in (
            (self._undo, "Undo", history.undo_label),
            (self._redo, "Redo", history.redo_label),
        ):
            button.disabled = label is None
            button.tooltip = f"{name}: {one_line(label, 80)}" if label else name
        for button in self._for_chosen:
            button.disabled = not chosen
        self._run.disabled = not self.scene.document.nodes

    # Running

    def _run_clicked(self) -> None:
        assert self._on_run is not None
        on_run = self._on_run
        self._run_check()
        self._run.disabled = True
        call(lambda: on_run(self.canvas_layout), self._started, self._not_started)

    def _started(self, result: object) -> None:
        self._run.disabled = False
        if isinstance(result, ipywidgets.Widget):
            self._runs.children = (result, *self._runs.children[:2])

    def _not_started(self, why: str) -> None:
        self._run.disabled = False
        self._say(why, bad=True)

    # Drawing

    def _view(self) -> View:
        return View(self.hand.camera, *self.hand.size)

    def _minimap(self) -> Minimap | None:
        return minimap(self.scene.geometry, self._view()) if self._map_on else None

    def _insets(self) -> Insets:
        right = 296.0 if self._panel is not None and self.hand.size[0] > 760 else 0.0
        return Insets(left=236.0 if self._left_on else 0.0, right=right)

    def _heights(self) -> dict[str, float]:
        """Heights with the pictures that are beneath workflows once they ran."""
        geometry, nodes = self.scene.geometry, self.scene.document.nodes
        workflows = {key for key, one in nodes.items() if one.node_type is NodeType.WORKFLOW}
        return {
            key: geometry.node_rect(key).height + PICTURE
            for key in workflows | self._pictures.keys
            if key in geometry.of.index
        }

    def _looks(self, *, plain: bool = False) -> Looks:
        scene = self.scene
        wrong = {one.node_id for one in self._problems if one.node_id is not None}
        wrong |= {
            found
            for one in self._problems
            if (found := getattr(one, "connection_id", None)) is not None
        }
        return Looks(
            nodes=scene.document.nodes,
            title=scene.title,
            summary=self._summary,
            selected=() if plain else scene.selected,
            selected_edges=() if plain else scene.selected_edges,
            problems=() if plain else wrong,
            hidden=() if plain else self.hand.hidden,
            hidden_edge=None if plain else self.hand.taken,
        )

    def _summary(self, node: CanvasNode) -> str:
        return summary(node, self._backends() if self._backends is not None else ())

    def _paint(self, dirty: Dirty) -> dict[Dirty, list[Primitive]]:
        """The drawings of the layers that are dirty."""
        geometry, view, hand = self.scene.geometry, self._view(), self.hand
        out: dict[Dirty, list[Primitive]] = {}
        if Dirty.SCENE in dirty:
            out[Dirty.SCENE] = draw_scene(geometry, view, self._looks())
        if Dirty.JOB in dirty:
            layer = self._draw_job(geometry, view)
            if self._map_on:
                layer += draw_minimap(geometry, view, self._looks(plain=True), self._states)
            out[Dirty.JOB] = layer
        if Dirty.HAND in dirty:
            out[Dirty.HAND] = self._draw_hand(geometry, view, hand)
        return out

    def _draw_job(
        self, geometry: Geometry, view: View, only: Sequence[str] | None = None
    ) -> list[Primitive]:
        return draw_job(
            geometry,
            view,
            self._states,
            asking=self._asking,
            pictures=self._pictures.keys,
            hidden=() if only is not None else self.hand.hidden,
            only=only,
        )

    def _draw_hand(self, geometry: Geometry, view: View, hand: Hand) -> list[Primitive]:
        out: list[Primitive] = []
        if hand.mode is Mode.DRAG:
            there = moved(geometry, hand.places)
            looks = self._looks(plain=True)
            chosen = Looks(looks.nodes, looks.title, looks.summary, selected=hand.places)
            out += draw_dragged(there, view, chosen, hand.places)
            if self._states or self._pictures.keys:
                out += self._draw_job(there, view, list(hand.places))
        if hand.band is not None:
            out += draw_band(view, hand.band)
        if hand.wire is not None:
            out += draw_wire(geometry, view, hand.wire)
        if hand.mode is Mode.IDLE:
            out += draw_hover(geometry, view, *hand.hover)
            tip = self._tip()
            if tip:
                out += draw_tip(view, *hand.pointer, tip)
        return out

    def _tip(self) -> str | None:
        node, port = self.hand.hover
        if port is not None:
            seen = self.scene.port(port)
            need = ", required" if seen.required else ""
            return f"{one_line(seen.label, 60)}: {seen.data_type.value}{need}"
        if node is None:
            return None
        state = self._states.get(node)
        if state is not None and state.error:
            return one_line(status_text(state), 120)
        wrong = self._about(node)
        if wrong:
            return one_line(f"! {wrong[0]}", 120)
        return None

    # The static form

    def _svg(self, colours: Mapping[str, str] | None = None) -> str:
        geometry = self.scene.geometry
        bounds = geometry.bounds() or Rect(0.0, 0.0, 400.0, 160.0)
        tall = bool(self._pictures.keys)
        margin = 24.0
        zoom = min(1.0, 1400.0 / (bounds.width + 2 * margin))
        size = (
            (bounds.width + 2 * margin) * zoom,
            (bounds.height + 2 * margin + (PICTURE if tall else 0.0)) * zoom,
        )
        camera = Camera((margin - bounds.x) * zoom, (margin - bounds.y) * zoom, zoom)
        view = View(camera, *size, grid=False)
        drawing = draw_scene(geometry, view, self._looks(plain=True), detail=_svg_detail(geometry))
        drawing += self._draw_job(geometry, view)
        pictures = {key: data_uri(one) for key, one in self._pictures.shown.items()}
        return to_svg(drawing, size, title=self.plain(), colours=colours, pictures=pictures)

    def plain(self) -> str:
        """The graph in words: its nodes by kind, its connections, the job if one is shown."""
        text = in_words(self._name, self.scene.document)
        if self._job is not None:
            text += f"; {one_line(self._job.name, 80)} {self._job.status.value}"
        return text

    def body(self) -> str:
        """What stays in a saved notebook: the graph as an SVG, in the colours of the page."""
        return f'<div class="comfynb-soft">{esc(self.plain())}</div>{self._svg()}'

    def close(self) -> None:
        """Close everything in the editor."""
        if getattr(self, "comm", None) is not None:
            for name in list(self._timers):
                self._cancel(name)
            self._close_inspector()
            self._pictures.close()
            self._screen.close()
            for one in (self._left, self._right):
                close_tree(one)
        super().close()


def _svg_detail(geometry: Geometry) -> int | None:
    """Everything, unless the graph is so large that nobody could read it."""
    return FULL if len(geometry.of.ids) <= 150 else None


def _gap() -> ipywidgets.HTML:
    return html("", "comfynb-canvas-gap")
