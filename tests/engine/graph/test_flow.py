"""The reducer, rule by rule where no backend is needed."""

import pytest

from comfynb.engine.graph.flow import Facts, Fate, fates, final_status, step
from comfynb.engine.graph.network import Graph
from comfynb.models import JobStatus

DONE, SKIPPED, FAILED = JobStatus.COMPLETED, JobStatus.SKIPPED, JobStatus.FAILED


def value(row, port="output"):
    return [item.get("value", item.get("list")) for item in row.output_data["ports"][port]]


@pytest.fixture
def run(rows_of):
    """Start a graph; returns its rows after the first step."""

    def start(builder, facts=None):
        graph = Graph(builder.layout)
        rows = rows_of(builder.layout)
        decision = step(graph, rows.rows, facts)
        rows.apply(decision)
        assert not step(graph, rows.rows, facts)  # asking again changes nothing
        return graph, rows

    return start


def test_values_pass_through_to_the_side_that_was_taken(g, run):
    g.input("in", value={"faces": 3})
    g.condition("faces?", "output.faces > 0 and job.name == 'x'")
    g.merge("yes")
    g.merge("no")
    g.connect("in", "faces?")
    g.connect("faces?.true", "yes")
    g.connect("faces?.false", "no")
    _, rows = run(g, Facts({"name": "x"}))
    assert rows.status("yes") == {DONE}
    assert rows.status("no") == {SKIPPED}
    assert rows.of("no")[0].error_message == "Skipped: faces? took the side 'true'."
    assert value(rows.of("yes")[0]) == [{"faces": 3}]
    assert final_status(rows.rows) is DONE


def test_what_an_expression_cannot_find_fails_the_node_by_name(g, run):
    g.input("in", value=1)
    g.condition("faces?", "output.faces > 0")
    g.merge("after")
    g.connect("in", "faces?")
    g.connect("faces?.true", "after")
    _, rows = run(g)
    assert rows.status("faces?") == {FAILED}
    assert rows.of("faces?")[0].error_message.startswith("faces?: ")
    assert rows.of("after")[0].error_message == "Skipped: faces? failed."
    assert final_status(rows.rows) is FAILED


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [
        ({"values": [1, 2, 3, 4, 5]}, 2, [[1, 2, 3], [4, 5]]),
        ({"values": [1, 2]}, 3, [[1], [2], []]),
        ({"value": [1, 2, 3]}, 3, [[1], [2], [3]]),
        ({"value": "one"}, 2, [["one"], []]),
    ],
)
def test_distribute_splits_into_neighbouring_parts(g, run, given, count, expected):
    g.input("in", **given)
    g.fanout("split", "distribute", count)
    g.connect("in", "split")
    for number in range(1, count + 1):
        g.merge(f"m{number}")
        g.connect(f"split.output_{number}", f"m{number}")
    _, rows = run(g)
    (row,) = rows.of("split")
    assert [value(row, f"output_{n}") for n in range(1, count + 1)] == expected
    for number, part in enumerate(expected, 1):
        assert rows.status(f"m{number}") == ({DONE} if part else {SKIPPED})


def test_broadcast_gives_everything_to_each(g, run):
    g.input("in", values=[1, 2])
    g.fanout("split", "broadcast", 3)
    g.connect("in", "split")
    _, rows = run(g)
    (row,) = rows.of("split")
    assert [value(row, f"output_{n}") for n in (1, 2, 3)] == [[1, 2]] * 3


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("concatenate", [1, 2, 3, 4]),
        ("collect", [[{"value": 1}, {"value": 2}, {"value": 3}, {"value": 4}]]),
        ("zip", [[{"value": 1}, {"value": 3}], [{"value": 2}, {"value": 4}]]),
    ],
)
def test_a_merge_joins_in_the_order_of_its_ports(g, run, mode, expected):
    g.input("a", values=[1, 2])
    g.input("b", values=[3, 4])
    g.merge("m", mode, count=2)
    g.connect("b", "m.input_2")
    g.connect("a", "m.input_1")
    _, rows = run(g)
    assert value(rows.of("m")[0]) == expected


def test_a_merge_that_cannot_zip_fails(g, run):
    g.input("a", values=[1, 2])
    g.input("b", values=[3, 4, 5])
    g.merge("m", "zip", count=2)
    g.connect("a", "m.input_1")
    g.connect("b", "m.input_2")
    _, rows = run(g)
    assert "different lengths (2 at connection 1, 3 at connection 2)" in (
        rows.of("m")[0].error_message
    )


