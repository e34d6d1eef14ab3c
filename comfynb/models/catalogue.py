"""What is stored beyond the seed: versions, facts of node packs, locks, deployments' workflows."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from comfynb.models._base import (
    Count,
    ForeignKey,
    JsonObject,
    Name,
    Sha256,
    StoredModel,
    UtcDatetime,
    utcnow,
)
from comfynb.models._checks import Commit, FileName, Url
from comfynb.models.deployment import EditedModel, MadeModel, TextList

__all__ = ["DeploymentWorkflow", "LockRecord", "ModelVersion", "NodeFacts", "NodeVersion"]


class ModelVersion(EditedModel):
    """One file of one version of a model: what a lock pins."""

    table_name: ClassVar[str] = "model_versions"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "modelId": ForeignKey("models", on_delete="cascade")
    }

    modelId: Name
    name: Name
    """The source's name for the version, e.g. 'v1.0'; 'main' where it has none."""
    revision: Name | None = None
    """What the source pins it by: CivitAI's version id, Hugging Face's commit."""
    filename: FileName
    downloadUrl: Url
    fileSize: Count | None = None
    """Bytes."""
    sha256: Sha256 | None = None
    format: Name | None = None
    """E.g. 'SafeTensor', 'PickleTensor', 'GGUF', as the source says."""
    baseModel: str | None = None
    scan: str | None = None
    """What the source's virus and pickle scans found, e.g. 'Success', 'Danger'."""
    isActive: bool = True
    publishedAt: UtcDatetime | None = None


class NodeVersion(MadeModel):
    """One release of a node pack, as a registry knows it."""

    table_name: ClassVar[str] = "node_versions"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "customNodeId": ForeignKey("custom_nodes", on_delete="cascade")
    }

    customNodeId: Name
    version: Name
    commit: Commit | None = None
    """Forty hexadecimal digits."""
    dependencies: TextList = Field(default_factory=list)
    """Lines of a requirements file."""
    downloadUrl: Url | None = None
    status: str | None = None
    """E.g. 'NodeVersionStatusActive', 'NodeVersionStatusBanned'."""


class NodeFacts(StoredModel):
    """What is known of a node pack beside its row in the catalogue; sources fill it in turn."""

    table_name: ClassVar[str] = "node_facts"
    primary_key: ClassVar[tuple[str, ...]] = ("customNodeId",)
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "customNodeId": ForeignKey("custom_nodes", on_delete="cascade")
    }

    customNodeId: Name
    registryId: Name | None = None
    """Its id in the Comfy Registry and in ComfyUI-Manager's list."""
    latestVersion: str | None = None
    status: str | None = None
    """As the registry says, e.g. 'NodeStatusActive', 'NodeStatusBanned'."""
    license: str | None = None
    channel: str | None = None
    """ComfyUI-Manager's channel that lists it: default, recent, legacy, forked, dev, tutorial."""
    stars: Count | None = None
    authorAgeDays: Count | None = None
    """Age of the author's account when it was last looked up."""
    lastUpdate: UtcDatetime | None = None
    nodenamePattern: str | None = None
    """Regular expression over node classes, as the pack declares it; hostile text."""
    preempts: TextList = Field(default_factory=list)
    """Node classes that it claims although others bring them too."""
    aptPackages: TextList = Field(default_factory=list)
    files: TextList = Field(default_factory=list)
    """Where its files lie, if it is not cloned but copied."""
    sources: JsonObject = Field(default_factory=dict)
    """By the source's name: ``{"since": when it was first seen there}`` and, where it says so, its
    ``classes``; by ``people``: since when, and which ``fields`` are theirs."""
    updatedAt: UtcDatetime = Field(default_factory=utcnow)


class LockRecord(MadeModel):
    """A lock of a deployment, as it was made; never changed afterwards."""

    table_name: ClassVar[str] = "locks"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "deploymentId": ForeignKey("deployments", on_delete="cascade")
    }

    deploymentId: Name
    content: JsonObject
    """A :class:`comfynb.models.Lock`."""
    sha256: Sha256
    """Of the lock's content."""
    reason: str | None = None
    """Why it was made, for people."""


class DeploymentWorkflow(StoredModel):
    """The workflow that a deployment was made from, as it was then; for who may change both."""

    table_name: ClassVar[str] = "deployment_workflows"
    primary_key: ClassVar[tuple[str, ...]] = ("deploymentId",)
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "deploymentId": ForeignKey("deployments", on_delete="cascade")
    }

    deploymentId: Name
    name: str = ""
    """The workflow's, for people."""
    workflowJson: JsonObject = Field(default_factory=dict)
    """As ComfyUI's front-end saves it; empty where only the API format is known."""
    apiJson: JsonObject = Field(default_factory=dict)
    """As POST /prompt takes it; empty where only the front-end's form is known."""
    choices: JsonObject = Field(default_factory=dict)
    """What a person decided: a pack's URL or 'comfy-core' by node class, an address by file."""
    updatedAt: UtcDatetime = Field(default_factory=utcnow)
