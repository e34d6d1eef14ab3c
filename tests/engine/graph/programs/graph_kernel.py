"""Kernels, each in a process of its own, that run graphs of twelve nodes and are killed.

graph_kernel.py STORE URL URL URL, and on stdin one line for each kernel: where it dies, or "never".

Each kernel begins one more graph, picks up what is left in the store, and waits for all. They are
forked from a process that has imported everything and opened nothing: importing takes longer than
what is tested. Prints a line for each kernel, how it ended, and at last what is stored.
"""

import json
import os
import sys
from pathlib import Path

from comfynb import Workbench
from comfynb.engine import crashpoints
from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.job import make_graph_job
from comfynb.engine.graph.workflow import workflow_ports
from comfynb.engine.plan import RUNS_PROJECT, RunPlan, version_of
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    ExposedParameter,
    FallbackStrategy,
    NodeType,
    ParamType,
    WorkflowDefinition,
    new_id,
)


def save(source):
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": "kill"}}


def paint(colour):
    size = {"width": 16, "height": 16, "batch_size": 1, "color": colour}
    return {"1": {"class_type": "EmptyImage", "inputs": size}, "9": save(["1", 0])}


def invert():
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": save(["2", 0]),
    }


def sample(seed):
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": seed,
                "steps": 3,
                "seconds_per_step": 0.03,
                "text": "",
                "width": 16,
                "height": 16,
            },
        },
        "9": save(["2", 0]),
    }


WIDTH = ExposedParameter(
    id="w",
    node_id="1",
    node_title="size",
    field_name="width",
    display_name="width",
    param_type=ParamType.INT,
    default_value=16,
)


def graph(backends, colour, folder):
    """Twelve nodes over three backends; eight prompts, and one node that is skipped."""
    one, two, three = backends
    nodes, prompts, connections = [], {}, []

    def add(name, node_type, prompt=None, affinity=None, **config):
        nodes.append(
            CanvasNode(
                id=name,
                node_type=node_type,
                position=(0, 0),
                backend_affinity=affinity,
                fallback_strategy=FallbackStrategy.NONE,
                config={"title": name, **config},
            )
        )
        if prompt is not None:
            prompts[name] = prompt

    def connect(source, target):
        a, _, a_port = source.partition(".")
        b, _, b_port = target.partition(".")
        connections.append(
            CanvasConnection(
                id=new_id(),
                source_node_id=a,
                source_port=a_port or "output",
                target_node_id=b,
                target_port=b_port or "input",
            )
        )

    workflow = NodeType.WORKFLOW
    add("widths", NodeType.INPUT, values=[16, 24])
    add("paint", workflow, paint(colour))
    add("split", NodeType.FANOUT, mode="distribute", output_count=2)
    add("left", workflow, invert(), one)
    add("right", workflow, invert(), two)
    add("both", NodeType.MERGE, mode="concatenate")
    add("two?", NodeType.CONDITION, expression="output.count == 2")
    add("again", workflow, invert(), three)
    add("never", workflow, paint(colour + 1))
    add("sample", workflow, sample(colour))
    add("all", NodeType.MERGE)
    add("out", NodeType.OUTPUT, output_folder=str(folder), naming_pattern="{job}-{index}")
    connect("widths", "paint.width")
    connect("paint", "split")
    connect("split.output_1", "left")
    connect("split.output_2", "right")
    connect("left", "both")
    connect("right", "both")
    connect("both", "two?")
    connect("two?.true", "again")
    connect("two?.false", "never.trigger")
    connect("left.done", "sample.trigger")
    for name in ("again", "never", "sample"):
        connect(name, "all")
    connect("all", "out")
    return CanvasLayout(nodes=nodes, connections=connections), prompts


def submit(workbench, colour):
    infos = [backend.object_info for backend in workbench.engine.backends.values()]
    ids = list(workbench.engine.backends)
    layout, prompts = graph(ids, colour, Path(workbench.store.path).with_name("delivered"))
    plans, ports = {}, {}
    for node_id, prompt in prompts.items():
        definition = WorkflowDefinition(
            id=new_id(),
            name=node_id,
            workflow_json={},
            api_json=prompt,
            exposed_parameters=[WIDTH] if node_id == "paint" else [],
        )
        version = version_of(definition.id, 1, {}, prompt)
        workbench.store.put(definition, version).result()
        workbench.engine.know_version(version)
        bindings = {"width": ("1", "width")} if node_id == "paint" else {}
        plans[node_id] = RunPlan(version, node_id, {}, bindings)
        ports[node_id] = workflow_ports(definition, infos[0])
        next(n for n in layout.nodes if n.id == node_id).workflow_id = definition.id
    job = make_graph_job(layout, plans, ports, name="kill", project_id=RUNS_PROJECT)
    workbench.store.journal.create_jobs([job], workbench.store.owner_id).result()
    crash_point("job stored")
    live = workbench.host.ask(workbench.engine.attach_with, job, ())
    workbench.host.call(workbench.engine.launch, [live])


def report(workbench):
    rows = workbench.sql(
        "select n.job_id, j.status as job, n.canvas_node_id as node, n.status, "
        "(select list(p.prompt_id || ' ' || p.state order by p.created_at) from prompts p "
        " where p.node_execution_id = n.id) as prompts "
        "from node_executions n join jobs j on j.id = n.job_id order by j.created_at, n.position"
    )
    findings = [str(finding) for finding in workbench.store.check().result()]
    return {
        "rows": [dict(row) for row in rows],
        "findings": findings,
        "problems": workbench.problems,
    }


def run(store, colour, urls):
    """A kernel's life."""
    workbench = Workbench(store, resume=False)
    if not len(workbench.backends):
        for url in urls:
            workbench.backends.add(url)
    submit(workbench, colour)
    workbench.resume().wait()
    for job in workbench.jobs.last(1000):
        job.wait()
    print(json.dumps(report(workbench)), flush=True)
    workbench.close()


def main():
    store, *urls = sys.argv[1:]
    for number, line in enumerate(sys.stdin):
        moment = line.strip()
        child = os.fork()
        if child == 0:
            if moment != "never":
                crashpoints._name, _, times = moment.partition(":")
                crashpoints._left = int(times)
            run(store, 1 + 3 * number, urls)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("ended", moment, os.waitstatus_to_exitcode(status), flush=True)


main()
