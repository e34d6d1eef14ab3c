"""Graphs in code: built in a few lines, run, stored, asked, and in step with their canvas."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from PIL import Image

from comfynb import Workbench
from comfynb.errors import (
    ExpressionError,
    GraphInvalid,
    InvalidValue,
    NotFound,
    UsageError,
)
from comfynb.models import CanvasLayout, DataType, FallbackStrategy, JobStatus, NodeType
from comfynb.sandbox import Sandbox
from comfynb.workbench.graph_canvas import palette_items

COLOURS = itertools.count(1)


@pytest.fixture(scope="module")
def other():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def fleet(wb, other):
    """A Workbench with two backends: one, two."""
    wb.backends.add(other.url, name="two")
    wb.check_backends().wait()
    return wb


def invert(prefix="inverted"):
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": prefix},
            "_meta": {"title": "Keep"},
        },
    }


def sampling(steps=4, seconds=0.0):
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": 1,
                "steps": steps,
                "seconds_per_step": seconds,
                "text": "",
                "width": 32,
                "height": 32,
            },
            "_meta": {"title": "Sampler"},
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "sampled"},
            "_meta": {"title": "Keep"},
        },
    }


@pytest.fixture
def inverting(wb):
    return wb.workflows.load(invert(), name="invert")


@pytest.fixture
def sampler(wb):
    return wb.workflows.load(sampling(), name="sampler")


@pytest.fixture
def pictures(tmp_path):
    """Two pictures, one wide and one narrow; other colours each time, so that nothing is cached."""
    made = []
    for name, width in (("wide", 640), ("narrow", 64)):
        path = tmp_path / f"{name}.png"
        colour = next(COLOURS)
        Image.new("RGB", (width, 48), (colour % 256, colour // 256, 7)).save(path)
        made.append(path)
    return made


@pytest.fixture
def faces(fleet, inverting, pictures):
    """input -> first -> condition -> big | small -> merge -> output"""
    graph = fleet.graphs.new("faces")
    source = graph.input("pictures", files=pictures[0])
    first = graph.workflow(inverting, "first", backend="one", fallback="none")
    cond = graph.condition("output.width > 512", "wide?", true_label="wide")
    big = graph.workflow(inverting, "big", backend="two", fallback="auto")
    small = graph.workflow(inverting, "small", filename_prefix="small")
    merge, out = graph.merge(), graph.output("results", "{node}_{index:02}_{name}")
    source >> first >> cond
    cond.true >> big >> merge
    cond.false >> small >> merge
    merge >> out
    return graph


# Building -----------------------------------------------------------------------------------------


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


# Storing ------------------------------------------------------------------------------------------


def test_graphs_are_found_again_listed_renamed_and_deleted(faces, fleet):
    faces.save()
    assert fleet.graphs["faces"] is faces
    assert [graph.name for graph in fleet.graphs] == ["faces"]
    assert "faces" in fleet.graphs
    assert len(fleet.graphs) == 1
    assert repr(fleet.graphs) == "faces: 7 nodes"
    with pytest.raises(UsageError, match="There is a graph 'faces' already"):
        fleet.graphs.new("faces")
    fleet.graphs.rename("faces", "people")
    with pytest.raises(NotFound, match="No graph 'faces' was saved; there are: people"):
        fleet.graphs["faces"]
    fleet.graphs.new("faces")
    with pytest.raises(UsageError, match="choose another name"):
        fleet.graphs.rename("people", "faces")
    fleet.graphs.delete("faces")
    assert fleet.graphs._ipython_key_completions_() == ["people"]
    anew = fleet.graphs.new("people", replace=True)
    assert (anew.id, len(anew)) == (faces.id, 0)


def test_a_graph_is_there_in_the_next_session(faces, fleet, tmp_path):
    layout = faces.save().layout
    fleet.close()
    with Workbench(tmp_path / "lab.duckdb") as again:
        assert again.graphs["faces"].layout == layout
        assert again.graphs["faces"].check() == []


# Running ------------------------------------------------------------------------------------------


def test_a_graph_runs_in_a_plain_script(faces, tmp_path):
    job = faces.run()
    assert job.wait(60).raise_for_status() is job
    assert {title: node.status.value for title, node in job.nodes.items()} == {
        "pictures": "completed",
        "first": "completed",
        "wide?": "completed",
        "big": "completed",
        "small": "skipped",
        "Merge": "completed",
        "results": "completed",
    }
    (path,) = job.outputs["results"]
    assert path.parent == tmp_path / "results"
    assert path.name.startswith("results_01_inverted_")
    with Image.open(path) as picture:
        assert picture.size == (640, 48)
        assert "prompt" in picture.text, "the workflow is no longer embedded"
    assert job.nodes["first"].backend == "one"
    assert job.nodes["big"].backend == "two"
    assert job.nodes["first"].time.total_seconds() > 0
    assert job.nodes["first"].input["ports"]
    assert job.nodes["first"].output["ports"]
    assert job.nodes["small"].time is None
    assert "took the side" in job.nodes["small"].error or job.nodes["small"].error
    table = repr(job.nodes)
    assert "↷ skipped" in table
    assert "Node" in table
    with pytest.raises(NotFound, match="has no node 'nobody'; it has pictures"):
        job.nodes["nobody"]


def test_inputs_and_parameters_are_given_when_it_runs(faces, pictures, tmp_path):
    job = faces.run({"small.filename_prefix": "other"}, pictures=pictures[1])
    pictures[1].unlink()  # what was given is kept, whatever becomes of it
    job.wait(60).raise_for_status()
    assert job.nodes["big"].status is JobStatus.SKIPPED
    (path,) = job.outputs["results"]
    assert path.name.startswith("results_01_other_")
    assert faces["small"].config["values"] == {"filename_prefix": "small"}
    assert job.values["small.filename_prefix"] == "other"


def test_a_job_runs_what_the_graph_was(faces):
    job = faces.run()
    faces["results"].delete()
    assert job.wait(60).status is JobStatus.COMPLETED
    assert job.outputs["results"]


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"nobody": 1}, NotFound, "has no input 'nobody'; its inputs are: pictures"),
        ({"small.nobody": 1}, NotFound, "nobody"),
        ({"pictures": Path("none.png")}, InvalidValue, "none.png cannot be read"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_stored(faces, fleet, values, error, said):
    with pytest.raises(error) as raised:
        faces.run(values)
    assert said in str(raised.value)
    assert len(fleet.jobs) == 0


def test_a_graph_that_cannot_run_names_every_reason(faces, fleet):
    faces["pictures"].delete()
    faces.merge("concatenate", "lonely")
    with pytest.raises(GraphInvalid, match="faces cannot run: first: nothing is connected") as why:
        faces.run()
    assert len(why.value.problems) == 2
    assert len(fleet.jobs) == 0
    with pytest.raises(GraphInvalid, match="empty"):
        fleet.graphs.new("empty").run()


def test_a_graph_without_a_backend_says_so(tmp_path):
    with Workbench(tmp_path / "none.duckdb") as wb:
        graph = wb.graphs.new("empty")
        graph.input("x", value=1) >> graph.output("results")
        with pytest.raises(UsageError, match="There is no backend yet"):
            graph.run()


def asking(fleet, workflow, **options):
    """A graph whose workflow prefers a backend that is switched off."""
    graph = fleet.graphs.new("asking")
    node = graph.workflow(workflow, "sample", backend="two", fallback="ask_user", **options)
    node >> graph.output("asked")
    fleet.backends["two"].disable()
    return graph


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_script_answers_with_the_name_of_a_backend(fleet, sampler, kind):
    asked = []

    def choose(question):
        asked.append((question.node_title, question.preferred))
        return "one"

    async def later(question):
        return choose(question)

    graph = asking(fleet, sampler, seed=next(COLOURS))
    job = graph.run(on_ask=choose if kind == "plain" else later)
    job.wait(60).raise_for_status()
    assert asked == [("sample", "two")]
    assert job.nodes["sample"].backend == "one"


def test_a_script_may_let_the_node_fail(fleet, sampler):
    graph = asking(fleet, sampler, seed=next(COLOURS))
    job = graph.run(on_ask=lambda question: None).wait(60)
    assert job.status is JobStatus.FAILED
    assert "sample" in job.error
    assert job.outputs["results" if "results" in job.outputs else "asked"] == []


def test_a_script_that_asks_nobody_fails_with_the_reason(fleet, sampler):
    graph = asking(fleet, sampler, seed=next(COLOURS))
    job = graph.run().wait(60)
    assert job.status is JobStatus.FAILED
    assert "on_ask" in job.error


def test_a_question_is_answered_through_the_job(fleet, sampler):
    fleet.engine.interactive = True
    graph = asking(fleet, sampler, seed=next(COLOURS))
    job = graph.run()
    with pytest.raises(NotFound):
        job.answer("nobody", "one")
    seen = asyncio.run_coroutine_threadsafe(until_asked(job), fleet.host.loop).result(60)
    assert seen.candidates[0].name == "one"
    assert "sample prefers two" in repr(job.row())
    with pytest.raises(NotFound):
        job.answer("sample", "three")
    job.answer("sample", "one").wait()
    job.wait(60).raise_for_status()
    with pytest.raises(UsageError, match="asks for no backend"):
        job.answer("sample", "one")


async def until_asked(job):
    asked = asyncio.Event()
    stop = job.watch(lambda view: asked.set() if view.questions else None)
    if job.questions:
        asked.set()
    await asked.wait()
    stop()
    return job.questions[0]


def test_pause_resume_and_retry(fleet, wb):
    failing = wb.workflows.load(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
            "2": {
                "class_type": "LabFail",
                "inputs": {"image": ["1", 0], "key": "graphs", "times": 1, "kind": "error"},
                "_meta": {"title": "Trouble"},
            },
            "3": {
                "class_type": "SaveImage",
                "inputs": {"images": ["2", 0], "filename_prefix": "x"},
            },
        },
        name="failing",
    )
    failing.expose("Trouble.key")
    graph = fleet.graphs.new("failing")
    path = Path("picture.png")
    Image.new("RGB", (40, 40), (next(COLOURS) % 256, 99, 1)).save(path)
    node = graph.workflow(failing, "fails once", key=f"graphs {next(COLOURS)}")
    graph.input("picture", files=path) >> node >> graph.output("kept")
    job = graph.run()
    with pytest.raises(UsageError, match="is not paused"):
        job.resume()
    job.wait(60)
    assert job.status is JobStatus.FAILED
    assert "Trouble" in job.nodes["fails once"].error
    assert job.nodes["fails once"].traceback
    with pytest.raises(UsageError, match="has ended"):
        job.pause()
    job.retry_failed().wait()
    assert job.wait(60).status is JobStatus.COMPLETED
    with pytest.raises(UsageError, match="nothing to retry"):
        job.retry_failed().wait()


# The canvas ---------------------------------------------------------------------------------------


async def test_code_and_canvas_are_in_step(tmp_path, sandbox, pictures):
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        workflow = wb.workflows.load(invert(), name="invert")
        graph = wb.graphs.new("faces")
        bundle = graph._repr_mimebundle_()
        canvas = graph.canvas()
        assert canvas is graph.canvas()
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == canvas.model_id
        assert "<svg" in bundle["text/html"]
        source = graph.input("pictures", files=pictures)
        source >> graph.workflow(workflow, "first") >> graph.output("results")
        assert [node.id for node in canvas.canvas_layout.nodes] == [
            n.id for n in graph.layout.nodes
        ]
        assert canvas.canvas_layout.connections == graph.layout.connections
        heard = []
        graph.model.watch("test", heard.append)
        canvas.undo()
        await asyncio.sleep(0)
        assert len(canvas.canvas_layout.connections) < 2 or len(canvas.canvas_layout.nodes) < 3
        assert graph.layout.connections == canvas.canvas_layout.connections
        assert heard
        canvas.redo()
        assert graph.layout.connections == canvas.canvas_layout.connections
        assert graph.check() == []


async def test_a_job_from_code_is_seen_on_the_canvas(tmp_path, sandbox, pictures, monkeypatch):
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        graph = wb.graphs.new("faces")
        node = graph.workflow(wb.workflows.load(invert(), name="invert"), "first")
        graph.input("pictures", files=pictures) >> node >> graph.output("results")
        canvas = graph.canvas()
        ended = asyncio.Event()
        show = canvas.show_job

        def shown(view):
            show(view)
            if view is not None and view.status.is_terminal:
                ended.set()

        # Told ten times a second at most, so perhaps a moment after the job has ended.
        monkeypatch.setattr(canvas, "show_job", shown)
        job = graph.run()
        await job
        assert graph.last_job is job
        await ended.wait()
        assert canvas._watched.states[node.id].status is JobStatus.COMPLETED


def test_the_palette_has_every_workflow_and_every_kind_of_node(fleet, sampler, inverting):
    sampler.save()
    inverting.save()
    items = palette_items(fleet)
    assert [item.title for item in items if item.node_type is NodeType.WORKFLOW] == [
        "invert",
        "sampler",
    ]
    assert {item.node_type for item in items} == set(NodeType)
    assert len({item.key for item in items}) == len(items)
    json.dumps([dict(item.config) for item in items])
