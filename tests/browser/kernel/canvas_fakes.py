"""What notebooks of the canvas's browser tests import: graphs, palettes, and jobs that pretend."""

import dataclasses
from typing import Any

from fakes import picture

from comfynb.engine.views import BackendView, JobView, NodeView, PortsView, PortView
from comfynb.models import (
    CanvasConnection,
    CanvasLayout,
    CanvasNode,
    DataType,
    JobStatus,
    NodeType,
    utcnow,
)
from comfynb.widgets.canvas import CanvasEditor, PaletteItem

AFTER = PortView("trigger", "after", DataType.TRIGGER, many=True)
DONE = PortView("done", "done", DataType.TRIGGER)
WORKFLOWS = {
    "portrait": ((DataType.IMAGE, "start image"), (DataType.ANY, "steps")),
    "upscale": ((DataType.IMAGE, "image"),),
    "animate": ((DataType.IMAGE, "first frame"), (DataType.ANY, "frames")),
}
GIVES = {"portrait": DataType.IMAGE, "upscale": DataType.IMAGE, "animate": DataType.VIDEO}


@dataclasses.dataclass(frozen=True)
class Wrong:
    message: str
    node_id: str | None = None


def port(name: str, kind: DataType = DataType.ANY, **more: Any) -> PortView:
    return PortView(name, more.pop("label", name), kind, **more)


def ports(node: CanvasNode) -> PortsView:
    match node.node_type:
        case NodeType.INPUT:
            return PortsView((), (port("output", DataType(node.config.get("data_type", "any"))),))
        case NodeType.WORKFLOW:
            takes = WORKFLOWS.get(node.workflow_id or "", ())
            inputs = tuple(
                PortView(label.replace(" ", "_"), label, kind, required=kind is DataType.IMAGE)
                for kind, label in takes
            )
            gives = GIVES.get(node.workflow_id or "", DataType.IMAGE)
            return PortsView((*inputs, AFTER), (port("result", gives, label="Save Image"), DONE))
        case NodeType.CONDITION:
            sides = [port(s, label=node.config.get(f"{s}_label") or s) for s in ("true", "false")]
            return PortsView((port("input", required=True), AFTER), tuple(sides))
        case NodeType.FANOUT:
            count = int(node.config.get("output_count", 2))
            outputs = tuple(port(f"output_{i}", label=str(i)) for i in range(1, count + 1))
            return PortsView((port("input", required=True), AFTER), outputs)
        case NodeType.MERGE:
            many = port("input", label="inputs", required=True, many=True)
            return PortsView((many, AFTER), (port("output"),))
        case NodeType.OUTPUT:
            return PortsView((port("input", required=True), AFTER), ())


def title(node: CanvasNode) -> str:
    given = node.config.get("title")
    return str(given or node.workflow_id or node.node_type.value.capitalize())


def compatible(source: DataType, target: DataType) -> bool:
    if DataType.TRIGGER in {source, target}:
        return target is DataType.TRIGGER
    return DataType.ANY in {source, target} or source is target


def check(layout: CanvasLayout) -> list[Wrong]:
    used = {(one.target_node_id, one.target_port) for one in layout.connections}
    return [
        Wrong(f'{title(node)}: nothing is connected to its input "{one.label}".', node.id)
        for node in layout.nodes
        for one in ports(node).inputs
        if one.required and (node.id, one.name) not in used
    ]


PALETTE = [
    *(
        PaletteItem(f"w-{name}", name, NodeType.WORKFLOW, "Workflows", workflow_id=name)
        for name in WORKFLOWS
    ),
    PaletteItem(
        "input",
        "Input",
        NodeType.INPUT,
        "Graph",
        "where the graph begins",
        config={"data_type": "image", "files": ["a.png"]},
    ),
    PaletteItem(
        "condition",
        "Condition",
        NodeType.CONDITION,
        "Graph",
        "takes one of two ways",
        "if else branch",
        config={"expression": "output.count > 0"},
    ),
    PaletteItem("fanout", "Fan-out", NodeType.FANOUT, "Graph", "to several nodes at once"),
    PaletteItem("merge", "Merge", NodeType.MERGE, "Graph", "waits for several nodes"),
    PaletteItem(
        "output",
        "Output",
        NodeType.OUTPUT,
        "Graph",
        "where results are kept",
        config={"output_folder": "results"},
    ),
]


