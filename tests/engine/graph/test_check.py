"""What keeps a graph from running: one sentence that names the culprit, for each fault."""

import pytest

from comfynb.engine.graph.check import check_connection, check_graph
from comfynb.engine.graph.ports import compatible, find_input, find_output, ports_of
from comfynb.models import CanvasConnection, CanvasLayout, DataType, NodeType


def said(g, workflows=None):
    return [str(problem) for problem in check_graph(g.layout, workflows or {})]


def test_an_empty_graph():
    (problem,) = check_graph(CanvasLayout(), {})
    assert str(problem) == "The graph is empty: add a node to it."


def test_a_good_graph_has_no_problems(g):
    g.input("in")
    g.workflow("w")
    g.output("out")
    g.connect("in", "w.seed")
    g.connect("w.keep", "out")
    assert said(g) == []


def test_a_circle_is_named_node_by_node(g):
    for name in "abc":
        g.merge(name)
    g.connect("a", "b")
    g.connect("b", "c")
    g.connect("c", "a")
    (message,) = said(g)
    assert message.startswith("The graph goes in a circle: ")
    assert all(name in message for name in "abc")
    assert message.endswith("; remove one connection of it.")


def test_a_node_that_waits_for_itself_is_a_circle(g):
    g.merge("a")
    g.input("in")
    g.connect("in", "a")
    g.connect("a", "a")
    assert "The graph goes in a circle: a → a" in said(g)[0]


def test_open_inputs_are_named(g):
    g.condition("c", "output.count > 1")
    g.fanout("f")
    g.merge("m", count=2)
    g.output("o")
    g.input("in")
    g.connect("in", "m.input_1")
    assert said(g) == [
        'c: nothing is connected to its input "input".',
        'f: nothing is connected to its input "input".',
        'm: nothing is connected to its input "2".',
        'o: nothing is connected to its input "input".',
    ]


def test_types_are_compared_through_nodes_that_pass_on(g):
    g.input("in", files=["/x.latent"], data_type="latent")
    g.fanout("f")
    g.merge("m")
    g.workflow("w")
    g.connect("in", "f")
    g.connect("f.output_1", "m")
    g.connect("m", "w.image")
    assert said(g) == ['m gives latents, but "Picture" of w takes images.']
    g.input("picture", files=["/x.png"], data_type="image")
    g.connect("picture", "m")
    assert said(g) == []  # of two kinds: that is seen when they arrive


def test_order_gives_no_data_and_can_be_taken_from_anything():
    kinds = list(DataType)
    assert all(compatible(kind, DataType.TRIGGER) for kind in kinds)
    assert not any(compatible(DataType.TRIGGER, kind) for kind in kinds if kind.value != "trigger")
    assert compatible(DataType.IMAGE, DataType.ANY)
    assert compatible(DataType.ANY, DataType.LATENT)
    assert not compatible(DataType.IMAGE, DataType.VIDEO)


def test_unknown_workflows_are_said_once(g):
    g.workflow("w")
    g.nodes["w"].config.pop("ports")
    g.workflow("none")
    g.nodes["none"].config.pop("ports")
    g.nodes["none"].workflow_id = None
    g.input("in")
    g.connect("in", "w.seed")
    assert said(g) == [
        "w runs the workflow 'wf', which is not known: choose another one.",
        "none has no workflow: choose one.",
    ]


def test_known_workflows_come_from_the_caller(g, ports):
    g.workflow("w")
    g.nodes["w"].config.pop("ports")
    g.input("in")
    g.connect("in", "w.seed")
    assert said(g, {"wf": ports}) == []


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in.nowhere", "w.seed", "in has no output 'nowhere': it has output."),
        (
            "in.output",
            "w.nowhere",
            "w has no input 'nowhere': it has image, seed, text, trigger.",
        ),
    ],
)
def test_unknown_ports(g, source, target, message):
    g.input("in")
    g.workflow("w")
    g.connect(source, target)
    assert said(g) == [message]


