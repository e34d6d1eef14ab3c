"""Tall nodes: which of their ports are rows, and that none of the others is lost."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings

from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasLayout, CanvasNode, DataType, NodeType
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.contract import PaletteItem
from comfynb.widgets.canvas.draw import Looks, View, draw_scene
from comfynb.widgets.canvas.draw_hand import Wire, draw_hover, draw_wire
from comfynb.widgets.canvas.folding import TALL, rows_of
from comfynb.widgets.canvas.geometry import ROW, PortRef
from comfynb.widgets.canvas.hand import Callbacks, Hand, Mode
from comfynb.widgets.canvas.primitives import Polygons, Texts
from comfynb.widgets.canvas.scene import Scene
from comfynb.widgets.canvas.svg import to_svg

PORTS = st.lists(st.tuples(st.sampled_from(list(DataType)), st.booleans()), max_size=20)


@hypothesis_given(PORTS, st.integers(0, 2**20 - 1))
@settings(max_examples=100)
def test_what_matters_is_shown_in_order(kinds: list[tuple[DataType, bool]], mask: int) -> None:
    side = [PortView(str(i), "", kind, required=must) for i, (kind, must) in enumerate(kinds)]
    used = {one.name for i, one in enumerate(side) if mask >> i & 1}
    rows = rows_of(side, used)
    shown = [row for row in rows if row is not None]
    assert shown == list(range(len(shown)))
    assert len(rows) == len(side)
    if len(side) <= TALL:
        assert None not in rows
    for one, row in zip(side, rows, strict=True):
        assert row is not None or not (one.required or one.name in used)
    away = [i for i, row in enumerate(rows) if row is None]
    assert len(away) != 1  # the row that says so would be as high
    if away:  # whichever is connected next comes out
        assert rows_of(side, {*used, str(away[-1])})[away[-1]] is not None


def ports(node: CanvasNode) -> PortsView:
    """An image that must be there, some parameters, a trigger; many outputs if asked."""
    number = int(node.config.get("parameters", 0))
    takes = [PortView("image", "image", DataType.IMAGE, required=True)]
    takes += [PortView(f"p{i}", f"parameter {i}", DataType.ANY) for i in range(number)]
    takes.append(PortView("after", "after", DataType.TRIGGER, many=True))
    gives = [PortView(f"o{i}", f"result {i}", DataType.ANY) for i in range(node.config["outputs"])]
    return PortsView(tuple(takes), tuple(gives))


@pytest.fixture
def tall(given: dict[str, Any], make_node: Any, make_wire: Any) -> Scene:
    """ "a" with twenty parameters, of which the 13th comes from "b"; 400 apart."""
    nodes = [
        make_node("b", 0, 0, outputs=2),
        make_node("a", 400, 0, parameters=20, outputs=1),
    ]
    layout = CanvasLayout(nodes=nodes, connections=[make_wire("b", "a", "o0", "p12")])
    return Scene(layout, **{**given, "ports": ports})


def labels(scene: Scene) -> list[str]:
    looks = Looks(scene.document.nodes, scene.title, lambda _: "")
    drawing = draw_scene(scene.geometry, View(Camera(), 1000, 900), looks)
    return [text for one in drawing if isinstance(one, Texts) for text, _, _ in one.items]


def middle(scene: Scene, node: str) -> tuple[float, float]:
    """The middle of a node's "+n" row."""
    rect, of = scene.geometry.node_rect(node), scene.geometry.of
    return rect.x + rect.width / 2, rect.y + float(of.fold_dy[of.index[node]])


def test_a_tall_node_shows_what_is_connected_what_must_be_and_the_next_free_port(
    tall: Scene,
) -> None:
    said = labels(tall)
    assert {"image *", "parameter 0", "parameter 12", "+19 ports"} <= set(said)
    assert "parameter 1" not in said
    assert "after" in said  # of "b", which is not tall
    assert said.count("after") == 1
    low = tall.geometry.node_rect("a").height
    assert tall.fold(["a"]) is True
    said = labels(tall)
    assert {"parameter 1", "parameter 19", "fewer ports"} <= set(said)
    assert tall.geometry.node_rect("a").height == low + 19 * ROW
    assert tall.fold(["a", "b"]) is False
    assert tall.geometry.node_rect("a").height == low
    assert tall.fold(["b"]) is None
    assert tall.history.undo_label is None  # it is a way to look, no edit
    looks = Looks(tall.document.nodes, tall.title, lambda _: "")
    drawing = draw_scene(tall.geometry, View(Camera(), 900, 700), looks)
    svg = to_svg(drawing, (900, 700), title="x")
    assert "+19 ports" in svg
    assert "parameter 7" not in svg


def test_a_folded_port_comes_out_when_it_is_connected_and_goes_back_when_not(tall: Scene) -> None:
    tall.connect(PortRef("b", "o1", True), PortRef("a", "p7", False))
    assert {"parameter 7", "+18 ports"} <= set(labels(tall))
    tall.undo()
    assert "parameter 7" not in labels(tall)
    ends = tall.geometry.edge_ends()[0].tolist()
    assert ends[2:] == list(tall.geometry.port_place(PortRef("a", "p12", False)))