def backends() -> list[BackendView]:
    def one(name: str, online: bool = True) -> BackendView:
        return BackendView(
            id=f"id-{name}",
            name=name,
            url="http://gpu1:8188",
            enabled=True,
            online=online,
            version="0.8.0",
            gpu="RTX 4090",
            vram_total=24_564,
            vram_used=9_800,
            queue_depth=0,
            running=None,
            tags=(),
            capabilities=(),
            last_seen=utcnow(),
            error=None,
        )

    return [one("PC1"), one("PC2"), one("PC3", online=False)]


def node(key: str, kind: str, at: tuple[float, float], **more: Any) -> CanvasNode:
    workflow = more.pop("workflow_id", None)
    affinity = more.pop("backend_affinity", None)
    return CanvasNode(
        id=key,
        node_type=NodeType(kind),
        position=at,
        workflow_id=workflow,
        backend_affinity=affinity,
        config=more,
    )


def wire(source: str, out: str, target: str, into: str, kind: str = "any") -> CanvasConnection:
    return CanvasConnection(
        id=f"{source}.{out}-{target}.{into}",
        source_node_id=source,
        source_port=out,
        target_node_id=target,
        target_port=into,
        data_type=DataType(kind),
    )


def example() -> CanvasLayout:
    """Input, workflow, condition, two workflows, merge, output."""
    return CanvasLayout(
        nodes=[
            node("in", "input", (0, 120), data_type="image", files=["a.png", "b.png"]),
            node("portrait", "workflow", (300, 80), workflow_id="portrait"),
            node(
                "if",
                "condition",
                (620, 100),
                expression="output.faces_detected > 0",
                true_label="face found",
                false_label="no face",
            ),
            node("up", "workflow", (940, 0), workflow_id="upscale", backend_affinity="id-PC1"),
            node("anim", "workflow", (940, 220), workflow_id="animate"),
            node("merge", "merge", (1260, 100), mode="collect"),
            node("out", "output", (1560, 120), output_folder="results"),
        ],
        connections=[
            wire("in", "output", "portrait", "start_image", "image"),
            wire("portrait", "result", "if", "input", "image"),
            wire("if", "true", "up", "image"),
            wire("if", "false", "anim", "first_frame"),
            wire("up", "result", "merge", "input", "image"),
            wire("anim", "result", "merge", "input", "video"),
            wire("merge", "output", "out", "input"),
            wire("portrait", "done", "anim", "trigger", "trigger"),
        ],
    )


def large(number: int = 1000, edges: int = 1500) -> CanvasLayout:
    """Workflows in a long grid, each fed by one or two of the column before."""
    rows = 25
    nodes, wires = [], []
    names = list(WORKFLOWS)
    for i in range(number):
        at = (i // rows * 340.0, i % rows * 200.0)
        name = names[i % 3]
        nodes.append(node(f"n{i}", "workflow", at, workflow_id=name, title=f"{name} {i}"))
    taken = set()
    for i in range(edges):
        target = rows + i % (number - rows)
        source = target - rows + (i // (number - rows)) * (1 if target % rows < rows - 1 else -1)
        ends = (source, target)
        into = "start_image" if target % 3 == 0 else "image" if target % 3 == 1 else "first_frame"
        if ends in taken or i >= number - rows:
            into = "trigger"
        taken.add(ends)
        out = "done" if into == "trigger" else "result"
        kind = "trigger" if into == "trigger" else "image"
        wires.append(wire(f"n{source}", out, f"n{target}", into, kind))
        wires[-1] = wires[-1].model_copy(update={"id": f"e{i}"})
    return CanvasLayout(nodes=nodes, connections=wires)


def editor(layout: CanvasLayout | None = None, **more: Any) -> CanvasEditor:
    given = {
        "ports": ports,
        "title": title,
        "palette": PALETTE,
        "compatible": compatible,
        "check": check,
        "backends": backends,
        **more,
    }
    return CanvasEditor(layout or CanvasLayout(), **given)


def png(seed: int) -> bytes:
    import io

    out = io.BytesIO()
    picture(seed, (384, 256)).save(out, "PNG")
    return out.getvalue()


def state(key: str, status: str, progress: float = 0.0, **more: Any) -> NodeView:
    given = {"step": None, "backend": "PC1", "error": None, **more}
    return NodeView(key, key, JobStatus(status), progress, **given)


def job(*nodes: NodeView, status: str = "running", **more: Any) -> JobView:
    given = {
        "id": "job",
        "name": "graph",
        "status": JobStatus(status),
        "progress": 40.0,
        "step": None,
        "backend": None,
        "created_at": utcnow(),
        "started_at": utcnow(),
        "completed_at": None,
        "error": None,
        "nodes": nodes,
        **more,
    }
    return JobView(**given)