def test_a_connection_to_nowhere(g):
    g.input("in")
    g.connect("in", "gone.seed")
    assert said(g) == ["A connection leads to a node that is not there ('gone'): delete it."]


def test_two_connections_where_one_fits(g):
    g.input("a")
    g.input("b")
    g.workflow("w")
    g.connect("a", "w.seed")
    g.connect("b", "w.seed")
    g.connect("a", "w.trigger")
    g.connect("b", "w.trigger")
    assert said(g) == ['"Seed" of w takes one connection and has several: put a Merge before it.']


@pytest.mark.parametrize(
    ("node_type", "config", "expected"),
    [
        (NodeType.CONDITION, {}, "has no expression"),
        (NodeType.CONDITION, {"expression": "output."}, "expression that cannot be used"),
        (NodeType.CONDITION, {"expression": "().__class__"}, "expression that cannot be used"),
        (NodeType.FANOUT, {"mode": "deal"}, "has the mode 'deal': use broadcast or distribute."),
        (NodeType.FANOUT, {"output_count": 0}, "has output_count 0: use a whole number from 1"),
        (NodeType.FANOUT, {"output_count": True}, "has output_count True"),
        (NodeType.MERGE, {"mode": 5}, "use collect, zip or concatenate."),
        (NodeType.MERGE, {"input_count": 1000}, "has input_count 1000"),
        (NodeType.INPUT, {}, "has no value"),
        (NodeType.INPUT, {"value": 1, "files": ["a"]}, "has value and files: give it only one"),
        (NodeType.INPUT, {"values": "ab"}, "has values that are no list"),
        (NodeType.INPUT, {"value": 1, "data_type": "sound"}, "has the data type 'sound'"),
        (NodeType.OUTPUT, {}, "has no output_folder"),
        (
            NodeType.OUTPUT,
            {"output_folder": "out", "naming_pattern": "{nobody}"},
            "naming_pattern that cannot be used",
        ),
        (
            NodeType.OUTPUT,
            {"output_folder": "out", "naming_pattern": "../{name}"},
            "naming_pattern that cannot be used",
        ),
    ],
)
def test_configs_that_cannot_be_used(g, node_type, config, expected):
    g.input("in")
    g.add("x", node_type, **config)
    if node_type is not NodeType.INPUT:
        g.connect("in", "x.input_1" if "input_count" in config else "x.input")
    assert any(message.startswith("x ") and expected in message for message in said(g))


def test_nodes_of_one_name_are_told_apart(g):
    g.output("a", "")
    g.output("b", "")
    g.input("in")
    for name in "ab":
        g.nodes[name].config["title"] = "Keep"
        g.connect("in", name)
    assert [message.split(" has ")[0] for message in said(g)] == ["Keep (1)", "Keep (2)"]


def test_a_connection_is_judged_by_itself_while_it_is_drawn(g):
    g.input("in", value=1, data_type="image")
    g.workflow("w")
    g.workflow("after")
    g.connect("w.keep", "after.image")

    def why(source, port, target, to):
        connection = CanvasConnection(
            id="new",
            source_node_id=source,
            source_port=port,
            target_node_id=target,
            target_port=to,
        )
        problem = check_connection(g.layout, {}, connection)
        return problem and problem.message

    assert why("in", "output", "w", "image") is None
    assert "takes one connection" in why("in", "output", "after", "image")
    assert "goes in a circle" in why("after", "keep", "w", "image")
    assert "gives order only" in why("after", "done", "w", "seed")


def test_short_names_mean_the_only_port(g):
    g.workflow("w")
    node = g.nodes["w"]
    assert find_input(node, None, "input").name == "image"
    assert find_output(node, None, "output") is None  # it has two
    assert [port.name for port in ports_of(node).outputs] == ["keep", "note", "done"]
