"""What comfynb records besides the seeds' models: attempts, files, events, versions, presets."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar

from pydantic import Field

from comfynb.models._base import (
    Count,
    ForeignKey,
    JsonObject,
    Name,
    Sha256,
    StoredModel,
    UtcDatetime,
    new_id,
    utcnow,
)
from comfynb.models.workflow import ExposedParameter

__all__ = [
    "JobEvent",
    "ObjectInfoRecord",
    "OutputFile",
    "OwnerRecord",
    "PresetRecord",
    "PromptRecord",
    "PromptStatus",
    "WorkflowVersion",
]


class PromptStatus(str, Enum):
    """How far an attempt has come."""

    SENDING = "sending"  # written down before the request: the server may or may not have it
    QUEUED = "queued"  # the server has it in its queue
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"  # the server no longer knows it, so its result is unknown

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to this attempt."""
        return self not in {PromptStatus.SENDING, PromptStatus.QUEUED, PromptStatus.RUNNING}


class PromptRecord(StoredModel):
    """One attempt to run one node execution on one backend."""

    table_name: ClassVar[str] = "prompts"
    primary_key: ClassVar[tuple[str, ...]] = ("prompt_id",)
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "job_id": ForeignKey("jobs", on_delete="cascade"),
        "node_execution_id": ForeignKey("node_executions", on_delete="cascade"),
        "backend_id": ForeignKey("backends"),
    }

    prompt_id: Name = Field(default_factory=new_id)
    """Made by comfynb, and stored before the request goes out."""
    job_id: Name
    node_execution_id: Name
    backend_id: Name
    attempt: Annotated[int, Field(ge=1)] = 1
    """1 for the first."""
    state: PromptStatus = PromptStatus.SENDING
    client_id: str | None = None
    """Whom the server sends progress to."""
    prompt_sha256: Sha256 | None = None
    """Of the prompt as sent."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    sent_at: UtcDatetime | None = None
    started_at: UtcDatetime | None = None
    completed_at: UtcDatetime | None = None
    error_class: str | None = None
    """Name of the exception class, comfynb's or the server's."""
    error_message: str | None = None
    cached_nodes: Count = 0
    """Nodes that the server did not have to run again."""
    workflow_version: str | None = None
    """Id of the workflow version that it was made from."""
    node_count: Count | None = None
    """Nodes of the prompt as sent."""


class OutputFile(StoredModel):
    """One file that a prompt left on its server, and where its copy lies here."""

    table_name: ClassVar[str] = "output_files"
    primary_key: ClassVar[tuple[str, ...]] = ("prompt_id", "node_id", "kind", "index")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "prompt_id": ForeignKey("prompts", "prompt_id", "cascade")
    }

    prompt_id: Name
    node_id: Name
    kind: Name
    """The key in the node's output: 'images', 'gifs', 'audio' and so on."""
    index: Count
    """Position in that list, from 0."""
    filename: Name
    subfolder: str = ""
    type: Name = "output"
    """'output', 'temp' or 'input'."""
    path: str | None = None
    """The copy on this machine, once it is there."""
    media_type: str | None = None
    size: Count | None = None
    """Bytes."""
    sha256: Sha256 | None = None
    width: Count | None = None
    """Pixels."""
    height: Count | None = None
    """Pixels."""
    created_at: UtcDatetime = Field(default_factory=utcnow)


class JobEvent(StoredModel):
    """Something that happened to a job, in words."""

    table_name: ClassVar[str] = "job_events"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "job_id": ForeignKey("jobs", on_delete="cascade")
    }

    id: Name = Field(default_factory=new_id)
    job_id: Name
    node_execution_id: str | None = None
    happened_at: UtcDatetime = Field(default_factory=utcnow)
    kind: Name
    message: str = ""
    data: JsonObject = Field(default_factory=dict)


class WorkflowVersion(StoredModel):
    """What a workflow was at one time; never changed once written."""

    table_name: ClassVar[str] = "workflow_versions"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "workflow_id": ForeignKey("workflows", on_delete="cascade")
    }

    id: Sha256
    """Of the content, see ``content_sha256``."""
    workflow_id: Name
    version: Annotated[int, Field(ge=1)] = 1
    created_at: UtcDatetime = Field(default_factory=utcnow)
    workflow_json: JsonObject = Field(default_factory=dict)
    api_json: JsonObject = Field(default_factory=dict)
    exposed_parameters: list[ExposedParameter] | None = None
    """What could be set, in order, without the choices: backends say these. None for a version that
    was made before this was kept."""


class PresetRecord(StoredModel):
    """Values for a workflow's parameters under a name, to be used again."""

    table_name: ClassVar[str] = "presets"
    primary_key: ClassVar[tuple[str, ...]] = ("workflow_id", "name")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "workflow_id": ForeignKey("workflows", on_delete="cascade")
    }

    workflow_id: Name
    name: Name
    parameter_values: JsonObject = Field(default_factory=dict)
    """By place, ``"node id.input"``: parameters may be renamed, their places stay."""
    created_at: UtcDatetime = Field(default_factory=utcnow)
    updated_at: UtcDatetime = Field(default_factory=utcnow)


class ObjectInfoRecord(StoredModel):
    """What a backend answered to /object_info when it was last asked."""

    table_name: ClassVar[str] = "object_infos"
    primary_key: ClassVar[tuple[str, ...]] = ("backend_id",)
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "backend_id": ForeignKey("backends", on_delete="cascade")
    }

    backend_id: Name
    sha256: Sha256
    fetched_at: UtcDatetime = Field(default_factory=utcnow)
    data: JsonObject = Field(default_factory=dict)


class OwnerRecord(StoredModel):
    """A kernel or script that has the store open."""

    table_name: ClassVar[str] = "owners"

    id: Name = Field(default_factory=new_id)
    host: Name
    pid: Annotated[int, Field(ge=1)]
    started_at: UtcDatetime = Field(default_factory=utcnow)
    label: str = ""
