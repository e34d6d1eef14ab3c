"""Forks while its store is open; the child tries to use it, then ends in the ordinary way."""

import gc
import os
import sys
from pathlib import Path

from comfynb.errors import UsageError
from comfynb.models import Project
from comfynb.store import open_store
from comfynb.store.lock import beside, try_flock

place = sys.argv[1]
store = open_store(place)
store.put(*(Project(id=f"a{i}", name="x") for i in range(20))).result()
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    for use in (lambda: store.put(Project(id="child", name="x")), lambda: store.count(Project)):
        try:
            use()
        except UsageError as error:
            print(f"child: UsageError: {str(error).partition(': ')[2]}")
    store.close().result(30)
    del store
    gc.collect()
    sys.exit(0)  # with all that Python does at its end
_, status = os.waitpid(pid, 0)
print(f"child ended with {os.waitstatus_to_exitcode(status)}")
if "://" in place:
    held = store.transact(lambda tx: tx.execute("select 1")).result() == [(1,)]
else:
    fd = os.open(beside(Path(place), ".lock"), os.O_RDWR)
    held = not try_flock(fd)
    os.close(fd)
print(f"the lock is still held: {held}")
store.put(*(Project(id=f"b{i}", name="x") for i in range(21))).result()
print(f"rows: {store.count(Project).result()}", flush=True)
store.close().result()
