"""Commands that make a script of a lock: to be taken, which is counted, or to be looked at."""

# ruff: noqa: N815 - fields that are the models' have the models' names

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, Run, steps
from comfynb.deploy.service.deployments import changed
from comfynb.deploy.service.locks import lock_of
from comfynb.deploy.service.parts import needed
from comfynb.deploy.service.permission import Access, Permission, may_change
from comfynb.models import DeploymentUsage, Lock, LockRecord, utcnow
from comfynb.models._base import Name
from comfynb.store import Transaction

__all__ = ["GenerateScript", "MadeScript", "PreviewScript"]


Target = Annotated[Name, Field(max_length=40)]


@dataclass(frozen=True, slots=True)
class MadeScript:
    """A script that was made: its files, and the lock that it installs."""

    rendered: Any
    record: LockRecord
    usage: DeploymentUsage | None
    """The note that it was made; None for one that is only looked at."""


class GenerateScript(Command[MadeScript]):
    """Make the script of a deployment's lock for a target, e.g. "runpod"; the newest by default.

    One's own deployment remembers its last script; of every one it is counted how often scripts
    were made.
    """

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str
    target: Target = "runpod"
    lockId: str | None = None


class PreviewScript(Command[MadeScript]):
    """Look at the script that :class:`GenerateScript` would make; nothing is counted or kept."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str
    target: Target = "runpod"
    lockId: str | None = None


async def _rendered(run: Run[Any]) -> tuple[Any, LockRecord]:
    render = needed(run.parts.script, "a maker of scripts")
    record = await run.read(lambda desk: lock_of(desk, run.command.lockId))
    lock = Lock.model_validate(record.content)
    return await asyncio.to_thread(render, lock, run.command.target), record


@steps(PreviewScript)
async def _preview(run: Run[PreviewScript]) -> MadeScript:
    return MadeScript(*await _rendered(run), None)


@steps(GenerateScript)
async def _generate(run: Run[GenerateScript]) -> MadeScript:
    command = run.command
    rendered, record = await _rendered(run)

    def keep(desk: Desk[Transaction]) -> DeploymentUsage:
        # No address: nobody's is kept, unless a server in front hands one in on purpose.
        usage = DeploymentUsage(
            deploymentId=desk.deployment.id, scriptType=command.target, userAgent=run.client
        )
        desk.tx.put(usage)
        if may_change(desk.actor, desk.deployment):
            changed(
                desk.tx,
                desk.deployment,
                generatedScript=rendered.files[rendered.main],
                scriptType=command.target,
                lastGenerated=utcnow(),
            )
        return usage

    return MadeScript(rendered, record, await run.write(keep))
