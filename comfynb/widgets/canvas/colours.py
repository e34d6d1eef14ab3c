"""The canvas's colours by name, for light and dark pages, and the shapes and signs beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

from comfynb.models import DataType, JobStatus, NodeType

__all__ = [
    "DARK",
    "KIND_LOOKS",
    "LIGHT",
    "PORT_SHAPES",
    "STATUS_COLOURS",
    "Colours",
    "KindLook",
    "palette",
]

Colours = Mapping[str, str]
"""A colour, as #rrggbb, for each name that drawings use."""

LIGHT: Colours = {
    "canvas": "#f3f4f6",
    "grid": "#d3d7dd",
    "node": "#ffffff",
    "head": "#f7f8fa",
    "border": "#b4bac4",
    "text": "#1c2128",
    "soft": "#5b6472",
    "shadow": "#1c2128",
    "brand": "#1668dc",
    "good": "#1a7f37",
    "warn": "#9a6200",
    "bad": "#cf222e",
    "idle": "#6b7482",
    "track": "#e3e6ea",
    "tip": "#24292f",
    "tiptext": "#ffffff",
    "type-trigger": "#9a6200",
    "type-image": "#1668dc",
    "type-video": "#a8327f",
    "type-latent": "#7c4ddb",
    "type-any": "#5b6472",
    "kind-workflow": "#1668dc",
    "kind-condition": "#b35900",
    "kind-fanout": "#7c4ddb",
    "kind-merge": "#0f7b7b",
    "kind-input": "#1a7f37",
    "kind-output": "#a8327f",
}

DARK: Colours = {
    "canvas": "#17191d",
    "grid": "#33373e",
    "node": "#25282e",
    "head": "#2d3138",
    "border": "#565d69",
    "text": "#e8eaed",
    "soft": "#a7afbb",
    "shadow": "#000000",
    "brand": "#5aa2ff",
    "good": "#4cc26a",
    "warn": "#e3a535",
    "bad": "#ff6b62",
    "idle": "#8c95a3",
    "track": "#3a3f47",
    "tip": "#e8eaed",
    "tiptext": "#17191d",
    "type-trigger": "#e3a535",
    "type-image": "#5aa2ff",
    "type-video": "#ec7cc4",
    "type-latent": "#b392f8",
    "type-any": "#a7afbb",
    "kind-workflow": "#5aa2ff",
    "kind-condition": "#f0913c",
    "kind-fanout": "#b392f8",
    "kind-merge": "#3fc1c1",
    "kind-input": "#4cc26a",
    "kind-output": "#ec7cc4",
}


def palette(*, dark: bool) -> Colours:
    """The colours for a dark or a light page."""
    return DARK if dark else LIGHT


PORT_SHAPES: Mapping[DataType, str] = {
    DataType.TRIGGER: "triangle",
    DataType.IMAGE: "circle",
    DataType.VIDEO: "square",
    DataType.LATENT: "diamond",
    DataType.ANY: "hexagon",
}
"""A type is told by its port's shape as well as by its colour."""


@dataclass(frozen=True, slots=True)
class KindLook:
    """How a kind of node is told: its word, its colour, and a sign drawn from these lines."""

    word: str
    colour: str
    sign: tuple[tuple[tuple[float, float], ...], ...]
    """Lines in a square from (-1, -1) to (1, 1)."""


# Drawn, not written: which signs a font has is anybody's guess.
KIND_LOOKS: Mapping[NodeType, KindLook] = {
    NodeType.WORKFLOW: KindLook(
        "Workflow",
        "kind-workflow",
        (
            ((-1, -0.75), (-0.15, -0.75), (-0.15, 0.0), (-1, 0.0), (-1, -0.75)),
            ((0.2, 0.1), (1, 0.1), (1, 0.85), (0.2, 0.85), (0.2, 0.1)),
            ((-0.6, 0.0), (-0.6, 0.5), (0.2, 0.5)),
        ),
    ),
    NodeType.CONDITION: KindLook(
        "Condition", "kind-condition", (((0, -1), (1, 0), (0, 1), (-1, 0), (0, -1)),)
    ),
    NodeType.FANOUT: KindLook(
        "Fan-out",
        "kind-fanout",
        (((-1, 0), (1, 0)), ((-0.3, 0), (0.4, -0.8), (1, -0.8)), ((-0.3, 0), (0.4, 0.8), (1, 0.8))),
    ),
    NodeType.MERGE: KindLook(
        "Merge",
        "kind-merge",
        (
            ((-1, 0), (1, 0)),
            ((-1, -0.8), (-0.4, -0.8), (0.3, 0)),
            ((-1, 0.8), (-0.4, 0.8), (0.3, 0)),
        ),
    ),
    NodeType.INPUT: KindLook(
        "Input",
        "kind-input",
        (
            ((-1, 0), (0.35, 0)),
            ((-0.1, -0.5), (0.4, 0), (-0.1, 0.5)),
            ((0.1, -0.9), (0.9, -0.9), (0.9, 0.9), (0.1, 0.9)),
        ),
    ),
    NodeType.OUTPUT: KindLook(
        "Output",
        "kind-output",
        (
            ((-0.3, 0), (1, 0)),
            ((0.5, -0.5), (1, 0), (0.5, 0.5)),
            ((0.0, -0.9), (-0.9, -0.9), (-0.9, 0.9), (0.0, 0.9)),
        ),
    ),
}

STATUS_COLOURS: Mapping[JobStatus, str] = {
    JobStatus.PENDING: "idle",
    JobStatus.RUNNING: "brand",
    JobStatus.PAUSED: "warn",
    JobStatus.COMPLETED: "good",
    JobStatus.FAILED: "bad",
    JobStatus.CANCELLED: "idle",
    JobStatus.SKIPPED: "idle",
    JobStatus.LOST: "warn",
}
