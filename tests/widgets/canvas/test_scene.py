"""Commands on a graph: each does what it says, and undoing all of them changes nothing at all."""

import copy
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings

from comfynb.engine.views import PortsView, PortView
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    DataType,
    FallbackStrategy,
    NodeType,
    Viewport,
)
from comfynb.widgets.canvas.contract import PaletteItem
from comfynb.widgets.canvas.geometry import PortRef, Rect
from comfynb.widgets.canvas.scene import SNAP, Scene

ITEM = PaletteItem("w", "portrait", NodeType.WORKFLOW, workflow_id="w1", config={"list": [1]})


def out(key: str, name: str = "out0") -> PortRef:
    return PortRef(key, name, True)


def into(key: str, name: str = "in0") -> PortRef:
    return PortRef(key, name, False)


def test_it_shares_nothing_with_whoever_made_the_layout(scene: Scene, chain: CanvasLayout) -> None:
    before = scene.layout()
    chain.nodes[0].config["x"] = 1
    chain.nodes[1].position = (9.0, 9.0)
    chain.connections.clear()
    assert scene.layout() == before
    given = scene.layout(Viewport(zoom=0.5))
    assert given.viewport.zoom == 0.5
    given.nodes[0].config["y"] = 1
    given.nodes.clear()
    assert scene.layout() == before


def test_callbacks_may_spoil_what_they_are_given(
    chain: CanvasLayout, given: dict[str, Any]
) -> None:
    def spoil(node: CanvasNode) -> str:
        node.config["spoilt"] = True
        return "x"

    scene = Scene(chain, **{**given, "title": spoil})
    assert scene.title("a") == "x"
    assert all("spoilt" not in node.config for node in scene.layout().nodes)


def test_ports_and_titles_are_asked_once_for_each_version_of_a_node(
    chain: CanvasLayout, given: dict[str, Any]
) -> None:
    asked: list[str] = []

    def ports(node: CanvasNode) -> PortsView:
        asked.append(node.id)
        return PortsView((PortView("in", "in", DataType.ANY),), ())

    scene = Scene(chain, **{**given, "ports": ports})
    _ = scene.geometry
    scene.select(["a"])
    scene.move(100, 0)
    scene.undo()
    _ = scene.geometry
    assert sorted(asked) == ["a", "b", "c", "d"]
    scene.configure("a", {"x": 1})
    _ = scene.geometry
    assert sorted(asked) == ["a", "a", "b", "c", "d"]
    scene.forget()
    _ = scene.geometry
    assert len(asked) == 9


def test_added_nodes_have_what_their_item_says_and_share_nothing(scene: Scene) -> None:
    first, second = scene.add(ITEM, 13.0, 27.0), scene.add(ITEM, 13.0, 27.0)
    one, other = scene.document.nodes[first], scene.document.nodes[second]
    assert one.workflow_id == "w1"
    assert one.position == (20.0, 20.0)
    assert one.config == {"list": [1]}
    assert one.config["list"] is not other.config["list"]
    assert one.id != other.id
    assert scene.selected == {other.id}
    scene.snap = False
    third = scene.add(ITEM, 13.0, 27.0)
    assert scene.document.nodes[third].position == (13.0, 27.0)


def test_moving_puts_the_first_on_the_grid_and_keeps_distances(scene: Scene) -> None:
    scene.snap = False
    scene.select(["a"])
    scene.move(3.0, 4.0)
    scene.snap = True
    scene.select(["a", "b"])
    scene.move(51.0, 0.0)
    a, b = (scene.document.nodes[key].position for key in "ab")
    assert a == (60.0, 0.0)
    assert (b[0] - a[0], b[1] - a[1]) == (297.0, -4.0)
    assert scene.document.nodes["c"].position == (600.0, 0.0)


