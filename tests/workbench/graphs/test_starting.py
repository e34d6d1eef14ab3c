"""Graphs that run: with values of this run, on the backends that somebody chooses, and again."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from comfynb import Workbench
from comfynb.errors import GraphInvalid, InvalidValue, NotFound, UsageError
from comfynb.models import JobStatus


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
def test_a_script_answers_with_the_name_of_a_backend(fleet, sampler, kind, fresh):
    asked = []

    def choose(question):
        asked.append((question.node_title, question.preferred))
        return "one"

    async def later(question):
        return choose(question)

    graph = asking(fleet, sampler, seed=next(fresh))
    job = graph.run(on_ask=choose if kind == "plain" else later)
    job.wait(60).raise_for_status()
    assert asked == [("sample", "two")]
    assert job.nodes["sample"].backend == "one"


def test_a_script_may_let_the_node_fail(fleet, sampler, fresh):
    graph = asking(fleet, sampler, seed=next(fresh))
    job = graph.run(on_ask=lambda question: None).wait(60)
    assert job.status is JobStatus.FAILED
    assert "sample" in job.error
    assert job.outputs["results" if "results" in job.outputs else "asked"] == []


def test_a_script_that_asks_nobody_fails_with_the_reason(fleet, sampler, fresh):
    graph = asking(fleet, sampler, seed=next(fresh))
    job = graph.run().wait(60)
    assert job.status is JobStatus.FAILED
    assert "on_ask" in job.error


def test_a_question_is_answered_through_the_job(fleet, sampler, fresh):
    fleet.engine.interactive = True
    graph = asking(fleet, sampler, seed=next(fresh))
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


def test_pause_resume_and_retry(fleet, wb, fresh):
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
    Image.new("RGB", (40, 40), (next(fresh) % 256, 99, 1)).save(path)
    node = graph.workflow(failing, "fails once", key=f"graphs {next(fresh)}")
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