def test_a_merge_goes_on_with_what_lives_and_dies_with_the_last(g, run):
    g.input("in", value=1)
    g.condition("c", "output.value > 0")
    g.merge("some")
    g.merge("none")
    g.connect("in", "c")
    g.connect("c.true", "some")
    g.connect("c.false", "some")
    g.connect("c.false", "none")
    g.merge("deep")
    g.connect("none", "deep")
    graph, rows = run(g)
    assert rows.status("some") == {DONE}
    assert rows.status("none") == rows.status("deep") == {SKIPPED}
    assert fates(graph, rows.rows)["deep"] is Fate.DEAD


def test_a_merge_does_not_go_on_without_what_failed(g, run):
    g.input("in", value=1)
    g.condition("broken", "output.nothing")
    g.merge("m")
    g.connect("in", "m")
    g.connect("in", "broken")
    g.connect("broken.true", "m")
    graph, rows = run(g)
    assert rows.of("m")[0].error_message == "Skipped: broken failed."
    assert fates(graph, rows.rows)["m"] is Fate.BLOCKED


def test_a_workflow_runs_once_for_each_item(g, run):
    g.input("seeds", values=[1, 2, 3])
    g.input("text", value="cat")
    g.workflow("w")
    g.connect("seeds", "w.seed")
    g.connect("text", "w.text")
    graph, rows = run(g)
    data = [row.input_data for row in rows.of("w")]
    assert [each["ports"]["seed"][0]["value"] for each in data] == [1, 2, 3]
    assert [each["ports"]["text"][0]["value"] for each in data] == ["cat"] * 3
    assert [(each["run"], each["runs"]) for each in data] == [(1, 3), (2, 3), (3, 3)]
    for row in rows.of("w")[::-1]:
        assert not step(graph, rows.rows)
        number = row.input_data["run"]
        rows.end(row, keep=[{"value": number}], note=[])
    g.merge("after")
    # Results come in the order of the items, whatever ended first.
    assert fates(graph, rows.rows)["w"] is Fate.DONE


@pytest.mark.parametrize(
    ("port", "given", "message"),
    [
        ("seed", {"values": [1, 2, 3]}, "different lengths"),
        ("image", {"value": 5}, '"Picture" takes a file, but a value arrived.'),
        ("seed", {"files": ["/x/a.png"]}, '"Seed" takes a value, but a file arrived.'),
        ("seed", {"value": "three"}, "takes a value of type int, not 'three'"),
    ],
)
def test_items_that_do_not_fit_fail_the_node_before_it_runs(g, run, port, given, message):
    g.input("in", **given)
    g.input("texts", values=["a", "b"])
    g.workflow("w")
    g.connect("in", f"w.{port}")
    g.connect("texts", "w.text")
    _, rows = run(g)
    assert rows.status("w") == {FAILED}
    assert message in rows.of("w")[0].error_message


def test_order_is_kept_without_data(g, run):
    g.workflow("first")
    g.workflow("second")
    g.connect("first.done", "second.trigger")
    graph, rows = run(g)
    assert not rows.of("second")[0].input_data
    rows.end(rows.of("first")[0])
    rows.apply(step(graph, rows.rows))
    assert rows.of("second")[0].input_data == {"ports": {}, "run": 1, "runs": 1}


def test_order_behind_the_side_that_was_not_taken_is_dead(g, run):
    g.input("in", value=0)
    g.condition("c", "output.value > 0")
    g.workflow("w")
    g.merge("m")
    g.connect("in", "c")
    g.connect("c.true", "w.trigger")
    g.connect("c.true", "m.trigger")
    g.connect("in", "m")
    _, rows = run(g)
    assert rows.status("w") == rows.status("m") == {SKIPPED}


def test_parameters_of_the_nearest_workflow_count(g, run):
    g.workflow("far", parameters={"cfg": 1, "steps": 20})
    g.workflow("near", parameters={"cfg": 7})
    g.condition("c", "params.cfg == 7 and params.steps == 20")
    g.connect("far.keep", "near.image")
    g.connect("near.keep", "c")
    graph, rows = run(g)
    for name in ("far", "near"):
        (row,) = rows.of(name)
        rows.end(row, keep=[{"file": {"filename": "a.png"}}])
        rows.apply(step(graph, rows.rows))
    assert rows.of("c")[0].output_data["result"] is True
