"""What keys and buttons do to a scene and its camera, without any widget; the base of the hand."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Flag, auto

from comfynb.widgets.canvas.camera import Camera, Insets
from comfynb.widgets.canvas.draw_hand import Wire
from comfynb.widgets.canvas.draw_job import Minimap
from comfynb.widgets.canvas.geometry import WIDTH, Geometry, PortRef, Rect
from comfynb.widgets.canvas.scene import SNAP, Scene

__all__ = ["Callbacks", "Desk", "Dirty", "Keys", "Mode", "PaletteWish"]


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


class Desk:
    """Commands on ``scene``; ``camera`` and ``size`` are what is seen at the moment.

    ``dirty`` says which layers have to be drawn anew, ``tell`` is called for what else happens.
    """

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
        self.on_fold: str | None = None
        """The node whose "+n" row the pointer is on."""
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
        if self.on_fold is not None:
            return "pointer"
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
        self.hover, self.on_fold = (None, None), None
        self.dirty |= Dirty.ALL

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
            "e": lambda: self.fold(self.scene.selected),
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

    def fold(self, nodes: Iterable[str]) -> None:
        """Show all ports of tall nodes, or only those that matter again."""
        shown = self.scene.fold(nodes)
        self.let_go()
        if shown is None:
            self.tell.say("Select a node with more ports than are shown.")
        else:
            self.tell.say(
                "All ports are shown." if shown else "Ports that are not used are folded."
            )

    def auto_layout(self) -> None:
        """Arrange what is selected, or everything."""
        self.scene.auto_layout(self.tell.heights())
        self._did("Arranged.")
        self.fit()

    def wish(self) -> None:
        """Ask for a new node in the middle of the window, or at the pointer if it is there."""
        at = self.camera.to_canvas(self.size[0] / 2 - WIDTH / 2, self.size[1] / 2 - 60.0)
        self.tell.palette(PaletteWish(self.scene.snapped(*at)))