def test_presses_of_an_arrow_are_one_step_back_until_something_else_happens(scene: Scene) -> None:
    scene.select(["a"])
    for _ in range(4):
        scene.move(SNAP, 0, merge=("nudge", "a"))
    assert scene.document.nodes["a"].position == (80.0, 0.0)
    assert scene.undo() == "move a node"
    assert scene.document.nodes["a"].position == (0.0, 0.0)
    scene.redo()
    scene.move(SNAP, 0, merge=("nudge", "a"))
    scene.undo()
    assert scene.document.nodes["a"].position == (80.0, 0.0)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (out("a"), out("c"), "Both are outputs"),
        (into("a"), into("c"), "Both are inputs"),
        (out("a"), into("a"), "itself"),
        (out("c"), into("a"), "circle: a → b → c → a."),
        (into("a"), out("c"), "circle"),
        (out("a"), into("b"), "connected already"),
        (out("a"), into("c", "after"), "any does not fit trigger."),
        (out("a"), into("c"), None),
        (out("d"), into("a"), None),
    ],
)
def test_what_cannot_be_connected_says_why(
    scene: Scene, one: PortRef, other: PortRef, reason: str | None
) -> None:
    said = scene.why_not(one, other)
    assert (said is None) if reason is None else (said is not None and reason in said)


def test_an_input_keeps_one_connection_unless_it_takes_many(
    given: dict[str, Any], make_node: Any, make_wire: Any
) -> None:
    nodes = [make_node("a"), make_node("b"), make_node("c"), make_node("m", many=True)]
    scene = Scene(CanvasLayout(nodes=nodes, connections=[make_wire("a", "c")]), **given)
    made = scene.connect(out("b"), into("c"))
    assert list(scene.document.connections) == [made]
    scene.connect(into("m"), out("a"))
    scene.connect(out("b"), into("m"))
    assert len(scene.document.connections) == 3
    assert scene.document.connections[made].data_type is DataType.ANY
    scene.undo(), scene.undo(), scene.undo()
    assert list(scene.document.connections) == ["a.out0>c.in0"]


def test_a_node_added_at_the_end_of_a_wire_is_one_step(scene: Scene) -> None:
    made = scene.add_connected(ITEM, 900.0, 40.0, out("c"))
    assert [
        (one.source_node_id, one.target_node_id) for one in scene.document.connections.values()
    ][-1] == ("c", made)
    x, y = scene.geometry.port_place(into(made))
    assert abs(x - 900.0) <= SNAP
    assert abs(y - 40.0) <= SNAP
    scene.undo()
    assert list(scene.document.nodes) == ["a", "b", "c", "d"]
    # Nothing that fits: the node is there all the same.
    lone = PaletteItem("x", "x", NodeType.WORKFLOW, config={"in": ["video"], "out": ["video"]})
    scene.configure("c", {"out": ["image"]})
    number = len(scene.document.connections)
    assert scene.add_connected(lone, 0, 0, out("c")) in scene.document.nodes
    assert len(scene.document.connections) == number


def test_deleting_a_node_takes_its_connections_and_undo_brings_all_back_in_order(
    scene: Scene,
) -> None:
    before = scene.layout()
    scene.select(["b"])
    scene.delete()
    assert list(scene.document.nodes) == ["a", "c", "d"]
    assert not scene.document.connections
    assert scene.selected == set()
    scene.undo()
    assert scene.layout() == before
    scene.select(edges=["a.out0>b.in0"])
    scene.delete()
    assert list(scene.document.connections) == ["b.out0>c.in0"]


def test_copies_carry_the_connections_among_them_into_any_editor(
    scene: Scene, given: dict[str, Any]
) -> None:
    scene.configure("a", {"deep": {"list": [1]}})
    scene.select(["a", "b"])
    assert scene.copy() == 2
    other = Scene(CanvasLayout(), **given)
    made = other.paste()
    assert len(made) == 2
    assert not set(made) & set(scene.document.nodes)
    (edge,) = other.document.connections.values()
    assert (edge.source_node_id, edge.target_node_id) == tuple(made)
    assert other.document.nodes[made[0]].config == {"deep": {"list": [1]}}
    other.document.nodes[made[0]].config["deep"]["list"].append(2)
    assert scene.document.nodes["a"].config["deep"]["list"] == [1]
    # Beside the original, and further each time.
    keys = [scene.paste()[0] for _ in range(2)]
    one, two = (scene.document.nodes[key].position for key in keys)
    assert one == (40.0, 40.0)
    assert two == (80.0, 80.0)
    # At a place: the middle of what is pasted.
    pasted = scene.paste((2000.0, 1000.0))
    rect = scene.geometry.bounds(pasted)
    assert rect is not None
    assert abs(rect.x + rect.width / 2 - 2000.0) <= SNAP


