"""Syncs into stores and dies on the way: one child process for each place where it shall die.

    killed_sync.py FOLDER LISTS KIND PLACE:NUMBER ...

For each place a store of its own in FOLDER; the child is killed with SIGKILL while its NUMBERth
batch is at that place, and a second child resumes what it left. Prints one line of JSON for each.
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
    templates,
)
from comfynb.deploy.sync.journal import SyncJournal
from comfynb.store import open_store

manager._BATCH = 40
templates._BATCH = 40


def source_of(kind: str, place: str) -> SyncSource:
    if kind == "manager":
        return ManagerLists(place)
    if kind == "registry":
        return RegistryNodes(place, limit=20)
    return CivitaiModels(place, limit=20)


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
    folder, place, kind, *points = sys.argv[1:]
    host = place.removeprefix("http://") if "://" in place else ""
    # To copy: that is faster than making one each time.
    empty = Path(folder) / "empty.duckdb"
    if os.fork() == 0:
        open_store(empty).ready().result()
        sys.exit()  # closes it
    os.wait()
    for number, point in enumerate(["", *points]):
        path = Path(folder) / f"{kind}-{number}.duckdb"
        shutil.copyfile(empty, path)
        source = source_of(kind, place)
        died = 0
        if point:
            died, _ = child(path, source, host, point)
        code, told = child(path, source, host, None)
        print(json.dumps({"point": point, "died": died, "code": code, "told": told}), flush=True)


main()
