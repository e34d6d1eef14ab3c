"""Whole graphs as what a sweep runs: axes over nodes' parameters and inputs, keys, recovery."""

import itertools
import json
import threading

import pytest
from PIL import Image

from comfynb import Workbench
from comfynb.errors import GraphInvalid, InvalidValue, NotFound
from comfynb.models import JobStatus

FIRST = itertools.count(2_000_000, 1000)


def sampling():
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": next(FIRST),
                "steps": 2,
                "seconds_per_step": 0.0,
                "text": "",
                "width": 32,
                "height": 32,
            },
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "sampled"},
        },
    }


INVERT = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
}


def build(wb, folder):
    sampler = wb.workflows.load(sampling(), name="sampler")
    invert = wb.workflows.load(INVERT, name="invert")
    graph = wb.graphs.new("two")
    graph.workflow(sampler, "sample") >> graph.workflow(invert, "turn") >> graph.output(folder)
    return graph


def executed(sandbox):
    return sum(entry["executions"] for entry in sandbox.stats()["prompts"].values())


def test_each_point_is_a_job_of_the_graph_with_its_own_values(wb, tmp_path, sandbox):
    wb.check_backends().wait()
    graph = build(wb, tmp_path / "out")
    before = executed(sandbox)
    grid = {"sample.steps": [1, 2, 3], "turn.filename_prefix": ["a", "b"]}
    sweep = wb.sweep(graph, grid).wait(60)
    assert sweep.name == "two 1"
    assert sweep.counts == {"completed": 6}, [point.error for point in sweep]
    assert executed(sandbox) - before == 12
    assert sweep.axes == ["sample.steps", "turn.filename_prefix"]
    for point in sweep:
        job = sweep.job(point.index)
        assert job.name == "two"
        assert job.values == dict(point.values)
        assert len(job.nodes) == 3
        sampled = json.loads(job.nodes["sample"].images.open().text["prompt"])
        assert sampled["2"]["inputs"]["steps"] == point.values["sample.steps"]
        # What came out at the end is what the grid shows.
        assert point.pictures[0].path in job.nodes["turn"].images.paths
        assert len(point.pictures) == 2
        assert job.nodes["out"].delivered[0].is_file()
    rows = wb.sql(
        "select distinct j.project_id from points p join jobs j on j.id = p.job_id "
        "where p.sweep_id = $1",
        [sweep.id],
    )
    assert rows.rows == [(graph.id,)]
    table = sweep.grid(rows="sample.steps")
    assert table.table.row_values == (1, 2, 3)
    assert table.to_png(tmp_path / "grid.png", size=48).is_file()
    # The same again, with one more; a graph that delivers elsewhere does something else.
    more = wb.sweep(graph, {"sample.steps": [1, 4]}, values={"turn.filename_prefix": "a"}).wait(60)
    assert [point.linked for point in more] == [True, False]
    assert more[0].pictures == sweep[0].pictures
    sweep.add({"sample.steps": [4]}, values={"turn.filename_prefix": "a"}).wait(60)
    assert sweep[6].linked
    assert executed(sandbox) - before == 14
    layout = graph.layout
    layout.nodes[-1].config["output_folder"] = str(tmp_path / "elsewhere")
    graph.layout = layout
    other = wb.sweep(graph, {"sample.steps": [1]}, values={"turn.filename_prefix": "a"}).wait(60)
    assert not other[0].linked


def test_inputs_and_files_are_axes_and_graphs_stand_beside_workflows(wb, tmp_path):
    wb.check_backends().wait()
    for name, colour in (("one", (9, 8, 7)), ("two", (7, 8, 9))):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{name}.png")
    invert = wb.workflows.load(INVERT, name="invert")
    graph = wb.graphs.new("inputs")
    source = graph.input("picture", files=tmp_path / "one.png")
    turn = graph.workflow(invert, "turn")
    source >> turn
    sweep = wb.sweep(graph, {"picture": [tmp_path / "one.png", tmp_path / "two.png"]}).wait(60)
    assert sweep.counts == {"completed": 2}, [point.error for point in sweep]
    assert len({point.job_id for point in sweep}) == 2
    shown = [Image.open(point.pictures[0].path).getpixel((0, 0)) for point in sweep]
    assert shown == [(246, 247, 248), (248, 247, 246)]
    again = wb.sweep(graph, {"picture": [tmp_path / "two.png"], "backend": ["one"]}).wait(60)
    assert again.counts == {"completed": 1}
    assert again[0].backend == "one"
    with pytest.raises(InvalidValue, match="Paths only"):
        wb.sweep(graph, {"picture": [tmp_path / "one.png", 3]})
    with pytest.raises(NotFound, match=r"inputs: .*picture.*turn"):
        wb.sweep(graph, {"pictures": [1]})
    with pytest.raises(NotFound, match="no parameter"):
        wb.sweep(graph, {"turn.step": [1]})
    lonely = wb.graphs.new("lonely")
    lonely.condition("output.width > 5", "odd")
    with pytest.raises(GraphInvalid):
        wb.sweep(lonely, n=1, sample={"backend": ["one"]})
    assert len(wb.sweeps) == 2


def test_the_next_kernel_goes_on_with_the_points_that_were_not_handed_out(tmp_path, sandbox):
    store = tmp_path / "graph.duckdb"
    before = executed(sandbox)
    with Workbench(store) as wb:
        wb.backends.add(sandbox.url, name="one")
        wb.check_backends().wait()
        graph = build(wb, tmp_path / "out")
        first = next(FIRST)
        sweep = wb.sweep(graph, {"sample.seed": range(first, first + 12)})
        some = threading.Event()
        stop = wb.host.ask(
            sweep._run.watch,
            lambda view: view.counts.get(JobStatus.COMPLETED, 0) >= 2 and some.set(),
        )
        assert some.wait(60)
        stop()
    with Workbench(store, resume=False) as wb:
        wb.resume().wait()
        sweep = wb.sweeps["two 1"].wait(60)
        assert sweep.counts == {"completed": 12}
        assert [len(point.pictures) for point in sweep] == [2] * 12
        assert executed(sandbox) - before == 24
        assert len([*(tmp_path / "out").iterdir()]) == 12
        assert wb.problems == []
