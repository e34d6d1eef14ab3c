"""Commands about use: which scripts were made of a deployment, and which models were downloaded."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, reads, writes
from comfynb.deploy.service.permission import Access, Permission
from comfynb.errors import NotFound
from comfynb.models import (
    DeploymentModel,
    DeploymentUsage,
    Model,
    ModelDownloadStats,
    utcnow,
)
from comfynb.store import Transaction, View

__all__ = ["Downloads", "ReadDownloads", "ReadUsage", "RecordDownloads", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """How often scripts were made of a deployment, by target, and when last; the newest first."""

    total: int
    by_target: Mapping[str, int]
    last: datetime | None
    newest: tuple[DeploymentUsage, ...]


@dataclass(frozen=True, slots=True)
class Downloads:
    """How often a model was downloaded, and when last."""

    model: Model
    count: int
    last: datetime | None


class ReadUsage(Command[Usage]):
    """Look at which scripts were made of a deployment."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str


class ReadDownloads(Command[list[Downloads]]):
    """List the models that were downloaded most often."""

    permission: ClassVar = Permission()

    limit: Annotated[int, Field(ge=1, le=500)] = 20


class RecordDownloads(Command[int]):
    """Note that a machine has downloaded models of a deployment; returns how many were noted."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str
    modelIds: Annotated[list[str], Field(min_length=1, max_length=10_000)]


@reads(ReadUsage)
def _usage(desk: Desk[View], _: ReadUsage) -> Usage:
    rows = desk.tx.find(
        DeploymentUsage, where={"deploymentId": desk.deployment.id}, order_by="-generatedAt"
    )
    targets = Counter(row.scriptType for row in rows)
    last = rows[0].generatedAt if rows else None
    return Usage(len(rows), dict(targets.most_common()), last, tuple(rows[:20]))


@reads(ReadDownloads)
def _downloads(desk: Desk[View], command: ReadDownloads) -> list[Downloads]:
    rows = desk.tx.find(
        ModelDownloadStats,
        where={"modelId !=": None},
        order_by="-downloadCount",
        limit=command.limit,
    )
    ids = [row.modelId for row in rows]
    models = {one.id: one for one in desk.tx.find(Model, where={"id": ids})}
    return [
        Downloads(models[row.modelId], row.downloadCount, row.lastDownload)
        for row in rows
        if row.modelId in models
    ]


@writes(RecordDownloads)
def _record(desk: Desk[Transaction], command: RecordDownloads) -> int:
    tx = desk.tx
    wanted = set(command.modelIds)
    choices = tx.find(DeploymentModel, where={"deploymentId": desk.deployment.id})
    missing = wanted - {choice.modelId for choice in choices}
    if missing:
        raise NotFound(f"{desk.deployment.name:.80} has no model {min(missing)!r:.80}.")
    now = utcnow()
    found = tx.find(ModelDownloadStats, where={"modelId": sorted(wanted)})
    known = {one.modelId: one for one in found}
    rows = []
    for model_id in sorted(wanted):
        row = known.get(model_id) or ModelDownloadStats(modelId=model_id)
        row.downloadCount += 1
        row.lastDownload = now
        rows.append(row)
    tx.put(*rows)
    return len(rows)
