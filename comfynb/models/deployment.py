"""Deployments: people, catalogue, configurations, scripts, syncs and statistics.

Names are those of the seed, camelCase included; the SQL columns are snake_case
(``comfynb.models.column_name``). A relation is kept as its foreign key field (``userId``,
``deploymentId``, ...): the other side's list (a user's ``apiTokens``, a deployment's
``deploymentNodes``, ...) is a query, not a field. Columns that hold JSON as text are real lists
and objects here, and take such text as well, so rows of a Prisma database go in as they are.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from comfynb.models._base import (
    ComfynbModel,
    Count,
    ForeignKey,
    JsonObject,
    Name,
    StoredModel,
    UtcDatetime,
    explain,
    new_id,
    utcnow,
)
from comfynb.models._checks import (
    FileName,
    Folder,
    Url,
    check_env_names,
    url_checker,
)

__all__ = [
    "ApiToken",
    "CustomNode",
    "CustomSettings",
    "Deployment",
    "DeploymentModel",
    "DeploymentNode",
    "DeploymentUsage",
    "Model",
    "ModelDownloadStats",
    "ModelMetadata",
    "ModelStats",
    "ModelType",
    "PackageType",
    "Role",
    "Service",
    "Source",
    "SyncJob",
    "SyncStatus",
    "SyncType",
    "SystemPackage",
    "UrlValidation",
    "User",
]


class Role(str, Enum):
    """What a person may do."""

    ADMIN = "ADMIN"  # everything
    CURATOR = "CURATOR"  # manages content (models, nodes)
    USER = "USER"  # makes deployments


class Service(str, Enum):
    """Services that want a token."""

    CIVITAI = "CIVITAI"
    HUGGINGFACE = "HUGGINGFACE"


class Source(str, Enum):
    """Where a model comes from."""

    CIVITAI = "CIVITAI"
    HUGGINGFACE = "HUGGINGFACE"
    DIRECT = "DIRECT"  # a plain URL
    GITHUB = "GITHUB"  # GitHub releases


class ModelType(str, Enum):
    """What a model file is."""

    CHECKPOINT = "CHECKPOINT"
    LORA = "LORA"
    VAE = "VAE"
    CONTROLNET = "CONTROLNET"
    UPSCALER = "UPSCALER"
    EMBEDDING = "EMBEDDING"
    HYPERNETWORK = "HYPERNETWORK"
    UNET = "UNET"
    CLIP = "CLIP"
    T2I_ADAPTER = "T2I_ADAPTER"
    IPADAPTER = "IPADAPTER"
    PREPROCESSOR = "PREPROCESSOR"
    OTHER = "OTHER"


class PackageType(str, Enum):
    """Which package manager installs a system package."""

    APT = "APT"
    PIP = "PIP"


class SyncType(str, Enum):
    """What a sync brings in or checks."""

    COMFYUI_NODES = "COMFYUI_NODES"
    CIVITAI_MODELS = "CIVITAI_MODELS"
    URL_VALIDATION = "URL_VALIDATION"
    HUGGINGFACE_MODELS = "HUGGINGFACE_MODELS"


class SyncStatus(str, Enum):
    """How far a sync has come."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


def _from_json_text(value: object) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("must be JSON, where it is given as text") from None
    return value


TextList = Annotated[list[Name], BeforeValidator(_from_json_text)]
JsonTextObject = Annotated[JsonObject, BeforeValidator(_from_json_text)]


class MadeModel(StoredModel):
    """A row with an id that is made here, and with the time when it was made."""

    id: Name = Field(default_factory=new_id)
    createdAt: UtcDatetime = Field(default_factory=utcnow)


class EditedModel(MadeModel):
    """A row that changes, with the time of its last change."""

    updatedAt: UtcDatetime = Field(default_factory=utcnow)


class ModelStats(ComfynbModel):
    """How much a model is used and liked, as its source says."""

    model_config = ConfigDict(extra="allow")

    downloads: int | float | None = None
    likes: int | float | None = None
    rating: int | float | None = None


class ModelMetadata(ComfynbModel):
    """What ``Model.metadata`` may hold; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    description: str | None = None
    preview_images: list[Url] | None = None
    file_size: str | None = None
    resolution: str | None = None
    base_model: str | None = None
    tags: list[str] | None = None
    stats: ModelStats | None = None


class CustomSettings(ComfynbModel):
    """What ``Deployment.customSettings`` may hold; further keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    workspace_path: str | None = None
    python_version: str | None = None
    cuda_version: str | None = None
    custom_pip_index: Url | None = None
    environment_name: str | None = None


