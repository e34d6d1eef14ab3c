"""What mouse and keyboard mean: gestures on a scene, without any widget.

``Hand`` is told events in CSS pixels of the window and changes scene and camera; ``dirty`` says
which layers have to be drawn anew, and the callbacks what else has happened.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Flag, auto

from comfynb.widgets.canvas.camera import Camera, Insets
from comfynb.widgets.canvas.draw_hand import Wire
from comfynb.widgets.canvas.draw_job import Minimap
from comfynb.widgets.canvas.geometry import WIDTH, Geometry, PortRef, Rect
from comfynb.widgets.canvas.scene import SNAP, Scene

__all__ = ["Dirty", "Hand", "Keys", "Mode", "PaletteWish"]


class Dirty(Flag):
    """Layers to draw anew."""

    NONE = 0
    SCENE = auto()
    JOB = auto()
    HAND = auto()
    ALL = SCENE | JOB | HAND


class Mode(Flag):
    """What the pressed button does."""

    IDLE = 0
    PRESS = auto()
    DRAG = auto()
    BAND = auto()
    PAN = auto()
    WIRE = auto()
    MAP = auto()


@dataclass(frozen=True, slots=True)
class Keys:
    """Modifier keys held; ``ctrl`` is Command on a Mac as well."""

    shift: bool = False
    ctrl: bool = False
    alt: bool = False


@dataclass(frozen=True, slots=True)
class PaletteWish:
    """Somebody wants a node here: at a place on the canvas, to be connected with a port."""

    place: tuple[float, float]
    start: PortRef | None = None


THRESHOLD = 4.0
"""CSS pixels that a pressed pointer may tremble before it drags."""

PORT_REACH = 11.0
WIRE_REACH = 22.0
EDGE_REACH = 7.0
LEFT, MIDDLE, RIGHT = 0, 1, 2


def _nothing(*_: object) -> None:
    return None


@dataclass(slots=True)
class Callbacks:
    """What a hand tells: sentences, and wishes that need widgets."""

    say: Callable[[str], None] = _nothing
    palette: Callable[[PaletteWish], None] = _nothing
    minimap: Callable[[], Minimap | None] = lambda: None
    insets: Callable[[], Insets] = Insets
    heights: Callable[[], dict[str, float]] = dict


class Hand:
    """Gestures on ``scene``; ``camera`` and ``size`` are what is seen at the moment."""

    def __init__(
        self, scene: Scene, camera: Camera | None = None, callbacks: Callbacks | None = None
    ) -> None:
        self.scene = scene
        self.camera = camera or Camera()
        self.size = (800.0, 500.0)
        self.tell = callbacks or Callbacks()
        self.dirty = Dirty.ALL
        self.selecting = False
        """Whether dragging on empty canvas selects instead of panning."""
        self.mode = Mode.IDLE
        self.places: dict[str, tuple[float, float]] = {}
        """Where the dragged nodes are."""
        self.band: Rect | None = None
        self.wire: Wire | None = None
        self.hover: tuple[str | None, PortRef | None] = (None, None)
        self.pointer = (0.0, 0.0)
        self._down = (0.0, 0.0)
        self._from = (0.0, 0.0)
        self._last = (0.0, 0.0)
        self._lead: str | None = None
        self._narrow: str | None = None
        self._taken: str | None = None
        self._keep: tuple[set[str], set[str]] = (set(), set())

    # What others draw

    @property
    def geometry(self) -> Geometry:
        """Where everything is, apart from what is dragged."""
        return self.scene.geometry

    @property
    def hidden(self) -> Collection[str]:
        """Nodes that only the uppermost layer shows."""
        return self.places if self.mode is Mode.DRAG else ()

    @property
    def cursor(self) -> str:
        """The pointer's form, as CSS says it."""
        if self.mode in {Mode.PAN, Mode.DRAG}:
            return "grabbing"
        if self.mode in {Mode.BAND, Mode.WIRE} or self.hover[1] is not None:
            return "crosshair"
        if self.hover[0] is not None:
            return "move"
        return "default" if self.selecting else "grab"

    def look_at(self, camera: Camera) -> None:
        """Show another part of the canvas."""
        if camera != self.camera:
            self.camera = camera
            self.dirty |= Dirty.ALL

    def fit(self, *, selection: bool = False) -> None:
        """Show everything, or what is selected."""
        chosen = self.scene.selected if selection and self.scene.selected else None
        rect = self.geometry.bounds(chosen)
        self.look_at(self.camera.fitted(rect, *self.size, insets=self.tell.insets()))

    def zoom(self, factor: float, at: tuple[float, float] | None = None) -> None:
        """Nearer or farther, at a point of the window or its middle."""
        x, y = at or (self.size[0] / 2, self.size[1] / 2)
        self.look_at(self.camera.zoomed(factor, x, y))

    def edited(self) -> None:
        """The scene was changed by somebody else: let go of what is held."""
        self.let_go()
        self.dirty |= Dirty.ALL

    def let_go(self) -> None:
        """End the gesture without effect."""
        self.mode = Mode.IDLE
        self.places = {}
        self.band = self.wire = self._taken = None
        self.hover = (None, None)
        self.dirty |= Dirty.ALL

    # Mouse

    def down(self, x: float, y: float, button: int = LEFT, keys: Keys = Keys()) -> None:
        """A button was pressed."""
        if self.mode is not Mode.IDLE:
            self.up(x, y)
        self._down = self._last = (x, y)
        self._from = at = self.camera.to_canvas(x, y)
        small = self.tell.minimap()
        if small is not None and small.box.contains(x, y):
            self.mode = Mode.MAP
            self._map(small, x, y)
            return
        if button in {MIDDLE, RIGHT}:
            self.mode = Mode.PAN
            return
        port = self.geometry.port_at(*at, PORT_REACH / min(self.camera.zoom, 1.5))
        if port is not None and self.camera.zoom >= 0.2:
            self._start_wire(port, at)
            return
        node = self.geometry.node_at(*at)
        if node is not None:
            self._press_node(node, keys)
            return
        edge = self.geometry.edge_at(*at, EDGE_REACH / self.camera.zoom)
        if edge is not None:
            if keys.shift or keys.ctrl:
                self.scene.toggle(edge=edge)
            else:
                self.scene.select(edges=[edge])
            self.dirty |= Dirty.SCENE
            return
        more = keys.shift or keys.ctrl
        if more or self.selecting:
            self.mode = Mode.BAND
            kept = (set(self.scene.selected), set(self.scene.selected_edges))
            self._keep = kept if more else (set(), set())
        else:
            self.mode = Mode.PAN
            self._narrow = ""

    def _press_node(self, node: str, keys: Keys) -> None:
        self.mode = Mode.PRESS
        self._lead, self._narrow = node, None
        if keys.shift or keys.ctrl:
            self.scene.toggle(node)
            if node not in self.scene.selected:
                self.mode = Mode.IDLE
        elif node in self.scene.selected:
            self._narrow = node  # a click without a drag selects it alone
        else:
            self.scene.select([node])
        self.dirty |= Dirty.SCENE

    def move(self, x: float, y: float, buttons: int = 1) -> None:
        """The pointer moved; ``buttons`` are those that are still pressed."""
        self.pointer = (x, y)
        if self.mode is Mode.IDLE:
            self._hover(x, y)
            return
        if not buttons:  # released where nobody told us
            self.up(x, y)
            return
        far = max(abs(x - self._down[0]), abs(y - self._down[1])) >= THRESHOLD
        match self.mode:
            case Mode.PRESS if far:
                self.mode = Mode.DRAG
                self.dirty |= Dirty.SCENE | Dirty.JOB
                self._drag(x, y)
            case Mode.DRAG:
                self._follow(x, y)
                self._drag(x, y)
            case Mode.PAN if far or self._narrow is None:
                self._narrow = None
                self.look_at(self.camera.panned(x - self._last[0], y - self._last[1]))
                self._last = (x, y)
            case Mode.BAND:
                self.band = Rect.between(self._from, self.camera.to_canvas(x, y))
                self.scene.select(*self._keep)
                self.scene.select_in(self.band, more=True)
                self.dirty |= Dirty.HAND | Dirty.SCENE
            case Mode.WIRE:
                self._follow(x, y)
                self._drag_wire(self.camera.to_canvas(x, y))
            case Mode.MAP:
                small = self.tell.minimap()
                if small is not None:
                    self._map(small, x, y)
            case _:
                pass

    def up(self, x: float, y: float) -> None:
        """The button was released."""
        if self.mode in {Mode.PAN, Mode.BAND} and (x, y) != self._down:
            self.move(x, y)  # moves are told less often than they happen
        self.pointer = (x, y)
        mode, self.mode = self.mode, Mode.IDLE
        match mode:
            case Mode.PRESS if self._narrow:
                self.scene.select([self._narrow])
                self.dirty |= Dirty.SCENE
            case Mode.DRAG:
                self._drag(x, y)
                number = len(self.places)
                what = "a node" if number == 1 else f"{number} nodes"
                self.scene.put(self.places, f"move {what}")
                self.places = {}
                self.dirty |= Dirty.ALL
            case Mode.PAN if self._narrow == "":
                self.scene.select()  # a click on nothing
                self.dirty |= Dirty.SCENE
            case Mode.BAND:
                if self.band is None and self._keep == (set(), set()):
                    self.scene.select()
                self.band = None
                self.dirty |= Dirty.HAND | Dirty.SCENE
            case Mode.WIRE:
                self._end_wire(self.camera.to_canvas(x, y))
            case _:
                pass
        self._narrow = None

    def double(self, x: float, y: float) -> None:
        """A double click: on empty canvas, a wish for a node there."""
        at = self.camera.to_canvas(x, y)
        small = self.tell.minimap()
        if small is not None and small.box.contains(x, y):
            return
        if self.geometry.node_at(*at) is None:
            self.tell.palette(PaletteWish(self.scene.snapped(*at)))

    def wheel(self, x: float, y: float, delta: float, *, lines: bool = False) -> None:
        """The wheel turned; ``delta`` is in pixels, or in lines."""
        pixels = delta * 33.0 if lines else delta
        factor = 1.0015 ** -max(min(pixels, 300.0), -300.0)
        self.zoom(factor, (x, y))

    def leave(self) -> None:
        """The pointer left the window (nothing is pressed: a drag keeps the pointer)."""
        if self.mode is Mode.IDLE and self.hover != (None, None):
            self.hover = (None, None)
            self.dirty |= Dirty.HAND

    # Gestures

    def _map(self, small: Minimap, x: float, y: float) -> None:
        at_x, at_y = small.to_canvas(x, y)
        zoom = self.camera.zoom
        self.look_at(Camera(self.size[0] / 2 - zoom * at_x, self.size[1] / 2 - zoom * at_y, zoom))

    def _follow(self, x: float, y: float) -> None:
        """Scroll while something is dragged beyond the window's edge."""
        width, height = self.size
        over_x = min(x, 0.0) + max(x - width, 0.0)
        over_y = min(y, 0.0) + max(y - height, 0.0)
        if over_x or over_y:
            speed = 0.25
            self.look_at(self.camera.panned(-over_x * speed, -over_y * speed))

    def _hover(self, x: float, y: float) -> None:
        small = self.tell.minimap()
        if small is not None and small.box.contains(x, y):
            found: tuple[str | None, PortRef | None] = (None, None)
        else:
            at = self.camera.to_canvas(x, y)
            port = self.geometry.port_at(*at, PORT_REACH / min(self.camera.zoom, 1.5))
            port = port if self.camera.zoom >= 0.2 else None
            found = (None if port else self.geometry.node_at(*at), port)
        if found != self.hover:
            self.hover = found
            self.dirty |= Dirty.HAND

    def _drag(self, x: float, y: float) -> None:
        at = self.camera.to_canvas(x, y)
        step = at[0] - self._from[0], at[1] - self._from[1]
        moved = self.scene.moved_by(*step, lead=self._lead)
        if not moved:  # back where they came from
            nodes = self.scene.document.nodes
            moved = {key: nodes[key].position for key in self.scene.selected}
        self.places = moved
        self.dirty |= Dirty.HAND

    def _start_wire(self, port: PortRef, at: tuple[float, float]) -> None:
        """A wire from a port; from an input that is connected, its other end is taken off."""
        self.mode = Mode.WIRE
        self._taken = None
        if not port.is_output and not self.scene.port(port).many:
            for key, one in self.scene.document.connections.items():
                source = PortRef(one.source_node_id, one.source_port, True)
                ends = one.target_node_id, one.target_port
                if ends == (port.node_id, port.name) and source in self.geometry.of.port_index:
                    self._taken, port = key, source
        fits = self.scene.connectable(port)
        if self._taken is not None:  # it may go back where it was
            old = self.scene.document.connections[self._taken]
            back = PortRef(old.target_node_id, old.target_port, False)
            fits[self.geometry.of.port_index[back]] = True
        self.wire = Wire(port, at, fits)
        self.hover = (None, None)
        self.dirty |= Dirty.HAND
        if self._taken is not None:
            self.dirty |= Dirty.SCENE

    @property
    def taken(self) -> str | None:
        """The connection that hangs on the pointer."""
        return self._taken if self.mode is Mode.WIRE else None

    def _drag_wire(self, at: tuple[float, float]) -> None:
        assert self.wire is not None
        target, reason = self._wire_end(self.wire, at)
        if reason is not None and reason != self.wire.reason:
            self.tell.say(reason)
        self.wire = Wire(self.wire.start, at, self.wire.fits, target, reason)
        self.dirty |= Dirty.HAND

    def _wire_end(self, wire: Wire, at: tuple[float, float]) -> tuple[PortRef | None, str | None]:
        """Where a wire would end, or why it would not."""
        geometry = self.geometry
        port = geometry.port_at(*at, WIRE_REACH / max(self.camera.zoom, 0.5))
        if port is not None and port != wire.start:
            if wire.fits[geometry.of.port_index[port]]:
                return port, None
            return None, self.scene.why_not(wire.start, port)
        node = geometry.node_at(*at)
        if node is None or node == wire.start.node_id:
            return None, None
        of, place = geometry.of, geometry.of.index[node]
        near = [
            (abs(geometry.port_place(of.ports[one])[1] - at[1]), int(one))
            for one in (wire.fits & (of.port_node == place)).nonzero()[0]
        ]
        if near:
            return of.ports[min(near)[1]], None
        side = of.views[place].inputs if wire.start.is_output else of.views[place].outputs
        if not side:
            kind = "inputs" if wire.start.is_output else "outputs"
            return None, f"{self.scene.title(node)} has no {kind}."
        first = PortRef(node, side[0].name, not wire.start.is_output)
        return None, self.scene.why_not(wire.start, first)

    def _end_wire(self, at: tuple[float, float]) -> None:
        assert self.wire is not None
        target, reason = self._wire_end(self.wire, at)
        wire, taken = self.wire, self._taken
        self.wire = self._taken = None
        self.dirty |= Dirty.ALL
        if target is not None:
            if taken is not None:
                old = self.scene.document.connections[taken]
                if (old.target_node_id, old.target_port) == (target.node_id, target.name):
                    self.scene.select(edges=[taken])
                    return
            self.scene.connect(wire.start, target, instead_of=taken)
            self.tell.say("Connected.")
        elif reason is not None:
            self.tell.say(f"Not connected: {reason}")
        elif self.geometry.node_at(*at) is None:
            moved = max(abs(self.pointer[0] - self._down[0]), abs(self.pointer[1] - self._down[1]))
            if taken is not None:
                self.scene.select(edges=[taken])
                self.scene.delete()
                self.tell.say("Connection removed.")
            elif moved >= 3 * THRESHOLD:
                self.tell.palette(PaletteWish(at, wire.start))

    # Keyboard

    def key(self, key: str, keys: Keys = Keys()) -> bool:
        """A key was pressed; returns whether it meant anything."""
        name = key.lower() if len(key) == 1 else key
        if keys.alt:
            return False
        action = self._with_ctrl(name, keys) if keys.ctrl else self._plain(name, keys)
        if action is None:
            return False
        action()
        return True

    def _with_ctrl(self, name: str, keys: Keys) -> Callable[[], object] | None:
        if name == "z":
            return self.redo if keys.shift else self.undo
        return {
            "y": self.redo,
            "a": self.select_all,
            "c": self.copy,
            "x": self.cut,
            "v": self.paste,
            "d": self.duplicate,
        }.get(name)

    def _plain(self, name: str, keys: Keys) -> Callable[[], object] | None:
        arrows = {
            "ArrowLeft": (-1, 0),
            "ArrowRight": (1, 0),
            "ArrowUp": (0, -1),
            "ArrowDown": (0, 1),
        }
        if name in arrows:
            x, y = arrows[name]
            return lambda: self._nudge(x, y, 5 if keys.shift else 1)
        return {
            "Delete": self.delete,
            "Backspace": self.delete,
            "Escape": self.escape,
            "f": lambda: self.fit(selection=keys.shift),
            "l": self.auto_layout,
            "n": self.wish,
            "+": lambda: self.zoom(1.25),
            "=": lambda: self.zoom(1.25),
            "-": lambda: self.zoom(0.8),
            "0": lambda: self.zoom(1.0 / self.camera.zoom),
            "[": lambda: self._next(-1),
            "]": lambda: self._next(1),
        }.get(name)

    def _nudge(self, x: int, y: int, times: int) -> None:
        if self.scene.selected:
            self.scene.move(x * SNAP * times, y * SNAP * times, merge=("nudge", self._chosen()))
            self.dirty |= Dirty.ALL
        else:
            self.look_at(self.camera.panned(-x * 60.0 * times, -y * 60.0 * times))

    def _chosen(self) -> frozenset[str]:
        return frozenset(self.scene.selected)

    def _next(self, step: int) -> None:
        """Select the next node, in reading order, and bring it into view."""
        geometry = self.geometry
        order = sorted(
            geometry.of.ids,
            key=lambda one: (
                geometry.x[geometry.of.index[one]],
                geometry.y[geometry.of.index[one]],
            ),
        )
        if not order:
            return
        chosen = [place for place, one in enumerate(order) if one in self.scene.selected]
        place = (chosen[0] + step) % len(order) if chosen else (0 if step > 0 else len(order) - 1)
        self.scene.select([order[place]])
        rect = geometry.node_rect(order[place])
        seen = self.camera.seen(*self.size)
        if not (seen.contains(rect.x, rect.y) and seen.contains(rect.x + rect.width, rect.y)):
            x, y = self.camera.to_screen(rect.x + rect.width / 2, rect.y + rect.height / 2)
            self.look_at(self.camera.panned(self.size[0] / 2 - x, self.size[1] / 2 - y))
        self.tell.say(f"{self.scene.title(order[place])}, {place + 1} of {len(order)}")
        self.dirty |= Dirty.SCENE

    # Commands, for keys and buttons alike

    def _did(self, words: str | None) -> None:
        self.let_go()
        if words:
            self.tell.say(words)

    def undo(self) -> None:
        """One step back."""
        label = self.scene.undo()
        self._did(f"Undone: {label}" if label else "There is nothing to undo.")

    def redo(self) -> None:
        """One step forth."""
        label = self.scene.redo()
        self._did(f"Done again: {label}" if label else "There is nothing to do again.")

    def select_all(self) -> None:
        """Select everything."""
        self.scene.select_all()
        self._did(f"{len(self.scene.selected)} nodes selected")

    def copy(self) -> None:
        """Copy what is selected."""
        number = self.scene.copy()
        self._did(f"Copied: {number}" if number else "Select nodes to copy them.")

    def cut(self) -> None:
        """Copy and delete what is selected."""
        number = self.scene.cut()
        self._did(f"Cut: {number}" if number else "Select nodes to cut them.")

    def paste(self, *, at_pointer: bool = True) -> None:
        """Put in what was copied, at the pointer if it is in the window."""
        x, y = self.pointer
        inside = at_pointer and 0 < x < self.size[0] and 0 < y < self.size[1]
        made = self.scene.paste(self.camera.to_canvas(x, y) if inside else None)
        self._did(
            f"Pasted: {len(made)}" if made else "There is nothing to paste; copy nodes first."
        )

    def duplicate(self) -> None:
        """Copy and paste at once."""
        made = self.scene.duplicate()
        self._did(f"Duplicated: {len(made)}" if made else "Select nodes to duplicate them.")

    def delete(self) -> None:
        """Remove what is selected."""
        chosen = len(self.scene.selected) + len(self.scene.selected_edges)
        self.scene.delete()
        self._did(f"Deleted: {chosen}" if chosen else "Select what shall be deleted.")

    def escape(self) -> None:
        """Let go of what is held; else select nothing."""
        if self.mode is Mode.IDLE:
            self.scene.select()
        self.let_go()

    def auto_layout(self) -> None:
        """Arrange what is selected, or everything."""
        self.scene.auto_layout(self.tell.heights())
        self._did("Arranged.")
        self.fit()

    def wish(self) -> None:
        """Ask for a new node in the middle of the window, or at the pointer if it is there."""
        at = self.camera.to_canvas(self.size[0] / 2 - WIDTH / 2, self.size[1] / 2 - 60.0)
        self.tell.palette(PaletteWish(self.scene.snapped(*at)))
