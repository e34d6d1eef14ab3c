"""Where nodes go that only code has placed, and who is told of a change."""

import itertools

import pytest

from comfynb.engine.graph import WorkflowPorts, compatible, ports_of, title_of
from comfynb.engine.graph.workflow import WorkflowInput, WorkflowOutput
from comfynb.errors import NotFound
from comfynb.models import CanvasLayout, CanvasNode, DataType, NodeType
from comfynb.widgets.canvas.geometry import Rect
from comfynb.widgets.canvas.scene import Scene
from comfynb.workbench.graphs.model import GraphModel

TALL = WorkflowPorts(
    "tall",
    tuple(
        WorkflowInput(f"p{n}", f"p{n}", DataType.ANY, "1", f"p{n}", param="int") for n in range(40)
    ),
    (WorkflowOutput("out", "out", DataType.IMAGE, "2"),),
)
PORTS = {"w": TALL}


def node(key):
    return CanvasNode(
        id=key, node_type=NodeType.WORKFLOW, position=(0.0, 0.0), workflow_id="w", config={}
    )


def scene_of(layout):
    return Scene(
        layout,
        ports=lambda one: ports_of(one, TALL),
        title=title_of,
        compatible=compatible,
    )


@pytest.fixture
def model():
    """Three tall nodes that feed a fourth, added by code one after the other."""
    model = GraphModel(CanvasLayout())
    for key in "abcd":
        model.add(node(key), PORTS)
    for number, key in enumerate("abc"):
        model.connect(model.new_connection((key, "out"), ("d", f"p{30 + number}")), PORTS)
    return model


def test_nodes_of_code_lie_where_the_canvas_would_arrange_them(model):
    scene = scene_of(model.layout)
    column = [scene.geometry.node_rect(key) for key in "abc"]
    assert len({rect.x for rect in column}) == 1
    column.sort(key=lambda rect: rect.y)
    gaps = [below.y - (above.y + above.height) for above, below in itertools.pairwise(column)]
    assert all(0 < gap <= 80 for gap in gaps), "as far apart as if no port were folded"
    assert scene.geometry.node_rect("d").x > column[0].x + column[0].width
    scene.auto_layout()
    assert scene.history.undo_label is None, "arranging them moved something"


def test_nodes_that_somebody_moved_stay_and_new_ones_do_not_cover_them(model):
    moved = model.layout
    moved.nodes[0].position = (500.0, 900.0)
    model.replace(moved, by="the canvas")
    before = {one.id: one.position for one in model.layout.nodes}
    model.add(node("e"), PORTS)
    after = {one.id: one.position for one in model.layout.nodes}
    assert after["a"] == (500.0, 900.0)
    assert set(before) | {"e"} == set(after)
    geometry = scene_of(model.layout).geometry
    rects = {key: geometry.node_rect(key) for key in after}
    for key in "bcde":
        assert not overlap(rects[key], rects["a"]), key


def overlap(one: Rect, other: Rect) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def test_everybody_is_told_but_who_made_the_change(model):
    heard = {"canvas": [], "other": []}
    for token, into in heard.items():
        model.watch(token, into.append)
    model.replace(CanvasLayout(), by="canvas")
    assert heard == {"canvas": [], "other": [CanvasLayout()]}
    model.unwatch("other")
    model.add(node("x"), PORTS)
    assert [one.id for one in heard["canvas"][-1].nodes] == ["x"]
    assert len(heard["other"]) == 1


def test_what_was_given_out_is_nobodys_to_change(model):
    given = model.layout
    given.nodes.clear()
    assert len(model.current.nodes) == 4
    former = model.current
    model.remove(["d"])
    assert len(former.nodes) == 4
    assert model.current.connections == []
    with pytest.raises(NotFound, match="was deleted"):
        model.node("d")
