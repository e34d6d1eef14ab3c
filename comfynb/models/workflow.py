"""Stored ComfyUI workflows and the parameters that they expose."""

import base64
import binascii
import math
from enum import Enum
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from comfynb.models._base import (
    ComfynbModel,
    JsonObject,
    JsonValue,
    Name,
    StoredModel,
    UtcDatetime,
    utcnow,
)

__all__ = ["ExposedParameter", "ParamConstraints", "ParamType", "WorkflowDefinition"]


class ParamType(str, Enum):
    """Types of exposable parameters."""

    INT = "int"
    FLOAT = "float"
    STRING = "string"
    BOOL = "bool"
    IMAGE_PATH = "image_path"
    VIDEO_PATH = "video_path"
    CHOICE = "choice"
    MULTILINE_STRING = "multiline_string"


def _not_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("must be a number: leave it out where there is no limit")
    return value


Limit = Annotated[int | float, AfterValidator(_not_nan)]
"""Whole numbers stay whole: as a float, the largest 64-bit seed would be another number."""


class ParamConstraints(ComfynbModel):
    """Constraints for a parameter value."""

    min_value: Limit | None = None
    max_value: Limit | None = None
    step: Annotated[Limit, Field(ge=0)] | None = None
    """0 where any step will do."""
    choices: list[str | int | float | bool] | None = None
    """Nearly always text; a node class may also offer numbers, which are sent as numbers."""
    file_extensions: list[Name] | None = None
    """For parameters that are files."""

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if (
            self.min_value is not None
            and self.max_value is not None
            and self.min_value > self.max_value
        ):
            raise ValueError(
                f"min_value must not be above max_value, but {self.min_value} > {self.max_value}"
            )
        return self


class ExposedParameter(ComfynbModel):
    """A parameter exposed from a ComfyUI workflow."""

    id: Name
    """Unique identifier (UUID)."""
    node_id: Name
    """ComfyUI's node id within the workflow."""
    node_title: str
    """Human-readable node name."""
    field_name: Name
    """Input of the node, e.g. 'seed', 'steps'."""
    display_name: Name
    """Label for people."""
    param_type: ParamType
    default_value: JsonValue
    """Default value from the workflow."""
    constraints: ParamConstraints | None = None
    order: int = 0
    """Position in forms."""
    group: str = ""
    """Heading under which forms show it; empty where it has none. Not in the seed."""


def _check_base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be an image in base64, without a data: prefix") from None
    return value


class WorkflowDefinition(StoredModel):
    """A ComfyUI workflow stored by comfynb."""

    table_name: ClassVar[str] = "workflows"

    id: Name
    """Unique identifier (UUID)."""
    name: Name
    description: str = ""
    workflow_json: JsonObject
    """The workflow as ComfyUI's front-end saves it; empty where only the API format is known."""
    api_json: JsonObject
    """The prompt as POST /prompt takes it."""
    exposed_parameters: list[ExposedParameter] = Field(default_factory=list)
    required_capabilities: list[Name] = Field(default_factory=list)
    """Capabilities that a backend must have."""
    required_custom_nodes: list[Name] = Field(default_factory=list)
    """Custom node packages that a backend must have."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    updated_at: UtcDatetime = Field(default_factory=utcnow)
    thumbnail: Annotated[str, AfterValidator(_check_base64)] | None = None
    """An image in base64."""
