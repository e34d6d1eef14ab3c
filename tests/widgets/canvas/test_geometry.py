"""Where things are and what is hit: compared with the plain way of finding out."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given as hypothesis_given

from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasConnection, CanvasLayout, DataType
from comfynb.widgets.canvas.geometry import (
    FOOTER,
    HEADER,
    ROW,
    WIDTH,
    Geometry,
    PortRef,
    Rect,
    curves,
    topology,
)
from comfynb.widgets.canvas.scene import Scene

PLACES = st.floats(-1000, 1000)


def port(name: str, kind: DataType = DataType.ANY) -> PortView:
    return PortView(name, name, kind)


def some(places: list[tuple[float, float]]) -> Geometry:
    views = {f"n{i}": PortsView((port("in"),), (port("out"),)) for i in range(len(places))}
    of = topology(
        views,
        [
            CanvasConnection(
                id=f"e{i}",
                source_node_id=f"n{i}",
                source_port="out",
                target_node_id=f"n{i + 1}",
                target_port="in",
            )
            for i in range(len(places) - 1)
        ],
    )
    at = np.array(places, dtype=float).reshape(-1, 2)
    return Geometry(of, at[:, 0], at[:, 1])


@hypothesis_given(st.lists(st.tuples(PLACES, PLACES), max_size=8), PLACES, PLACES)
def test_the_topmost_node_is_hit(places: list[tuple[float, float]], x: float, y: float) -> None:
    geometry = some(places)
    hit = [key for key in geometry.of.ids if geometry.node_rect(key).contains(x, y)]
    assert geometry.node_at(x, y) == (hit[-1] if hit else None)


@hypothesis_given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=8), PLACES, PLACES)
def test_the_nearest_port_is_hit(places: list[tuple[float, float]], x: float, y: float) -> None:
    geometry = some(places)
    near = {ref: math.dist(geometry.port_place(ref), (x, y)) for ref in geometry.of.port_index}
    found = geometry.port_at(x, y, 60.0)
    assert (found is None) == (min(near.values()) > 60.0)
    assert found is None or near[found] == min(near.values())


@hypothesis_given(st.lists(st.tuples(PLACES, PLACES), min_size=2, max_size=6), st.data())
def test_a_curve_is_hit_on_its_way_and_not_far_from_it(
    places: list[tuple[float, float]], data: st.DataObject
) -> None:
    geometry = some(places)
    points = curves(geometry.edge_ends())
    edge = data.draw(st.integers(0, len(points) - 1))
    x, y = points[edge][data.draw(st.integers(0, points.shape[1] - 1))]
    found = geometry.edge_at(float(x), float(y), 4.0)
    assert found is not None
    line = points[geometry.of.edge_index[found]]
    assert np.hypot(*(line - [x, y]).T).min() < 60.0  # points of a line lie that far apart
    low = points[:, :, 1].max() + 5.0
    assert geometry.edge_at(float(x), float(low), 4.0) is None


@hypothesis_given(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=8), PLACES, PLACES)
def test_only_what_cannot_be_seen_is_left_out(
    places: list[tuple[float, float]], x: float, y: float
) -> None:
    geometry, window = some(places), Rect(x, y, 300, 200)
    visible = geometry.nodes_in(window)
    for key, shown in zip(geometry.of.ids, visible, strict=True):
        rect = geometry.node_rect(key)
        apart = (
            rect.x > x + 300
            or rect.x + rect.width < x
            or rect.y > y + 200
            or rect.y + rect.height < y
        )
        assert shown == (not apart)
    ends = geometry.edge_ends()
    seen = geometry.edges_in(ends, window)
    for line, shown in zip(curves(ends), seen, strict=True):
        inside = (line[:, 0] >= x) & (line[:, 0] <= x + 300)
        inside &= (line[:, 1] >= y) & (line[:, 1] <= y + 200)
        assert shown or not inside.any()


def test_curves_begin_and_end_where_they_should_and_leave_level() -> None:
    ends = np.array([[0.0, 0.0, 300.0, 100.0], [0.0, 0.0, -300.0, 50.0]])
    for coarse in (False, True):
        points = curves(ends, coarse=coarse)
        np.testing.assert_allclose(points[:, 0], ends[:, :2])
        np.testing.assert_allclose(points[:, -1], ends[:, 2:])
    fine = curves(ends)
    assert (fine[:, 1, 0] > 0).all()  # out to the right, even when the goal lies behind
    assert (fine[:, -2, 0] < ends[:, 2]).all()


def test_ports_stand_at_the_sides_beneath_the_head(scene: Scene) -> None:
    geometry = scene.geometry
    x, y = geometry.port_place(PortRef("b", "in0", False))
    assert x == 300.0
    assert y > HEADER
    assert geometry.port_place(PortRef("b", "out0", True)) == (300.0 + WIDTH, y)
    assert geometry.node_rect("b").height == HEADER + 2 * ROW + 12 + FOOTER
    assert geometry.port_place(PortRef("b", "after", False))[1] > y


def test_connections_to_ports_that_are_gone_are_broken_but_drawn(
    given: dict[str, Any], make_node: Any, make_wire: Any
) -> None:
    wires = [
        make_wire("a", "b", "gone"),
        make_wire("a", "b", "out0", "in7"),
        make_wire("a", "b"),
        make_wire("a", "nobody"),
    ]
    scene = Scene(
        CanvasLayout(nodes=[make_node("a"), make_node("b", 300)], connections=wires), **given
    )
    of = scene.geometry.of
    assert of.edge_broken.tolist() == [True, True, False]
    assert scene.geometry.edge_ends()[0].tolist()[:2] == [WIDTH, HEADER / 2]
    assert len(scene.layout().connections) == 4  # nothing is lost by being looked at
    used = {ref for ref, is_used in zip(of.ports, of.port_used, strict=True) if is_used}
    assert used == {PortRef("a", "out0", True), PortRef("b", "in0", False)}


@pytest.mark.parametrize(("names", "broken"), [(["x"], False), (["x", "y"], True)])
def test_input_and_output_mean_the_only_port_of_a_side(names: list[str], broken: bool) -> None:
    trigger = port("after", DataType.TRIGGER)
    views = {
        "a": PortsView((), (*(port(name) for name in names), port("done", DataType.TRIGGER))),
        "b": PortsView((*(port(name) for name in names), trigger), ()),
    }
    one = CanvasConnection(
        id="e", source_node_id="a", source_port="output", target_node_id="b", target_port="input"
    )
    assert topology(views, [one]).edge_broken.tolist() == [broken]


def test_bounds(scene: Scene) -> None:
    rect = scene.geometry.bounds()
    assert rect is not None
    assert (rect.x, rect.y, rect.width) == (0.0, 0.0, 600.0 + WIDTH)
    assert scene.geometry.bounds(["c"]) == scene.geometry.node_rect("c")
    assert scene.geometry.bounds([]) is None
    assert scene.geometry.bounds(["nobody"]) is None
