"""Commands about syncs: fill the catalogue from its sources, and look at how that went."""

# ruff: noqa: N815 - fields that are the models' have the models' names

import inspect
from typing import Annotated, Any, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, Run, reads, steps
from comfynb.deploy.service.parts import needed
from comfynb.deploy.service.permission import Permission
from comfynb.deploy.sync import CivitaiModels, HuggingFaceModels, SyncRun, SyncSource
from comfynb.errors import NotFound, UsageError
from comfynb.models import JsonObject, Role, SyncJob, UrlValidation
from comfynb.store import View

__all__ = ["CancelSync", "ListSyncs", "ListValidations", "ReadSync", "ResumeSync", "StartSync"]

CURATES = Permission(role=Role.CURATOR)


class StartSync(Command[SyncRun]):
    """Begin to fill the catalogue from a source, with the source's own options."""

    permission: ClassVar = CURATES

    source: str
    options: JsonObject = Field(default_factory=dict)


class ResumeSync(Command[SyncRun]):
    """Go on with a sync that failed, was cancelled, or whose program died."""

    permission: ClassVar = CURATES

    syncId: str


class CancelSync(Command[SyncJob]):
    """Stop a sync after what it is writing; it can be resumed."""

    permission: ClassVar = CURATES

    syncId: str


class ListSyncs(Command[list[SyncJob]]):
    """List the latest syncs, the newest first."""

    permission: ClassVar = Permission()

    limit: Annotated[int, Field(ge=1, le=1000)] = 20


class ReadSync(Command[SyncJob]):
    """Look at one sync, with what became of its entries."""

    permission: ClassVar = Permission()

    syncId: str


class ListValidations(Command[list[UrlValidation]]):
    """List what addresses of the catalogue answered when they were last looked at."""

    permission: ClassVar = Permission()

    valid: bool | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


async def _source(run: Run[Any], name: str, options: dict[str, Any]) -> SyncSource:
    sources = run.parts.sources
    if name not in sources:
        raise NotFound(f"There is no source {name!r:.80}; there are: {', '.join(sources)}.")
    try:
        made = sources[name](**options)
        source: SyncSource = await made if inspect.isawaitable(made) else made
    except TypeError as error:
        # The options are the source's own arguments: Python says which one does not fit.
        raise UsageError(f"{name} cannot be synced so: {error}.") from None
    return source


@steps(StartSync)
async def _start(run: Run[StartSync]) -> SyncRun:
    await run.enter()
    runner = await needed(run.parts.syncs, "syncs")()
    return await runner.start(await _source(run, run.command.source, run.command.options))


@steps(ResumeSync)
async def _resume(run: Run[ResumeSync]) -> SyncRun:
    job = await run.read(lambda desk: _job(desk, run.command))
    runner = await needed(run.parts.syncs, "syncs")()
    wanted = job.results.get("source")
    settings = dict(job.results.get("settings") or {})
    # What a service is asked with is kept as it is sent, whatever options it came from.
    params = settings.pop("params", None)
    for name in run.parts.sources:
        # Sources are known by short names to people, and by their own in the store.
        if getattr(run.parts.sources[name], "name", name) == wanted:
            source = await _source(run, name, settings)
            if isinstance(source, CivitaiModels | HuggingFaceModels) and params is not None:
                source.params = dict(params)
            return await runner.start(source, resume=job.id)
    raise NotFound(f"There is no source {wanted!r:.80} to resume this sync of.")


@steps(CancelSync)
async def _cancel(run: Run[CancelSync]) -> SyncJob:
    await run.enter()
    runner = await needed(run.parts.syncs, "syncs")()
    return await runner.cancel(run.command.syncId)


def _job(desk: Desk[View], command: ReadSync | ResumeSync) -> SyncJob:
    job = desk.tx.get(SyncJob, command.syncId)
    if job is None:
        raise NotFound(
            f"There is no sync {command.syncId!r:.80}; wb.catalogue.syncs lists the latest."
        )
    return job


reads(ReadSync)(_job)


@reads(ListSyncs)
def _list(desk: Desk[View], command: ListSyncs) -> list[SyncJob]:
    return desk.tx.find(SyncJob, order_by="-createdAt", limit=command.limit)


@reads(ListValidations)
def _validations(desk: Desk[View], command: ListValidations) -> list[UrlValidation]:
    where = {} if command.valid is None else {"isValid": command.valid}
    return desk.tx.find(UrlValidation, where=where, order_by="-lastChecked", limit=command.limit)
