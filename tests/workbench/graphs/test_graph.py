"""Graphs in code: built in a few lines, changed, and refused with the names of nodes and ports."""

import pytest

from comfynb.errors import ExpressionError, InvalidValue, NotFound, UsageError
from comfynb.models import CanvasLayout, DataType, FallbackStrategy, NodeType


def test_a_graph_is_built_in_a_few_lines(faces, inverting, fleet):
    layout = faces.layout
    assert isinstance(layout, CanvasLayout)
    assert [node.node_type for node in layout.nodes] == [
        NodeType.INPUT,
        NodeType.WORKFLOW,
        NodeType.CONDITION,
        NodeType.WORKFLOW,
        NodeType.WORKFLOW,
        NodeType.MERGE,
        NodeType.OUTPUT,
    ]
    assert len(layout.connections) == 7
    assert list(faces.nodes) == [
        "pictures",
        "first",
        "wide?",
        "big",
        "small",
        "Merge",
        "results",
    ]
    first = faces["first"].node
    assert first.workflow_id == inverting.id
    assert first.backend_affinity == fleet.backends["one"].id
    assert first.fallback_strategy is FallbackStrategy.NONE
    assert faces["pictures"].ports.outputs[0].data_type is DataType.IMAGE
    assert faces["small"].config["values"] == {"filename_prefix": "small"}
    assert faces.check() == []
    assert repr(faces.check()) == "Nothing is wrong with this graph."


def test_nodes_that_code_adds_lie_beside_one_another(faces):
    positions = {node.id: node.position for node in faces.layout.nodes}
    assert len(set(positions.values())) == len(positions)
    for connection in faces.layout.connections:
        source = positions[connection.source_node_id]
        target = positions[connection.target_node_id]
        assert target[0] >= source[0] + 220, "the target is not to the right of its source"


def test_a_graph_says_what_it_is_in_text(faces):
    text = repr(faces)
    assert "<Graph faces: 7 nodes>" in text
    assert "first: runs invert on one, else none" in text
    assert "wide?: if output.width > 512" in text
    assert "wide?.true >> big." in text
    assert "results: results/{node}_{index:02}_{name}" in text
    assert repr(faces["first"]).startswith("<workflow first on one; inputs: ")
    assert repr(faces["wide?"].true) == "<Port wide?.true>"


def test_ports_are_found_by_name_by_the_beginning_and_by_number(faces, fleet, inverting):
    node = faces["first"]
    keep = node.ports.outputs[0].name
    assert keep.startswith("keep_")
    assert node.keep.name == node[keep].name == keep
    assert node.as_output(node.out).name == keep
    fan = faces.fanout(3, mode="distribute")
    assert [fan[number].name for number in range(3)] == ["output_1", "output_2", "output_3"]
    merge = faces.merge("zip", inputs=2)
    assert merge[1].name == "input_2"
    assert {"true", "false", "input"} <= set(dir(faces["wide?"]))
    assert "true" in faces["wide?"]._ipython_key_completions_()
    assert "first" in faces._ipython_key_completions_()


def test_a_merge_with_numbered_inputs_takes_them_in_order(faces, sampler):
    merge = faces.merge("zip", "pairs", inputs=2)
    faces.workflow(sampler, "a") >> merge
    faces.workflow(sampler, "b") >> merge
    ports = [c.target_port for c in faces.layout.connections if c.target_node_id == merge.id]
    assert ports == ["input_1", "input_2"]


def test_the_same_connection_again_is_no_other_one(faces):
    before = faces.layout.connections
    faces["pictures"] >> faces["first"].image
    assert faces.layout.connections == before


def test_nodes_are_changed_renamed_disconnected_and_deleted(faces, fleet):
    small = faces["small"]
    assert small.set(filename_prefix="tiny", backend="two", fallback="auto") is small
    assert small.config["values"] == {"filename_prefix": "tiny"}
    assert (small.backend, small.fallback) == ("two", FallbackStrategy.AUTO_SELECT)
    small.set(filename_prefix=None, title="tiny")
    assert small.config["values"] == {}
    assert faces["tiny"] == small
    faces["wide?"].set(expression="output.width > 100", true_label=None)
    assert "true_label" not in faces["wide?"].config
    faces.disconnect(faces["pictures"], faces["first"])
    assert "nothing is connected to its input" in repr(faces.check())
    with pytest.raises(NotFound, match="is not connected"):
        faces.disconnect(faces["pictures"], faces["first"])
    small.delete()
    assert "tiny" not in faces.nodes
    assert repr(small) == "<GraphNode that was deleted>"
    with pytest.raises(NotFound, match="was deleted"):
        small.delete()
    assert len(faces.layout.connections) == 4


def test_two_nodes_of_one_name_get_two(faces, sampler):
    one, two = faces.workflow(sampler), faces.workflow(sampler)
    assert (one.title, two.title) == ("sampler", "sampler 2")
    assert faces.merge().title == "Merge 2"


@pytest.mark.parametrize(
    ("build", "error", "said"),
    [
        (lambda g: g["nobody"], NotFound, "faces has no node 'nobody'; it has pictures, first"),
        (lambda g: g["first"].imag, AttributeError, "first has no port 'imag' (did you mean image"),
        (lambda g: g["first"]["nope"], NotFound, "first has no port 'nope'"),
        (lambda g: g["wide?"] >> g["results"], UsageError, "graph['wide?'].true or "),
        (lambda g: g["pictures"] >> g["pictures"], UsageError, "pictures takes no data"),
        (lambda g: g["results"] >> g["first"], UsageError, "results gives no data"),
        (lambda g: g["big"] >> g["first"].image, UsageError, "takes one connection and has"),
        (lambda g: g["first"].image >> g["wide?"], UsageError, "first has no output 'image'"),
        (lambda g: g["first"] >> g["wide?"].true, UsageError, "wide? has no input 'true'"),
        (lambda g: g["first"] >> 3, UsageError, "Nodes and their ports are connected, not int"),
        (lambda g: g.condition("output.width >"), ExpressionError, "at character 14"),
        (lambda g: g.output("x", "{sead}"), InvalidValue, "unknown placeholder {sead}"),
        (lambda g: g.input(files="none.png"), InvalidValue, "none.png is no file"),
        (lambda g: g.workflow("nothing"), NotFound, "No workflow 'nothing'"),
        (lambda g: g.workflow("invert", backend="three"), NotFound, "three"),
        (lambda g: g.workflow("invert", colour=3), NotFound, "colour"),
        (lambda g: g.workflow("sampler", steps=0), InvalidValue, "Steps"),
        (lambda g: g["wide?"].set(expression="eval('1')"), ExpressionError, "no function 'eval'"),
        (lambda g: g["first"].set(steps=3), NotFound, "steps"),
        (lambda g: g.workflow("invert", fallback="perhaps"), ValueError, "perhaps"),
    ],
)
def test_errors_name_the_nodes_and_ports(faces, sampler, build, error, said):
    sampler.save()
    before = faces.layout
    with pytest.raises(error) as raised:
        build(faces)
    assert said in str(raised.value)
    assert faces.layout == before, "something was changed although it was refused"


def test_a_circle_is_refused_with_its_way(faces):
    circle = faces.merge("concatenate", "again")
    faces["Merge"] >> circle
    with pytest.raises(UsageError, match=r"Merge.output >> .* cannot be connected|circle"):
        circle >> faces["Merge"]


def test_nodes_of_two_graphs_are_not_connected(faces, fleet):
    other = fleet.graphs.new("other")
    with pytest.raises(UsageError, match="not in the same graph"):
        other.input("x", value=1) >> faces["results"]
