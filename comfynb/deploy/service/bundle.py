"""A deployment in a file: what is in it and its lock, without tokens and without anybody's id."""

# ruff: noqa: N815 - fields that are the models' have the models' names

import json
from importlib import metadata
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from comfynb.deploy.catalogue import model_url, repository
from comfynb.deploy.service.contents import DeploymentContents
from comfynb.deploy.service.environment import check_environment, check_no_secrets
from comfynb.deploy.service.paths import check_file, check_folder
from comfynb.errors import ComfynbError, InvalidValue
from comfynb.models import (
    ComfynbModel,
    JsonObject,
    Lock,
    Model,
    ModelType,
    PackageType,
    Source,
    SystemPackage,
    explain,
)
from comfynb.models._base import Name
from comfynb.models._checks import check_env_names, check_file_name

__all__ = ["Bundle", "BundledModel", "BundledNode", "BundledPackage", "pack", "unpack"]

MOST_BYTES = 8 * 2**20
MOST_ITEMS = 5000

Short = Annotated[Name, Field(max_length=200)]
Text = Annotated[str, Field(max_length=10_000)]


def _sentence(error: ComfynbError) -> ValueError:
    return ValueError(str(error).removesuffix("."))


def _folder(path: str) -> str:
    try:
        return check_folder(path)
    except InvalidValue as error:
        raise _sentence(error) from None


def _file(name: str) -> str:
    try:
        return check_file(name)
    except InvalidValue as error:
        raise _sentence(error) from None


def _repository(url: str) -> str:
    try:
        return repository(url).url
    except ValueError as error:
        raise ValueError(f"the address of a node pack {error}") from None


def _download(url: str) -> str:
    try:
        plain = model_url(url)
    except ValueError as error:
        raise ValueError(f"the address of a model {error}") from None
    if not plain.startswith("https://"):
        raise ValueError("the address of a model must begin with https://")
    return plain


class _Part(ComfynbModel):
    # Built when it is first used: most kernels never see a bundle.
    model_config = ConfigDict(defer_build=True)


class BundledNode(_Part):
    """A node pack, by its repository."""

    name: Short
    githubUrl: Annotated[str, AfterValidator(_repository)]
    branch: Short = "main"
    installType: Short = "git"
    isEnabled: bool = True
    config: JsonObject = Field(default_factory=dict)


class BundledModel(_Part):
    """A model file, by its address."""

    name: Short
    type: ModelType
    source: Source
    sourceId: Short | None = None
    downloadUrl: Annotated[str, AfterValidator(_download)]
    filename: Annotated[str, AfterValidator(check_file_name), Field(max_length=255)] | None = None
    baseModel: Short | None = None
    fileSize: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    authRequired: bool = False
    targetPath: Annotated[str, AfterValidator(_folder)]
    customName: Annotated[str, AfterValidator(_file)] | None = None
    isEnabled: bool = True


class BundledPackage(_Part):
    """A Debian or Python package."""

    packageType: PackageType
    name: Short
    version: str | None = None
    installUrl: str | None = None

    @model_validator(mode="after")
    def _as_stored(self) -> Self:
        try:
            SystemPackage(deploymentId="bundle", **self.model_dump())
        except ValidationError as error:
            raise ValueError(explain(error).removesuffix(".")) from None
        return self


class Bundle(_Part):
    """A whole deployment to hand on."""

    format: Literal["comfynb-deployment"] = "comfynb-deployment"
    version: Literal[1] = 1
    made_with: Short = f"comfynb {metadata.version('comfynb')}"
    name: Short
    description: Text | None = None
    scriptType: Short = "runpod"
    environmentVars: Annotated[dict[str, str], AfterValidator(check_env_names)] = Field(
        default_factory=dict, max_length=1000
    )
    customSettings: JsonObject = Field(default_factory=dict)
    nodes: Annotated[list[BundledNode], Field(max_length=MOST_ITEMS)] = Field(default_factory=list)
    models: Annotated[list[BundledModel], Field(max_length=MOST_ITEMS)] = Field(
        default_factory=list
    )
    packages: Annotated[list[BundledPackage], Field(max_length=MOST_ITEMS)] = Field(
        default_factory=list
    )
    lock: Lock | None = None

    @model_validator(mode="after")
    def _nothing_secret_or_risky(self) -> Self:
        try:
            check_environment(self.environmentVars)
            check_no_secrets(self.customSettings)
            for node in self.nodes:
                check_no_secrets(node.config)
            if self.lock is not None:
                check_environment(self.lock.environment)
        except InvalidValue as error:
            raise _sentence(error) from None
        return self

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        for what, keys in (
            ("node packs", [repository(node.githubUrl).key for node in self.nodes]),
            ("models", [(model.downloadUrl, model.filename) for model in self.models]),
        ):
            if len(set(keys)) < len(keys):
                raise ValueError(f"two of its {what} have the same address")
        return self


def pack(contents: DeploymentContents, lock: Lock | None) -> Bundle:
    """Put a deployment into a bundle.

    Raises:
        InvalidValue: something in it looks like a secret, which then does not leave.
    """
    deployment = contents.deployment
    values: dict[str, Any] = {
        "name": deployment.name,
        "description": deployment.description,
        "scriptType": deployment.scriptType,
        "environmentVars": deployment.environmentVars,
        "customSettings": deployment.customSettings,
        "nodes": [
            {
                **one.node.model_dump(include={"name", "githubUrl", "branch", "installType"}),
                **one.choice.model_dump(include={"isEnabled", "config"}),
            }
            for one in contents.nodes
        ],
        "models": [
            {
                **one.model.model_dump(
                    include=set(BundledModel.model_fields) & set(Model.model_fields)
                ),
                **one.choice.model_dump(include={"targetPath", "customName", "isEnabled"}),
            }
            for one in contents.models
        ],
        "packages": [
            one.model_dump(include=set(BundledPackage.model_fields)) for one in contents.packages
        ],
        "lock": lock,
    }
    try:
        return Bundle.model_validate(values)
    except ValidationError as error:
        raise InvalidValue(f"{deployment.name:.80} cannot be shared: {explain(error)}") from None


def unpack(text: str | bytes) -> Bundle:
    """Read a bundle that somebody handed in; nothing in it is believed.

    Raises:
        InvalidValue: it is no bundle, it is too big, or something in it is not allowed; the
            message says what.
    """
    data = text.encode() if isinstance(text, str) else bytes(text)
    if len(data) > MOST_BYTES:
        raise InvalidValue(
            f"This bundle has {len(data) / 2**20:.0f} MiB, and no deployment needs more than "
            f"{MOST_BYTES // 2**20}."
        )
    try:
        value = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _TwiceError) else "it is not JSON"
        raise InvalidValue(f"This is no bundle of a deployment: {reason}.") from None
    if not isinstance(value, dict) or value.get("format") != "comfynb-deployment":
        raise InvalidValue(
            "This is no bundle of a deployment: its format is not comfynb-deployment."
        )
    if value.get("version") != 1:
        raise InvalidValue(
            f"This bundle is of version {value.get('version')!r:.20}, and this comfynb reads "
            "version 1: upgrade comfynb."
        )
    try:
        return Bundle.model_validate(value)
    except ValidationError as error:
        raise InvalidValue(f"This bundle cannot be used: {explain(error)}"[:2000]) from None


class _TwiceError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        # Two readers would see two different deployments.
        raise _TwiceError("a key is in it twice")
    return made