def test_many_outputs_are_folded_too_and_the_next_one_is_free(
    given: dict[str, Any], make_node: Any, make_wire: Any
) -> None:
    nodes = [make_node("f", outputs=16), make_node("g", 400, 0, outputs=1)]
    scene = Scene(CanvasLayout(nodes=nodes), **{**given, "ports": ports})
    assert {"result 0", "+15 ports"} <= set(labels(scene))
    assert "result 1" not in labels(scene)
    scene.connect(PortRef("f", "o0", True), PortRef("g", "image", False))
    assert {"result 0", "result 1", "+14 ports"} <= set(labels(scene))


def test_what_is_folded_away_is_not_hit_but_its_row_is(tall: Scene) -> None:
    geometry = tall.geometry
    away = PortRef("a", "p7", False)
    x, y = geometry.port_place(away)
    assert geometry.port_at(x, y, 5.0) is None
    at = middle(tall, "a")
    assert geometry.fold_at(*at) == "a"
    assert geometry.fold_at(at[0], at[1] - ROW) is None
    assert geometry.fold_at(100.0, 50.0) is None  # "b" has no such row
    assert math.isnan(float(geometry.of.fold_dy[geometry.of.index["b"]]))
    tall.fold(["a"])
    x, y = tall.geometry.port_place(away)
    assert tall.geometry.port_at(x, y, 5.0) == away
    assert tall.geometry.fold_at(*middle(tall, "a")) == "a"


def test_a_click_on_the_row_or_a_key_unfolds_and_folds(tall: Scene) -> None:
    said: list[str] = []
    hand = Hand(tall, Camera(), Callbacks(say=said.append))
    hand.move(*middle(tall, "a"), 0)
    assert (hand.on_fold, hand.cursor) == ("a", "pointer")
    shown = draw_hover(tall.geometry, View(Camera(), 900, 700), *hand.hover, hand.on_fold)
    assert len(shown) == 2  # the node's frame, and the row's
    hand.down(*middle(tall, "a"))
    hand.up(*middle(tall, "a"))
    assert tall.unfolded == {"a"}
    assert tall.selected == set()  # the node was not taken
    assert said == ["All ports are shown."]
    hand.down(*middle(tall, "a"))
    hand.up(*middle(tall, "a"))
    assert tall.unfolded == set()
    assert hand.key("e")
    assert "Select a node" in said[-1]
    tall.select(["a", "b"])
    hand.key("e")
    assert tall.unfolded == {"a"}
    hand.look_at(Camera(0, 0, 0.3))  # too far away to be read
    x, y = hand.camera.to_screen(*middle(tall, "a"))
    hand.down(x, y)
    assert hand.mode is Mode.PRESS
    assert tall.unfolded == {"a"}


def test_a_wire_over_the_row_unfolds_it_and_finds_its_port(tall: Scene) -> None:
    hand = Hand(tall, Camera())
    start = PortRef("b", "o1", True)
    hand.down(*tall.geometry.port_place(start))
    assert hand.wire is not None
    lit = draw_wire(tall.geometry, View(Camera(), 900, 700), hand.wire)
    rows = [one for one in lit if isinstance(one, Polygons) and one.fill == "good"]
    assert len(rows[0].points) == 1  # one row, however many ports fit behind it
    hand.move(*middle(tall, "a"))
    assert tall.unfolded == {"a"}
    goal = PortRef("a", "p7", False)
    hand.move(*tall.geometry.port_place(goal))
    assert hand.wire.target == goal
    hand.up(*tall.geometry.port_place(goal))
    assert [one.target_port for one in tall.document.connections.values()] == ["p12", "p7"]


def test_a_wire_let_go_over_a_folded_node_prefers_what_is_seen(tall: Scene) -> None:
    hand = Hand(tall, Camera())
    start = PortRef("b", "o1", True)
    hand.down(*tall.geometry.port_place(start))
    rect = tall.geometry.node_rect("a")
    at = (rect.x + rect.width / 2, rect.y + 12.0)
    hand.move(*at)
    assert hand.wire is not None
    assert hand.wire.target == PortRef("a", "image", False)
    # Only what is folded fits: it is taken all the same, and shows itself.
    of = tall.geometry.of
    only = np.zeros(len(of.ports), dtype=bool)
    only[of.port_index[PortRef("a", "p9", False)]] = True
    wire = Wire(start, at, only)
    assert hand._wire_end(wire, at) == (PortRef("a", "p9", False), None)


def test_a_node_added_at_the_end_of_a_wire_lies_with_its_port_there(tall: Scene) -> None:
    item = PaletteItem("w", "w", NodeType.WORKFLOW, config={"parameters": 20, "outputs": 1})
    made = tall.add_connected(item, 900.0, 300.0, PortRef("b", "o1", True))
    x, y = tall.geometry.port_place(PortRef(made, "image", False))
    assert abs(x - 900.0) <= 20
    assert abs(y - 300.0) <= 20
