"""What mouse and keyboard mean: gestures on a scene, without any widget.

``Hand`` is told events in CSS pixels of the window and changes scene and camera; ``dirty`` says
which layers have to be drawn anew, and the callbacks what else has happened.
"""

from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.desk import Callbacks, Desk, Dirty, Keys, Mode, PaletteWish
from comfynb.widgets.canvas.draw import FULL, detail_at
from comfynb.widgets.canvas.draw_hand import Wire
from comfynb.widgets.canvas.draw_job import Minimap
from comfynb.widgets.canvas.geometry import PortRef, Rect

__all__ = ["MIDDLE", "Callbacks", "Dirty", "Hand", "Keys", "Mode", "PaletteWish"]

THRESHOLD = 4.0
"""CSS pixels that a pressed pointer may tremble before it drags."""

PORT_REACH = 11.0
WIRE_REACH = 22.0
EDGE_REACH = 7.0
LEFT, MIDDLE, RIGHT = 0, 1, 2
NO_KEYS = Keys()


class Hand(Desk):
    """The mouse, and what its buttons do while they are held."""

    # Mouse

    def down(self, x: float, y: float, button: int = LEFT, keys: Keys = NO_KEYS) -> None:
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
            if node == self._fold_at(at):
                self.fold([node])
            else:
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
        if self.mode is Mode.IDLE and (self.hover != (None, None) or self.on_fold):
            self.hover, self.on_fold = (None, None), None
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
        fold: str | None = None
        if small is not None and small.box.contains(x, y):
            found: tuple[str | None, PortRef | None] = (None, None)
        else:
            at = self.camera.to_canvas(x, y)
            port = self.geometry.port_at(*at, PORT_REACH / min(self.camera.zoom, 1.5))
            port = port if self.camera.zoom >= 0.2 else None
            found = (None if port else self.geometry.node_at(*at), port)
            fold = None if port else self._fold_at(at)
        if (found, fold) != (self.hover, self.on_fold):
            self.hover, self.on_fold = found, fold
            self.dirty |= Dirty.HAND

    def _fold_at(self, at: tuple[float, float]) -> str | None:
        """The node whose "+n" row is there and can be read."""
        return self.geometry.fold_at(*at) if detail_at(self.camera.zoom) == FULL else None

    def _drag(self, x: float, y: float) -> None:
        at = self.camera.to_canvas(x, y)
        step = at[0] - self._from[0], at[1] - self._from[1]
        moved = self.scene.moved_by(*step, lead=self._lead)
        if not moved:  # back where they came from
            nodes = self.scene.document.nodes
            moved = {key: nodes[key].position for key in self.scene.selected}
        if moved != self.places:  # on the grid, most moves lead nowhere else
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
        self._spring(self.wire, at)
        target, reason = self._wire_end(self.wire, at)
        if reason is not None and reason != self.wire.reason:
            self.tell.say(reason)
        self.wire = Wire(self.wire.start, at, self.wire.fits, target, reason)
        self.dirty |= Dirty.HAND

    def _spring(self, wire: Wire, at: tuple[float, float]) -> None:
        """Unfold a node whose "+n" row the wire is on, if it may end at a port behind it."""
        fold, of = self._fold_at(at), self.geometry.of
        if fold is None:
            return
        behind = wire.fits & of.port_folded & (of.port_node == of.index[fold])
        if behind.any():
            self.scene.fold([fold])
            self.tell.say("All ports are shown.")
            self.dirty |= Dirty.ALL

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
            (
                bool(of.port_folded[one]),
                abs(geometry.port_place(of.ports[one])[1] - at[1]),
                int(one),
            )
            for one in (wire.fits & (of.port_node == place)).nonzero()[0]
        ]
        if near:
            return of.ports[min(near)[-1]], None
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
