"""Commands about locks: pin all that is in a deployment, and look at what was pinned when."""

# ruff: noqa: N815 - fields that are the models' have the models' names

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from comfynb.deploy.service.command import Command, Desk, Run, reads, steps
from comfynb.deploy.service.contents import DeploymentContents, contents_of
from comfynb.deploy.service.parts import needed
from comfynb.deploy.service.permission import Access, Permission
from comfynb.errors import NotFound
from comfynb.models import Lock, LockRecord, content_sha256
from comfynb.store import Transaction, View

__all__ = ["ListLocks", "MadeLock", "MakeLock", "ReadLock", "keep_lock", "lock_of", "newest_lock"]


@dataclass(frozen=True, slots=True)
class MadeLock:
    """A lock that was made and kept: its record, itself, and the report of making it."""

    record: LockRecord
    lock: Lock
    report: Any
    former: Lock | None = None
    """The lock before it, if there was one."""


class MakeLock(Command[MadeLock]):
    """Pin all that is in a deployment, and keep that as its newest lock.

    What the newest lock has stays as it is there; ``update`` brings packs, models, "ComfyUI" or
    "python" of these names up to date, or (True) everything. ``reason`` says why, for people.
    """

    permission: ClassVar = Permission(access=Access.CHANGE)

    deploymentId: str
    update: list[str] | bool = False
    reason: Annotated[str, Field(max_length=1000)] | None = None


class ReadLock(Command[LockRecord]):
    """Look at a lock of a deployment; without ``lockId``, the newest."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str
    lockId: str | None = None


class ListLocks(Command[list[LockRecord]]):
    """List the locks of a deployment, the newest first."""

    permission: ClassVar = Permission(access=Access.SEE)

    deploymentId: str


def newest_lock(view: View, deployment_id: str) -> LockRecord | None:
    """Return the lock that was made last."""
    found = view.find(
        LockRecord, where={"deploymentId": deployment_id}, order_by="-createdAt", limit=1
    )
    return found[0] if found else None


def lock_of(desk: Desk[Any], lock_id: str | None) -> LockRecord:
    """Return a lock of the desk's deployment, or the newest; raises NotFound."""
    name = desk.deployment.name
    if lock_id is None:
        newest = newest_lock(desk.tx, desk.deployment.id)
        if newest is None:
            raise NotFound(f"{name:.80} has no lock yet: await d.lock() makes one.")
        return newest
    record: LockRecord | None = desk.tx.get(LockRecord, lock_id)
    # Another deployment's lock is as unknown as one that is not there.
    if record is None or record.deploymentId != desk.deployment.id:
        raise NotFound(f"{name:.80} has no lock {lock_id!r:.80}.")
    return record


def keep_lock(tx: Transaction, deployment_id: str, lock: Lock, reason: str | None) -> LockRecord:
    """Store a lock of a deployment; one like the newest in all but its time is not stored again."""
    content = lock.model_dump(mode="json")
    sha256 = content_sha256({**content, "created_at": None})
    newest = newest_lock(tx, deployment_id)
    if newest is not None and newest.sha256 == sha256:
        return newest
    record = LockRecord(deploymentId=deployment_id, content=content, sha256=sha256, reason=reason)
    tx.put(record)
    return record


@steps(MakeLock)
async def _make(run: Run[MakeLock]) -> MadeLock:
    make = needed(run.parts.lock, "a maker of locks")

    def look(desk: Desk[View]) -> tuple[DeploymentContents, LockRecord | None]:
        return contents_of(desk.tx, desk.deployment), newest_lock(desk.tx, desk.deployment.id)

    contents, former = await run.read(look)
    before = Lock.model_validate(former.content) if former is not None else None
    report = await make(contents, before, run.command.update)
    lock = report.lock
    # The way out took its time: whose deployment it is, and whether it is there, is asked again.
    record = await run.write(
        lambda desk: keep_lock(desk.tx, desk.deployment.id, lock, run.command.reason)
    )
    return MadeLock(record, lock, report, before)


@reads(ReadLock)
def _read(desk: Desk[View], command: ReadLock) -> LockRecord:
    return lock_of(desk, command.lockId)


@reads(ListLocks)
def _list(desk: Desk[View], _: ListLocks) -> list[LockRecord]:
    return desk.tx.find(
        LockRecord, where={"deploymentId": desk.deployment.id}, order_by="-createdAt"
    )