def test_cut_and_duplicate_and_nothing_to_paste(scene: Scene, given: dict[str, Any]) -> None:
    assert Scene(CanvasLayout(), **given).paste() == []
    assert scene.duplicate() == []
    assert scene.cut() == 0
    scene.select(["a", "b"])
    assert len(scene.duplicate()) == 2
    assert len(scene.document.connections) == 3
    assert scene.paste() == []  # the clipboard is not touched by it
    scene.select(["c"])
    scene.cut()
    assert "c" not in scene.document.nodes
    assert len(scene.paste()) == 1


def test_fields_and_config_are_validated_and_equal_ones_are_no_edit(scene: Scene) -> None:
    scene.change("a", {"backend_affinity": "pc1"})
    scene.change("a", {"backend_affinity": "pc1"})
    scene.configure("a", {"x": 1, "y": 2})
    scene.configure("a", {"y": None, "never there": None})
    assert scene.document.nodes["a"].config == {"x": 1}
    with pytest.raises(ValueError, match="fallback_strategy"):
        scene.change("a", {"fallback_strategy": "sometimes"})
    assert scene.document.nodes["a"].fallback_strategy is FallbackStrategy.ASK_USER
    for _ in range(3):
        assert scene.undo() == "change a"
    assert scene.undo() is None


def test_another_layout_from_code_is_one_edit_and_the_same_none(
    scene: Scene, chain: CanvasLayout
) -> None:
    assert not scene.set_layout(chain)
    assert scene.history.undo_label is None
    changed = chain.model_copy(deep=True)
    changed.nodes.pop()
    scene.select(["d", "a"])
    assert scene.set_layout(changed)
    assert scene.selected == {"a"}
    scene.undo()
    assert scene.layout().nodes == chain.nodes


def test_selecting(scene: Scene) -> None:
    scene.select_in(Rect(250, -10, 60, 60))
    assert scene.selected == {"b"}
    scene.select_in(Rect(-10, 390, 30, 30), more=True)
    assert scene.selected == {"b", "d"}
    scene.toggle("b")
    scene.toggle(edge="a.out0>b.in0")
    assert (scene.selected, scene.selected_edges) == ({"d"}, {"a.out0>b.in0"})
    scene.select_all()
    assert len(scene.selected) == 4
    scene.select(["nobody"], ["nothing"])
    assert not scene.selected | scene.selected_edges


def test_arranging_is_one_step_and_only_touches_what_is_selected(scene: Scene) -> None:
    scene.select(["a", "b"])
    scene.auto_layout()
    assert scene.document.nodes["d"].position == (0.0, 400.0)
    scene.select()
    scene.auto_layout()
    x = [scene.document.nodes[key].position[0] for key in "abc"]
    assert x == sorted(x)
    while scene.undo():
        pass
    assert [node.position for node in scene.layout().nodes] == [
        (0, 0),
        (300, 0),
        (600, 0),
        (0, 400),
    ]


# Invariants over random sequences of commands

TYPES = st.lists(st.sampled_from([kind.value for kind in DataType]), min_size=1, max_size=3)


