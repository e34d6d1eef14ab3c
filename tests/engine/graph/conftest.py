"""Makers of small graphs."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import ClassVar

import pytest

from comfynb.comfy.keys import parameter_keys
from comfynb.engine.graph import WorkflowPorts, workflow_ports
from comfynb.engine.graph.job import make_graph_job
from comfynb.engine.graph.workflow import WorkflowInput, WorkflowOutput
from comfynb.engine.plan import RUNS_PROJECT, RunPlan, version_of
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    DataType,
    ExposedParameter,
    FallbackStrategy,
    JobStatus,
    NodeExecution,
    NodeType,
    ParamType,
    WorkflowDefinition,
    new_id,
)

PORTS = WorkflowPorts(
    "wf",
    (
        WorkflowInput("image", "Picture", DataType.IMAGE, "1", "image", "file", annotated=True),
        WorkflowInput("seed", "Seed", DataType.ANY, "2", "seed", "int"),
        WorkflowInput("text", "Prompt", DataType.ANY, "2", "text", "string"),
    ),
    (
        WorkflowOutput("keep", "Keep", DataType.IMAGE, "9"),
        WorkflowOutput("note", "Note", DataType.ANY, "10"),
    ),
)


class Builder:
    """A graph in a few words: ``g.workflow("a"); g.connect("a.keep", "b.image")``."""

    def __init__(self):
        self.nodes: dict[str, CanvasNode] = {}
        self.connections: list[CanvasConnection] = []
        self._numbers = itertools.count(1)

    def add(self, node_id, node_type, **config):
        self.nodes[node_id] = CanvasNode(
            id=node_id,
            node_type=node_type,
            position=(0.0, 0.0),
            workflow_id="wf" if node_type is NodeType.WORKFLOW else None,
            config={"title": node_id, **config},
        )
        return node_id

    def workflow(self, node_id, *, affinity=None, fallback=FallbackStrategy.ASK_USER, **config):
        self.add(node_id, NodeType.WORKFLOW, ports=PORTS.to_json(), **config)
        self.nodes[node_id].backend_affinity = affinity
        self.nodes[node_id].fallback_strategy = FallbackStrategy(fallback)
        return node_id

    def condition(self, node_id, expression, **config):
        return self.add(node_id, NodeType.CONDITION, expression=expression, **config)

    def fanout(self, node_id, mode="broadcast", count=2):
        return self.add(node_id, NodeType.FANOUT, mode=mode, output_count=count)

    def merge(self, node_id, mode="concatenate", count=None):
        more = {} if count is None else {"input_count": count}
        return self.add(node_id, NodeType.MERGE, mode=mode, **more)

    def input(self, node_id, **config):
        return self.add(node_id, NodeType.INPUT, **(config or {"value": 1}))

    def output(self, node_id, folder="out", **config):
        return self.add(node_id, NodeType.OUTPUT, output_folder=folder, **config)

    def connect(self, source, target):
        a, _, a_port = source.partition(".")
        b, _, b_port = target.partition(".")
        self.connections.append(
            CanvasConnection(
                id=f"c{next(self._numbers)}",
                source_node_id=a,
                source_port=a_port or "output",
                target_node_id=b,
                target_port=b_port or "input",
            )
        )

    @property
    def layout(self):
        return CanvasLayout(nodes=list(self.nodes.values()), connections=self.connections)


@pytest.fixture
def g():
    return Builder()


@pytest.fixture(scope="session")
def builder():
    """The class, for tests that make many graphs."""
    return Builder


@pytest.fixture(scope="session")
def ports():
    return PORTS


class Rows:
    """A job's node executions, moved on by hand as the runner would."""

    def __init__(self, layout):
        self.rows = [
            NodeExecution(id=f"e-{node.id}", job_id="job", canvas_node_id=node.id)
            for node in layout.nodes
        ]

    def of(self, node_id):
        return [row for row in self.rows if row.canvas_node_id == node_id]

    def apply(self, decision):
        for ended in decision.ended:
            (row,) = self.of(ended.node_id)
            row.status = ended.status
            row.input_data = ended.input_data
            row.output_data = ended.output_data
            row.error_message = ended.message
        for ready in decision.ready:
            (first,) = self.of(ready.node_id)
            first.input_data = ready.runs[0]
            for number, data in enumerate(ready.runs[1:], 2):
                self.rows.append(
                    NodeExecution(
                        id=f"{first.id}-{number}",
                        job_id="job",
                        canvas_node_id=ready.node_id,
                        input_data=data,
                    )
                )

    def end(self, row, status=JobStatus.COMPLETED, **ports):
        row.status = status
        if status is JobStatus.COMPLETED:
            row.output_data = {"ports": ports}

    def status(self, node_id):
        return {row.status for row in self.of(node_id)}


