"""What is alive when a Workbench is made is left out of the search for cyclic garbage; the rest is
searched as ever, but all of it only now and then."""

import subprocess
import sys

PROGRAM = """
import gc, weakref
from comfynb.engine.heap import BETWEEN, FIRST, LONGEST, MOMENT, SECOND, mind, settle_heap

class Thing:
    pass

def dropped():
    cycle = Thing()
    cycle.me = cycle
    return weakref.ref(cycle)

now = 0.0
old, kept = Thing(), Thing()
gone = weakref.ref(old)
settle_heap(lambda: now)
frozen = gc.get_freeze_count()
assert frozen > 1_000, frozen
del old
assert gone() is None, "its last reference is gone"
later = dropped()
gc.collect()
assert later() is None, "a new cycle is found as ever"
settle_heap()
assert gc.get_freeze_count() <= frozen, "only once: what people make later is theirs"

full = 0
def count(phase, info):
    global full
    full += phase == "start" and info["generation"] == 2
gc.callbacks.append(count)
alive = []
def work():
    for _ in range(400_000):
        alive.append([])
work()
assert full == 0, "all that was made could have been searched several times"
later = dropped()
gc.collect(1)
assert later() is None, "what is new is searched nevertheless"
now = BETWEEN
work()
assert full == 1, full
now += BETWEEN
gc.collect()
assert full == 2, "whoever asks for it gets it"
work()
assert full == 2, "and that counts"
assert gc.get_threshold()[:2] == (FIRST, SECOND)
class Worker:
    busy = True
worker = Worker()
mind(worker)
now += LONGEST - 1
work()
assert full == 2, "it would make prompts wait that are out"
now += 1
work()
assert full == 3, "but not for ever"
now += BETWEEN
work()
worker.busy = False
work()
assert full == 3, "those that were out a moment ago may be followed by more"
now += MOMENT
work()
assert full == 4, full
del worker
gc.set_threshold(500, 9, 8)
now += 2 * BETWEEN
work()
assert full == 5, full
assert gc.get_threshold()[:2] == (500, 9), "what a person sets stays"
"""


def test_only_what_is_there_at_the_start_is_left_out_and_the_rest_searched_now_and_then():
    # In a process of its own, because it changes the collector of the whole process.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