def _check_against(model: type[ComfynbModel], value: dict[str, Any]) -> dict[str, Any]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        raise ValueError(explain(error).removesuffix(".")) from None
    return value


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    return _check_against(ModelMetadata, value)


def _check_settings(value: dict[str, Any]) -> dict[str, Any]:
    return _check_against(CustomSettings, value)


def _check_email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not (at and local and domain) or not value.isprintable() or " " in value:
        raise ValueError("must be an e-mail address, such as ada@example.org or ada@localhost")
    return value


class User(EditedModel):
    """A person who makes deployments."""

    table_name: ClassVar[str] = "users"
    unique_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("email",),)

    email: Annotated[str, AfterValidator(_check_email)]
    name: str | None = None
    image: str | None = None
    role: Role = Role.USER
    isActive: bool = True
    lastLoginAt: UtcDatetime | None = None


class ApiToken(EditedModel):
    """A person's token for a service, encrypted."""

    table_name: ClassVar[str] = "api_tokens"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "userId": ForeignKey("users", on_delete="cascade")
    }

    name: Name
    """A name for people."""
    service: Service
    token: Annotated[str, Field(min_length=1)] = Field(repr=False)
    """The encrypted value, never the token itself."""
    isActive: bool = True
    lastUsed: UtcDatetime | None = None
    userId: Name


class CustomNode(EditedModel):
    """A package of custom nodes."""

    table_name: ClassVar[str] = "custom_nodes"
    unique_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("githubUrl",),)

    name: Name
    """Name for people."""
    githubUrl: Url
    """What identifies it."""
    branch: Name = "main"
    description: str | None = None
    author: str | None = None
    installType: Name = "git"
    """git, copy and so on."""
    pipRequirements: TextList = Field(default_factory=list)
    jsFiles: TextList = Field(default_factory=list)
    tags: TextList = Field(default_factory=list)
    nodeClasses: TextList = Field(default_factory=list)
    """Node classes that it brings."""
    isActive: bool = True
    isVerified: bool = False
    """Checked by a person."""
    lastValidated: UtcDatetime | None = None


class Model(EditedModel):
    """A model file that can be downloaded."""

    table_name: ClassVar[str] = "models"

    source: Source
    sourceId: str | None = None
    """The source's own id: CivitAI's model id, Hugging Face's repository."""
    sourceUrl: Url | None = None
    name: Name
    filename: FileName | None = None
    """Name on disk."""
    type: ModelType
    category: str | None = None
    """Subcategory, e.g. 'anime', 'realistic'."""
    baseModel: str | None = None
    """E.g. 'SD1.5', 'SDXL'."""
    downloadUrl: Url
    fileSize: Count | None = None
    """Bytes."""
    authRequired: bool = False
    metadata: Annotated[JsonTextObject, AfterValidator(_check_metadata)] = Field(
        default_factory=dict
    )
    """As :class:`ModelMetadata`, and whatever else the source says."""
    isActive: bool = True
    isVerified: bool = False
    lastValidated: UtcDatetime | None = None


class Deployment(EditedModel):
    """A chosen set of nodes, models and packages, and the script made of it."""

    table_name: ClassVar[str] = "deployments"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "userId": ForeignKey("users", on_delete="cascade")
    }

    name: Name
    description: str | None = None
    userId: Name
    isTemplate: bool = False
    """Others may start from it."""
    isPublic: bool = False
    """Others may see it."""
    templateCategory: str | None = None
    generatedScript: str | None = None
    """The script that was made last."""
    scriptType: Name = "runpod"
    """runpod, docker and so on."""
    environmentVars: Annotated[
        dict[str, str], BeforeValidator(_from_json_text), AfterValidator(check_env_names)
    ] = Field(default_factory=dict)
    customSettings: Annotated[JsonTextObject, AfterValidator(_check_settings)] = Field(
        default_factory=dict
    )
    """As :class:`CustomSettings`, and whatever else a script's template knows."""
    lastGenerated: UtcDatetime | None = None


class DeploymentNode(StoredModel):
    """A package of custom nodes within a deployment."""

    table_name: ClassVar[str] = "deployment_nodes"
    primary_key: ClassVar[tuple[str, ...]] = ("deploymentId", "customNodeId")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "deploymentId": ForeignKey("deployments", on_delete="cascade"),
        "customNodeId": ForeignKey("custom_nodes", on_delete="cascade"),
    }

    deploymentId: Name
    customNodeId: Name
    isEnabled: bool = True
    config: JsonTextObject = Field(default_factory=dict)
    """Configuration for this deployment only."""
    createdAt: UtcDatetime = Field(default_factory=utcnow)