@pytest.fixture(scope="session")
def rows_of():
    return Rows


# The model -------------------------------------------------------------------------------------


class Model:
    """What a graph comes to, by recursion: 'ok' and ports, 'bad', 'dead' or 'blocked'."""

    EXPRESSIONS: ClassVar = {
        "output.value % 2 == 0": lambda items: items[0] % 2 == 0,
        "output.count > 1": lambda items: len(items) > 1,
        "output.value > 500": lambda items: items[0] > 500,
        "output.missing": None,
    }

    def __init__(self, layout, faults, made):
        self.nodes = {node.id: node for node in layout.nodes}
        self.connections = layout.connections
        self.faults = faults
        self.made = made
        self.known = {}

    def of(self, node_id):
        if node_id not in self.known:
            self.known[node_id] = self.judge(self.nodes[node_id])
        return self.known[node_id]

    def judge(self, node):
        data, order, dead_data, dead_order = [], 0, 0, 0
        blocked = False
        for c in self.connections:
            if c.target_node_id != node.id:
                continue
            what, ports = self.of(c.source_node_id)
            blocked |= what in {"bad", "blocked"}
            lives = what == "ok" and (c.source_port == "done" or ports.get(c.source_port))
            if c.target_port == "trigger":
                order += 1
                dead_order += not lives
            elif lives:
                data.append((c.target_port, ports[c.source_port]))
            else:
                dead_data += 1
        if blocked:
            return "blocked", {}
        if dead_order:
            return "dead", {}
        if dead_data and not (node.node_type is NodeType.MERGE and data):
            return "dead", {}
        return self.act(node, data)

    def act(self, node, data):
        config = node.config
        match node.node_type:
            case NodeType.INPUT:
                return "ok", {"output": config["values"]}
            case NodeType.CONDITION:
                ask = self.EXPRESSIONS[config["expression"]]
                if ask is None:
                    return "bad", {}
                return "ok", {("true" if ask(data[0][1]) else "false"): data[0][1]}
            case NodeType.FANOUT:
                items, count = data[0][1], config["output_count"]
                parts = [items] * count
                if config["mode"] == "distribute":
                    ends = [sum(len(items[k::count]) for k in range(n)) for n in range(count + 1)]
                    parts = [items[a:b] for a, b in itertools.pairwise(ends)]
                return "ok", {f"output_{n}": part for n, part in enumerate(parts, 1)}
            case NodeType.MERGE:
                if config["mode"] == "zip":
                    many = {len(items) for _, items in data} - {1}
                    return ("bad", {}) if len(many) > 1 else ("ok", {})
                return "ok", {"output": [i for _, items in data for i in items]}
            case NodeType.OUTPUT:
                return ("bad", {}) if (node.id, 1) in self.faults else ("ok", {})
            case NodeType.WORKFLOW:
                many = {len(items) for _, items in data} - {1}
                if len(many) > 1:
                    return "bad", {}
                runs = range(1, (many.pop() if many else 1) + 1)
                if any((node.id, run) in self.faults for run in runs):
                    return "bad", {}
                ports = {}
                for run in runs:
                    for port, items in self.made(node.id, run).items():
                        ports.setdefault(port, []).extend(items)
                return "ok", ports