@st.composite
def layouts(draw: st.DrawFn) -> CanvasLayout:
    number = draw(st.integers(0, 7))
    nodes = [
        CanvasNode(
            id=f"n{i}",
            node_type=draw(st.sampled_from(list(NodeType))),
            position=(draw(st.floats(-500, 500)), draw(st.floats(-500, 500))),
            config={"in": draw(TYPES), "out": draw(TYPES), "many": draw(st.booleans())},
        )
        for i in range(number)
    ]
    # Also connections that lead nowhere, go backwards, or name ports that do not exist.
    ends = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3), st.integers(0, 3))
    connections = [
        CanvasConnection(
            id=f"e{i}",
            source_node_id=f"n{a}",
            target_node_id=f"n{b}",
            source_port=f"out{p}",
            target_port=f"in{q}" if q else "after",
        )
        for i, (a, b, p, q) in enumerate(draw(st.lists(ends, max_size=10)))
    ]
    return CanvasLayout(nodes=nodes, connections=connections)


WORDS = (
    *("add", "move", "nudge", "connect", "drop", "delete", "change", "configure", "copy"),
    *("paste", "duplicate", "cut", "arrange", "select", "all", "undo", "redo", "code"),
)
COMMANDS = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 10**6)), max_size=25)


def obey(scene: Scene, word: str, number: int) -> None:
    nodes, ports = list(scene.document.nodes), scene.geometry.of.ports
    some = [key for place, key in enumerate(nodes) if number >> place & 1]
    match word:
        case "add":
            scene.add(ITEM, number % 1000, number % 77)
        case "select":
            scene.select(some, list(scene.document.connections)[number % 3 :: 3])
        case "all":
            scene.select_all()
        case "move":
            scene.move(number % 97 - 40, number % 89 - 40)
        case "nudge":
            scene.move(SNAP, 0, merge="nudge")
        case "connect" | "drop" if ports:
            one, other = ports[number % len(ports)], ports[number // 7 % len(ports)]
            if word == "drop":
                scene.add_connected(ITEM, 0, 0, one)
            elif scene.why_not(one, other) is None:
                scene.connect(one, other)
        case "delete":
            scene.delete()
        case "change" if nodes:
            scene.change(nodes[number % len(nodes)], {"backend_affinity": str(number % 3)})
        case "configure" if nodes:
            types = [["any"], ["image", "video"], []][number % 3]
            scene.configure(nodes[number % len(nodes)], {"in": types})
        case "copy":
            scene.copy()
        case "cut":
            scene.cut()
        case "paste" | "duplicate" if len(nodes) > 40:
            pass  # each doubles them
        case "paste":
            scene.paste(None if number % 2 else (number % 500, 0.0))
        case "duplicate":
            scene.duplicate()
        case "arrange":
            scene.auto_layout()
        case "undo":
            scene.undo()
        case "redo":
            scene.redo()
        case "code":
            layout = scene.layout()
            scene.set_layout(layout.model_copy(update={"nodes": layout.nodes[: number % 4 + 1]}))


@hypothesis_given(layout=layouts(), commands=COMMANDS)
@settings(max_examples=150)
def test_undoing_everything_gives_the_identical_layout_and_redoing_it_the_last(
    rules: dict[str, Any], layout: CanvasLayout, commands: list[tuple[str, int]]
) -> None:
    before = copy.deepcopy(layout)
    scene = Scene(layout, **rules)
    for word, number in commands:
        obey(scene, word, number)
        assert scene.selected <= set(scene.document.nodes)
        assert scene.selected_edges <= set(scene.document.connections)
        assert scene.geometry.of.ids == tuple(scene.document.nodes)
    while scene.redo():
        pass
    after = scene.layout()
    assert CanvasLayout.model_validate(after.model_dump()) == after  # it can be saved and loaded
    while scene.undo():
        pass
    assert scene.layout() == before == layout
    while scene.redo():
        pass
    assert scene.layout() == after


@hypothesis_given(layout=layouts())
@settings(max_examples=100)
def test_ports_are_lit_exactly_where_connecting_is_allowed(
    rules: dict[str, Any], layout: CanvasLayout
) -> None:
    scene = Scene(layout, **rules)
    of = scene.geometry.of
    for start in of.ports:
        fits = scene.connectable(start)
        allowed = [start != end and scene.why_not(start, end) is None for end in of.ports]
        np.testing.assert_array_equal(fits, allowed, str(start))
