"""Jobs of canvases: what is frozen, and the prompts that come of it."""

from pathlib import Path

import pytest

from comfynb.engine.graph import WorkflowPorts
from comfynb.engine.graph.job import is_graph, job_name, make_graph_job
from comfynb.engine.graph.workflow import WorkflowInput, WorkflowOutput
from comfynb.engine.live import LiveJob
from comfynb.engine.plan import RUNS_PROJECT, RunPlan, make_job, make_task, version_of
from comfynb.errors import GraphInvalid, NotFound
from comfynb.models import DataType

PROMPT = {
    "1": {"class_type": "LoadLatent", "inputs": {"latent": "old.latent"}},
    "2": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "latent": ["1", 0]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a {red|blue} cat"}},
    "9": {"class_type": "SaveLatent", "inputs": {"samples": ["2", 0]}},
}
PORTS = WorkflowPorts(
    "wf",
    (
        WorkflowInput("latent", "Latent", DataType.LATENT, "1", "latent", "file", annotated=True),
        WorkflowInput("seed", "Seed", DataType.ANY, "2", "seed", "int"),
        WorkflowInput("steps", "Steps", DataType.ANY, "2", "steps", "int"),
    ),
    (WorkflowOutput("saved", "Saved", DataType.LATENT, "9"),),
)


@pytest.fixture
def make(g):
    def make(**plan):
        version = version_of("wf", 1, {}, PROMPT)
        plan.setdefault("values", {"steps": 30})
        plans = {
            name: RunPlan(
                version,
                "wf",
                bindings={"seed": ("2", "seed"), "steps": ("2", "steps")},
                choices=["1/latent"],
                **plan,
            )
            for name in ("w", "x")
            if name in g.nodes
        }
        job = make_graph_job(
            g.layout,
            plans,
            dict.fromkeys(plans, PORTS),
            name="mine",
            project_id=RUNS_PROJECT,
            values=make.values,
        )
        return job, version

    make.values = {}
    return make


def task_of(job, version, node_id, items=None):
    execution = next(e for e in job.node_executions if e.canvas_node_id == node_id)
    execution.input_data = {"ports": items or {}, "run": 1, "runs": 1}
    return make_task(LiveJob(job, name="mine", titles={}), execution, version)


def test_a_job_is_a_copy_with_a_row_for_each_node(g, make):
    g.input("in", value=7)
    g.workflow("w")
    g.connect("in", "w.seed")
    job, version = make()
    assert is_graph(job.canvas_snapshot)
    assert job_name(job.canvas_snapshot) == "mine"
    assert [e.canvas_node_id for e in job.node_executions] == ["in", "w"]
    config = job.canvas_snapshot.nodes[1].config
    assert config["workflow_version"] == version.id
    assert config["parameters"] == {"seed": 5, "steps": 30}
    assert job.parameter_values == {"w.steps": 30}
    g.nodes["w"].config["values"] = {"steps": 1}
    assert config["values"] == {"steps": 30}


def test_a_single_run_is_no_graph():
    version = version_of("wf", 1, {}, PROMPT)
    job = make_job(RunPlan(version, "wf", {}, {}))
    assert not is_graph(job.canvas_snapshot)


def test_values_for_inputs_replace_what_the_canvas_has(g, make):
    g.input("in", value=7)
    g.input("files", files=["/a.latent"], name="pictures")
    g.workflow("w")
    g.connect("in", "w.seed")
    g.connect("files", "w.latent")
    make.values = {"in": [1, 2], "pictures": [Path("/b.latent"), Path("/c.latent")]}
    job, _ = make()
    configs = {node.id: node.config for node in job.canvas_snapshot.nodes}
    assert (configs["in"].get("value"), configs["in"]["values"]) == (None, [1, 2])
    assert configs["files"]["files"] == ["/b.latent", "/c.latent"]
    make.values = {"nobody": 1}
    with pytest.raises(NotFound, match="no input 'nobody'; its inputs are: files, in"):
        make()


def test_a_graph_that_cannot_run_makes_no_job(g, make):
    g.condition("c", "output.count > 1")
    g.output("o", "")
    with pytest.raises(GraphInvalid, match=r"^mine cannot run: c: nothing .* 2 more problems") as e:
        make()
    assert len(e.value.problems) == 3


def test_what_arrives_is_set_and_files_are_named_where_they_lie(g, make):
    g.workflow("w")
    job, version = make()
    file = {
        "filename": "a.latent",
        "subfolder": "sub",
        "type": "output",
        "backend_id": "gpu1",
        "path": "/here/a.latent",
        "sha256": "ab" * 32,
    }
    task = task_of(job, version, "w", {"seed": [{"value": 9}], "latent": [{"file": file}]})
    assert task.prompt["2"]["inputs"]["seed"] == 9
    assert task.prompt["2"]["inputs"]["steps"] == 30
    (source,) = task.sources.values()
    assert source.annotated == "sub/a.latent [output]"
    assert (source.backend_id, source.path) == ("gpu1", Path("/here/a.latent"))
    # A backend need not have the file that the workflow itself names.
    assert task.requirements.choices == frozenset()
    assert task.origin == {"node": "w", "workflow": "wf", "seed": 9}


def test_what_does_not_arrive_must_be_there(g, make):
    g.workflow("w")
    task = task_of(*make(), "w")
    assert task.requirements.choices == {("LoadLatent", "latent", "old.latent")}
    assert task.sources == {}


def test_dynamic_prompts_come_out_the_same_every_time(g, make):
    g.workflow("w")
    job, version = make(dynamic=[("3", "text")], dynamic_seed=4, values={})
    texts = {task_of(job, version, "w").prompt["3"]["inputs"]["text"] for _ in range(5)}
    assert len(texts) == 1
    assert texts <= {"a red cat", "a blue cat"}