@pytest.fixture(scope="session")
def model_type():
    """The model's class: graph, faults as (node, run), and what each run puts out."""
    return Model


@pytest.fixture(scope="session")
def model_of():
    """The model of a graph whose workflows put so many files out for each run."""

    def make(layout, faults, batch):
        return Model(layout, faults, lambda node_id, _: {"keep_9": [0] * batch[node_id]})

    return make


# Graphs on real backends ------------------------------------------------------------------------


def exposed(node_id, field, param_type, default, name=None):
    return ExposedParameter(
        id=f"{node_id}.{field}",
        node_id=node_id,
        node_title=node_id,
        field_name=field,
        display_name=name or field,
        param_type=param_type,
        default_value=default,
    )


def save(node_id, source, title="Keep"):
    return {
        node_id: {
            "class_type": "SaveImage",
            "inputs": {"images": source, "filename_prefix": "graph"},
            "_meta": {"title": title},
        }
    }


class Kinds:
    """Workflows for graphs: each a prompt and its exposed parameters; none is ever cached."""

    def __init__(self, makers):
        self._makers = makers
        self.needs = makers.needs

    def _number(self):
        return self._makers.picture()["1"]["inputs"]["color"]

    def paint(self, width=16, count=1):
        """A picture of one colour."""
        prompt = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {
                    "width": width,
                    "height": 16,
                    "batch_size": count,
                    "color": self._number(),
                },
            },
            **save("9", ["1", 0]),
        }
        return prompt, [
            exposed("1", "width", ParamType.INT, width),
            exposed("1", "color", ParamType.INT, prompt["1"]["inputs"]["color"]),
        ]

    def invert(self):
        """Inverts a picture."""
        prompt = {
            "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            **save("9", ["2", 0]),
        }
        return prompt, []

    def temp(self):
        """A picture that lies in the server's temp folder."""
        prompt, parameters = self.paint()
        prompt["9"]["class_type"] = "PreviewImage"
        del prompt["9"]["inputs"]["filename_prefix"]
        return prompt, parameters

    def stitch(self):
        """Two pictures side by side."""
        prompt = {
            "1": {
                "class_type": "LoadImage",
                "inputs": {"image": ""},
                "_meta": {"title": "Left"},
            },
            "2": {
                "class_type": "LoadImage",
                "inputs": {"image": ""},
                "_meta": {"title": "Right"},
            },
            "3": {
                "class_type": "ImageStitch",
                "inputs": {
                    "image1": ["1", 0],
                    "image2": ["2", 0],
                    "direction": "right",
                    "match_image_size": True,
                    "spacing_width": 0,
                    "spacing_color": "white",
                },
            },
            **save("9", ["3", 0]),
        }
        return prompt, []

    def slow(self, steps=400):
        """Takes twenty seconds unless it is stopped."""
        return self._makers.sampling(steps, 0.05), []

    def failing(self, times=99):
        """Fails so many times, then makes a picture."""
        prompt = self._makers.failing()
        prompt["3"]["inputs"]["times"] = times
        return prompt, []


