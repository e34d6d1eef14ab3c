"""What a canvas asks of a Workbench, and what its edits do to graph and store."""

import asyncio
import json

import pytest

from comfynb import Workbench
from comfynb.engine.views import PortsView
from comfynb.models import CanvasLayout, CanvasNode, JobStatus, NodeType, Project
from comfynb.widgets import JobRow
from comfynb.widgets.node_form import NodeForm
from comfynb.workbench.graphs import canvas as canvas_module
from comfynb.workbench.graphs.canvas import GraphCanvas, palette_items


@pytest.fixture
async def lab(tmp_path, sandbox, portrait):
    """A Workbench on a loop, and its graph: seed >> portrait >> results."""
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        graph = wb.graphs.new("portraits")
        node = graph.workflow(wb.workflows.load(portrait), "sketch", steps=4)
        graph.input("seed", value=3) >> node.seed
        node >> graph.output("results")
        yield wb, graph
        assert wb.problems == []


def record(graph, title):
    return graph[title].node


async def test_a_selected_workflow_has_its_parameters_as_a_form(lab):
    wb, graph = lab
    canvas = GraphCanvas(wb, graph)
    edits = []
    form = canvas._form(record(graph, "sketch"), edits.append)
    assert isinstance(form, NodeForm)
    assert form.values["steps"] == 4
    assert form._run.layout.display == "none"
    form.field("steps").set(9)
    assert edits == [{"values": {"steps": 9}}]
    form.field("steps").set(0)
    assert len(edits) == 1, "a value that is not allowed was put into the graph"
    form.field("steps").reset()
    assert edits[-1] == {"values": None}
    form.close()
    assert canvas._form(record(graph, "results"), edits.append) is None
    strange = record(graph, "sketch").model_copy(update={"workflow_id": "nobody knows it"})
    assert canvas._form(strange, edits.append) is None
    canvas.close()


async def test_an_unknown_workflow_has_no_data_ports_and_is_named(lab):
    wb, graph = lab
    canvas = GraphCanvas(wb, graph)
    node = CanvasNode(
        id="x", node_type=NodeType.WORKFLOW, position=(0, 0), workflow_id="nobody knows it"
    )
    assert isinstance(canvas._ports(node), PortsView)
    problems = canvas._check(CanvasLayout(nodes=[node]))
    assert "nobody knows it" in str(problems[0])
    canvas.close()


async def test_an_edit_on_the_canvas_is_the_graphs_and_stored_by_itself(lab, monkeypatch):
    wb, graph = lab
    monkeypatch.setattr(canvas_module, "SAVE_AFTER", 0.0)
    saved = asyncio.Event()
    save_soon = graph.save_soon

    async def watched():
        await save_soon()
        saved.set()

    monkeypatch.setattr(graph, "save_soon", watched)
    graph.save()
    canvas = graph.canvas()
    canvas.select(graph["results"].id)
    canvas.hand.delete()
    canvas._after()
    assert [node.title for node in graph] == ["sketch", "seed"]
    await saved.wait()
    stored = await wb.store.get(Project, graph.id)
    assert [node.id for node in stored.canvas_layout.nodes] == [node.id for node in graph]
    canvas.undo()
    assert "results" in graph.nodes


async def test_run_on_the_canvas_gives_the_jobs_row_and_colours_the_nodes(lab, monkeypatch):
    _, graph = lab
    graph["sketch"].set(seconds_per_step=0.0, seconds=0.0, steps=2)
    canvas = graph.canvas()
    ended = asyncio.Event()
    show = canvas.show_job

    def shown(view):
        show(view)
        if view is not None and view.status.is_terminal:
            ended.set()

    # Told ten times a second at most, so perhaps a moment after the job has ended.
    monkeypatch.setattr(canvas, "show_job", shown)
    row = canvas._on_run(canvas.canvas_layout)
    assert isinstance(row, JobRow)
    await graph.last_job
    assert graph.last_job.status is JobStatus.COMPLETED
    await ended.wait()
    assert {state.status for state in canvas._watched.states.values()} == {JobStatus.COMPLETED}
    ended_there = asyncio.Event()
    row._top.observe(lambda _: ended_there.set(), "children")

    def buttons():
        return [button.description for button in row._top.children[1:]]

    while buttons() != ["Cancel"]:  # the row is told apart from the canvas
        ended_there.clear()
        await ended_there.wait()


async def test_a_canvas_that_is_shown_later_shows_the_last_job(lab):
    _, graph = lab
    graph["sketch"].set(seconds_per_step=0.0, seconds=0.0, steps=2)
    job = graph.run()
    await job
    canvas = graph.canvas()
    assert len(canvas._watched.states) == 3
    canvas.close()
    assert graph.canvas() is not canvas


async def test_code_that_changes_the_graph_changes_the_canvas_as_one_edit(lab):
    _, graph = lab
    canvas = graph.canvas()
    graph["sketch"].set(title="drawing")
    titles = {node.config.get("name") for node in canvas.canvas_layout.nodes}
    assert "drawing" in titles
    canvas.undo()
    assert "sketch" in graph.nodes


async def test_code_and_canvas_are_in_step(tmp_path, sandbox, pictures, invert):
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        workflow = wb.workflows.load(invert, name="invert")
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


async def test_a_job_from_code_is_seen_on_the_canvas(
    tmp_path, sandbox, pictures, monkeypatch, invert
):
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        graph = wb.graphs.new("faces")
        node = graph.workflow(wb.workflows.load(invert, name="invert"), "first")
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
