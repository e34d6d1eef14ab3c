"""Gestures: what presses, moves and keys do, without any page."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings

from comfynb.models import CanvasConnection, CanvasLayout, CanvasNode, NodeType
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.geometry import PortRef
from comfynb.widgets.canvas.hand import MIDDLE, Callbacks, Dirty, Hand, Keys, Mode, PaletteWish
from comfynb.widgets.canvas.scene import Scene


class Told:
    """A hand, and what it said."""

    def __init__(self, scene: Scene) -> None:
        self.said: list[str] = []
        self.wishes: list[PaletteWish] = []
        tell = Callbacks(say=self.said.append, palette=self.wishes.append)
        self.hand = Hand(scene, Camera(50.0, 50.0, 1.0), tell)
        self.hand.size = (1200.0, 700.0)
        self.scene = scene

    def port(self, node: str, name: str, *, out: bool) -> tuple[float, float]:
        place = self.scene.geometry.port_place(PortRef(node, name, out))
        return self.hand.camera.to_screen(*place)

    def head(self, node: str) -> tuple[float, float]:
        rect = self.scene.geometry.node_rect(node)
        return self.hand.camera.to_screen(rect.x + 90, rect.y + 10)

    def drag(self, start: tuple[float, float], end: tuple[float, float], **keys: bool) -> None:
        self.hand.down(*start, keys=Keys(**keys))
        self.hand.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.hand.move(*end)
        self.hand.up(*end)


@pytest.fixture
def told(scene: Scene) -> Told:
    return Told(scene)


def test_a_dragged_node_moves_only_when_it_is_let_go(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 2, y + 2)
    assert told.hand.mode is Mode.PRESS  # a hand trembles
    told.hand.move(x + 47, y + 95)
    assert told.hand.places == {"a": (40.0, 100.0)}
    assert told.hand.hidden == told.hand.places
    assert told.scene.document.nodes["a"].position == (0.0, 0.0)
    told.hand.up(x + 47, y + 95)
    assert told.scene.document.nodes["a"].position == (40.0, 100.0)
    assert told.scene.undo() == "move a node"


def test_a_drag_frame_only_touches_the_uppermost_layer(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 50, y)
    told.hand.dirty = Dirty.NONE
    told.hand.move(x + 80, y)
    assert told.hand.dirty == Dirty.HAND


def test_a_move_within_the_grid_asks_for_no_frame(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 40, y + 20)
    told.hand.dirty = Dirty.NONE
    told.hand.move(x + 42, y + 21)
    assert told.hand.dirty is Dirty.NONE
    told.hand.move(x + 59, y + 21)
    assert told.hand.dirty is Dirty.HAND
    told.scene.snap = False
    told.hand.dirty = Dirty.NONE
    told.hand.move(x + 59.5, y + 21)
    assert told.hand.dirty is Dirty.HAND


def test_a_drag_that_comes_back_is_no_edit(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 90, y)
    told.hand.move(x + 1, y)
    told.hand.up(x + 1, y)
    assert told.scene.history.undo_label is None


def test_all_selected_nodes_come_along_and_a_click_selects_one_alone(told: Told) -> None:
    told.scene.select(["a", "b"])
    x, y = told.head("b")
    told.drag((x, y), (x + 40, y + 60))
    assert told.scene.document.nodes["a"].position == (40.0, 60.0)
    told.hand.down(*told.head("b"))
    told.hand.up(*told.head("b"))
    assert told.scene.selected == {"b"}
    told.hand.down(*told.head("a"), keys=Keys(shift=True))
    told.hand.up(*told.head("a"))
    assert told.scene.selected == {"a", "b"}
    told.hand.down(*told.head("a"), keys=Keys(ctrl=True))
    told.hand.up(*told.head("a"))
    assert told.scene.selected == {"b"}


def test_a_release_that_nobody_told_ends_the_drag(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 40, y + 40)
    told.hand.move(x + 60, y + 40, buttons=0)
    assert told.hand.mode is Mode.IDLE
    assert told.scene.document.nodes["a"].position == (60.0, 40.0)


def test_empty_canvas_pans_or_selects(told: Told) -> None:
    told.scene.select(["a"])
    told.drag((700, 400), (760, 430))
    assert (told.hand.camera.x, told.hand.camera.y) == (110.0, 80.0)
    assert told.scene.selected == {"a"}
    told.hand.down(700, 400)
    told.hand.up(701, 400)
    assert told.scene.selected == set()
    told.drag((40, 60), (700, 200), ctrl=True)
    assert told.scene.selected == {"a", "b"}
    told.hand.selecting = True
    told.drag((700, 500), (650, 450))
    assert told.scene.selected == set()
    camera = told.hand.camera
    told.hand.down(700, 400, MIDDLE)
    told.hand.up(720, 400)  # moves are told less often than they happen
    assert told.hand.camera.x == camera.x + 20


def test_wires_connect_snap_and_refuse(told: Told) -> None:
    start, end = told.port("d", "out0", out=True), told.port("a", "in0", out=False)
    told.hand.down(*start)
    told.hand.move(end[0] + 8, end[1] - 6)
    assert told.hand.wire is not None
    assert told.hand.wire.target == PortRef("a", "in0", False)
    told.hand.up(end[0] + 8, end[1] - 6)
    assert len(told.scene.document.connections) == 3
    told.hand.down(*told.port("c", "out0", out=True))
    told.hand.move(*told.port("b", "in0", out=False))
    assert told.hand.wire.target is None
    assert told.hand.wire.reason == "That would be a circle: b → c → b."
    told.hand.up(*told.port("b", "in0", out=False))
    assert told.said[-1] == "Not connected: That would be a circle: b → c → b."
    assert len(told.scene.document.connections) == 3


def test_a_wire_let_go_over_a_node_takes_a_port_that_fits(told: Told) -> None:
    told.drag(told.port("d", "out0", out=True), told.head("a"))
    last = list(told.scene.document.connections.values())[-1]
    assert (last.source_node_id, last.target_node_id) == ("d", "a")


def test_a_wire_let_go_over_nothing_wishes_for_a_node(told: Told) -> None:
    x, y = told.port("c", "out0", out=True)
    told.drag((x, y), (x + 5, y + 5))  # hardly a drag
    assert told.wishes == []
    told.drag((x, y), (x + 90, y + 100))
    (wish,) = told.wishes
    assert wish.start == PortRef("c", "out0", True)
    assert wish.place == told.hand.camera.to_canvas(x + 90, y + 100)


def test_a_connection_is_pulled_off_put_elsewhere_or_back(told: Told) -> None:
    at = told.port("b", "in0", out=False)
    told.drag(at, told.port("c", "in0", out=False))  # c gets a's output instead of b's
    assert [one.id for one in told.scene.document.connections.values()][-1:] != ["b.out0>c.in0"]
    ends = {(c.source_node_id, c.target_node_id) for c in told.scene.document.connections.values()}
    assert ends == {("a", "c")}
    told.scene.undo()
    told.drag(at, (at[0] - 10, at[1] + 2))  # put back: no edit
    assert told.scene.history.redo_label == "connect"
    told.drag(at, (at[0] - 50, at[1] + 200))
    assert list(told.scene.document.connections) == ["b.out0>c.in0"]
    assert told.said[-1] == "Connection removed."


def test_connections_are_clicked_and_deleted(told: Told) -> None:
    ends = told.scene.geometry.edge_ends()[0]
    middle = told.hand.camera.to_screen((ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2)
    told.hand.down(*middle)
    told.hand.up(*middle)
    assert told.scene.selected_edges == {"a.out0>b.in0"}
    assert told.hand.key("Delete")
    assert "a.out0>b.in0" not in told.scene.document.connections


def test_keys(told: Told) -> None:
    hand, scene = told.hand, told.scene
    hand.key("a", Keys(ctrl=True))
    assert len(scene.selected) == 4
    hand.key("Escape")
    assert not scene.selected
    x = hand.camera.x
    hand.key("ArrowLeft")  # nothing is selected: the canvas moves
    assert hand.camera.x == x + 60
    scene.select(["d"])
    hand.key("ArrowRight", Keys(shift=True))
    assert scene.document.nodes["d"].position == (100.0, 400.0)
    hand.key("z", Keys(ctrl=True))
    assert scene.document.nodes["d"].position == (0.0, 400.0)
    hand.key("Z", Keys(ctrl=True, shift=True))
    assert scene.document.nodes["d"].position == (100.0, 400.0)
    hand.key("c", Keys(ctrl=True))
    hand.key("v", Keys(ctrl=True))
    hand.key("d", Keys(ctrl=True))
    assert len(scene.document.nodes) == 6
    hand.key("x", Keys(ctrl=True))
    hand.key("y", Keys(ctrl=True))
    assert len(scene.document.nodes) == 5
    hand.key("f")
    seen, bounds = hand.camera.seen(*hand.size), scene.geometry.bounds()
    assert bounds is not None
    assert seen.contains(bounds.x, bounds.y)
    hand.key("]")
    hand.key("]")
    assert len(scene.selected) == 1
    assert told.said[-1].endswith("2 of 5")
    hand.key("0")
    assert hand.camera.zoom == pytest.approx(1.0)
    hand.key("n")
    assert told.wishes
    for key, keys in (("q", Keys()), ("s", Keys(ctrl=True)), ("f", Keys(alt=True))):
        assert not hand.key(key, keys)


def test_escape_lets_go_without_an_edit(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 100, y)
    told.hand.key("Escape")
    told.hand.up(x + 100, y)
    assert told.scene.history.undo_label is None
    assert told.hand.mode is Mode.IDLE


def test_dragging_beyond_the_edge_scrolls(told: Told) -> None:
    x, y = told.head("a")
    told.hand.down(x, y)
    told.hand.move(x + 20, y)
    told.hand.move(1300, y)
    assert told.hand.camera.x < 50.0


def test_the_pointer_says_what_it_is_on(told: Told) -> None:
    told.hand.move(*told.head("a"), buttons=0)
    assert told.hand.hover == ("a", None)
    assert told.hand.cursor == "move"
    told.hand.move(*told.port("a", "out0", out=True), buttons=0)
    assert told.hand.hover == (None, PortRef("a", "out0", True))
    assert told.hand.cursor == "crosshair"
    told.hand.dirty = Dirty.NONE
    told.hand.move(*told.port("a", "out0", out=True), buttons=0)
    assert told.hand.dirty is Dirty.NONE
    told.hand.leave()
    assert told.hand.hover == (None, None)


PLACES = st.tuples(st.integers(-100, 1000), st.integers(-100, 700))
EVENTS = st.one_of(
    st.tuples(st.just("down"), PLACES, st.sampled_from([0, 0, 0, 1, 2]), st.booleans()),
    st.tuples(st.just("move"), PLACES, st.sampled_from([0, 1]), st.booleans()),
    st.tuples(st.just("up"), PLACES, st.just(0), st.booleans()),
    st.tuples(st.just("double"), PLACES, st.just(0), st.booleans()),
    st.tuples(st.just("wheel"), PLACES, st.integers(-300, 300), st.booleans()),
    st.tuples(
        st.sampled_from(["Delete", "z", "y", "c", "v", "d", "a", "l", "f", "Escape", "ArrowUp"]),
        PLACES,
        st.just(-1),
        st.booleans(),
    ),
)


@hypothesis_given(events=st.lists(EVENTS, max_size=30))
@settings(max_examples=150)
def test_no_sequence_of_events_breaks_it_and_all_can_be_undone(
    rules: dict[str, Any], events: list[Any]
) -> None:
    nodes = [
        CanvasNode(id=key, node_type=NodeType.WORKFLOW, position=(x, y))
        for key, x, y in (("a", 0, 0), ("b", 300, 40), ("c", 600, 0), ("d", 300, 300))
    ]
    wires = [
        CanvasConnection(
            id=f"{a}{b}", source_node_id=a, source_port="out0", target_node_id=b, target_port="in0"
        )
        for a, b in ("ab", "bc")
    ]
    layout = CanvasLayout(nodes=nodes, connections=wires)
    scene = Scene(layout, **rules)
    hand = Hand(scene)
    for kind, (x, y), number, flag in events:
        if len(scene.document.nodes) > 40:
            break
        match kind:
            case "down":
                hand.down(x, y, number, Keys(shift=flag))
            case "move":
                hand.move(x, y, number)
            case "up":
                hand.up(x, y)
            case "double":
                hand.double(x, y)
            case "wheel":
                hand.wheel(x, y, number, lines=flag)
            case _:
                hand.key(kind, Keys(ctrl=kind in "zycvda"))
        assert hand.mode in set(Mode) | {Mode.IDLE}
        assert set(hand.places) <= set(scene.document.nodes)
    hand.let_go()
    while scene.undo():
        pass
    assert scene.layout() == layout
