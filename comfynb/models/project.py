"""Projects: the orchestration canvas with its nodes and connections."""

from enum import Enum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, FiniteFloat

from comfynb.models._base import (
    ComfynbModel,
    JsonObject,
    Name,
    StoredModel,
    UtcDatetime,
    unique_ids,
    utcnow,
)

__all__ = [
    "CanvasConnection",
    "CanvasLayout",
    "CanvasNode",
    "DataType",
    "FallbackStrategy",
    "NodeType",
    "Project",
    "Viewport",
]


class NodeType(str, Enum):
    """Types of nodes in the orchestration graph."""

    WORKFLOW = "workflow"  # runs a ComfyUI workflow
    CONDITION = "condition"  # branching logic
    FANOUT = "fanout"  # splits to several paths
    MERGE = "merge"  # waits for several inputs
    INPUT = "input"  # the graph's entry
    OUTPUT = "output"  # the graph's exit


class FallbackStrategy(str, Enum):
    """What to do when the preferred backend is unavailable."""

    NONE = "none"  # fail
    ASK_USER = "ask_user"  # ask for another one
    AUTO_SELECT = "auto"  # take an available one


class DataType(str, Enum):
    """Types of data flowing through connections."""

    TRIGGER = "trigger"  # order only
    IMAGE = "image"  # image data or path
    VIDEO = "video"  # video data or path
    LATENT = "latent"  # reference to a latent tensor
    ANY = "any"  # whatever comes


class CanvasNode(ComfynbModel):
    """A node in the orchestration canvas."""

    id: Name
    """Unique identifier (UUID)."""
    node_type: NodeType
    position: tuple[FiniteFloat, FiniteFloat]
    """(x, y) on the canvas."""
    workflow_id: str | None = None
    """The WorkflowDefinition of a WORKFLOW node."""
    backend_affinity: str | None = None
    """Id of the preferred backend."""
    fallback_strategy: FallbackStrategy = FallbackStrategy.ASK_USER
    config: JsonObject = Field(default_factory=dict)
    """What belongs to its type, e.g. CONDITION: expression, true_label, false_label; FANOUT:
    mode ("broadcast" or "distribute"), output_count; OUTPUT: output_folder, naming_pattern."""


class CanvasConnection(ComfynbModel):
    """A connection between two canvas nodes."""

    id: Name
    """Unique identifier (UUID)."""
    source_node_id: Name
    source_port: Name
    """Output port, e.g. 'output', 'true'."""
    target_node_id: Name
    target_port: Name
    """Input port, e.g. 'input', 'trigger'."""
    data_type: DataType = DataType.ANY


class Viewport(ComfynbModel):
    """Canvas viewport state."""

    offset_x: FiniteFloat = 0.0
    offset_y: FiniteFloat = 0.0
    zoom: Annotated[FiniteFloat, Field(gt=0)] = 1.0


class CanvasLayout(ComfynbModel):
    """Complete canvas layout with all nodes and connections."""

    nodes: Annotated[list[CanvasNode], AfterValidator(unique_ids("nodes"))] = Field(
        default_factory=list
    )
    connections: Annotated[list[CanvasConnection], AfterValidator(unique_ids("connections"))] = (
        Field(default_factory=list)
    )
    viewport: Viewport = Field(default_factory=Viewport)


class Project(StoredModel):
    """A user project containing an orchestration graph."""

    table_name: ClassVar[str] = "projects"

    id: Name
    """Unique identifier (UUID)."""
    name: Name
    description: str = ""
    canvas_layout: CanvasLayout = Field(default_factory=CanvasLayout)
    created_at: UtcDatetime = Field(default_factory=utcnow)
    updated_at: UtcDatetime = Field(default_factory=utcnow)