class DeploymentModel(StoredModel):
    """A model within a deployment."""

    table_name: ClassVar[str] = "deployment_models"
    primary_key: ClassVar[tuple[str, ...]] = ("deploymentId", "modelId")
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "deploymentId": ForeignKey("deployments", on_delete="cascade"),
        "modelId": ForeignKey("models", on_delete="cascade"),
    }

    deploymentId: Name
    modelId: Name
    targetPath: Folder
    """Folder below ComfyUI's, e.g. models/checkpoints."""
    customName: FileName | None = None
    """File name in place of the model's own."""
    isEnabled: bool = True
    createdAt: UtcDatetime = Field(default_factory=utcnow)


_APT_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
_PIP_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._, -]*\])?")


def _check_version(value: str) -> str:
    if not re.fullmatch(r"(?!-)[A-Za-z0-9 .,<>=!~*+:_-]+", value):
        raise ValueError("must be a version or a constraint on it, such as >=1.0 or ==2.0")
    return value


class SystemPackage(MadeModel):
    """An apt or pip package within a deployment."""

    table_name: ClassVar[str] = "system_packages"
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "deploymentId": ForeignKey("deployments", on_delete="cascade")
    }

    deploymentId: Name
    packageType: PackageType
    name: Name
    version: Annotated[str, AfterValidator(_check_version)] | None = None
    """Version or constraint on it, e.g. '>=1.0'."""
    installUrl: Annotated[str, AfterValidator(url_checker("http", "https", "git+https"))] | None = (
        None
    )
    """Where pip takes it from instead of its index."""

    @model_validator(mode="after")
    def _name_fits_its_type(self) -> Self:
        if self.packageType is PackageType.APT:
            if not _APT_NAME.fullmatch(self.name):
                raise ValueError(
                    f"name must be a Debian package's (lower-case letters, digits, + . -), "
                    f"not {self.name!r:.60}"
                )
        elif not _PIP_NAME.fullmatch(self.name):
            raise ValueError(
                f"name must be a Python package's (letters, digits, . _ -, extras in brackets; "
                f"the version is a field of its own), not {self.name!r:.60}"
            )
        return self


class SyncJob(MadeModel):
    """One run of a sync."""

    table_name: ClassVar[str] = "sync_jobs"

    type: SyncType
    status: SyncStatus = SyncStatus.PENDING
    totalItems: Count | None = None
    processedItems: Count = 0
    successItems: Count = 0
    failedItems: Count = 0
    results: JsonTextObject = Field(default_factory=dict)
    errorLog: str | None = None
    startedAt: UtcDatetime | None = None
    completedAt: UtcDatetime | None = None


class UrlValidation(StoredModel):
    """What a URL answered when it was last tried."""

    table_name: ClassVar[str] = "url_validations"
    unique_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("url",),)

    id: Name = Field(default_factory=new_id)
    url: Url
    lastChecked: UtcDatetime = Field(default_factory=utcnow)
    isValid: bool
    statusCode: Annotated[int, Field(ge=100, le=999)] | None = None
    """HTTP status."""
    errorMessage: str | None = None
    modelId: str | None = None
    customNodeId: str | None = None


def _check_ip(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"must be an IPv4 or IPv6 address, not {value!r:.60}") from None
    return value


class DeploymentUsage(StoredModel):
    """One time that a script was made; kept when the deployment goes."""

    table_name: ClassVar[str] = "deployment_usage"

    id: Name = Field(default_factory=new_id)
    deploymentId: Name
    generatedAt: UtcDatetime = Field(default_factory=utcnow)
    scriptType: Name
    """runpod, docker and so on."""
    userAgent: str | None = None
    ipAddress: Annotated[str, AfterValidator(_check_ip)] | None = None


class ModelDownloadStats(StoredModel):
    """How often a model was downloaded."""

    table_name: ClassVar[str] = "model_download_stats"
    unique_fields: ClassVar[tuple[tuple[str, ...], ...]] = (("modelId",),)
    # The seed sets the key to null when the model goes, but the column takes no null.
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {
        "modelId": ForeignKey("models", on_delete="cascade")
    }

    id: Name = Field(default_factory=new_id)
    modelId: Name
    downloadCount: Count = 0
    lastDownload: UtcDatetime | None = None
