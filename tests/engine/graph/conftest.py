"""Makers of small graphs."""

import itertools

import pytest

from comfynb.engine.graph import WorkflowPorts
from comfynb.engine.graph.ports import WorkflowInput, WorkflowOutput
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    DataType,
    JobStatus,
    NodeExecution,
    NodeType,
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

    def workflow(self, node_id, **config):
        return self.add(node_id, NodeType.WORKFLOW, ports=PORTS.to_json(), **config)

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
