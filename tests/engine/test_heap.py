"""What is alive when a Workbench is made is left out of the search for cyclic garbage."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from comfynb.engine.heap import settle_heap

class Thing:
    pass

old, kept = Thing(), Thing()
gone = weakref.ref(old)
settle_heap()
frozen = gc.get_freeze_count()
assert frozen > 1_000, frozen
del old
assert gone() is None, "its last reference is gone"
cycle = Thing()
cycle.me = cycle
later = weakref.ref(cycle)
del cycle
gc.collect()
assert later() is None, "a new cycle is found as ever"
settle_heap()
assert gc.get_freeze_count() <= frozen, "only once: what people make later is theirs"
"""


def test_only_what_is_there_at_the_start_is_left_out():
    # In a process of its own, because it changes the collector of the whole process.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
