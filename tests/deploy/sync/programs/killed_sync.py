"""Syncs into stores and dies on the way: one child process for each place where it shall die.

    killed_sync.py FOLDER '[[KIND, PLACE, ["POINT:NUMBER", ...]], ...]'

For each point a store of its own in FOLDER; the child is killed with SIGKILL while its NUMBERth
batch is at that point, and a second child resumes what it left. Prints one line of JSON for each,
and writes what the catalogue then says beside the store.
"""

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

from comfynb.deploy.catalogue import Catalogue  # noqa: F401 - imported before any child is made
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.sync import (
    CivitaiModels,
    ManagerLists,
    RegistryNodes,
    SyncRunner,
    SyncSource,
    manager,
)
from comfynb.deploy.sync.journal import SyncJournal
from comfynb.models import CustomNode, Model, ModelVersion, NodeFacts, NodeVersion
from comfynb.store import Store, open_store

TABLES = (CustomNode, NodeFacts, NodeVersion, Model, ModelVersion)
_TIMES = {"createdAt", "updatedAt"}

manager._BATCH = 20


def source_of(kind: str, place: str) -> SyncSource:
    if kind == "manager":
        return ManagerLists(place)
    if kind == "registry":
        return RegistryNodes(place, limit=10)
    return CivitaiModels(place, limit=10)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(place: str, number: int) -> None:
    """Have this process die: before a batch is submitted, after its writes, or once committed."""
    real = SyncJournal.commit
    left = number

    def commit(self: SyncJournal, job_id: str, batch: Any) -> Any:
        nonlocal left
        left -= 1
        if left:
            return real(self, job_id, batch)
        if place == "before":
            die()
        if place == "within":
            write = batch.write

            def writes(tx: Any, now: Any) -> Any:
                if write is not None:
                    write(tx, now)
                die()

            batch.write = writes
        pending = real(self, job_id, batch)
        if place == "after":
            pending.add_done_callback(lambda _: die())
        return pending

    SyncJournal.commit = commit  # type: ignore[method-assign]


async def nothing(_: float) -> None:
    await asyncio.sleep(0)


async def sync(path: Path, source: SyncSource, host: str, *, resume: bool) -> dict[str, Any]:
    store = open_store(path)
    try:
        # Nothing here is asked over TLS: certificates would take longer than the sync.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        policy = NetPolicy(allow=frozenset({host} - {""}))
        async with Fetcher(policy=policy, tls=tls) as fetcher:
            runner = SyncRunner(store, fetcher, sleep=nothing)
            left = await runner.interrupted()
            job = await runner.run(source, resume=left[0].id if resume and left else None)
            said = json.dumps(await content(store))
            path.with_suffix(".json").write_text(said)
            return {
                "status": job.status.value,
                "counts": job.results.get("counts"),
                "processed": job.processedItems,
                "failed": job.failedItems,
                "resumed": bool(resume and left),
                "error": job.results.get("error"),
            }
    finally:
        await store.close()


async def content(store: Store) -> dict[str, list[str]]:
    """All that a store's catalogue says, without ids and times of its own."""
    names: dict[str, str] = {}
    found = {}
    for model in TABLES:
        said = []
        for row in await store.find(model):
            values = row.model_dump(mode="json", exclude=_TIMES)
            own = values.pop("id", None)
            if own is not None:
                names[own] = values.get("githubUrl") or values.get("downloadUrl") or ""
            for link in ("customNodeId", "modelId"):
                if link in values:
                    values[link] = names[values[link]]
            for holder in (values, values.get("metadata", {})):
                if "sources" in holder:
                    holder["sources"] = sorted(holder["sources"])
            said.append(json.dumps(values, sort_keys=True))
        found[model.table_name] = sorted(said)
    return found


def child(path: Path, source: SyncSource, host: str, at: str | None) -> tuple[int, str]:
    """Run one sync in a process of its own; how it ended, and what it said."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        if at is not None:
            place, _, number = at.partition(":")
            arm(place, int(number))
        told = asyncio.run(sync(path, source, host, resume=at is None))
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), told


def main() -> None:
    folder = Path(sys.argv[1])
    # To copy: that is faster than making one each time.
    empty = folder / "empty.duckdb"
    if os.fork() == 0:
        open_store(empty).ready().result()
        sys.exit()  # closes it
    os.wait()
    for kind, place, points in json.loads(sys.argv[2]):
        host = place.removeprefix("http://") if "://" in place else ""
        for number, point in enumerate(["", *points]):
            path = folder / f"{kind}-{number}.duckdb"
            shutil.copyfile(empty, path)
            source = source_of(kind, place)
            died = 0
            if point:
                died, _ = child(path, source, host, point)
            code, told = child(path, source, host, None)
            end = {"kind": kind, "point": point, "died": died, "code": code, "told": told}
            print(json.dumps(end), flush=True)


main()