class GraphKernel:
    """Runs graphs on a kernel of the engine's tests."""

    def __init__(self, kernel, until, new_kernel):
        self.kernel = kernel
        self.engine = kernel.engine
        self._until = until
        self._new_kernel = new_kernel
        self._backends = []

    async def when(self, live, node_id, status):
        """Return when all runs of a node have this status."""
        await self._until(live, lambda _: {row.status for row in of(live, node_id)} == {status})

    async def settled(self):
        """Return when everything that was about to happen by itself has happened."""
        await self.kernel.store.journal.events_of("nothing")
        for _ in range(20):
            await asyncio.sleep(0)

    async def next_kernel(self, live):
        """End this kernel, begin another one on the same store; returns the job as it has it."""
        await self.kernel.close()
        self.kernel = await self._new_kernel()
        self.engine = self.kernel.engine
        for server, backend in self._backends:
            options = backend.config.model_dump(include={"id", "enabled", "max_concurrent_jobs"})
            await self.kernel.add(server, backend.name, **options)
        self.engine.interactive = True
        assert (await self.engine.resume()).jobs == 1
        return self.engine.live(live.id)

    async def job(self, g, kinds, *, values=None, given=None):
        """Make and store the job of a graph; ``kinds`` are workflows by canvas node."""
        infos = [b.object_info for b in self.engine.backends.values() if b.object_info]
        plans, ports = {}, {}
        for node_id, (prompt, parameters) in kinds.items():
            definition = WorkflowDefinition(
                id=new_id(),
                name=f"wf-{node_id}",
                workflow_json={},
                api_json=prompt,
                exposed_parameters=parameters,
            )
            version = version_of(definition.id, 1, {}, prompt)
            await self.kernel.store.put(definition, version)
            self.engine.know_version(version)
            g.nodes[node_id].workflow_id = definition.id
            g.nodes[node_id].config.pop("ports", None)
            keys = parameter_keys(parameters)
            plans[node_id] = RunPlan(
                version,
                definition.name,
                (values or {}).get(node_id, {}),
                {key: (p.node_id, p.field_name) for key, p in keys.items()},
            )
            ports[node_id] = workflow_ports(definition, infos[0] if infos else None)
        job = make_graph_job(
            g.layout, plans, ports, name="graph", project_id=RUNS_PROJECT, values=given
        )
        await self.kernel.store.journal.create_jobs([job], self.kernel.store.owner_id)
        return job

    async def start(self, g, kinds, **options):
        """Start a graph; returns its job live."""
        live = self.engine.attach_with(await self.job(g, kinds, **options), ())
        self.engine.launch([live])
        return live

    async def run(self, g, kinds, **options):
        """Run a graph to its end; what was stored is what is known here."""
        live = await self.start(g, kinds, **options)
        await self.end(live)
        return live

    async def end(self, live):
        await live.wait()
        stored = await self.kernel.stored(live)
        assert stored.status is live.job.status
        known = {e.id: e for e in live.job.node_executions}
        assert {e.id for e in stored.node_executions} == known.keys()
        for execution in stored.node_executions:
            mine = known[execution.id]
            for field in ("status", "input_data", "output_data", "error_message", "backend_id"):
                assert getattr(execution, field) == getattr(mine, field), field

    async def backend(self, server, name, **options):
        backend = await self.kernel.add(server, name, **options)
        self._backends.append((server, backend))
        return backend

    async def events(self, live):
        return await self.kernel.events(live)


def of(live, node_id):
    """A canvas node's executions, by run."""
    rows = [e for e in live.job.node_executions if e.canvas_node_id == node_id]
    return sorted(rows, key=lambda row: row.input_data.get("run", 0))


def one(live, node_id):
    (row,) = of(live, node_id)
    return row


def items(live, node_id, port):
    """What a node's port gave, all runs together."""
    return [i for row in of(live, node_id) for i in row.output_data["ports"].get(port, [])]


def files(live, node_id, port="keep_9"):
    return [item["file"] for item in items(live, node_id, port)]


@pytest.fixture
def graphs(kernel, until, new_kernel):
    return GraphKernel(kernel, until, new_kernel)


@pytest.fixture
def kinds(prompts):
    return Kinds(prompts)


@pytest.fixture
async def two(graphs, servers):
    """A kernel with two backends, called one and two."""
    graphs.one = await graphs.backend(servers[0], "one")
    graphs.two = await graphs.backend(servers[1], "two")
    return graphs


@pytest.fixture(scope="session")
def look():
    """Ways to look at a job: of, one, items, files."""
    return SimpleNamespace(of=of, one=one, items=items, files=files)
