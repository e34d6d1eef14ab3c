"""Small graphs for the canvas's tests, with ports as simple as can be; no kernel and no page."""

from collections.abc import Callable
from typing import Any

import pytest

from comfynb.engine.views import PortsView, PortView
from comfynb.models import CanvasConnection, CanvasLayout, CanvasNode, DataType, NodeType
from comfynb.widgets.canvas.clipboard import Clip, clipboard
from comfynb.widgets.canvas.scene import Scene

KINDS = tuple(DataType)


def ports(node: CanvasNode) -> PortsView:
    """One input and one output of each type that the config names, and a trigger."""
    takes = [DataType(one) for one in node.config.get("in", ["any"])]
    gives = [DataType(one) for one in node.config.get("out", ["any"])]
    inputs = tuple(
        PortView(f"in{i}", f"in {i}", kind, many=bool(node.config.get("many")))
        for i, kind in enumerate(takes)
    )
    after = PortView("after", "after", DataType.TRIGGER, many=True)
    outputs = tuple(PortView(f"out{i}", f"out {i}", kind) for i, kind in enumerate(gives))
    return PortsView((*inputs, after), outputs)


def title(node: CanvasNode) -> str:
    return str(node.config.get("title") or node.id)


def compatible(source: DataType, target: DataType) -> bool:
    if target is DataType.TRIGGER or source is DataType.TRIGGER:
        return target is source
    return DataType.ANY in {source, target} or source is target


def node(
    key: str, x: float = 0.0, y: float = 0.0, kind: str = "workflow", **config: Any
) -> CanvasNode:
    return CanvasNode(id=key, node_type=NodeType(kind), position=(x, y), config=config)


def wire(source: str, target: str, out: str = "out0", into: str = "in0") -> CanvasConnection:
    return CanvasConnection(
        id=f"{source}.{out}>{target}.{into}",
        source_node_id=source,
        source_port=out,
        target_node_id=target,
        target_port=into,
    )


@pytest.fixture
def make_node() -> Callable[..., CanvasNode]:
    return node


@pytest.fixture
def make_wire() -> Callable[..., CanvasConnection]:
    return wire


@pytest.fixture
def chain() -> CanvasLayout:
    """a -> b -> c from left to right, 300 apart, and d by itself below."""
    nodes = [node("a", 0, 0), node("b", 300, 0), node("c", 600, 0), node("d", 0, 400)]
    return CanvasLayout(nodes=nodes, connections=[wire("a", "b"), wire("b", "c")])


@pytest.fixture(scope="session")
def rules() -> dict[str, Any]:
    """What a Scene and an editor want to be told; for property tests, so for the session."""
    return {"ports": ports, "title": title, "compatible": compatible}


@pytest.fixture
def given(rules: dict[str, Any]) -> dict[str, Any]:
    return dict(rules)


@pytest.fixture
def scene(chain: CanvasLayout, given: dict[str, Any]) -> Scene:
    return Scene(chain, **given)


@pytest.fixture(autouse=True)
def _empty_clipboard() -> None:
    clipboard.clip = Clip()
